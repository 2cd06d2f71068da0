//! The simulated disk as tests hold it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use hyperty_model::{Ids, SeededIds};
use parking_lot::Mutex;
use redb::Database;

use super::backend::Backend;
use super::platter::Platter;
use super::tables::{Shared, SimulatedTables};
use crate::engine::format::{self, FORMAT, builder, refused};
use crate::engine::migrate::migrate;
use crate::engine::mode::{self, Durability};
use crate::{OpenError, StorageError};

/// How errors name it.
const PATH: &str = "(simulated disk)";

/// What a crash leaves of what was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// Nothing: the disk is as it was at the last sync.
    Nothing,
    /// The machine stops while all that waits is being written: a part of those writes survives, from the first to one
    /// of which only the beginning does. How many is drawn from the disk's seed.
    Tail,
}

/// What goes wrong on a disk, counted from 1 since it was made. Nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// From this sync of [tables](SimulatedTables::sync) on the disk hangs: nothing becomes durable any more, until
    /// the faults are set anew.
    pub freeze_at_sync: Option<u64>,
    /// This read, write, resize or sync of the disk fails, and no other.
    pub fail_at_operation: Option<u64>,
}

/// A disk in memory. Clones are the same disk, which outlives the tables on it and their crashes.
///
/// ```
/// use hyperty_storage::{Batch, SimulatedDisk, Tables, Torn};
/// let disk = SimulatedDisk::new(7);
/// let tables = disk.open().unwrap();
/// tables.commit(Batch::new().put("notes/v1", "a", "synced"));
/// tables.sync().unwrap();
/// tables.commit(Batch::new().put("notes/v1", "b", "not synced"));
/// disk.crash(Torn::Nothing);
/// assert!(tables.get("notes/v1", b"a").is_err());
/// let tables = disk.open().unwrap();
/// assert_eq!(tables.scan("notes/v1", b"").unwrap().len(), 1);
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    platter: Arc<Mutex<Platter>>,
    ids: Arc<SeededIds>,
    open: Arc<Mutex<Weak<Shared>>>,
}

impl SimulatedDisk {
    /// An empty disk. All that is left to chance is drawn from `seed`.
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk::of(Vec::new(), seed)
    }

    /// A disk with this content, as [`SimulatedDisk::image`] gives it, or the file of a store.
    pub fn of(image: Vec<u8>, seed: u64) -> SimulatedDisk {
        SimulatedDisk {
            platter: Arc::new(Mutex::new(Platter::of(image))),
            ids: Arc::new(SeededIds::new(seed)),
            open: Arc::default(),
        }
    }

    /// Opens the store on the disk, or makes an empty one, as [`DurableTables::open`](crate::DurableTables::open) does.
    ///
    /// # Errors
    /// [`OpenError`] says why not.
    pub fn open(&self) -> Result<SimulatedTables, OpenError> {
        self.open_with(Durability::Durable)
    }

    /// The same with another durability.
    ///
    /// # Errors
    /// As for [`SimulatedDisk::open`].
    pub fn open_with(&self, durability: Durability) -> Result<SimulatedTables, OpenError> {
        let path = Path::new(PATH);
        let database = format::guarded(path, || self.database(path))?;
        mode::begin(&database, durability).map_err(|error| OpenError::of(path, error))?;
        let tables = SimulatedTables::new(self.clone(), database, durability);
        *self.open.lock() = tables.shared();
        Ok(tables)
    }

    fn database(&self, path: &Path) -> Result<Database, OpenError> {
        let backend =
            Backend::take(&self.platter).ok_or_else(|| OpenError::Locked { path: path.to_owned() })?;
        let session = self.platter.lock().session;
        let is_new = self.platter.lock().bytes.is_empty();
        let opened = builder().create_with_backend(backend).map_err(|error| refused(path, error));
        let opened = opened.and_then(|database| {
            if is_new {
                format::initialise(&database)
                    .map_err(|error| refused(path, io::Error::other(error.to_string()).into()))?;
            }
            let found = format::known(&database, path)?;
            if found < FORMAT {
                migrate(&database, found).map_err(|error| OpenError::of(path, error))?;
            }
            Ok(database)
        });
        if opened.is_err() {
            let mut disk = self.platter.lock();
            disk.is_open &= disk.session != session;
            if is_new {
                // A file is moved to its place when it is complete.
                disk.lose(0, |_| 0);
                disk.bytes.clear();
            }
        }
        opened
    }

    /// The machine stops. Tables that are open fail from now on; the disk can be opened again.
    pub fn crash(&self, torn: Torn) {
        let tables = std::mem::take(&mut *self.open.lock()).upgrade();
        if let (Torn::Tail, Some(tables)) = (torn, &tables) {
            self.platter.lock().doomed = Some(self.below(2) as u32);
            tables.write_in_vain();
        }
        {
            let mut disk = self.platter.lock();
            let kept = match torn {
                Torn::Nothing => 0,
                Torn::Tail => self.below(disk.unsynced() + 1),
            };
            disk.lose(kept, |length| self.below(length + 1));
            disk.session += 1;
            disk.is_open = false;
            disk.doomed = None;
        }
        if let Some(tables) = tables {
            tables.fail(StorageError::Io("the machine crashed".to_owned()));
        }
    }

    /// Sets what goes wrong from now on, in the place of what was set before.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.platter.lock().faults = faults;
        if let Some(tables) = self.open.lock().upgrade() {
            tables.look_again();
        }
    }

    /// How often tables were synced so far: what [`DiskFaults::freeze_at_sync`] counts.
    pub fn syncs(&self) -> u64 {
        self.platter.lock().groups
    }

    /// How many reads, writes, resizes and syncs there were so far: what [`DiskFaults::fail_at_operation`] counts.
    pub fn operations(&self) -> u64 {
        self.platter.lock().operations
    }

    /// The bytes as they are now: those of a file that [`DurableTables`](crate::DurableTables) opens.
    pub fn image(&self) -> Vec<u8> {
        self.platter.lock().bytes.clone()
    }

    /// Whether the next sync of tables hangs.
    pub(super) fn hangs(&self) -> bool {
        let disk = self.platter.lock();
        disk.faults.freeze_at_sync.is_some_and(|at| at <= disk.groups + 1)
    }

    /// Counts a sync of tables; false if it hangs.
    pub(super) fn sync_begins(&self) -> bool {
        let goes_on = !self.hangs();
        self.platter.lock().groups += u64::from(goes_on);
        goes_on
    }

    fn below(&self, bound: usize) -> usize {
        (self.ids.random() % bound.max(1) as u128) as usize
    }
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").finish_non_exhaustive()
    }
}
