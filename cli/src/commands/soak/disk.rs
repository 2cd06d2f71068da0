//! Where a party keeps what it stores: a file, or memory that outlives its runtime.

use std::path::PathBuf;
use std::sync::Arc;

use hyperty_storage::{DurableTables, MemoryTables, OpenError, Tables};

/// What outlives the runtimes of one party.
pub(super) enum Disk {
    /// A file, synced as always.
    File(PathBuf),
    /// Memory: as quick as can be.
    Memory(Arc<MemoryTables>),
}

impl Disk {
    /// Memory with nothing in it.
    pub(super) fn memory() -> Disk {
        Disk::Memory(Arc::new(MemoryTables::new()))
    }

    /// The tables, for one runtime. The one before has ended.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(&mut self) -> Result<Arc<dyn Tables>, OpenError> {
        Ok(match self {
            Disk::File(path) => Arc::new(DurableTables::open(path)?),
            Disk::Memory(tables) => {
                // The last runtime has closed its own.
                *tables = Arc::new(tables.snapshot());
                Arc::clone(tables) as _
            }
        })
    }
}
