//! A second place for the records of stored objects, which all devices of a user reach (protocol 3.8, 5.10).

use futures_core::future::BoxFuture;
use hyperty_model::{Identity, ObjectUrl};
use hyperty_storage::{ObjectRecord, Role};

/// Why a backup did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be reached, or did not answer in time. Trying again is safe.
    #[error("the backup cannot be reached: {0}")]
    Unreachable(String),
    /// It keeps a later state of the object, written by somebody else: the object went on elsewhere.
    #[error("the backup keeps a later state: {0}")]
    Outdated(String),
    /// It does not take it: another user's, too large, or one too many. Trying again changes nothing.
    #[error("the backup refuses: {0}")]
    Refused(String),
    /// What it keeps cannot be read.
    #[error("the backup gave an unusable answer: {0}")]
    Unusable(String),
}

/// Keeps copies of records by user. A record is whole, of one version, and may be a moment old: who goes on from it
/// begins a new epoch.
pub trait Backup: Send + Sync {
    /// Keeps a record in the place of an earlier one of the same object and side. The owner is the record's user.
    fn save<'a>(
        &'a self,
        user: &'a Identity,
        record: &'a ObjectRecord,
    ) -> BoxFuture<'a, Result<(), BackupError>>;

    /// Forgets a record.
    fn remove<'a>(
        &'a self,
        user: &'a Identity,
        role: Role,
        object: &'a ObjectUrl,
    ) -> BoxFuture<'a, Result<(), BackupError>>;

    /// The objects of a domain that a user reports.
    fn of_user<'a>(
        &'a self,
        domain: &'a str,
        user: &'a Identity,
    ) -> BoxFuture<'a, Result<Vec<ObjectRecord>, BackupError>>;

    /// The objects that a user observes, as far as they were kept at a domain; without their data.
    fn observed_by<'a>(
        &'a self,
        domain: &'a str,
        user: &'a Identity,
    ) -> BoxFuture<'a, Result<Vec<ObjectRecord>, BackupError>>;
}
