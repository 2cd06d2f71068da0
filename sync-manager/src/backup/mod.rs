//! A second place for the records of stored objects, which all devices of a user reach (protocol 3.8, 5.10, 5.19).
//!
//! Whatever is written of an object that is backed up is noted on its way to the store ([`watch`]); a job of its own
//! saves what others may know of it by then ([`mirror`]), never two at a time for one object, not more often than the
//! object's size allows, and until it is done. Nothing ever waits for it.

mod entries;
mod mirror;
mod node;
mod restore;
mod watch;

use futures_core::future::BoxFuture;
use hyperty_model::{Identity, ObjectUrl, Position, RuntimeUrl};
use hyperty_storage::{ObjectRecord, Role};

pub use node::NodeBackup;

pub(crate) use entries::Mirror;
pub(crate) use restore::Restored;
pub(crate) use watch::Watched;

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
    /// It does not take it: another user's, too large, or one too many. Trying again changes nothing for now.
    #[error("the backup refuses: {0}")]
    Refused(String),
    /// What it keeps cannot be read, or is not there.
    #[error("the backup gave an unusable answer: {0}")]
    Unusable(String),
}

/// Which record of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupKey {
    /// The domain whose backup it is.
    pub domain: String,
    /// On which side of the object it stands.
    pub role: Role,
    /// The object.
    pub object: ObjectUrl,
    /// The runtime that saved it: of each object there is one record of its Reporter, and one of each runtime that
    /// observes it.
    pub runtime: RuntimeUrl,
    /// Where the object stands in it. What is removed is removed by who has the object in this epoch.
    pub position: Position,
}

/// Keeps copies of records by user. A record is whole, of one version, and may be a moment old: who goes on from it
/// begins a new epoch. Of two states the later one stays, whoever saves it.
pub trait Backup: Send + Sync {
    /// Keeps a record in the place of an earlier one of the same key.
    fn save<'a>(
        &'a self,
        user: &'a Identity,
        key: &'a BackupKey,
        record: &'a ObjectRecord,
    ) -> BoxFuture<'a, Result<(), BackupError>>;

    /// Forgets a record; one that is not there is forgotten already.
    fn remove<'a>(&'a self, user: &'a Identity, key: &'a BackupKey)
    -> BoxFuture<'a, Result<(), BackupError>>;

    /// What is kept at a domain of the objects that a user reports or observes, on all devices.
    fn list<'a>(
        &'a self,
        domain: &'a str,
        user: &'a Identity,
        role: Role,
    ) -> BoxFuture<'a, Result<Vec<BackupKey>, BackupError>>;

    /// Whether it has the latest state that any device of a user has saved, so that nothing is lost by going on from it but
    /// what was never saved. A collection of older copies has not: what went on since is not taken back from it.
    fn has_the_latest(&self) -> bool {
        true
    }

    /// A record, whole; it is [broken](ObjectRecord::broken): more may have happened since.
    fn fetch<'a>(
        &'a self,
        user: &'a Identity,
        key: &'a BackupKey,
    ) -> BoxFuture<'a, Result<ObjectRecord, BackupError>>;
}
