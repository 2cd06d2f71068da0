//! The Data Object Storage over tables.

use std::sync::Arc;

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::ChildEntry;
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::keys::{CHANGES, CHILDREN, DATA, ENTRIES, MEMBERS, OBJECTS, SUBSCRIBERS};
use super::known::{Known, Side, State, tail_bytes_max};
use super::load;
use super::tail::Encoded;
use super::{
    Appended, DataObjectStorage, Entry, ObjectRecord, Role, Subscriber, base, children, entries, header,
    keys, subscribers,
};
use crate::{Batch, Progress, StorageError, Tables, Ticket};

/// [`DataObjectStorage`] over any [`Tables`].
///
/// ```
/// use hyperty_storage::{DataObjectStorage, MemoryTables, ObjectStore, Role};
/// use std::sync::Arc;
/// let store = ObjectStore::new(Arc::new(MemoryTables::new()));
/// assert!(store.load(Role::Reporter).unwrap().is_empty());
/// ```
pub struct ObjectStore {
    tables: Arc<dyn Tables>,
    /// Held while a batch is made and committed, so that nobody reads between two batches or writes out of order.
    /// One small entry for each stored object: whoever bounds those bounds this.
    known: Mutex<Known>,
}

impl ObjectStore {
    /// A store in these tables, which may hold other things under other names.
    pub fn new(tables: Arc<dyn Tables>) -> ObjectStore {
        ObjectStore { tables, known: Mutex::default() }
    }

    fn write(&self, record: &ObjectRecord) -> Ticket {
        let data = data(record);
        let object = keys::object(record.role, &record.metadata.url);
        let mut known = self.known.lock();
        let breaks = known.breaks(&*self.tables);
        let header = header::encode(record, breaks);
        let side = known.of(record.role);
        let mut before = side.states.remove(&record.metadata.url);
        let batch = Batch::new().put(OBJECTS, &object, &header).put(DATA, &object, &data);
        let mut batch = side.without_changes(batch, &object, before.as_mut());
        let mut state = State { breaks, ..State::of(record, data.len()) };
        if state.has_children || before.as_ref().map_or(!side.complete, |state| state.has_children) {
            batch = children::replace(batch, &object, &record.children);
        }
        if state.has_subscribers || before.as_ref().map_or(!side.complete, |state| state.has_subscribers) {
            batch = subscribers::replace(batch, &object, record);
        }
        if state.has_entries || before.as_ref().map_or(!side.complete, |state| state.has_entries) {
            batch = entries::replace(batch, &object, record);
        }
        batch = state.add_log(batch, &object, record);
        side.states.insert(record.metadata.url.clone(), state);
        self.tables.commit(batch)
    }
}

fn data(record: &ObjectRecord) -> Vec<u8> {
    base::encode(record.position, record.metadata.last_modified, record.data.as_ref())
}

impl DataObjectStorage for ObjectStore {
    fn load(&self, role: Role) -> Result<Vec<ObjectRecord>, StorageError> {
        let mut known = self.known.lock();
        let side = known.of(role);
        let loaded = load::load(&*self.tables, role, &keys::side(role))?;
        side.complete = true;
        Ok(loaded.into_iter().map(|loaded| side.remember(loaded)).collect())
    }

    fn find(&self, role: Role, object: &ObjectUrl) -> Result<Option<ObjectRecord>, StorageError> {
        self.find_in(self.known.lock().of(role), role, object)
    }

    fn save(&self, record: &ObjectRecord) -> Ticket {
        self.write(record)
    }

    fn checkpoint(&self, record: &ObjectRecord) -> Ticket {
        let data = data(record);
        let object = keys::object(record.role, &record.metadata.url);
        let mut known = self.known.lock();
        let Some(state) = self.state(known.of(record.role), record.role, &record.metadata.url) else {
            drop(known);
            return self.save(record);
        };
        let mut batch = Batch::new().put(DATA, &object, &data);
        batch = match record.position == state.position && !state.runs.is_spoilt() {
            true => state.runs.settle(batch, &object, data.len()),
            false => state.runs.clear(batch, &object),
        };
        if state.header_is_stale {
            batch = batch.put(OBJECTS, &object, header::encode(record, state.breaks));
        }
        if !state.with_data {
            batch = batch.delete_range(MEMBERS, &object, keys::after(&object));
        }
        *state = State {
            runs: std::mem::take(&mut state.runs),
            breaks: state.breaks,
            has_children: state.has_children,
            has_subscribers: state.has_subscribers,
            has_entries: state.has_entries,
            next_deletion: state.next_deletion,
            ..State::of(record, data.len())
        };
        self.tables.commit(batch)
    }

    fn save_metadata(&self, record: &ObjectRecord) -> Ticket {
        let mut known = self.known.lock();
        let Some(state) = self.state(known.of(record.role), record.role, &record.metadata.url) else {
            drop(known);
            return self.save(record);
        };
        state.header_is_stale = false;
        let header = header::encode(record, state.breaks);
        self.tables.commit(Batch::new().put(OBJECTS, keys::object(record.role, &record.metadata.url), header))
    }

    fn append(&self, role: Role, object: &ObjectUrl, change: &UpdateBody) -> Appended {
        let encoded = Encoded::of(change);
        let mut known = self.known.lock();
        let (Some(encoded), Some(state)) = (encoded, self.state(known.of(role), role, object)) else {
            tracing::error!(%object, "no change, or one of an object that is not stored");
            return Appended { ticket: self.tables.commit(Batch::new()), checkpoint_due: true };
        };
        let to = change.position().unwrap_or_else(|| state.position.next());
        let follows = to == state.position.next();
        state.position = to;
        state.last_modified = change.last_modified.unwrap_or(state.last_modified);
        state.header_is_stale |= matches!(change.kind, UpdateKind::Metadata { .. });
        let key = keys::object(role, object);
        if !state.with_data {
            let ticket = self.tables.commit(state.moved(key, &change.kind));
            return Appended { ticket, checkpoint_due: false };
        }
        let batch = if follows {
            state.runs.add(Batch::new(), key, to.version, encoded)
        } else {
            tracing::error!(%object, %to, "a change that does not follow what is stored");
            state.runs.spoil(Batch::new(), key, encoded)
        };
        let checkpoint_due =
            state.runs.is_spoilt() || state.runs.tail_bytes() > tail_bytes_max(state.data_bytes);
        Appended { ticket: self.tables.commit(batch), checkpoint_due }
    }

    fn put_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, entry: &ChildEntry) -> Ticket {
        let mut known = self.known.lock();
        let Some(state) = self.state(known.of(role), role, object) else {
            tracing::error!(%object, "a child of an object that is not stored");
            return self.tables.commit(Batch::new());
        };
        state.has_children = true;
        self.tables.commit(children::put(Batch::new(), keys::object(role, object), name, entry))
    }

    fn delete_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, id: &str) -> Ticket {
        let mut known = self.known.lock();
        let key = keys::object(role, object);
        let Some(state) = self.state(known.of(role), role, object) else {
            return self.tables.commit(Batch::new());
        };
        state.has_children = true;
        let ticket =
            self.tables.commit(children::delete(Batch::new(), key.clone(), name, id, state.next_deletion));
        state.next_deletion += 1;
        if state.next_deletion < children::DELETED_ROWS_MAX {
            return ticket;
        }
        match self.tables.scan(CHILDREN, &key).and_then(|rows| children::read(&key, &rows)) {
            Ok(all) => {
                state.next_deletion = 0;
                self.tables.commit(children::replace(Batch::new(), &key, &all.children))
            }
            Err(error) => {
                // Nothing is lost: the rows stay as they are, and whoever loads them hears of it.
                tracing::warn!(%object, %error, "deleted children were not joined");
                ticket
            }
        }
    }

    fn put_subscriber(&self, role: Role, object: &ObjectUrl, subscriber: &Subscriber) -> Ticket {
        let mut known = self.known.lock();
        let Some(state) = self.state(known.of(role), role, object) else {
            tracing::error!(%object, "a subscriber of an object that is not stored");
            return self.tables.commit(Batch::new());
        };
        state.has_subscribers = true;
        self.tables.commit(subscribers::put(Batch::new(), keys::object(role, object), subscriber))
    }

    fn remove_subscriber(&self, role: Role, object: &ObjectUrl, hyperty: &HypertyUrl) -> Ticket {
        // In the order of all other writes.
        let _known = self.known.lock();
        let key = keys::subscriber(keys::object(role, object), hyperty);
        self.tables.commit(Batch::new().delete(SUBSCRIBERS, key))
    }

    fn put_entries(&self, role: Role, object: &ObjectUrl, entries: &[Entry]) -> Ticket {
        let mut known = self.known.lock();
        let Some(state) = self.state(known.of(role), role, object) else {
            tracing::error!(%object, "entries of an object that is not stored");
            return self.tables.commit(Batch::new());
        };
        state.has_entries = true;
        let key = keys::object(role, object);
        self.tables.commit(entries.iter().fold(Batch::new(), |batch, entry| entry.write(batch, &key)))
    }

    fn remove(&self, role: Role, object: &ObjectUrl) -> Ticket {
        let mut known = self.known.lock();
        known.of(role).states.remove(object);
        let key = keys::object(role, object);
        let mut batch = Batch::new().delete(OBJECTS, &key).delete(DATA, &key);
        for table in [CHANGES, MEMBERS, CHILDREN, SUBSCRIBERS, ENTRIES] {
            batch = batch.delete_range(table, &key, keys::after(&key));
        }
        self.tables.commit(batch)
    }

    fn barrier(&self) -> Ticket {
        self.tables.barrier()
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.tables.progress()
    }
}

impl ObjectStore {
    fn find_in(
        &self,
        side: &mut Side,
        role: Role,
        object: &ObjectUrl,
    ) -> Result<Option<ObjectRecord>, StorageError> {
        let loaded = load::load(&*self.tables, role, &keys::object(role, object))?;
        Ok(loaded.into_iter().next().map(|loaded| side.remember(loaded)))
    }

    /// What is known of an object; read from its rows if nobody asked for it before.
    fn state<'a>(&self, side: &'a mut Side, role: Role, object: &ObjectUrl) -> Option<&'a mut State> {
        let unknown = !side.complete && !side.states.contains_key(object);
        if unknown && let Err(error) = self.find_in(side, role, object) {
            tracing::error!(%object, %error, "the record cannot be read");
        }
        side.states.get_mut(object)
    }
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStore").finish_non_exhaustive()
    }
}
