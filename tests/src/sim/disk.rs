//! The disks of a simulation: what is committed is durable a while later, and a crash goes back to the last sync.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use hyperty_storage::Torn;
use hyperty_storage::{Batch, MemoryTables, Progress, SimulatedDisk, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// What runs the syncs of an opened disk; it ends with the machine.
pub type Syncing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A disk of a machine. It outlives the crashes of the machine.
pub trait Disk: Send + Sync {
    /// Opens what is on it, as a machine that starts does.
    ///
    /// # Errors
    /// Why it cannot be opened, which is a violation of I8.
    fn open(&self) -> Result<(Arc<dyn Tables>, Syncing), String>;

    /// The machine stops hard: what was opened is of no use any more, and the disk holds what was synced.
    fn crash(&self, torn: Torn);
}

/// A disk in memory: quick, and nothing on it is ever torn.
#[derive(Default)]
pub struct MemoryDisk {
    latency: Duration,
    opened: Mutex<Option<Arc<LaggingTables>>>,
}

impl MemoryDisk {
    /// An empty disk; a sync takes so long.
    pub fn new(latency: Duration) -> MemoryDisk {
        MemoryDisk { latency, opened: Mutex::default() }
    }
}

impl Disk for MemoryDisk {
    fn open(&self) -> Result<(Arc<dyn Tables>, Syncing), String> {
        let mut opened = self.opened.lock();
        let image = opened.as_ref().map(|tables| tables.durable.snapshot()).unwrap_or_default();
        let tables = Arc::new(LaggingTables::over(image));
        *opened = Some(Arc::clone(&tables));
        let syncing = Arc::clone(&tables).run(self.latency);
        Ok((tables, Box::pin(syncing)))
    }

    fn crash(&self, _torn: Torn) {
        if let Some(tables) = &*self.opened.lock() {
            tables.close();
        }
    }
}

/// A disk with the file format and the code of durable tables, page by page: slower, and what was not synced may be
/// torn.
pub struct FileDisk {
    latency: Duration,
    disk: SimulatedDisk,
}

impl FileDisk {
    /// An empty disk; a sync takes so long. What is torn is drawn from the seed.
    pub fn new(latency: Duration, seed: u64) -> FileDisk {
        FileDisk { latency, disk: SimulatedDisk::new(seed) }
    }
}

impl Disk for FileDisk {
    fn open(&self) -> Result<(Arc<dyn Tables>, Syncing), String> {
        let tables = self.disk.open().map_err(|error| error.to_string())?;
        let syncing = tables.run(self.latency);
        Ok((Arc::new(tables), Box::pin(syncing)))
    }

    fn crash(&self, torn: Torn) {
        self.disk.crash(torn);
    }
}

/// Tables that tell everybody of their progress in the order in which they asked: a `watch` with several who wait
/// wakes them in an order of its own, and a simulation would not be repeatable.
pub(crate) struct Ordered {
    tables: Arc<dyn Tables>,
    told: Mutex<Vec<watch::Sender<Progress>>>,
}

impl Ordered {
    /// The tables, and what has to run for as long as they are used.
    pub(crate) fn over(tables: Arc<dyn Tables>, syncing: Syncing) -> (Arc<Ordered>, Syncing) {
        let mut progress = tables.progress();
        let ordered = Arc::new(Ordered { tables, told: Mutex::default() });
        let telling = Arc::clone(&ordered);
        let telling = async move {
            while progress.changed().await.is_ok() {
                telling.tell(&progress.borrow_and_update().clone());
            }
        };
        let both = async move {
            tokio::pin!(syncing);
            tokio::select! {
                biased;
                () = &mut syncing => {}
                () = telling => {}
            }
        };
        (ordered, Box::pin(both))
    }

    fn tell(&self, progress: &Progress) {
        let told: Vec<watch::Sender<Progress>> = {
            let mut told = self.told.lock();
            told.retain(|told| !told.is_closed());
            told.clone()
        };
        for told in told {
            told.send_if_modified(|before| {
                let changed = before != progress;
                before.clone_from(progress);
                changed
            });
        }
    }
}

impl Tables for Ordered {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.tables.get(table, key)
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.tables.scan(table, prefix)
    }

    fn commit(&self, batch: Batch) -> Ticket {
        self.tables.commit(batch)
    }

    fn barrier(&self) -> Ticket {
        self.tables.barrier()
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        let now = self.tables.progress().borrow().clone();
        let (told, progress) = watch::channel(now);
        self.told.lock().push(told);
        progress
    }

    fn compact(&self) {
        self.tables.compact();
    }

    fn close(&self) {
        self.tables.close();
        self.tell(&self.tables.progress().borrow().clone());
    }
}

/// Tables whose batches become durable when they are synced.
struct LaggingTables {
    live: MemoryTables,
    durable: MemoryTables,
    waiting: Mutex<Waiting>,
    progress: watch::Sender<Progress>,
    committed: Notify,
}

#[derive(Default)]
struct Waiting {
    last: Ticket,
    batches: Vec<Batch>,
    closed: bool,
}

impl LaggingTables {
    fn over(durable: MemoryTables) -> LaggingTables {
        LaggingTables {
            live: durable.snapshot(),
            durable,
            waiting: Mutex::default(),
            progress: watch::Sender::default(),
            committed: Notify::new(),
        }
    }

    async fn run(self: Arc<Self>, latency: Duration) {
        loop {
            self.committed.notified().await;
            let until = self.waiting.lock().last;
            tokio::time::sleep(latency).await;
            if !self.sync(until) {
                return;
            }
        }
    }

    /// Makes durable what was committed up to `until`; `false` once closed.
    fn sync(&self, until: Ticket) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return false;
        }
        let later = (waiting.last.0 - until.0) as usize;
        let synced = waiting.batches.len() - later;
        for batch in waiting.batches.drain(..synced) {
            self.durable.commit(batch);
        }
        if later > 0 {
            self.committed.notify_one();
        }
        drop(waiting);
        self.progress.send_modify(|progress| progress.durable = until);
        true
    }
}

impl Tables for LaggingTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.live.get(table, key)
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.live.scan(table, prefix)
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let mut waiting = self.waiting.lock();
        waiting.last.0 += 1;
        if !waiting.closed {
            self.live.commit(batch.clone());
            waiting.batches.push(batch);
            self.committed.notify_one();
        }
        waiting.last
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.batches.clear();
        drop(waiting);
        self.live.close();
        self.progress.send_modify(|progress| progress.failed = Some(StorageError::Closed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: &'static str) -> Batch {
        Batch::new().put("t", b"key", value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_goes_back_to_the_last_sync() {
        let latency = Duration::from_millis(10);
        goes_back(&MemoryDisk::new(latency)).await;
        goes_back(&FileDisk::new(latency, 7)).await;
    }

    async fn goes_back(disk: &dyn Disk) {
        let (tables, syncing) = disk.open().unwrap();
        let syncing = tokio::spawn(syncing);
        let first = tables.commit(put("a"));
        assert_eq!(tables.progress().borrow().durable, Ticket(0), "a sync takes its time");
        hyperty_storage::durable(&*tables, first).await.unwrap();
        tables.commit(put("b"));
        assert_eq!(tables.get("t", b"key").unwrap().unwrap(), "b", "own writes are read");
        disk.crash(Torn::Nothing);
        assert!(tables.get("t", b"key").is_err(), "what was open is of no use");
        syncing.abort();

        let (tables, syncing) = disk.open().unwrap();
        let syncing = tokio::spawn(syncing);
        assert_eq!(tables.get("t", b"key").unwrap().unwrap(), "a");
        let (third, fourth) = (tables.commit(put("c")), tables.commit(put("d")));
        hyperty_storage::durable(&*tables, third).await.unwrap();
        hyperty_storage::durable(&*tables, fourth).await.unwrap();
        disk.crash(Torn::Tail);
        syncing.abort();
        let (tables, _syncing) = disk.open().unwrap();
        assert_eq!(tables.get("t", b"key").unwrap().unwrap(), "d");
    }
}
