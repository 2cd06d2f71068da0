//! What a backup has for who resumes on another device (protocol 5.10).

use std::collections::BTreeSet;
use std::sync::Arc;

use hyperty_model::{Identity, ObjectUrl};
use hyperty_storage::{ObjectRecord, Role};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Backup, BackupError, BackupKey};
use crate::manager::SyncManager;

/// Records that are fetched at a time: each may be as large as an object, and is fetched in parts.
const FETCHED_AT_ONCE: usize = 4;

/// What a backup delivered.
#[derive(Default)]
pub(crate) struct Restored {
    /// In the order of their objects.
    pub(crate) records: Vec<(BackupKey, ObjectRecord)>,
    /// What it has and did not deliver.
    pub(crate) missing: BTreeSet<ObjectUrl>,
}

impl SyncManager {
    /// The records of a user that `wanted` picks. Nothing of it is believed but that the user's own devices wrote it.
    pub(crate) async fn restored(
        &self,
        (domain, user, role): (&str, &Identity, Role),
        deadline: Instant,
        wanted: impl Fn(&BackupKey) -> bool,
    ) -> Restored {
        let mut restored = Restored::default();
        let Some(backup) = self.shared.parts.backup.clone() else { return restored };
        let keys = match timeout_at(deadline, backup.list(domain, user, role)).await {
            Ok(Ok(keys)) => keys,
            Ok(Err(error)) => {
                tracing::warn!(%error, domain, "the backup cannot be read");
                return restored;
            }
            Err(_) => {
                tracing::warn!(domain, "the backup does not answer in time");
                return restored;
            }
        };
        let mut keys = keys.into_iter().filter(wanted);
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < FETCHED_AT_ONCE {
                let Some(key) = keys.next() else { break };
                under_way.spawn(fetch(Arc::clone(&backup), user.clone(), key, deadline));
            }
            let Some(fetched) = under_way.join_next().await else { break };
            match fetched {
                Ok((key, Ok(record))) if is_of(&record, user) => restored.records.push((key, record)),
                Ok((key, Ok(_))) => {
                    tracing::warn!(object = %key.object, "the backup gave another user's record")
                }
                Ok((key, Err(error))) => {
                    tracing::warn!(object = %key.object, %error, "the backup does not deliver a record");
                    restored.missing.insert(key.object);
                }
                Err(error) => tracing::error!(%error, "a record could not be fetched"),
            }
        }
        restored.records.sort_by(|(a, _), (b, _)| (&a.object, &a.runtime).cmp(&(&b.object, &b.runtime)));
        restored
    }

    /// Records that somebody has gone on with here are kept by this runtime from now on, and the others are not needed.
    pub(crate) fn give_up_backups(&self, user: &Identity, keys: Vec<BackupKey>) {
        let (Some(backup), user) = (self.shared.parts.backup.clone(), user.clone()) else { return };
        let manager = self.clone();
        self.later(Box::pin(async move {
            for key in keys {
                // Not before its own is there: another crash must not find neither.
                while manager
                    .shared
                    .mirror
                    .as_ref()
                    .is_some_and(|mirror| mirror.is_due(key.role, &key.object))
                {
                    tokio::time::sleep(manager.config().backup_interval).await;
                }
                if let Err(error) = backup.remove(&user, &key).await {
                    // It costs a place, and is offered once more.
                    tracing::debug!(object = %key.object, %error, "a record stays at the backup");
                }
            }
        }));
    }
}

async fn fetch(
    backup: Arc<dyn Backup>,
    user: Identity,
    key: BackupKey,
    deadline: Instant,
) -> (BackupKey, Result<ObjectRecord, BackupError>) {
    let late = || Err(BackupError::Unreachable("no answer in time".to_owned()));
    let fetched = timeout_at(deadline, backup.fetch(&user, &key)).await.unwrap_or_else(|_| late());
    (key, fetched)
}

/// A record says whose it is as well; both have to agree (INV-RES-4).
fn is_of(record: &ObjectRecord, user: &Identity) -> bool {
    match record.role {
        Role::Reporter => record.reporter_user.as_ref().is_some_and(|owner| owner.same_user(user)),
        Role::Observer => {
            let same = |identity: &Option<Identity>| identity.as_ref().is_some_and(|who| who.same_user(user));
            record.subscriptions.iter().all(|subscriber| same(&subscriber.identity))
        }
    }
}
