//! The rows of children.
//!
//! A child is a row of its own, so that a change of one is not a change of all. A deletion leaves a row that holds
//! its place in the order of deletions; a whole record, or many deletions, replace those rows by one per name.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyperty_model::ChildrenName;
use hyperty_model::object::{ChildEntry, ChildId, Children};
use serde_json::{Map, Value};

use super::{corrupt, json, keys};
use crate::{Batch, StorageError};

/// Deletions that are kept in rows of their own. It takes reading them all to join them, and so it is done once
/// for so many.
pub(super) const DELETED_ROWS_MAX: u64 = 1_024;

/// The members of the stored form of [`Children`].
const LIVE: &str = "childrenObjects";
const DELETED: &str = "childrenDeleted";

/// Adds a child.
pub(super) fn put(batch: Batch, object: Vec<u8>, name: &ChildrenName, entry: &ChildEntry) -> Batch {
    batch.put(keys::CHILDREN, keys::child(object, name, entry.value.url.as_str()), json::of(entry))
}

/// Marks a child as the deletion number `order`.
pub(super) fn delete(batch: Batch, object: Vec<u8>, name: &ChildrenName, id: &str, order: u64) -> Batch {
    batch.put(keys::CHILDREN, keys::child(object, name, id), order.to_be_bytes())
}

/// Puts all children in the place of those that are there.
pub(super) fn replace(batch: Batch, object: &[u8], children: &Children) -> Batch {
    let batch = batch.delete_range(keys::CHILDREN, object, keys::after(object));
    let batch =
        children.iter().fold(batch, |batch, (name, _, entry)| put(batch, object.to_vec(), name, entry));
    deleted(children).into_iter().fold(batch, |batch, (name, ids)| {
        batch.put(keys::CHILDREN, keys::children(object.to_vec(), &name), json::of(&ids))
    })
}

/// What is remembered of deleted children, by name.
fn deleted(children: &Children) -> Vec<(ChildrenName, Value)> {
    let mut whole = serde_json::to_value(children).unwrap_or_default();
    let Some(Value::Object(deleted)) = whole.get_mut(DELETED).map(Value::take) else { return Vec::new() };
    let named = |(name, ids): (String, Value)| Some((ChildrenName::new(&name).ok()?, ids));
    deleted.into_iter().filter_map(named).collect()
}

/// Children read back.
#[derive(Default)]
pub(super) struct Read {
    pub(super) children: Children,
    /// How many rows hold a child that is not deleted.
    pub(super) live: usize,
    /// The number of the next deletion.
    pub(super) next_deletion: u64,
}

/// The children in `rows`, all of one object.
pub(super) fn read(object: &[u8], rows: &[(Bytes, Bytes)]) -> Result<Read, StorageError> {
    if rows.is_empty() {
        return Ok(Read::default());
    }
    let mut live: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut joined = Map::new();
    let mut deletions: BTreeMap<u64, (ChildrenName, ChildId)> = BTreeMap::new();
    for (key, value) in rows {
        let unreadable = |detail: String| corrupt(keys::CHILDREN, key, detail);
        let parts = keys::split_child(&key[object.len()..]);
        let (name, id) = parts.ok_or_else(|| unreadable("its key is not that of a child".to_owned()))?;
        let parsed = || serde_json::from_slice::<Value>(value).map_err(|error| unreadable(error.to_string()));
        match (id, <[u8; 8]>::try_from(&**value)) {
            (None, _) => drop(joined.insert(name.to_owned(), parsed()?)),
            (Some(id), Ok(order)) => {
                let name = ChildrenName::new(name).map_err(|error| unreadable(error.to_string()))?;
                let id = ChildId::parse(id).map_err(|error| unreadable(error.to_string()))?;
                if deletions.insert(u64::from_be_bytes(order), (name, id)).is_some() {
                    return Err(unreadable("another deletion has its place".to_owned()));
                }
            }
            (Some(id), Err(_)) => {
                drop(live.entry(name.to_owned()).or_default().insert(id.to_owned(), parsed()?))
            }
        }
    }
    let next_deletion = deletions.last_key_value().map_or(0, |(order, _)| order.saturating_add(1));
    let count = live.values().map(Map::len).sum();
    let live = live.into_iter().map(|(name, children)| (name, Value::Object(children))).collect();
    let whole = Value::from_iter([(LIVE, Value::Object(live)), (DELETED, Value::Object(joined))]);
    let mut children: Children = serde_json::from_value(whole).map_err(|error| {
        corrupt(keys::CHILDREN, object, format!("not the children of an object: {error}"))
    })?;
    for (name, id) in deletions.into_values() {
        children.bury(&name, id);
    }
    Ok(Read { children, live: count, next_deletion })
}
