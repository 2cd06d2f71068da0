//! What the tests share: short ways to make things, a log, a stub that records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyperty_message_bus::{BusConfig, MessageBus, Protostub, SendError, StubStatus};
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, HypertyUrl, Message, MessageType, RuntimeUrl, SeededIds, Url};
use parking_lot::Mutex;

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

pub(crate) fn hyperty(name: &str) -> HypertyUrl {
    HypertyUrl::parse(&format!("hyperty://example.com/{name}")).unwrap()
}

pub(crate) fn runtime() -> RuntimeUrl {
    RuntimeUrl::parse("hyperty-runtime://example.com/r1").unwrap()
}

pub(crate) fn bus() -> MessageBus {
    bus_with(BusConfig::default())
}

pub(crate) fn bus_with(config: BusConfig) -> MessageBus {
    MessageBus::new(BusConfig { runtime: Some(runtime()), ..config }, &SeededIds::new(1))
}

pub(crate) fn message(bus: &MessageBus, kind: MessageType, from: &str, to: &str) -> Message {
    bus.new_message(kind, &url(from), &url(to), Body::empty())
}

pub(crate) fn response(request: &Message, code: u16) -> Message {
    request.reply(ResponseBody::of(hyperty_model::StatusCode(code)))
}

pub(crate) fn body(message: &Message) -> Arc<ResponseBody> {
    message.decode().unwrap()
}

/// What happened, in order.
#[derive(Clone)]
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn new() -> Log<T> {
        Log(Arc::default())
    }

    pub(crate) fn add(&self, entry: T) {
        self.0.lock().push(entry);
    }

    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A stub that keeps what it is sent.
pub(crate) struct RecordingStub {
    url: Url,
    pub(crate) sent: Log<Message>,
    pub(crate) full: AtomicBool,
}

impl RecordingStub {
    pub(crate) fn add_to(bus: &MessageBus, name: &str) -> Arc<RecordingStub> {
        let url = url(&format!("hyperty-runtime://far.example/protostub/{name}"));
        let stub = Arc::new(RecordingStub { url, sent: Log::new(), full: AtomicBool::new(false) });
        bus.add_stub(Arc::clone(&stub) as Arc<dyn Protostub>);
        stub
    }
}

impl Protostub for RecordingStub {
    fn url(&self) -> &Url {
        &self.url
    }

    fn domain(&self) -> &str {
        "far.example"
    }

    fn status(&self) -> StubStatus {
        StubStatus::Live
    }

    fn send(&self, message: Message) -> Result<(), SendError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(SendError::Full);
        }
        self.sent.add(message);
        Ok(())
    }
}

/// The frame of a message, as it would come off a wire.
pub(crate) fn over_the_wire(message: &Message) -> Message {
    use hyperty_model::message::{Decoded, Limits};
    match Message::from_frame(message.wire().clone(), &Limits::default()).unwrap() {
        Decoded::One(message) => message,
        Decoded::Many(_) => unreachable!("one address was written"),
    }
}
