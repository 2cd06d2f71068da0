//! A disk in memory that crashes on request, and the tables of [`DurableTables`](crate::DurableTables) on it: the same
//! format, code to open it, check of every page and transactions, without a thread and without a file.

mod backend;
mod disk;
mod platter;
mod tables;

pub use disk::{DiskFaults, SimulatedDisk, Torn};
pub use tables::SimulatedTables;
