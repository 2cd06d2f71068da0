//! The digest of an object's data at a position (protocol 10.2): made once for each, outside the object's lock.

use std::sync::Arc;

use hyperty_model::{Position, digest};
use serde_json::Value;

/// What is known of the digest of one position.
#[derive(Debug, Clone, Default)]
pub(crate) struct DigestCache(Option<(Position, Option<String>)>);

impl DigestCache {
    /// The digest at a position; `None` if it was not made, `Some(None)` if the data is too large for one.
    pub(crate) fn at(&self, position: Position) -> Option<Option<&str>> {
        let (known, digest) = self.0.as_ref()?;
        (*known == position).then_some(digest.as_deref())
    }

    pub(crate) fn keep(&mut self, made: Made) {
        self.0 = Some((made.position, made.digest));
    }
}

/// Data to make a digest of. While it is held a change of the object copies the data.
pub(crate) struct Unmade {
    pub(crate) position: Position,
    pub(crate) data: Arc<Value>,
}

/// A digest that was made.
pub(crate) struct Made {
    pub(crate) position: Position,
    /// `None` if the data is larger than the limit.
    pub(crate) digest: Option<String>,
}

impl Unmade {
    /// Takes a millisecond for the largest data: not to be called under a lock.
    pub(crate) fn make(self, bytes_max: usize) -> Made {
        Made { position: self.position, digest: digest::of(&self.data, bytes_max) }
    }
}
