//! The rows of what an object has many of, and what changes one by one: grants, invitations, operations that wait. What
//! it costs to write one does not depend on how many there are.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyperty_model::{HypertyUrl, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Grant, Invited, ObjectRecord, corrupt, json, keys};
use crate::{Batch, StorageError};

const GRANT: &str = "grant";
const INVITED: &str = "invited";
const PENDING: &str = "pending";

/// One thing of many that a record keeps, as it is from now on, or that it is there no longer.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A grant, in the place of the one for the same.
    Grant(Grant),
    /// The grant for this one is taken back.
    Revoked(Url),
    /// An invitation, in the place of the one of the same hyperty.
    Invited(Invited),
    /// The hyperty is done with its invitation.
    Uninvited(HypertyUrl),
    /// A child operation that waits for its answer, in the place of the one of the same number.
    Pending {
        /// Its place in the order of those that wait.
        number: u64,
        /// The whole message.
        message: Value,
    },
    /// The child operation of this number waits no longer.
    Answered {
        /// Its place in the order of those that wait.
        number: u64,
    },
}

impl Entry {
    /// Writes it, or removes its row.
    pub(super) fn write(&self, batch: Batch, object: &[u8]) -> Batch {
        match self {
            Entry::Grant(grant) => put(batch, grant_row(object, grant)),
            Entry::Revoked(who) => batch.delete(keys::ENTRIES, keys::entry(object, GRANT, who.key())),
            Entry::Invited(invited) => put(batch, invited_row(object, invited)),
            Entry::Uninvited(who) => batch.delete(keys::ENTRIES, keys::entry(object, INVITED, who.key())),
            Entry::Pending { number, message } => put(batch, pending_row(object, *number, message)),
            Entry::Answered { number } => {
                batch.delete(keys::ENTRIES, keys::entry(object, PENDING, &in_order(*number)))
            }
        }
    }
}

/// Key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

fn put(batch: Batch, (key, value): Row) -> Batch {
    batch.put(keys::ENTRIES, key, value)
}

pub(crate) fn grant_row(object: &[u8], grant: &Grant) -> Row {
    (keys::entry(object, GRANT, grant.who.key()), json::of(grant))
}

pub(crate) fn invited_row(object: &[u8], invited: &Invited) -> Row {
    (keys::entry(object, INVITED, invited.who.key()), json::of(invited))
}

pub(crate) fn pending_row(object: &[u8], number: u64, message: &Value) -> Row {
    let mut value = Vec::with_capacity(512);
    json::write_value(&mut value, message);
    (keys::entry(object, PENDING, &in_order(number)), value)
}

/// A number whose text is in the order of numbers.
fn in_order(number: u64) -> String {
    format!("{number:020}")
}

/// Puts the entries of a record in the place of those that are there.
pub(super) fn replace(batch: Batch, object: &[u8], record: &ObjectRecord) -> Batch {
    let batch = batch.delete_range(keys::ENTRIES, object, keys::after(object));
    let grants = record.grants.iter().map(|grant| grant_row(object, grant));
    let invited = record.invitations.iter().map(|invited| invited_row(object, invited));
    let pending = record.pending.iter().map(|(number, message)| pending_row(object, *number, message));
    grants.chain(invited).chain(pending).fold(batch, put)
}

/// Whether a record has any.
pub(super) fn has_any(record: &ObjectRecord) -> bool {
    !(record.grants.is_empty() && record.invitations.is_empty() && record.pending.is_empty())
}

/// Entries read back.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) grants: Vec<Grant>,
    pub(super) invitations: Vec<Invited>,
    pub(super) pending: BTreeMap<u64, Value>,
}

/// The entries in `rows`, all of one object.
pub(super) fn read(object: &[u8], rows: &[(Bytes, Bytes)]) -> Result<Read, StorageError> {
    let mut read = Read::default();
    for (key, row) in rows {
        let unreadable = |detail: &str| corrupt(keys::ENTRIES, key, detail.to_owned());
        let parts = keys::split_entry(&key[object.len()..]);
        let (kind, name) = parts.ok_or_else(|| unreadable("its key is not that of an entry"))?;
        let holds = match kind {
            GRANT => {
                let grant: Grant = parse(key, row)?;
                let holds = grant.who.key() == name;
                read.grants.push(grant);
                holds
            }
            INVITED => {
                let invited: Invited = parse(key, row)?;
                let holds = invited.who.key() == name;
                read.invitations.push(invited);
                holds
            }
            PENDING => {
                let number = name.parse().map_err(|_| unreadable("its key has no number"))?;
                read.pending.insert(number, parse(key, row)?);
                in_order(number) == name
            }
            _ => return Err(unreadable("an entry of an unknown kind")),
        };
        if !holds {
            return Err(unreadable("it holds something else than its key says"));
        }
    }
    Ok(read)
}

fn parse<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(row).map_err(|error| corrupt(keys::ENTRIES, key, error.to_string()))
}
