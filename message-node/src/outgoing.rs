//! One message on its way out: encoded once, shared by all its receivers.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use hyperty_model::Message;
use hyperty_model::queue::{ConflationKey, Queued};

use crate::outbox::Outbox;

/// A message as it leaves the node. Cloning it is a reference count.
#[derive(Debug, Clone)]
pub struct Outgoing {
    message: Message,
    /// Who asked, for a request to a single addressee: told if it can no longer be handed over.
    asker: Option<Weak<Outbox>>,
}

impl Outgoing {
    /// For everybody who listens.
    pub(crate) fn published(message: Message) -> Outgoing {
        Outgoing { message, asker: None }
    }

    /// For one addressee; `asker` is told if that becomes impossible.
    pub(crate) fn addressed(message: Message, asker: Option<&Arc<Outbox>>) -> Outgoing {
        let asker = asker.filter(|_| message.kind().is_request()).map(Arc::downgrade);
        Outgoing { message, asker }
    }

    /// The text of the frame: UTF-8, for the decoder refuses what is not.
    pub fn bytes(&self) -> &Bytes {
        self.message.wire()
    }

    /// The message and who is to be told that it was not handed over.
    pub(crate) fn unanswered(&self) -> Option<(&Message, Arc<Outbox>)> {
        let asker = self.asker.as_ref()?.upgrade()?;
        Some((&self.message, asker))
    }
}

/// What a queued message costs beside its text, roughly.
const OVERHEAD_BYTES: usize = 64;

impl Queued for Outgoing {
    fn bytes(&self) -> usize {
        self.message.wire().len() + OVERHEAD_BYTES
    }

    fn conflation_key(&self) -> Option<ConflationKey> {
        self.message.conflation_key()
    }
}
