//! The Data Object Storage: records of reported and observed objects (protocol 3.8).

mod base;
pub(crate) mod breaks;
pub(crate) mod check;
mod children;
pub(crate) mod entries;
mod grant;
mod header;
mod json;
mod keys;
mod known;
mod load;
mod portable;
mod record;
mod runs;
mod store;
mod subscribers;
mod tail;

pub use entries::Entry;
pub use grant::{Grant, Invited, InvitedStage};
pub use portable::PortableError;
pub use record::{Delegation, ObjectRecord, RecordStatus, Role, Subscriber};
pub use store::ObjectStore;

use hyperty_model::message::UpdateBody;
use hyperty_model::object::ChildEntry;
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl};
use tokio::sync::watch;

use crate::{Progress, StorageError, Ticket};

/// How many bytes of changes are kept of a small object for those who missed them; of a larger one as many as its data
/// has, since beyond that the data is the shorter answer. Never more than [`LogLimits`](hyperty_model::log::LogLimits)
/// allow. Writing changes that replace each other within one sync is what this costs.
pub const LOG_BYTES_KEPT: usize = 2 << 10;

/// What became of a change that was handed to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// When it is durable.
    pub ticket: Ticket,
    /// The changes since the last whole record outgrew it: write the record soon, by
    /// [`checkpoint`](DataObjectStorage::checkpoint). It is said again until then.
    pub checkpoint_due: bool,
}

/// Keeps records of objects. Calls are queued in order and return at once; reads see everything queued before.
///
/// Whoever calls orders the calls for one object: two changes of it are never appended at the same time.
pub trait DataObjectStorage: Send + Sync {
    /// All records of one side, with every change and child applied.
    ///
    /// # Errors
    /// [`StorageError`] when the store cannot be read or a record is damaged; a damaged one is never served in part.
    fn load(&self, role: Role) -> Result<Vec<ObjectRecord>, StorageError>;

    /// The record of one object.
    ///
    /// # Errors
    /// As for [`DataObjectStorage::load`].
    fn find(&self, role: Role, object: &ObjectUrl) -> Result<Option<ObjectRecord>, StorageError>;

    /// Writes a whole record, data, children, subscriptions, entries and log included, in the place of what there was. A log
    /// that does not lead to the record's position is not kept. The history goes on from here: the record is not
    /// [broken](ObjectRecord::broken) any more.
    fn save(&self, record: &ObjectRecord) -> Ticket;

    /// Writes data and position, and what appended changes did to the metadata; those changes become the log. The
    /// rest stays as it is stored. This is what is wanted when [`Appended::checkpoint_due`] says so, and cheaper
    /// than [`save`](DataObjectStorage::save).
    fn checkpoint(&self, record: &ObjectRecord) -> Ticket {
        self.save(record)
    }

    /// Writes everything of a record but its position, data, log, children, subscriptions and entries (grants, invitations,
    /// pending operations), which stay as they are stored. An object that is not stored is saved whole.
    fn save_metadata(&self, record: &ObjectRecord) -> Ticket;

    /// Adds one change behind the record: the data as it is stored is changed by it, or the metadata, and the
    /// position is the one of the change. A change without a version is the next.
    ///
    /// What does not follow the stored position, or is no change, leaves the record damaged until it is saved
    /// whole; `checkpoint_due` is set then.
    fn append(&self, role: Role, object: &ObjectUrl, change: &UpdateBody) -> Appended;

    /// Writes one child.
    fn put_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, entry: &ChildEntry) -> Ticket;

    /// Removes one child and remembers that it was deleted.
    fn delete_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, id: &str) -> Ticket;

    /// Writes one subscription, in the place of the one of the same hyperty. It costs its own size, however many
    /// others there are.
    fn put_subscriber(&self, role: Role, object: &ObjectUrl, subscriber: &Subscriber) -> Ticket;

    /// Removes the subscription of a hyperty, if there is one.
    fn remove_subscriber(&self, role: Role, object: &ObjectUrl, hyperty: &HypertyUrl) -> Ticket;

    /// Writes and removes entries of an object, in this order, all of them or none. It costs their own size, however many
    /// others there are.
    fn put_entries(&self, role: Role, object: &ObjectUrl, entries: &[Entry]) -> Ticket;

    /// Forgets an object.
    fn remove(&self, role: Role, object: &ObjectUrl) -> Ticket;

    /// A ticket that becomes durable when everything written before is on disk, even where writes are reported durable
    /// [earlier](crate::Durability::Buffered).
    fn barrier(&self) -> Ticket;

    /// How far the store has got.
    fn progress(&self) -> watch::Receiver<Progress>;
}

/// A row that does not hold what it must.
fn corrupt(table: &'static str, key: &[u8], detail: String) -> StorageError {
    StorageError::Corrupt { table, key: keys::readable(table, key), detail }
}
