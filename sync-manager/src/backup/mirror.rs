//! Saves what is noted (protocol 5.19): what others may know of an object, once it is durable here.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::BackedUpBody;
use hyperty_model::object::Children;
use hyperty_model::{HypertyUrl, Identity, MessageType, ObjectUrl, Position};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Ticket};
use serde_json::Value;

use super::entries::{Kept, Mirror, News, Outcome, Work};
use super::{Backup, BackupError, BackupKey};
use crate::manager::SyncManager;
use crate::reporter::{Reported, ReportedPhase};

/// What is to be kept of an object now.
struct Wanted {
    records: Vec<(Identity, BackupKey, ObjectRecord)>,
    /// Something was taken in that may not be told yet.
    unreleased: bool,
    /// Who is told how far it is.
    reporter: Option<HypertyUrl>,
}

impl SyncManager {
    /// Whether an object is to be backed up, given what whoever created it asked for; `None` if it can be, but need not.
    pub(crate) fn backs_up(&self, asked: Option<bool>, may: bool) -> Option<bool> {
        let can = self.shared.parts.backup.is_some() && may;
        match asked {
            Some(true) if !can => None,
            Some(asked) => Some(asked),
            None => Some(can && self.config().backup_by_default),
        }
    }

    /// An object that was stored before is reported here again.
    pub(crate) fn mirror_reported(&self, object: &Reported) {
        let state = object.lock();
        if state.options.backup {
            self.mirror_again(&state.header(Vec::new(), RecordStatus::Live));
        }
    }

    /// An object or observation that was stored before is here again.
    pub(crate) fn mirror_again(&self, record: &ObjectRecord) {
        if let Some(mirror) = &self.shared.mirror {
            mirror.enter(record);
            mirror.note(record.role, &record.metadata.url, News::Written(Ticket::default()));
        }
    }

    /// Somebody else has the object, and its record at the backup.
    pub(crate) fn leave_backup(&self, object: &ObjectUrl) {
        if let Some(mirror) = &self.shared.mirror {
            mirror.leave(Role::Reporter, object);
        }
    }

    pub(crate) fn backup_domain_live(&self, domain: &str) {
        if let Some(mirror) = &self.shared.mirror {
            mirror.domain_live(domain);
        }
    }

    /// Both sides of an object, one after the other.
    pub(crate) async fn back_up(&self, url: &ObjectUrl) {
        let Some(backup) = self.shared.parts.backup.clone() else { return };
        for role in [Role::Reporter, Role::Observer] {
            self.back_up_side(&*backup, role, url).await;
        }
    }

    async fn back_up_side(&self, backup: &dyn Backup, role: Role, url: &ObjectUrl) {
        let Some(mirror) = self.shared.mirror.clone() else { return };
        let Some(work) = mirror.begin(role, url) else { return };
        let outcome = match work {
            Work::Remove(kept) => self.remove_kept(backup, &mirror, kept).await,
            Work::Save(ticket, before) => {
                self.save_side((backup, &mirror), (role, url), ticket, before).await
            }
        };
        mirror.done(role, url, &outcome);
    }

    async fn save_side(
        &self,
        (backup, mirror): (&dyn Backup, &Mirror),
        (role, url): (Role, &ObjectUrl),
        ticket: Ticket,
        before: Vec<Kept>,
    ) -> Outcome {
        if self.durable(ticket).await.is_err() {
            // The store is closed or broken, and says so to others.
            return self.failed(None, true);
        }
        // As many at a time as there are places; whoever waits saves what is there when it has one.
        let Ok(_turn) = self.shared.saving.acquire().await else { return self.failed(None, true) };
        if role == Role::Observer && self.shared.dormant.lock().observed.contains_key(url) {
            // Whoever observes has not come back yet: what is kept stays as it is.
            return Outcome::Done { pause: self.config().backup_interval, more: None };
        }
        let wanted = match role {
            Role::Reporter => self.reported_to_keep(url),
            Role::Observer => self.observed_to_keep(url),
        };
        let mut bytes = 0;
        let mut position = None;
        for (user, key, record) in &wanted.records {
            let observers = record.subscriptions.iter().map(|it| it.hyperty.clone());
            let observers = observers.filter(|_| role == Role::Observer).collect();
            let kept = Kept { user: user.clone(), key: key.clone(), observers };
            if role == Role::Observer && before.contains(&kept) {
                continue; // Who observes has not changed, nor the epoch.
            }
            mirror.keep(Kept { observers: Vec::new(), ..kept.clone() });
            match backup.save(user, key, record).await {
                Ok(()) => {
                    mirror.keep(kept);
                    position = Some(key.position);
                    bytes += record.data.as_ref().map_or(0, hyperty_model::change::approximate_size);
                    self.tally().backed_up.add(1);
                }
                Err(error) => return self.not_saved(url, ticket, &error),
            }
        }
        let gone = before.into_iter().filter(|kept| {
            let same = |(user, key, _): &(Identity, BackupKey, ObjectRecord)| {
                user.same_user(&kept.user) && key.domain == kept.key.domain
            };
            role == Role::Observer && !wanted.records.iter().any(same)
        });
        let gone: Vec<Kept> = gone.collect();
        if !gone.is_empty()
            && let failed @ Outcome::Failed { .. } = self.remove_kept(backup, mirror, gone).await
        {
            return failed;
        }
        self.tell_backed_up(url, wanted.reporter.as_ref(), position);
        let per_second = self.config().backup_bytes_per_second.max(1);
        let paced = Duration::from_secs_f64(bytes as f64 / per_second as f64);
        Outcome::Done {
            pause: self.config().backup_interval.max(paced),
            more: wanted.unreleased.then_some(ticket),
        }
    }

    fn not_saved(&self, url: &ObjectUrl, ticket: Ticket, error: &BackupError) -> Outcome {
        self.tally().backups_failed.add(1);
        if error.is_passing() {
            tracing::debug!(object = %url, %error, "not backed up now; trying again");
        } else {
            tracing::warn!(object = %url, %error, "not backed up");
        }
        self.failed(Some(ticket), error.is_passing())
    }

    fn failed(&self, again: Option<Ticket>, soon: bool) -> Outcome {
        let max = self.config().retry_max;
        let first = if soon { self.config().retry_min } else { max };
        // What was refused is refused again for now: room may be made, and who has an object may become known.
        let max = if soon { max } else { self.config().backup_refused_pause };
        Outcome::Failed { again, first, max }
    }

    async fn remove_kept(&self, backup: &dyn Backup, mirror: &Mirror, kept: Vec<Kept>) -> Outcome {
        for kept in kept {
            match backup.remove(&kept.user, &kept.key).await {
                // Somebody has gone on with it, and has a record of its own.
                Ok(()) | Err(BackupError::Outdated(_) | BackupError::Refused(_)) => mirror.removed(&kept),
                Err(error) => {
                    tracing::debug!(object = %kept.key.object, %error, "not removed from the backup now; trying again");
                    return self.failed(None, true);
                }
            }
        }
        Outcome::Done { pause: Duration::ZERO, more: None }
    }

    /// The object as its observers may know it.
    fn reported_to_keep(&self, url: &ObjectUrl) -> Wanted {
        // It is about to be reported here, or stands still for a moment: looked at again.
        let nothing = || Wanted { records: Vec::new(), unreleased: true, reporter: None };
        let Some(object) = self.reported(url) else { return nothing() };
        let (record, data, user, unreleased) = {
            let state = object.lock();
            if !state.options.backup {
                return Wanted { unreleased: false, ..nothing() };
            }
            if !matches!(state.phase, ReportedPhase::Live | ReportedPhase::Closed(_)) {
                return nothing();
            }
            let names = object.names().cloned().collect();
            let record = ObjectRecord {
                metadata: state.metadata.clone(),
                position: state.position,
                children: state.shown_children().into_owned(),
                subscriptions: state.subscribers(),
                delegation: None,
                ..state.header(names, RecordStatus::Live)
            };
            let unreleased = !state.staged.is_empty();
            (record, Arc::clone(&state.data), state.reporter_user.clone(), unreleased)
        };
        let reporter = Some(record.metadata.reporter.clone());
        // Copied outside of the lock: nobody waits for it.
        let record = ObjectRecord { data: Some(Value::clone(&data)), ..record };
        drop(data);
        let key = BackupKey {
            domain: url.home().to_owned(),
            role: Role::Reporter,
            object: url.clone(),
            runtime: self.shared.parts.runtime.clone(),
            position: record.position,
        };
        let records = user.map(|user| (user, key, record)).into_iter().collect();
        Wanted { records, unreleased, reporter }
    }

    /// That it is observed: a record for each user, at the home of that user's hyperties, without the data.
    fn observed_to_keep(&self, url: &ObjectUrl) -> Wanted {
        let mut wanted = Wanted { records: Vec::new(), unreleased: false, reporter: None };
        let Some(object) = self.observed(url) else { return wanted };
        let Some(whole) = object.lock().record() else { return wanted };
        // The data is none of it, and the version would make each change a reason to save.
        let position = Position::new(whole.position.epoch, 0);
        let bare = ObjectRecord {
            data: None,
            children: Children::default(),
            pending: Default::default(),
            position,
            subscriptions: Vec::new(),
            ..whole
        };
        for subscriber in whole.subscriptions.into_iter().filter(|subscriber| subscriber.backup) {
            let Some(user) = subscriber.identity.clone() else { continue };
            let domain = subscriber.hyperty.home().to_ascii_lowercase();
            let same = |(whose, key, _): &&mut (Identity, BackupKey, ObjectRecord)| {
                whose.same_user(&user) && key.domain == domain
            };
            if let Some((.., record)) = wanted.records.iter_mut().find(same) {
                record.subscriptions.push(subscriber);
                continue;
            }
            let key = BackupKey {
                domain,
                role: Role::Observer,
                object: url.clone(),
                runtime: self.shared.parts.runtime.clone(),
                position,
            };
            wanted.records.push((
                user,
                key,
                ObjectRecord { subscriptions: vec![subscriber], ..bare.clone() },
            ));
        }
        wanted
    }

    /// The Reporter is told how far the backup is; stays in the runtime.
    fn tell_backed_up(&self, url: &ObjectUrl, reporter: Option<&HypertyUrl>, position: Option<Position>) {
        let (Some(reporter), Some(position)) = (reporter, position) else { return };
        let body = BackedUpBody { resource: url.clone(), backed_up: position };
        let message = self.bus().new_message(MessageType::Event, self.address(), reporter, body);
        self.bus().post(message);
    }
}
