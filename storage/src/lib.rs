//! Key-value tables with atomic durable batches, and the data object storage above them.

mod durable;
mod error;
mod faulty;
mod memory;
mod names;
mod object;
mod pending;
mod tables;

pub use durable::DurableTables;
pub use error::{OpenError, StorageError};
pub use faulty::{FaultPlan, FaultyTables};
pub use memory::MemoryTables;
pub use names::Names;
pub use object::{Appended, DataObjectStorage, ObjectRecord, ObjectStore, RecordStatus, Role, Subscriber};
pub use tables::{Batch, Op, Progress, Tables, Ticket, durable, flush, flush_and_close, reached};
