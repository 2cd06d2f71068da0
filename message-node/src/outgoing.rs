//! One message on its way out: encoded once, shared by all its receivers.

use std::sync::{Arc, Weak};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use hyperty_model::Message;
use hyperty_model::queue::{ConflationKey, Queued};

use crate::outbox::Outbox;

/// A message as it leaves the node. Cloning it is a reference count.
#[derive(Debug, Clone)]
pub struct Outgoing(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    text: Utf8Bytes,
    message: Message,
    /// Who asked, for a request to a single addressee: answered if it can no longer be handed over.
    asker: Option<Weak<Outbox>>,
}

impl Outgoing {
    /// For everybody who listens.
    pub(crate) fn published(message: Message) -> Option<Outgoing> {
        Outgoing::prepare(message, None)
    }

    /// For one addressee; `asker` is told if that becomes impossible.
    pub(crate) fn addressed(message: Message, asker: Option<&Arc<Outbox>>) -> Option<Outgoing> {
        let asker = asker.filter(|_| message.kind().is_request()).map(Arc::downgrade);
        Outgoing::prepare(message, asker)
    }

    fn prepare(message: Message, asker: Option<Weak<Outbox>>) -> Option<Outgoing> {
        // Text by construction: the decoder refuses frames that are not, and we write none. No receiver checks again.
        let text = Utf8Bytes::try_from(message.wire().clone()).ok()?;
        Some(Outgoing(Arc::new(Prepared { text, message, asker })))
    }

    /// The text of the frame.
    pub fn text(&self) -> Utf8Bytes {
        self.0.text.clone()
    }

    /// The bytes of the frame.
    pub fn bytes(&self) -> Bytes {
        self.0.message.wire().clone()
    }

    /// The message and who is to be told that it was not handed over.
    pub(crate) fn unanswered(&self) -> Option<(&Message, Arc<Outbox>)> {
        let asker = self.0.asker.as_ref()?.upgrade()?;
        Some((&self.0.message, asker))
    }
}

/// What a queued message costs beside its text, roughly.
const OVERHEAD_BYTES: usize = 64;

impl Queued for Outgoing {
    fn bytes(&self) -> usize {
        self.0.text.len() + OVERHEAD_BYTES
    }

    fn conflation_key(&self) -> Option<ConflationKey> {
        self.0.message.conflation_key()
    }
}
