//! Broken buses.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_conformance::suites::bus::{self, Bus, Connections, Handle, Handler, Sequencing};
use hyperty_message_bus::{BusConfig, MessageBus, Protostub, RouteResolver};
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, MessageType, SeededIds, Url};

use crate::caught;

/// What is wrong with a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Dropping a handle does nothing.
    HandlesLast,
    /// Every message is delivered twice.
    Twice,
    /// Who waits for an answer that never comes waits for ever.
    NoTimeout,
    /// A provisional answer ends the wait.
    ProvisionalIsFinal,
    /// What comes in forgets the way it came.
    ForgetsTheWay,
    /// Whoever answers is believed.
    AnybodyAnswers,
}

struct Broken {
    inner: MessageBus,
    fault: Fault,
}

fn broken(fault: Fault) -> impl Fn() -> Arc<dyn Bus> {
    move || Arc::new(Broken { inner: MessageBus::new(BusConfig::default(), &SeededIds::new(1)), fault })
}

impl Bus for Broken {
    fn address(&self) -> Url {
        self.inner.address()
    }

    fn post(&self, message: Message) {
        if self.fault == Fault::Twice {
            self.inner.post(message.clone());
        }
        let response = message.kind() == MessageType::Response;
        if self.fault == Fault::AnybodyAnswers
            && response
            && message.from().domain() == Some("elsewhere.example")
        {
            for from in ["comm://example.com/a", "hyperty-runtime://example.com/r"] {
                let (id, from) = (message.id().clone(), Url::parse(from).unwrap());
                let body = ResponseBody::of(message.code());
                self.inner.post(Message::new(id, MessageType::Response, from, message.to().clone(), body));
            }
            return;
        }
        self.inner.post(message);
    }

    fn listen(&self, url: &Url, handler: Handler) -> Handle {
        let handle = Bus::listen(&self.inner, url, handler);
        if self.fault == Fault::HandlesLast {
            std::mem::forget(handle);
            return Box::new(());
        }
        handle
    }

    fn request(&self, request: Message, wait: Duration, progress: Handler) -> BoxFuture<'static, Message> {
        match self.fault {
            Fault::NoTimeout => Bus::request(&self.inner, request, Duration::from_secs(1 << 20), progress),
            Fault::ProvisionalIsFinal => {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let sender = parking_lot::Mutex::new(Some(sender));
                let first: Handler = Box::new(move |message| {
                    progress(message);
                    if let Some(sender) = sender.lock().take() {
                        let _ = sender.send(message.clone());
                    }
                });
                let waiting = Bus::request(&self.inner, request, wait, first);
                Box::pin(async move {
                    tokio::select! {
                        biased;
                        Ok(provisional) = receiver => provisional,
                        answer = waiting => answer,
                    }
                })
            }
            _ => Bus::request(&self.inner, request, wait, progress),
        }
    }

    fn connections(&self) -> Option<&dyn Connections> {
        Some(self)
    }

    fn sequencing(&self) -> Option<&dyn Sequencing> {
        self.inner.sequencing()
    }
}

impl Connections for Broken {
    fn attach(&self, stub: Arc<dyn Protostub>) {
        self.inner.attach(stub);
    }

    fn receive(&self, stub: &Url, message: Message) {
        if self.fault == Fault::ForgetsTheWay {
            return self.inner.post(message);
        }
        Connections::receive(&self.inner, stub, message);
    }

    fn publish_route(&self, url: &Url, stub: &Url) -> Handle {
        Connections::publish_route(&self.inner, url, stub)
    }

    fn resolve_by(&self, resolver: Arc<dyn RouteResolver>) {
        self.inner.resolve_by(resolver);
    }
}

#[test]
fn each_fault_of_a_bus_is_caught() {
    for (fault, invariant) in [
        (Fault::HandlesLast, "4.1"),
        (Fault::Twice, "4.1"),
        (Fault::NoTimeout, "INV-MSG-3"),
        (Fault::ProvisionalIsFinal, "INV-MSG-1"),
        (Fault::ForgetsTheWay, "INV-MSG-4"),
        (Fault::AnybodyAnswers, "2.5"),
    ] {
        caught(&format!("{fault:?}"), invariant, &bus::run(&broken(fault)));
    }
}
