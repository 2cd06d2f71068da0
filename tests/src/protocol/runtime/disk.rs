//! Tables over a disk that takes its time, with what is on it after a crash. For runtimes under test, and for one of
//! them a disk that lies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_storage::{Batch, MemoryTables, Progress, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use tokio::sync::watch;

/// How long a sync takes: long enough that whoever does not wait for it is seen.
pub const SYNC_TIME: Duration = Duration::from_millis(4);

/// Batches that a lying disk keeps in its cache: what was written last is lost, what is older is not.
const CACHED_MAX: usize = 4;

/// When a disk says that something is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// When it is.
    Honest,
    /// At once, while what was written last stays in its cache and is lost in a crash.
    Lying,
}

/// Tables over such a disk. Each batch is read back at once, and durable after [`SYNC_TIME`].
pub struct DiskTables {
    disk: Disk,
    cache: MemoryTables,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    platter: Arc<MemoryTables>,
    waiting: Vec<(Ticket, Batch)>,
    syncing: bool,
    last: Ticket,
    closed: bool,
    progress: watch::Sender<Progress>,
}

impl DiskTables {
    /// Tables over what a disk holds.
    pub fn over(disk: Disk, platter: &MemoryTables) -> DiskTables {
        let inner = Inner {
            platter: Arc::new(platter.snapshot()),
            waiting: Vec::new(),
            syncing: false,
            last: Ticket::default(),
            closed: false,
            progress: watch::Sender::new(Progress::default()),
        };
        DiskTables { disk, cache: platter.snapshot(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// What is on the disk now: what a crash at this moment leaves.
    pub fn platter(&self) -> MemoryTables {
        self.inner.lock().platter.snapshot()
    }

    /// What is on the disk once everything is written, as after a clean end.
    pub fn flushed(&self) -> MemoryTables {
        let mut inner = self.inner.lock();
        inner.write_all();
        inner.platter.snapshot()
    }
}

impl Inner {
    fn write_all(&mut self) {
        for (ticket, batch) in std::mem::take(&mut self.waiting) {
            self.platter.commit(batch);
            self.progress.send_modify(|progress| progress.durable = progress.durable.max(ticket));
        }
    }
}

impl Tables for DiskTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.cache.get(table, key)
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.cache.scan(table, prefix)
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let mut inner = self.inner.lock();
        inner.last.0 += 1;
        let ticket = inner.last;
        if inner.closed {
            return ticket;
        }
        self.cache.commit(batch.clone());
        inner.waiting.push((ticket, batch));
        if self.disk == Disk::Lying {
            inner.progress.send_modify(|progress| progress.durable = ticket);
            if inner.waiting.len() > CACHED_MAX {
                let (_, oldest) = inner.waiting.remove(0);
                inner.platter.commit(oldest);
            }
        } else if !std::mem::replace(&mut inner.syncing, true) {
            let shared = Arc::clone(&self.inner);
            tokio::spawn(async move {
                tokio::time::sleep(SYNC_TIME).await;
                let mut inner = shared.lock();
                inner.syncing = false;
                if !inner.closed {
                    inner.write_all();
                }
            });
        }
        ticket
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.lock().progress.subscribe()
    }

    fn close(&self) {
        self.cache.close();
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.progress.send_modify(|progress| progress.failed = Some(StorageError::Closed));
    }
}
