//! What the cases share: short ways to make things, a log, a stub that records.

use std::sync::Arc;

use hyperty_message_bus::{Protostub, SendError, StubStatus};
use hyperty_model::message::{Decoded, Limits};
use hyperty_model::{Message, Url};
use parking_lot::Mutex;

use super::Handler;

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).expect("the suite's own addresses are valid")
}

/// The frame of a message, as it would come off a wire.
pub(super) fn over_the_wire(frame: impl Into<Vec<u8>>) -> Message {
    match Message::from_frame(frame.into().into(), &Limits::default()) {
        Ok(Decoded::One(message)) => message,
        Ok(Decoded::Many(_)) | Err(_) => unreachable!("the suite writes messages to one address"),
    }
}

/// What happened, in order.
pub(super) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Log<T> {
        Log(Arc::clone(&self.0))
    }
}

impl<T> Log<T> {
    pub(super) fn new() -> Log<T> {
        Log(Arc::default())
    }

    pub(super) fn add(&self, entry: T) {
        self.0.lock().push(entry);
    }

    pub(super) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Log<Message> {
    /// A handler that notes what it is called with.
    pub(super) fn handler(&self) -> Handler {
        let log = self.clone();
        Box::new(move |message| log.add(message.clone()))
    }
}

/// A stub that keeps what it is sent.
pub(super) struct RecordingStub {
    url: Url,
    pub(super) sent: Log<Message>,
}

impl RecordingStub {
    pub(super) fn new(number: usize) -> Arc<RecordingStub> {
        let url = url(&format!("hyperty-runtime://far.example/protostub/{number}"));
        Arc::new(RecordingStub { url, sent: Log::new() })
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
        self.sent.add(message);
        Ok(())
    }
}
