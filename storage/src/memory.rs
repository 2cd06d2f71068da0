//! Tables in memory: for tests, and for whoever needs no storage beyond the process.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::StorageError;
use crate::pending;
use crate::tables::{Batch, Progress, Tables, Ticket};

/// Tables that live as long as the value does. Each batch is applied, and reported durable, within `commit`.
#[derive(Debug, Default)]
pub struct MemoryTables {
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<&'static str, BTreeMap<Bytes, Bytes>>,
    last: Ticket,
    closed: bool,
}

impl MemoryTables {
    /// Empty tables.
    pub fn new() -> MemoryTables {
        MemoryTables::default()
    }

    /// A copy of the present content, with a life of its own: what a restarted process would find.
    pub fn snapshot(&self) -> MemoryTables {
        let state = self.state.lock();
        let copy = State { tables: state.tables.clone(), ..State::default() };
        MemoryTables { state: Mutex::new(copy), ..MemoryTables::default() }
    }
}

impl Tables for MemoryTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let state = self.state.lock();
        state.open()?;
        Ok(state.tables.get(table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let state = self.state.lock();
        state.open()?;
        let Some(rows) = state.tables.get(table) else { return Ok(Vec::new()) };
        let from = rows.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        let below = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(below.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let mut state = self.state.lock();
        state.last.0 += 1;
        let ticket = state.last;
        if !state.closed {
            for (table, op) in batch.ops() {
                pending::apply(op, state.tables.entry(table).or_default());
            }
            // Within the lock, so that nobody sees a lower ticket after a higher one.
            self.progress.send_modify(|progress| progress.durable = ticket);
        }
        ticket
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.progress.send_modify(|progress| progress.failed = Some(StorageError::Closed));
    }
}

impl State {
    fn open(&self) -> Result<(), StorageError> {
        if self.closed { Err(StorageError::Closed) } else { Ok(()) }
    }
}
