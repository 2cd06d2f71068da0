//! Tables on a simulated disk.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redb::Database;
use tokio::sync::{Notify, watch};

use super::disk::SimulatedDisk;
use crate::StorageError;
use crate::engine::mode::{self, Durability};
use crate::engine::rows;
use crate::pending;
use crate::tables::{Batch, Progress, Tables, Ticket};

/// [`DurableTables`](crate::DurableTables) on a [`SimulatedDisk`], inline: batches wait until [`SimulatedTables::sync`]
/// puts all of them on the disk as one transaction, or [`SimulatedTables::run`] does in its own time.
///
/// As with a file, dropping the value writes what waits and closes the disk, unless it crashed.
#[derive(Debug)]
pub struct SimulatedTables {
    shared: Arc<Shared>,
}

/// What the handle, its task and the disk share.
#[derive(Debug)]
pub(super) struct Shared {
    disk: SimulatedDisk,
    durability: Durability,
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    /// Told when there is something to do.
    work: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    database: Option<Database>,
    queued: Batch,
    last: Ticket,
    /// Up to here all is on the disk.
    synced: Ticket,
    /// The last barrier that is not on the disk yet.
    barrier: Option<Ticket>,
    failed: Option<StorageError>,
}

impl SimulatedTables {
    pub(super) fn new(disk: SimulatedDisk, database: Database, durability: Durability) -> SimulatedTables {
        let state = State {
            database: Some(database),
            queued: Batch::new(),
            last: Ticket::default(),
            synced: Ticket::default(),
            barrier: None,
            failed: None,
        };
        let (progress, work) = (watch::Sender::default(), Arc::default());
        SimulatedTables {
            shared: Arc::new(Shared { disk, durability, state: Mutex::new(state), progress, work }),
        }
    }

    pub(super) fn shared(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Puts all that waits on the disk, as one transaction, and reports it durable. On a disk that hangs it returns
    /// and nothing has changed.
    ///
    /// # Errors
    /// Why the store failed, which is final.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.shared.sync()
    }

    /// Syncs on the time of tokio: what waits is on the disk after `latency`, together with what came meanwhile; in a
    /// [buffered](Durability::Buffered) store after its interval. Ends when the store fails or is dropped.
    pub fn run(&self, latency: Duration) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        async move {
            while let Some(pause) = next(&shared, latency).await {
                let is_waiting = pause > latency;
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(pause) => {}
                    // Nothing that waits for others waits for long behind a barrier.
                    () = barrier(&shared), if is_waiting => tokio::time::sleep(latency).await,
                }
                let Some(shared) = shared.upgrade() else { return };
                if shared.sync().is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits until there is something to sync; how long it takes, or `None` when there never will be.
async fn next(shared: &Weak<Shared>, latency: Duration) -> Option<Duration> {
    loop {
        let strong = shared.upgrade()?;
        let told = {
            let state = strong.state.lock();
            if state.failed.is_some() {
                return None;
            }
            if state.last > state.synced && !strong.disk.hangs() {
                return Some(match strong.durability {
                    Durability::Buffered { sync_every } if state.barrier.is_none() => sync_every,
                    _ => latency,
                });
            }
            Arc::clone(&strong.work).notified_owned()
        };
        // Not held meanwhile: whoever drops the last handle closes the store, and tells.
        drop(strong);
        told.await;
    }
}

/// Waits until there is a barrier, or nothing more to wait for.
async fn barrier(shared: &Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let told = {
            let state = strong.state.lock();
            if state.barrier.is_some() || state.failed.is_some() {
                return;
            }
            Arc::clone(&strong.work).notified_owned()
        };
        drop(strong);
        told.await;
    }
}

impl Tables for SimulatedTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let state = self.shared.state.lock();
        let transaction = rows::snapshot(state.open()?)?;
        let waiting = pending::on_row(&state.queued, table, key);
        Ok(pending::applied_to_row(rows::get(&transaction, table, key)?, key, &waiting))
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let state = self.shared.state.lock();
        let transaction = rows::snapshot(state.open()?)?;
        let waiting = pending::below(&state.queued, table, prefix);
        Ok(pending::applied(rows::below(&transaction, table, prefix)?, &waiting))
    }

    fn commit(&self, batch: Batch) -> Ticket {
        self.shared.push(&batch, false)
    }

    fn barrier(&self) -> Ticket {
        self.shared.push(&Batch::new(), true)
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    fn close(&self) {
        self.shared.close();
    }
}

impl Drop for SimulatedTables {
    fn drop(&mut self) {
        // A failure has been reported, and nobody else listens.
        let _ = self.shared.sync();
        self.shared.close();
    }
}

impl Shared {
    fn push(&self, batch: &Batch, is_barrier: bool) -> Ticket {
        let mut state = self.state.lock();
        state.last.0 += 1;
        if state.failed.is_none() {
            state.queued.extend(batch);
            if is_barrier {
                state.barrier = Some(state.last);
            }
            if self.durability.is_buffered() && state.barrier.is_none() {
                self.acknowledge(state.last);
            }
            self.work.notify_one();
        }
        state.last
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        state.open()?;
        if state.last == state.synced || !self.disk.sync_begins() {
            return Ok(());
        }
        if let Err(error) = state.write() {
            tracing::error!(%error, "the store failed: nothing more is written");
            drop(state);
            self.fail(error.clone());
            return Err(error);
        }
        state.queued.clear();
        state.synced = state.last;
        state.barrier = None;
        self.acknowledge(state.last);
        Ok(())
    }

    /// Writes what waits on a disk that crashes meanwhile; nobody hears of it.
    pub(super) fn write_in_vain(&self) {
        let state = self.state.lock();
        if state.last > state.synced {
            // That it fails is the purpose.
            let _ = state.write();
        }
    }

    /// Ends the store for all: what waits is lost. The first reason stays.
    pub(super) fn fail(&self, reason: StorageError) {
        let mut state = self.state.lock();
        state.queued = Batch::new();
        let reason = state.failed.get_or_insert(reason).clone();
        let database = state.database.take();
        self.progress.send_if_modified(|progress| {
            let first = progress.failed.is_none();
            progress.failed.get_or_insert(reason);
            first
        });
        self.work.notify_one();
        // Closing writes to the disk, which may have crashed.
        let closed =
            rows::guarded(|| database.map_or(Ok(()), |database| database.close().map_err(rows::failure)));
        if let Err(error) = closed {
            tracing::debug!(%error, "the store did not close cleanly");
        }
    }

    fn close(&self) {
        let state = self.state.lock();
        if let (Some(database), true) = (&state.database, state.last == state.synced)
            && let Err(error) = mode::end(database, self.durability)
        {
            tracing::warn!(%error, "the store did not close cleanly");
        }
        drop(state);
        self.fail(StorageError::Closed);
    }

    /// The disk may not hang any more.
    pub(super) fn look_again(&self) {
        self.work.notify_one();
    }

    fn acknowledge(&self, ticket: Ticket) {
        self.progress.send_if_modified(|progress| {
            let is_later = progress.durable < ticket;
            progress.durable = progress.durable.max(ticket);
            is_later
        });
    }
}

impl State {
    fn open(&self) -> Result<&Database, StorageError> {
        match (&self.failed, &self.database) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(database)) => Ok(database),
            (None, None) => Err(StorageError::Closed),
        }
    }

    fn write(&self) -> Result<(), StorageError> {
        rows::apply(self.open()?, &self.queued)
    }
}
