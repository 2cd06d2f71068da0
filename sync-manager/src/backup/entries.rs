//! Which objects are backed up, how far that is, and what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Position, RuntimeUrl};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Subscriber, Ticket};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{BackupError, BackupKey};
use crate::timers::{Due, Timers};

/// The objects of this runtime that are backed up: no more than are stored.
pub(crate) struct Mirror {
    runtime: RuntimeUrl,
    timers: Arc<Timers>,
    entries: Mutex<BTreeMap<(ObjectUrl, Role), Entry>>,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Something was written; it may be told when this is durable.
    Written(Ticket),
    /// It is no longer this runtime's.
    Over,
}

/// A record that is kept, or may be, and whose.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) user: Identity,
    pub(super) key: BackupKey,
    /// Of an observation, who observes, as far as that is known to be kept.
    pub(super) observers: Vec<HypertyUrl>,
}

#[derive(Default)]
struct Entry {
    /// What was written since the last save began.
    dirty: Option<Ticket>,
    /// Nothing is to be kept any more.
    over: bool,
    /// A job is about it.
    busy: bool,
    /// What the backup may have of it.
    kept: Vec<Kept>,
    /// What is not before.
    next: Option<Instant>,
    pause: Option<Duration>,
}

/// What a job is to do.
pub(super) enum Work {
    /// Save what is there once this is durable. What was kept before.
    Save(Ticket, Vec<Kept>),
    /// Remove what is kept.
    Remove(Vec<Kept>),
}

impl Mirror {
    pub(crate) fn new(runtime: RuntimeUrl, timers: Arc<Timers>) -> Mirror {
        Mirror { runtime, timers, entries: Mutex::default() }
    }

    /// An object is backed up from now on, as it is stored.
    pub(crate) fn enter(&self, record: &ObjectRecord) {
        let mut entries = self.entries.lock();
        let entry = entries.entry((record.metadata.url.clone(), record.role)).or_default();
        entry.over = false;
        let url = &record.metadata.url;
        // An object at its own domain, where it is known who has it; an observation where the observer is at home.
        let of_object = record.reporter_user.iter().map(|user| (user, url.home().to_owned()));
        let observers = record.subscriptions.iter().filter(|subscriber| subscriber.backup);
        let of_observers = observers.filter_map(|subscriber| {
            Some((subscriber.identity.as_ref()?, subscriber.hyperty.home().to_ascii_lowercase()))
        });
        let whose: Vec<_> = match record.role {
            Role::Reporter => of_object.collect(),
            Role::Observer => of_observers.collect(),
        };
        for (user, domain) in whose {
            let (object, runtime) = (url.clone(), self.runtime.clone());
            let key = BackupKey { domain, role: record.role, object, runtime, position: record.position };
            entry.keep(Kept { user: user.clone(), key, observers: Vec::new() });
        }
    }

    /// A hyperty of this runtime observes an object, and its user's other devices shall know.
    pub(super) fn enter_observation(&self, object: &ObjectUrl, subscriber: &Subscriber) {
        let mut entries = self.entries.lock();
        let entry = entries.entry((object.clone(), Role::Observer)).or_default();
        entry.over = false;
        if let Some(user) = subscriber.identity.clone() {
            let domain = subscriber.hyperty.home().to_ascii_lowercase();
            let (object, runtime) = (object.clone(), self.runtime.clone());
            let position = Position::default();
            let key = BackupKey { domain, role: Role::Observer, object, runtime, position };
            entry.keep(Kept { user, key, observers: Vec::new() });
        }
    }

    /// What was backed up when it was stored, and is not resumed yet: should it end before, its record does so too.
    pub(crate) fn enter_dormant(&self, record: &ObjectRecord) {
        if record.status == RecordStatus::Taking {
            return; // That of whoever has it is there.
        }
        let observed = record.subscriptions.iter().any(|subscriber| subscriber.backup);
        if record.backup || record.role == Role::Observer && observed {
            self.enter(record);
        }
        if matches!(record.status, RecordStatus::Delegated | RecordStatus::Deleting) {
            // A crash may have come before the backup was told.
            self.note(record.role, &record.metadata.url, News::Over);
        }
    }

    pub(super) fn note(&self, role: Role, object: &ObjectUrl, news: News) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&(object.clone(), role)) else { return };
        match news {
            News::Written(ticket) => entry.dirty = Some(ticket),
            News::Over => (entry.over, entry.dirty) = (true, None),
        }
        self.plan(object, entry);
    }

    fn plan(&self, object: &ObjectUrl, entry: &Entry) {
        if !entry.busy && (entry.dirty.is_some() || entry.over) {
            let now = Instant::now();
            self.timers.set(object, Due::Backup, entry.next.map_or(now, |next| next.max(now)));
        }
    }

    /// Somebody else has the object now, and its record.
    pub(crate) fn leave(&self, role: Role, object: &ObjectUrl) {
        self.entries.lock().remove(&(object.clone(), role));
    }

    /// Whether something of an object is not saved yet.
    pub(super) fn is_due(&self, role: Role, object: &ObjectUrl) -> bool {
        let entries = self.entries.lock();
        entries.get(&(object.clone(), role)).is_some_and(|entry| entry.busy || entry.dirty.is_some())
    }

    /// What is due for an object now; then nothing else is until [`Mirror::done`].
    pub(super) fn begin(&self, role: Role, object: &ObjectUrl) -> Option<Work> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&(object.clone(), role))?;
        let now = Instant::now();
        if entry.busy || entry.next.is_some_and(|next| next > now) {
            self.plan(object, entry);
            return None;
        }
        if entry.over {
            if entry.kept.is_empty() {
                entries.remove(&(object.clone(), role));
                return None;
            }
            entry.busy = true;
            return Some(Work::Remove(entry.kept.clone()));
        }
        let ticket = entry.dirty.take()?;
        entry.busy = true;
        Some(Work::Save(ticket, entry.kept.clone()))
    }

    /// What is saved, or about to be: so that it is removed again should that never be heard of.
    pub(super) fn keep(&self, kept: Kept) {
        if let Some(entry) = self.entries.lock().get_mut(&(kept.key.object.clone(), kept.key.role)) {
            entry.keep(kept);
        }
    }

    /// What is kept no longer.
    pub(super) fn removed(&self, removed: &Kept) {
        let key = (removed.key.object.clone(), removed.key.role);
        if let Some(entry) = self.entries.lock().get_mut(&key) {
            entry.kept.retain(|kept| !kept.is_same(removed));
        }
    }

    /// A job has ended: `pause` until the next, and whether there is more to save already.
    pub(super) fn done(&self, role: Role, object: &ObjectUrl, outcome: &Outcome) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&(object.clone(), role)) else { return };
        entry.busy = false;
        match outcome {
            Outcome::Done { pause, more } => {
                (entry.next, entry.pause) = (Some(Instant::now() + *pause), None);
                if let Some(ticket) = more {
                    entry.dirty.get_or_insert(*ticket);
                }
            }
            Outcome::Failed { again, first, max } => {
                let pause = entry.pause.map_or(*first, |pause| pause * 2).min(*max);
                (entry.next, entry.pause) = (Some(Instant::now() + pause), Some(pause));
                if let (Some(ticket), false) = (again, entry.over) {
                    entry.dirty.get_or_insert(*ticket);
                }
            }
        }
        self.plan(object, entry);
    }

    /// The way to a domain is open: what waited for that does not wait any longer.
    pub(crate) fn domain_live(&self, domain: &str) {
        let mut entries = self.entries.lock();
        for ((object, _), entry) in &mut *entries {
            // What is kept elsewhere waits for its own pause.
            let concerned = object.home().eq_ignore_ascii_case(domain)
                || entry.kept.iter().any(|kept| kept.key.domain.eq_ignore_ascii_case(domain));
            if concerned && entry.pause.take().is_some() {
                entry.next = None;
                self.plan(object, entry);
            }
        }
    }
}

impl Entry {
    fn keep(&mut self, new: Kept) {
        self.kept.retain(|kept| !kept.is_same(&new));
        self.kept.push(new);
    }
}

impl Kept {
    /// Whether both are in one place.
    fn is_same(&self, other: &Kept) -> bool {
        let place = |kept: &'_ Kept| (kept.key.domain.to_ascii_lowercase(), kept.key.runtime.clone());
        self.user.same_user(&other.user) && place(self) == place(other)
    }
}

/// How a job ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Done {
        pause: Duration,
        /// More was taken in that is not in it.
        more: Option<Ticket>,
    },
    Failed {
        again: Option<Ticket>,
        first: Duration,
        max: Duration,
    },
}

impl BackupError {
    /// Whether asking again soon may do.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, BackupError::Unreachable(_) | BackupError::Unusable(_))
    }
}
