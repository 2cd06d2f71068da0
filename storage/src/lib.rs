//! Key-value tables with atomic durable batches, and the data object storage above them.
//!
//! Two seams, each with a suite in `hyperty-conformance` that any other implementation can be put through:
//!
//! * [`Tables`]: named tables of bytes. A [`Batch`] is committed at once and gets a [`Ticket`]; when
//!   [`Progress::durable`] has come to it, the batch and all before it survive a crash. So many changes can be under
//!   way, and a sync of the disk is shared by all of them. [`MemoryTables`] keeps them in memory, [`DurableTables`]
//!   in one file, [`FaultyTables`] breaks either on request.
//! * [`DataObjectStorage`]: the records of reported and observed objects. [`ObjectStore`] keeps a record as a
//!   *base* and the *changes* since then; a change costs its own size, not that of the object, until a
//!   *checkpoint* joins them. What does not fit together when it is read back is an error that names the row.
//!
//! ```
//! use hyperty_storage::{Batch, MemoryTables, Tables, durable};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), hyperty_storage::StorageError> {
//! let tables = MemoryTables::new();                     // or DurableTables::open("hyperty.redb")?
//! let first = tables.commit(Batch::new().put("notes/v1", "b", "two"));
//! let last = tables.commit(Batch::new().put("notes/v1", "a", "one").append("notes/v1", "b", ", three"));
//! assert!(first < last);
//! durable(&tables, last).await?;                         // both are
//! let notes = tables.scan("notes/v1", b"")?;             // in the order of the keys
//! assert_eq!(notes[1], ("b".into(), "two, three".into()));
//! # Ok(())
//! # }
//! ```
//!
//! A table is named for what it holds and the version of its rows (`objects/v1`): a new form of rows is a new table,
//! and a file with a newer form than a program knows is refused by number ([`OpenError::Newer`]).

mod durable;
mod engine;
mod error;
mod faulty;
mod memory;
mod names;
mod object;
pub mod operations;
mod pending;
mod simulated;
mod tables;

pub use durable::DurableTables;
pub use engine::mode::Durability;
pub use error::{OpenError, StorageError};
pub use faulty::{FaultPlan, FaultyTables};
pub use memory::MemoryTables;
pub use names::Names;
pub use object::{
    Appended, DataObjectStorage, Delegation, Entry, Grant, Invited, InvitedStage, LOG_BYTES_KEPT,
    ObjectRecord, ObjectStore, PortableError, RecordStatus, Role, Subscriber,
};
pub use simulated::{DiskFaults, SimulatedDisk, SimulatedTables, Torn};
pub use tables::{Batch, Op, Progress, Tables, Ticket, durable, flush, flush_and_close, reached};
