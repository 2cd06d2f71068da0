//! The domain registry as its message node keeps it (protocol 5.13).

mod handle;
mod owner;
mod query;
mod request;
mod state;

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::ResponseBody;
use hyperty_model::{Identity, Message, MessageId, MessageType, RuntimeUrl, Timestamp, Url, UrlError};
use hyperty_storage::operations::TableCheck;
use hyperty_storage::{Batch, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{RegistrationRecord, RegistrationStatus};
use state::{Entry, State};

/// How long the entry of a disconnected entity, and the mark of a deleted one, is kept (protocol 5.13.3, M12).
pub const REGISTRATION_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Most entries of a node. At about a kilobyte each, the memory of a small machine.
pub const REGISTRATIONS_MAX: usize = 1_000_000;

/// Most entries of one runtime: as many as it may allocate addresses.
pub const REGISTRATIONS_PER_RUNTIME_MAX: usize = 200_000;

/// Longest registration message, in bytes of its body; a record is some 600.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Most entries that one query finds, all pages together: with records of the usual size some 6 MB.
pub const QUERY_RESULTS_MAX: usize = 10_000;

/// Most bytes of records in one answer: with its envelope it stays below the smallest limit of a message. What does not
/// fit is asked for by `page`.
pub const QUERY_PAGE_BYTES: usize = 192 << 10;

/// Most entries that one query may look at, some 10 ms of work.
pub const QUERY_SCAN_MAX: usize = 100_000;

const TABLE: &str = "registry/v1";

/// How an operator's check looks at stored registrations.
pub const REGISTRY_CHECK: TableCheck = TableCheck { table: TABLE, row: check_row };

fn check_row(key: &[u8], value: &[u8]) -> Result<(), String> {
    let row: Row = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let url = &row.record.url;
    if url.key().as_bytes() == key { Ok(()) } else { Err(format!("it holds {url}")) }
}

/// Limits and times of a [`RegistryTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Most entries of one runtime.
    pub per_runtime: usize,
    /// Most entries of all.
    pub total: usize,
    /// How long an entry is kept that is not live.
    pub kept: Duration,
}

impl Default for RegistryLimits {
    fn default() -> RegistryLimits {
        RegistryLimits {
            per_runtime: REGISTRATIONS_PER_RUNTIME_MAX,
            total: REGISTRATIONS_MAX,
            kept: REGISTRATION_KEPT,
        }
    }
}

/// The status of an entity has changed: to be published on `<url>/registration` (protocol 5.13.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusEvent {
    /// The entity.
    pub url: Url,
    /// What it is now.
    pub status: RegistrationStatus,
}

impl StatusEvent {
    /// The message to publish, from the domain's registry.
    ///
    /// # Errors
    /// [`UrlError`] when the entity's URL is too long to have anything derived from it.
    pub fn to_message(&self, id: impl Into<MessageId>, registry: &Url) -> Result<Message, UrlError> {
        let to = self.url.join("registration")?;
        let body = json!({ "value": self.status.as_str(), "attribute": "status" });
        Ok(Message::new(id, MessageType::Update, registry.clone(), to, hyperty_model::Body::of(body)))
    }
}

/// What a [`RegistryTable`] makes of a message or of the time.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryAnswer {
    /// The body of the response.
    pub body: ResponseBody,
    /// What to publish, in this order, after the response.
    pub events: Vec<StatusEvent>,
    /// Neither may leave before this is durable; if the store fails instead, answer [`StatusCode::INTERNAL`](hyperty_model::StatusCode::INTERNAL).
    pub ticket: Ticket,
}

/// The entries of a domain's registry, kept over restarts of the node.
///
/// Time comes in as an argument and never goes back. Every status change makes exactly one event (INV-REG-2). No
/// operation looks at more entries than it is about, except a query that names only a scheme, and that is bounded.
pub struct RegistryTable {
    limits: RegistryLimits,
    tables: Arc<dyn Tables>,
    state: Mutex<State>,
}

/// An entry as it is stored, under the key of its URL.
#[derive(Serialize, Deserialize)]
struct Row {
    record: RegistrationRecord,
    /// [`Entry::touched`], in milliseconds.
    touched: u64,
}

impl RegistryTable {
    /// Loads the entries from `tables`.
    ///
    /// # Errors
    /// [`StorageError`] when the table cannot be read; [`StorageError::Corrupt`] names a row that is not one.
    pub fn open(tables: Arc<dyn Tables>, limits: RegistryLimits) -> Result<RegistryTable, StorageError> {
        let mut state = State::new(limits.kept);
        for (key, value) in tables.scan(TABLE, b"")? {
            let row: Row = serde_json::from_slice(&value).map_err(|error| StorageError::Corrupt {
                table: TABLE,
                key: String::from_utf8_lossy(&key).into_owned(),
                detail: error.to_string(),
            })?;
            state.put(Entry { record: row.record, touched: Timestamp::from_millis(row.touched) });
        }
        Ok(RegistryTable { limits, tables, state: Mutex::new(state) })
    }

    /// Answers a message to the registry that came in by the session of `runtime`, of which nobody knows whose it is:
    /// what a registration says of its user is believed.
    pub fn handle(&self, message: &Message, runtime: &RuntimeUrl, now: Timestamp) -> RegistryAnswer {
        self.handle_of(message, runtime, None, now)
    }

    /// Answers a message to the registry that came in by the session of `runtime`. `user` is whose session that is:
    /// what is registered for another user is not taken over by it, whatever the message says.
    pub fn handle_of(
        &self,
        message: &Message,
        runtime: &RuntimeUrl,
        user: Option<&Identity>,
        now: Timestamp,
    ) -> RegistryAnswer {
        self.handle_seen(message, runtime, user, &everything, now)
    }

    /// The same, and a search finds only what `sees` says may be seen: everything else is as if it was not there. What
    /// is asked for by its own URL is told to whoever knows that. `sees` is called with the table locked: it must decide
    /// at once, and not call the table.
    pub fn handle_seen(
        &self,
        message: &Message,
        runtime: &RuntimeUrl,
        user: Option<&Identity>,
        sees: Sees<'_>,
        now: Timestamp,
    ) -> RegistryAnswer {
        let mut state = self.state.lock();
        let mut change = Change { sender: user, sees, ..Change::new(&mut state, now) };
        // What is over by now must not be found alive: status does not wait for the next call of `expire`.
        change.expire();
        let body = change.handle(message, runtime, &self.limits).unwrap_or_else(ResponseBody::from);
        let (events, batch) = change.finish();
        RegistryAnswer { body, events, ticket: self.commit(batch) }
    }

    /// Lets expire and forgets what is due.
    pub fn expire(&self, now: Timestamp) -> (Vec<StatusEvent>, Ticket) {
        self.change(now, |_| {})
    }

    /// When [`RegistryTable::expire`] has something to do next; `None` while there is no entry.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state.lock().next_deadline()
    }

    /// The session of a runtime has ended: what it registered is disconnected (protocol M13).
    pub fn session_ended(&self, runtime: &RuntimeUrl, now: Timestamp) -> (Vec<StatusEvent>, Ticket) {
        self.change(now, |change| change.session_ended(runtime))
    }

    /// The status of an entity; `None` if it was never registered or is forgotten.
    pub fn status(&self, url: &Url) -> Option<RegistrationStatus> {
        self.state.lock().get(url).map(|entry| entry.record.status)
    }

    /// What is registered of an entity; `None` if it was never registered or is forgotten.
    pub fn record(&self, url: &Url) -> Option<RegistrationRecord> {
        self.state.lock().get(url).map(|entry| entry.record.clone())
    }

    /// The runtime that an entity is registered by, and the epoch of that.
    pub fn owner(&self, url: &Url) -> Option<(RuntimeUrl, u64)> {
        self.state.lock().get(url).map(|entry| (entry.record.runtime.clone(), entry.record.epoch))
    }

    /// The runtimes with entries, in order: after a restart, those whose sessions do not come back have ended.
    pub fn runtimes(&self) -> Vec<RuntimeUrl> {
        let mut runtimes: Vec<_> = self.state.lock().runtimes().cloned().collect();
        runtimes.sort_unstable();
        runtimes
    }

    /// How many entries there are, in every status.
    pub fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, now: Timestamp, work: impl FnOnce(&mut Change<'_>)) -> (Vec<StatusEvent>, Ticket) {
        let mut state = self.state.lock();
        let mut change = Change::new(&mut state, now);
        change.expire();
        work(&mut change);
        let (events, batch) = change.finish();
        // Still under the lock: commits are in the order of the changes.
        (events, self.commit(batch))
    }

    fn commit(&self, batch: Batch) -> Ticket {
        if batch.is_empty() { Ticket::default() } else { self.tables.commit(batch) }
    }
}

impl std::fmt::Debug for RegistryTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryTable").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Which entries a search may find.
pub type Sees<'a> = &'a dyn Fn(&RegistrationRecord) -> bool;

fn everything(_record: &RegistrationRecord) -> bool {
    true
}

/// Whether a message searches a registry: asks for more than what is known of one URL.
pub fn is_search(message: &Message) -> bool {
    let asked = || message.decode::<request::EntryBody>().ok()?.query().ok();
    message.kind() == MessageType::Read
        && matches!(asked(), Some(asked) if !matches!(asked, request::Asked::Url(_)))
}

/// One step from a state to the next: what it changes, it also notes for the store and for the subscribers.
struct Change<'a> {
    state: &'a mut State,
    /// Whose session asks, if that is known.
    sender: Option<&'a Identity>,
    /// What it may find.
    sees: Sees<'a>,
    now: Timestamp,
    events: Vec<StatusEvent>,
    batch: Batch,
}

impl<'a> Change<'a> {
    fn new(state: &'a mut State, now: Timestamp) -> Change<'a> {
        Change { state, sender: None, sees: &everything, now, events: Vec::new(), batch: Batch::new() }
    }

    fn finish(self) -> (Vec<StatusEvent>, Batch) {
        (self.events, self.batch)
    }

    fn expire(&mut self) {
        while let Some(entry) = self.state.due(self.now) {
            let url = entry.record.url.clone();
            if entry.is_live() {
                let ended = entry.record.expires;
                let touched = entry.touched + Duration::from_secs(ended);
                self.end(&url, RegistrationStatus::Disconnected, touched);
            } else {
                self.forget(&url);
            }
        }
    }

    fn session_ended(&mut self, runtime: &RuntimeUrl) {
        let facet = state::Facet::Runtime(runtime.key());
        let live = |entry: &&Entry| entry.is_live() && entry.record.runtime == *runtime;
        let urls: Vec<_> =
            self.state.with_facet(&facet).filter(live).map(|entry| entry.record.url.clone()).collect();
        for url in urls {
            self.end(&url, RegistrationStatus::Disconnected, self.now);
        }
    }

    /// Adds or replaces an entry; an event if its status is another than before.
    fn put(&mut self, entry: Entry) {
        let record = &entry.record;
        let before = self.state.get(&record.url).map(|entry| entry.record.status);
        if before != Some(record.status) {
            self.events.push(StatusEvent { url: record.url.clone(), status: record.status });
        }
        self.store(&entry);
        self.state.put(entry);
    }

    /// Ends the life of an entry, as of `since`.
    fn end(&mut self, url: &Url, status: RegistrationStatus, since: Timestamp) {
        let Some(entry) = self.state.get(url) else { return };
        let mut entry = entry.clone();
        entry.record.status = status;
        entry.record.last_modified = Some(since);
        entry.touched = since;
        self.put(entry);
    }

    fn touch(&mut self, url: &Url) {
        self.state.touch(url, self.now);
        if let Some(entry) = self.state.get(url).cloned() {
            self.store(&entry);
        }
    }

    fn forget(&mut self, url: &Url) {
        self.state.remove(url);
        self.batch = std::mem::take(&mut self.batch).delete(TABLE, url.key());
    }

    fn store(&mut self, entry: &Entry) {
        let row = Row { record: entry.record.clone(), touched: entry.touched.as_millis() };
        let value =
            serde_json::to_vec(&row).unwrap_or_else(|error| unreachable!("a row serialises: {error}"));
        self.batch = std::mem::take(&mut self.batch).put(TABLE, entry.record.url.key(), value);
    }
}
