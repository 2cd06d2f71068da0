//! Tables in one file, through redb.

mod file;
mod queue;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::RwLock;
use redb::{Database, ReadTransaction};
use tokio::sync::watch;

use crate::engine::mode::{self, Durability};
use crate::engine::rows;
use crate::pending;
use crate::tables::{Batch, Progress, Tables, Ticket};
use crate::{OpenError, StorageError};
pub(crate) use file::{as_it_is, beside, directory, sync_directory};
use queue::Queue;

/// Tables in one file that survive a crash of the process or the machine.
///
/// One thread writes. It takes every batch that waits, writes them as one transaction, syncs the file, and
/// reports them durable together; while it does so the next group gathers. So the cost of a sync is shared by
/// all that are under way, and a lone batch is durable after one sync.
///
/// At most [`QUEUE_BATCHES_MAX`](DurableTables::QUEUE_BATCHES_MAX) batches or
/// [`QUEUE_BYTES_MAX`](DurableTables::QUEUE_BYTES_MAX) bytes wait; beyond that `commit` blocks its caller
/// until the disk has caught up.
///
/// Dropping the value writes what waits and closes the file, which takes as long as a sync does. The file has
/// one owner at a time: a second [`open`](DurableTables::open) is refused until then, or until
/// [`close`](Tables::close).
///
/// ```
/// use hyperty_storage::{Batch, DurableTables, Tables, durable, flush_and_close};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("hyperty-doc-{}", std::process::id()));
/// let tables = DurableTables::open(dir.join("hyperty.redb"))?;
/// let ticket = tables.commit(Batch::new().put("greetings/v1", "en", "hello"));
/// durable(&tables, ticket).await?;                     // on disk
/// assert_eq!(tables.get("greetings/v1", b"en")?.as_deref(), Some(&b"hello"[..]));
/// flush_and_close(&tables).await?;
/// # std::fs::remove_dir_all(dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DurableTables {
    shared: Arc<Shared>,
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
}

/// What the handle and the writing thread share.
#[derive(Debug)]
struct Shared {
    durability: Durability,
    queue: Queue,
    /// Taken out by `close`, which thereby waits for reads and the write under way.
    database: RwLock<Option<Database>>,
    progress: watch::Sender<Progress>,
}

impl DurableTables {
    /// Most batches that wait to be written: enough that the disk never waits for work, few enough that a
    /// stuck disk is felt by who writes and not by the memory.
    pub const QUEUE_BATCHES_MAX: usize = queue::BATCHES_MAX;
    /// Most bytes that wait to be written; a single larger batch is taken when nothing else waits.
    pub const QUEUE_BYTES_MAX: usize = queue::BYTES_MAX;

    /// Opens the store in the file `path`, making it and the directories above it if need be. Every page of the
    /// file is checked, which takes a few milliseconds for 10 MB.
    ///
    /// # Errors
    /// [`OpenError`] says why not and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<DurableTables, OpenError> {
        DurableTables::open_with(path, Durability::Durable)
    }

    /// The same with another durability, which is that of this opening and not of the file.
    ///
    /// # Errors
    /// As for [`DurableTables::open`].
    pub fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<DurableTables, OpenError> {
        let path = path.as_ref().to_owned();
        let database = file::open(&path)?;
        mode::begin(&database, durability).map_err(|error| OpenError::of(&path, error))?;
        let shared = Arc::new(Shared {
            durability,
            queue: Queue::new(durability),
            database: RwLock::new(Some(database)),
            progress: watch::Sender::default(),
        });
        let thread = std::thread::Builder::new().name("hyperty-storage".to_owned());
        let writer = thread
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared)
            })
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(DurableTables { shared, path, writer: Some(writer) })
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Tables for DurableTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let (waiting, transaction) = self.shared.reading(|waiting| pending::on_row(waiting, table, key))?;
        Ok(pending::applied_to_row(rows::get(&transaction, table, key)?, key, &waiting))
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let (waiting, transaction) = self.shared.reading(|waiting| pending::below(waiting, table, prefix))?;
        Ok(pending::applied(rows::below(&transaction, table, prefix)?, &waiting))
    }

    fn commit(&self, batch: Batch) -> Ticket {
        self.shared.queue.push(&batch, |ticket| self.shared.acknowledge(ticket))
    }

    fn barrier(&self) -> Ticket {
        self.shared.queue.barrier()
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    fn compact(&self) {
        if let Some(database) = &mut *self.shared.database.write() {
            // Only space is at stake: what is on disk stays readable whatever happens here.
            let file_bytes = std::fs::metadata(&self.path).map_or(0, |file| file.len());
            if let Err(error) = rows::compact(database, file_bytes) {
                tracing::warn!(path = %self.path.display(), %error, "the store was not compacted");
            }
        }
    }

    fn close(&self) {
        let nothing_lost = self.shared.stop(StorageError::Closed);
        let database = self.shared.database.write().take();
        if let Some(database) = database {
            let ended = if nothing_lost { mode::end(&database, self.shared.durability) } else { Ok(()) };
            // All that was reported on disk is there already: closing only tidies the file.
            let closed = rows::guarded(|| database.close().map_err(rows::failure));
            if let Err(error) = ended.and(closed) {
                tracing::warn!(path = %self.path.display(), %error, "the store did not close cleanly");
            }
        }
    }
}

impl Drop for DurableTables {
    fn drop(&mut self) {
        self.shared.queue.finish();
        if let Some(writer) = self.writer.take() {
            // It only ends by a panic that it has reported as a failure already.
            let _ = writer.join();
        }
        self.close();
    }
}

impl Shared {
    /// What `select` picks from the steps that wait, and the state of the file below them.
    fn reading(
        &self,
        select: impl Fn(&Batch) -> Batch,
    ) -> Result<(Batch, Arc<ReadTransaction>), StorageError> {
        let database = self.database.read();
        self.queue.look(|in_flight, queued| match in_flight {
            Some(in_flight) => {
                let mut waiting = select(&in_flight.steps);
                waiting.extend(&select(queued));
                Ok((waiting, Arc::clone(&in_flight.before)))
            }
            None => {
                let database = database.as_ref().ok_or(StorageError::Closed)?;
                Ok((select(queued), Arc::new(rows::snapshot(database)?)))
            }
        })
    }

    fn acknowledge(&self, ticket: Ticket) {
        self.progress.send_if_modified(|progress| {
            let is_later = progress.durable < ticket;
            progress.durable = progress.durable.max(ticket);
            is_later
        });
    }

    /// Ends the store for all: waiting batches are dropped, later commits and reads fail with `reason`. Whether it
    /// was still open and nothing waited.
    fn stop(&self, reason: StorageError) -> bool {
        let (reason, nothing_lost) = self.queue.fail(reason);
        self.progress.send_if_modified(|progress| {
            let first = progress.failed.is_none();
            progress.failed.get_or_insert(reason);
            first
        });
        nothing_lost
    }
}
