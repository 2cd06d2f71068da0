//! What the devices of a user reach of each other: copies of what one has stored, as they were taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyperty_model::{Identity, ObjectUrl};
use hyperty_storage::{DataObjectStorage, MemoryTables, ObjectRecord, ObjectStore, RecordStatus, Role};
use hyperty_sync_manager::{Backup, BackupError};
use parking_lot::Mutex;

/// A backup that keeps nothing by itself: the test says what is in it.
#[derive(Default)]
pub(crate) struct Shelf {
    reported: Mutex<BTreeMap<ObjectUrl, ObjectRecord>>,
    observed: Mutex<Vec<ObjectRecord>>,
    /// The object that may be had just now.
    shown: Mutex<Option<ObjectUrl>>,
}

impl Shelf {
    /// Puts a copy of one object on it, as a disk has it. False if it has it not, or not as its owner.
    pub(crate) fn put(&self, disk: &MemoryTables, url: &ObjectUrl) -> bool {
        let found = records(disk, Role::Reporter)
            .into_iter()
            .find(|record| record.metadata.url == *url && record.status == RecordStatus::Live);
        found.is_some_and(|record| {
            self.reported.lock().insert(url.clone(), record);
            true
        })
    }

    /// Only this object may be had from it.
    pub(crate) fn show(&self, url: Option<&ObjectUrl>) {
        *self.shown.lock() = url.cloned();
    }

    /// Forgets an object.
    pub(crate) fn forget(&self, url: &ObjectUrl) {
        self.reported.lock().remove(url);
    }

    /// What was observed on a disk is known from here on, and nothing else.
    pub(crate) fn list_observed(&self, disk: &MemoryTables) {
        *self.observed.lock() = records(disk, Role::Observer);
    }
}

fn records(disk: &MemoryTables, role: Role) -> Vec<ObjectRecord> {
    ObjectStore::new(Arc::new(disk.snapshot())).load(role).expect("a disk of the test can be read")
}

impl Backup for Shelf {
    fn save<'a>(&'a self, _: &'a Identity, _: &'a ObjectRecord) -> BoxFuture<'a, Result<(), BackupError>> {
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(
        &'a self,
        _: &'a Identity,
        _: Role,
        _: &'a ObjectUrl,
    ) -> BoxFuture<'a, Result<(), BackupError>> {
        Box::pin(async { Ok(()) })
    }

    fn of_user<'a>(
        &'a self,
        _: &'a str,
        user: &'a Identity,
    ) -> BoxFuture<'a, Result<Vec<ObjectRecord>, BackupError>> {
        let shown = self.shown.lock().clone();
        let of_user = |record: &&ObjectRecord| {
            Some(&record.metadata.url) == shown.as_ref()
                && record.reporter_user.as_ref().is_some_and(|owner| owner.same_user(user))
        };
        let found = self.reported.lock().values().filter(of_user).cloned().collect();
        Box::pin(async { Ok(found) })
    }

    fn observed_by<'a>(
        &'a self,
        _: &'a str,
        user: &'a Identity,
    ) -> BoxFuture<'a, Result<Vec<ObjectRecord>, BackupError>> {
        let by_user = |record: &&ObjectRecord| {
            let mut users = record.subscriptions.iter().filter_map(|one| one.identity.as_ref());
            users.any(|one| one.same_user(user))
        };
        let found = self.observed.lock().iter().filter(by_user).cloned().collect();
        Box::pin(async { Ok(found) })
    }
}
