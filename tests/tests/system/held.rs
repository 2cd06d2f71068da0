//! A store that keeps everything, and says so when it is told to.

use bytes::Bytes;
use hyperty_storage::{Batch, MemoryTables, Progress, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Tables that report nothing durable while they are held.
pub(crate) struct Held {
    inner: MemoryTables,
    progress: watch::Sender<Progress>,
    held: Mutex<Option<Ticket>>,
}

impl Held {
    pub(crate) fn new() -> Held {
        Held { inner: MemoryTables::new(), progress: watch::Sender::default(), held: Mutex::new(None) }
    }

    /// What a crash at this moment leaves, if the disk has got everything.
    pub(crate) fn crashed(&self) -> Held {
        Held { inner: self.inner.snapshot(), ..Held::new() }
    }

    pub(crate) fn hold(&self) {
        *self.held.lock() = Some(Ticket(0));
    }

    pub(crate) fn fail(&self) {
        let error = StorageError::Io("the disk is full".to_owned());
        self.progress.send_modify(|progress| progress.failed = Some(error));
    }

    pub(crate) fn let_go(&self) {
        if let Some(last) = self.held.lock().take() {
            self.progress.send_modify(|progress| progress.durable = progress.durable.max(last));
        }
    }
}

impl Tables for Held {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.inner.scan(table, prefix)
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let ticket = self.inner.commit(batch);
        match &mut *self.held.lock() {
            Some(last) => *last = ticket,
            None => self.progress.send_modify(|progress| progress.durable = ticket),
        }
        ticket
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn close(&self) {
        self.inner.close();
    }
}
