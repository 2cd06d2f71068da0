//! Named key-value tables with atomic batches: the seam every backend implements.

mod batch;

use bytes::Bytes;
use tokio::sync::watch;

pub use batch::{Batch, Op};

use crate::StorageError;

/// The place of a batch in the order of commits. Ticket 0 stands before the first and is always durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// How far a store has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every batch up to this ticket is on disk, or as safe as the store was [asked](crate::Durability) to make it
    /// before it says so; no later one is known to be.
    pub durable: Ticket,
    /// Set once, when the store failed or was closed: tickets beyond `durable` will never be durable.
    pub failed: Option<StorageError>,
}

/// Key-value tables by name, changed by atomic batches in one order.
///
/// What every implementation keeps:
///
/// * **Order.** Batches take effect in the order of their tickets, which is the order of the calls.
/// * **Atomic.** After a crash a batch is there as a whole or not at all, and never without all before it.
/// * **Durable when reported.** [`Progress::durable`] names the last batch that survives a crash.
/// * **Own writes are read.** `get` and `scan` see every batch committed before, durable or not.
/// * **A failure is final.** After it nothing is written or read any more; the store is opened again instead.
///
/// Tables need not be made: one that was never written is empty.
pub trait Tables: Send + Sync {
    /// The row under `key`, if there is one.
    ///
    /// # Errors
    /// [`StorageError`] when the store is closed, failed, or its file cannot be read.
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// All rows whose key starts with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// [`StorageError`] when the store is closed, failed, or its file cannot be read.
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError>;

    /// Takes the batch and returns at once, before it is durable; see [`durable`]. An implementation with a
    /// bounded queue blocks here while the queue is full, and only then. On a closed or failed store the
    /// ticket never becomes durable.
    fn commit(&self, batch: Batch) -> Ticket;

    /// A ticket that becomes durable when everything committed before is on disk, even where batches are
    /// acknowledged earlier; what is committed after it is acknowledged after it.
    fn barrier(&self) -> Ticket {
        self.commit(Batch::new())
    }

    /// How far the store has come, to be waited on.
    fn progress(&self) -> watch::Receiver<Progress>;

    /// Gives back space that is no longer used, where that is worth it. Blocks for as long as it takes, a few
    /// tenths of a second at most, and nothing is written meanwhile: for the moment before [`Tables::close`].
    fn compact(&self) {}

    /// Stops now: what waits to be written is lost, and the file is free when this returns, even if others
    /// still hold the store. To lose nothing, use [`flush_and_close`].
    fn close(&self);
}

impl<T: Tables + ?Sized> Tables for std::sync::Arc<T> {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        (**self).get(table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        (**self).scan(table, prefix)
    }
    fn commit(&self, batch: Batch) -> Ticket {
        (**self).commit(batch)
    }
    fn barrier(&self) -> Ticket {
        (**self).barrier()
    }
    fn progress(&self) -> watch::Receiver<Progress> {
        (**self).progress()
    }
    fn compact(&self) {
        (**self).compact();
    }
    fn close(&self) {
        (**self).close();
    }
}

/// Waits until the batch of `ticket` is on disk.
///
/// # Errors
/// The reason why it never will be.
pub async fn durable(tables: &dyn Tables, ticket: Ticket) -> Result<(), StorageError> {
    reached(tables.progress(), ticket).await
}

/// Waits until everything committed so far is on disk.
///
/// # Errors
/// The reason why it never will be.
pub async fn flush(tables: &dyn Tables) -> Result<(), StorageError> {
    durable(tables, tables.barrier()).await
}

/// Waits until everything committed so far is on disk, gives back unused space, and closes the store.
///
/// # Errors
/// Why something committed is not on disk; the store is closed all the same.
pub async fn flush_and_close(tables: &dyn Tables) -> Result<(), StorageError> {
    let flushed = flush(tables).await;
    if flushed.is_ok() {
        tables.compact();
    }
    tables.close();
    flushed
}

/// Waits until `progress` has come to `ticket`.
///
/// # Errors
/// The reason why it never will.
pub async fn reached(mut progress: watch::Receiver<Progress>, ticket: Ticket) -> Result<(), StorageError> {
    let done = progress.wait_for(|now| now.durable >= ticket || now.failed.is_some()).await;
    match done {
        Ok(now) if now.durable >= ticket => Ok(()),
        Ok(now) => Err(now.failed.clone().unwrap_or(StorageError::Closed)),
        // The store is gone, and it published its last state before it went.
        Err(_) => Err(StorageError::Closed),
    }
}
