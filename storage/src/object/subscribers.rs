//! The rows of subscribers: one for each, so that a thousand who come one after the other cost a thousand rows.

use bytes::Bytes;

use super::{ObjectRecord, Subscriber, corrupt, json, keys};
use crate::{Batch, StorageError};

/// Adds a subscriber.
pub(super) fn put(batch: Batch, object: Vec<u8>, subscriber: &Subscriber) -> Batch {
    let (key, row) = subscriber.row(object);
    batch.put(keys::SUBSCRIBERS, key, row)
}

impl Subscriber {
    /// Key and value of its row.
    pub(crate) fn row(&self, object: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        (keys::subscriber(object, &self.hyperty), json::of(self))
    }
}

/// Puts the subscribers of a record in the place of those that are there.
pub(super) fn replace(batch: Batch, object: &[u8], record: &ObjectRecord) -> Batch {
    let batch = batch.delete_range(keys::SUBSCRIBERS, object, keys::after(object));
    record.subscriptions.iter().fold(batch, |batch, subscriber| put(batch, object.to_vec(), subscriber))
}

/// The subscribers in `rows`, all of one object.
pub(super) fn read(object: &[u8], rows: &[(Bytes, Bytes)]) -> Result<Vec<Subscriber>, StorageError> {
    let read = |(key, row): &(Bytes, Bytes)| {
        let subscriber: Subscriber = serde_json::from_slice(row)
            .map_err(|error| corrupt(keys::SUBSCRIBERS, key, error.to_string()))?;
        if key[object.len()..] != *subscriber.hyperty.key().as_bytes() {
            return Err(corrupt(keys::SUBSCRIBERS, key, format!("it holds {}", subscriber.hyperty)));
        }
        Ok(subscriber)
    };
    rows.iter().map(read).collect()
}
