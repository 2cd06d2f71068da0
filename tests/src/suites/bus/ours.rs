//! The buses of this workspace, presented to the suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{BusError, Listener, MessageBus, MiniBus, Protostub, RouteResolver};
use hyperty_model::{HypertyUrl, Message, Url};
use parking_lot::Mutex;

use super::{Bus, Connections, Handle, Handler, Sequencing};

impl Bus for MessageBus {
    fn address(&self) -> Url {
        url("hyperty://example.com/asking")
    }

    fn post(&self, message: Message) {
        MessageBus::post(self, message);
    }

    fn listen(&self, url: &Url, handler: Handler) -> Handle {
        kept(MessageBus::listen(self, url, handler))
    }

    fn request(&self, request: Message, wait: Duration, progress: Handler) -> BoxFuture<'static, Message> {
        Box::pin(MessageBus::request(self, request).timeout(wait).on_provisional(progress))
    }

    fn connections(&self) -> Option<&dyn Connections> {
        Some(self)
    }

    fn sequencing(&self) -> Option<&dyn Sequencing> {
        Some(self)
    }
}

impl Connections for MessageBus {
    fn attach(&self, stub: Arc<dyn Protostub>) {
        self.add_stub(stub);
    }

    fn receive(&self, stub: &Url, message: Message) {
        MessageBus::receive(self, stub, message);
    }

    fn publish_route(&self, url: &Url, stub: &Url) -> Handle {
        Box::new(MessageBus::publish_route(self, url, stub))
    }

    fn resolve_by(&self, resolver: Arc<dyn RouteResolver>) {
        self.set_resolver(resolver);
    }
}

impl Sequencing for MessageBus {
    fn sequence(&self, url: &Url, handler: Handler) -> Option<Handle> {
        MessageBus::sequence(self, url, handler).ok().map(|listener| Box::new(listener) as Handle)
    }

    fn release(&self, message: &Message) {
        MessageBus::release(self, message);
    }
}

/// The MiniBus of a hyperty, together with the forwards that the runtime's bus has for it.
pub struct HypertyBus {
    inner: MiniBus,
    /// One forward per address, however many listen there.
    forwards: Mutex<BTreeMap<Url, Weak<Listener>>>,
}

impl HypertyBus {
    /// Attaches a hyperty to a bus.
    ///
    /// # Panics
    /// When it is attached already.
    pub fn new(outer: &MessageBus) -> HypertyBus {
        let hyperty = HypertyUrl::parse("hyperty://example.com/inside").expect("it is a hyperty's");
        let inner = MiniBus::new(outer, hyperty).expect("it is attached once");
        HypertyBus { inner, forwards: Mutex::default() }
    }

    fn forward(&self, url: &Url) -> Option<Arc<Listener>> {
        if url == self.inner.url().as_url() {
            return None;
        }
        let mut forwards = self.forwards.lock();
        if let Some(forward) = forwards.get(url).and_then(Weak::upgrade) {
            return Some(forward);
        }
        let forward = self.inner.outer().forward(url, self.inner.url()).expect("the hyperty is attached");
        let forward = Arc::new(forward);
        forwards.insert(url.clone(), Arc::downgrade(&forward));
        Some(forward)
    }
}

impl Bus for HypertyBus {
    fn address(&self) -> Url {
        self.inner.url().as_url().clone()
    }

    fn post(&self, message: Message) {
        // Everybody else is a component of the runtime: a hyperty says nothing in another's name.
        match message.from() == self.inner.url().as_url() {
            true => self.inner.post(message),
            false => self.inner.outer().post(message),
        }
    }

    fn listen(&self, url: &Url, handler: Handler) -> Handle {
        let forward = self.forward(url);
        Box::new((kept(self.inner.listen(url, handler)), forward))
    }

    fn request(&self, request: Message, wait: Duration, progress: Handler) -> BoxFuture<'static, Message> {
        Box::pin(self.inner.request(request).timeout(wait).on_provisional(progress))
    }
}

fn kept(listener: Result<Listener, BusError>) -> Handle {
    Box::new(listener.expect("the suite stays below every limit"))
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("the suite's own addresses are valid")
}
