//! What is written to the store is noted for the backup on its way: no procedure has to think of it.

use std::sync::Arc;

use hyperty_model::message::UpdateBody;
use hyperty_model::object::ChildEntry;
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl};
use hyperty_storage::{
    Appended, DataObjectStorage, Entry, ObjectRecord, Progress, RecordStatus, Role, StorageError, Subscriber,
    Ticket,
};
use tokio::sync::watch;

use super::entries::{Mirror, News};

/// A store whose records are backed up.
pub(crate) struct Watched {
    pub(crate) inner: Arc<dyn DataObjectStorage>,
    pub(crate) mirror: Arc<Mirror>,
}

impl Watched {
    fn noted(&self, role: Role, object: &ObjectUrl, ticket: Ticket) -> Ticket {
        self.mirror.note(role, object, News::Written(ticket));
        ticket
    }

    fn saved(&self, record: &ObjectRecord, ticket: Ticket) -> Ticket {
        let url = &record.metadata.url;
        let backed_up = match record.role {
            Role::Reporter => record.backup,
            Role::Observer => record.subscriptions.iter().any(|subscriber| subscriber.backup),
        };
        // Given away, or about to be deleted: no other device shall go on with it.
        let is_over = matches!(record.status, RecordStatus::Delegated | RecordStatus::Deleting);
        if is_over {
            self.mirror.note(record.role, url, News::Over);
        } else {
            if backed_up {
                self.mirror.enter(record);
            }
            self.mirror.note(record.role, url, News::Written(ticket));
        }
        ticket
    }
}

impl DataObjectStorage for Watched {
    fn load(&self, role: Role) -> Result<Vec<ObjectRecord>, StorageError> {
        self.inner.load(role)
    }

    fn find(&self, role: Role, object: &ObjectUrl) -> Result<Option<ObjectRecord>, StorageError> {
        self.inner.find(role, object)
    }

    fn save(&self, record: &ObjectRecord) -> Ticket {
        self.saved(record, self.inner.save(record))
    }

    /// What it says anew was noted when it was taken in.
    fn checkpoint(&self, record: &ObjectRecord) -> Ticket {
        self.inner.checkpoint(record)
    }

    fn save_metadata(&self, record: &ObjectRecord) -> Ticket {
        self.noted(record.role, &record.metadata.url, self.inner.save_metadata(record))
    }

    fn append(&self, role: Role, object: &ObjectUrl, change: &UpdateBody) -> Appended {
        let appended = self.inner.append(role, object, change);
        self.noted(role, object, appended.ticket);
        appended
    }

    fn put_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, entry: &ChildEntry) -> Ticket {
        self.noted(role, object, self.inner.put_child(role, object, name, entry))
    }

    fn delete_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, id: &str) -> Ticket {
        self.noted(role, object, self.inner.delete_child(role, object, name, id))
    }

    fn put_subscriber(&self, role: Role, object: &ObjectUrl, subscriber: &Subscriber) -> Ticket {
        if role == Role::Observer && subscriber.backup {
            self.mirror.enter_observation(object, subscriber);
        }
        self.noted(role, object, self.inner.put_subscriber(role, object, subscriber))
    }

    fn remove_subscriber(&self, role: Role, object: &ObjectUrl, hyperty: &HypertyUrl) -> Ticket {
        self.noted(role, object, self.inner.remove_subscriber(role, object, hyperty))
    }

    fn put_entries(&self, role: Role, object: &ObjectUrl, entries: &[Entry]) -> Ticket {
        self.noted(role, object, self.inner.put_entries(role, object, entries))
    }

    fn remove(&self, role: Role, object: &ObjectUrl) -> Ticket {
        self.mirror.note(role, object, News::Over);
        self.inner.remove(role, object)
    }

    fn barrier(&self) -> Ticket {
        self.inner.barrier()
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.progress()
    }
}
