//! Records of objects, kept at the domain for the devices of their users (protocol 5.19).
//!
//! A runtime saves what a user's other devices need to go on with an object if this one is lost: the object as its
//! Reporter has it, and that it is observed. The node does not look into a record: who goes on from one has to convince
//! the registry, as everybody.

mod limits;
mod refusal;
mod row;
mod service;
mod table;
mod uploads;

pub use limits::{
    BACKUP_BYTES_PER_USER, BACKUP_RECORD_BYTES_MAX, BACKUP_RECORDS_MAX, BACKUP_RECORDS_PER_USER,
    BACKUP_UPLOAD_BYTES, BACKUP_UPLOAD_KEPT, BACKUP_UPLOADS_PER_RUNTIME, BackupLimits,
};
pub use table::{BACKUP_CHECK, BACKUP_PARTS_CHECK};

pub(crate) use table::BackupTable;
pub(crate) use uploads::Uploads;
