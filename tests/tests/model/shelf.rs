//! What the devices of a user reach of each other: copies of what one has stored, as they were taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyperty_model::{Identity, ObjectUrl};
use hyperty_storage::{DataObjectStorage, MemoryTables, ObjectRecord, ObjectStore, RecordStatus, Role};
use hyperty_sync_manager::{Backup, BackupError, BackupKey};
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

    /// What was observed on a disk is known from here on, and nothing else; gives which objects that are.
    pub(crate) fn list_observed(&self, disk: &MemoryTables) -> Vec<ObjectUrl> {
        let observed = records(disk, Role::Observer);
        let listed = observed.iter().map(|record| record.metadata.url.clone()).collect();
        *self.observed.lock() = observed;
        listed
    }

    /// Whether an observation of this object is on it.
    pub(crate) fn lists_observed(&self, url: &ObjectUrl) -> bool {
        self.observed.lock().iter().any(|record| record.metadata.url == *url)
    }
}

fn records(disk: &MemoryTables, role: Role) -> Vec<ObjectRecord> {
    ObjectStore::new(Arc::new(disk.snapshot())).load(role).expect("a disk of the test can be read")
}

impl Backup for Shelf {
    fn save<'a>(
        &'a self,
        _: &'a Identity,
        _: &'a BackupKey,
        _: &'a ObjectRecord,
    ) -> BoxFuture<'a, Result<(), BackupError>> {
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, _: &'a Identity, _: &'a BackupKey) -> BoxFuture<'a, Result<(), BackupError>> {
        Box::pin(async { Ok(()) })
    }

    /// Copies of any age.
    fn has_the_latest(&self) -> bool {
        false
    }

    fn list<'a>(
        &'a self,
        domain: &'a str,
        user: &'a Identity,
        role: Role,
    ) -> BoxFuture<'a, Result<Vec<BackupKey>, BackupError>> {
        let key = |record: ObjectRecord| BackupKey {
            domain: domain.to_owned(),
            role,
            object: record.metadata.url,
            runtime: record.metadata.runtime,
            position: record.position,
        };
        let found = self.of_user(user, role).into_iter().map(key).collect();
        Box::pin(async { Ok(found) })
    }

    fn fetch<'a>(
        &'a self,
        user: &'a Identity,
        key: &'a BackupKey,
    ) -> BoxFuture<'a, Result<ObjectRecord, BackupError>> {
        let found = self.of_user(user, key.role).into_iter().find(|record| record.metadata.url == key.object);
        Box::pin(async { found.ok_or_else(|| BackupError::Unusable("it is gone".to_owned())) })
    }
}

impl Shelf {
    fn of_user(&self, user: &Identity, role: Role) -> Vec<ObjectRecord> {
        let same = |one: &Option<Identity>| one.as_ref().is_some_and(|one| one.same_user(user));
        if role == Role::Reporter {
            let shown = self.shown.lock().clone();
            let of_user = |record: &&ObjectRecord| {
                Some(&record.metadata.url) == shown.as_ref() && same(&record.reporter_user)
            };
            return self.reported.lock().values().filter(of_user).cloned().collect();
        }
        let mut observed = self.observed.lock().clone();
        for record in &mut observed {
            record.subscriptions.retain(|one| same(&one.identity));
        }
        observed.retain(|record| !record.subscriptions.is_empty());
        observed
    }
}
