//! The Data Object Storage over tables.

use std::sync::Arc;

use foldhash::HashMap;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{ChildEntry, Children};
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl, Position, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::keys::{CHANGES, CHILDREN, DATA, MEMBERS, OBJECTS, SUBSCRIBERS};
use super::load::{self, Loaded};
use super::runs::Runs;
use super::tail::Encoded;
use super::{
    Appended, DataObjectStorage, ObjectRecord, Role, Subscriber, base, breaks, children, header, json, keys,
    subscribers,
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

#[derive(Default)]
struct Known {
    reported: Side,
    observed: Side,
    /// How often the history of the store was broken; none while it was not looked up.
    breaks: Option<u64>,
}

#[derive(Default)]
struct Side {
    states: HashMap<ObjectUrl, State>,
    /// All records were loaded: what is not among the states is not stored.
    complete: bool,
}

/// What is known of the rows of an object.
#[derive(Default)]
struct State {
    position: Position,
    last_modified: Timestamp,
    with_data: bool,
    data_bytes: usize,
    runs: Runs,
    /// How often the history of the store was broken when the record was saved whole.
    breaks: u64,
    /// A change of the metadata was added since the record was written.
    header_is_stale: bool,
    has_children: bool,
    has_subscribers: bool,
    next_deletion: u64,
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

    fn remove(&self, role: Role, object: &ObjectUrl) -> Ticket {
        let mut known = self.known.lock();
        known.of(role).states.remove(object);
        let key = keys::object(role, object);
        let mut batch = Batch::new().delete(OBJECTS, &key).delete(DATA, &key);
        for table in [CHANGES, MEMBERS, CHILDREN, SUBSCRIBERS] {
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

/// Most bytes of changes kept behind data of a size. Up to 4 KiB, the page of the file that is written with any
/// change of it, four times the data may gather; then as much as the data itself. So writing the data anew costs
/// less than the changes did, and reading it all back takes a small multiple of reading the data.
fn tail_bytes_max(data_bytes: usize) -> usize {
    data_bytes.max((4 * data_bytes).clamp(512, 4 << 10))
}

impl State {
    /// What is known after a record was written, but for its children and the size of its header.
    fn of(record: &ObjectRecord, data_bytes: usize) -> State {
        State {
            position: record.position,
            last_modified: record.metadata.last_modified,
            with_data: record.data.is_some(),
            data_bytes,
            has_children: record.children != Children::default(),
            has_subscribers: !record.subscriptions.is_empty(),
            ..State::default()
        }
    }

    /// Adds the log of a record, if it is one: up to its position, without a hole.
    fn add_log(&mut self, mut batch: Batch, object: &[u8], record: &ObjectRecord) -> Batch {
        let length = record.log.len() as u64;
        let Some(first) = record.position.version.checked_sub(length).map(|before| before + 1) else {
            return batch;
        };
        let follows = (first..)
            .zip(&record.log)
            .all(|(version, body)| body.position() == Some(Position::new(record.position.epoch, version)));
        let encoded: Option<Vec<Encoded>> = record.log.iter().map(|body| Encoded::of(body)).collect();
        if let Some(changes) = encoded.filter(|_| follows && record.data.is_some()) {
            for (version, change) in (first..).zip(changes) {
                batch = self.runs.add(batch, object.to_vec(), version, change);
            }
            batch = self.runs.settle(batch, object, self.data_bytes);
        }
        batch
    }

    /// Where the history stands now, for an object whose data is not kept.
    fn moved(&self, object: Vec<u8>, change: &UpdateKind) -> Batch {
        let batch = Batch::new().put(DATA, &object, base::encode(self.position, self.last_modified, None));
        match change {
            UpdateKind::Metadata { attribute, value } => {
                batch.put(MEMBERS, keys::member(object, attribute), json::of(value))
            }
            _ => batch,
        }
    }
}

impl Side {
    fn remember(&mut self, loaded: Loaded) -> ObjectRecord {
        let record = loaded.record;
        let state = State {
            runs: loaded.runs,
            breaks: loaded.breaks,
            header_is_stale: loaded.header_is_stale,
            has_children: loaded.has_children,
            next_deletion: loaded.next_deletion,
            ..State::of(&record, loaded.data_bytes)
        };
        self.states.insert(record.metadata.url.clone(), state);
        record
    }

    /// Removes what was stored behind a record: row by row where they are known, which is cheaper than to look.
    fn without_changes(&self, mut batch: Batch, object: &[u8], state: Option<&mut State>) -> Batch {
        let is_unknown = state.is_none() && !self.complete;
        if is_unknown || state.as_ref().is_some_and(|state| !state.with_data) {
            batch = batch.delete_range(MEMBERS, object, keys::after(object));
        }
        match state {
            Some(state) => state.runs.clear(batch, object),
            None if is_unknown => batch.delete_range(CHANGES, object, keys::after(object)),
            None => batch,
        }
    }
}

impl Known {
    fn of(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Reporter => &mut self.reported,
            Role::Observer => &mut self.observed,
        }
    }

    /// How often the history of the store was broken.
    fn breaks(&mut self, tables: &dyn Tables) -> u64 {
        *self.breaks.get_or_insert_with(|| {
            breaks::count(tables).unwrap_or_else(|error| {
                // Nothing is saved either where nothing can be read.
                tracing::error!(%error, "it cannot be told whether history is broken");
                0
            })
        })
    }
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStore").finish_non_exhaustive()
    }
}
