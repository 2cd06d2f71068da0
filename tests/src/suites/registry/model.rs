//! A registry without indexes, deadlines or storage.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperty_registry::RegistrationStatus;
use tokio::time::Instant;

use super::{EXPIRES, Step, URLS};

/// What is said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Done,
    Unknown,
    Conflict,
    Gone,
    Refused,
    /// Something that no request is answered with here.
    Else(String),
}

/// What is known of one URL.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) owner: usize,
    pub(super) user: u8,
    pub(super) epoch: u64,
    /// When it was registered, set live or kept alive; `None` once it was unregistered or its session ended.
    alive: Option<Instant>,
    /// When that was.
    ended: Instant,
    deleted: bool,
}

pub(super) struct Model {
    kept: Option<Duration>,
    pub(super) entries: BTreeMap<usize, Entry>,
}

impl Model {
    pub(super) fn new(kept: Option<Duration>) -> Model {
        Model { kept, entries: BTreeMap::new() }
    }

    /// INV-REG-1, word by word.
    pub(super) fn status(&self, url: usize) -> Option<RegistrationStatus> {
        let (now, expires) = (Instant::now(), Duration::from_secs(EXPIRES));
        let entry = self.entries.get(&url)?;
        let ended = match entry.alive {
            Some(alive) if !entry.deleted && now - alive < expires => return Some(RegistrationStatus::Live),
            Some(alive) if !entry.deleted => alive + expires,
            _ => entry.ended,
        };
        match self.kept {
            Some(kept) if now - ended >= kept => None,
            _ if entry.deleted => Some(RegistrationStatus::Deleted),
            _ => Some(RegistrationStatus::Disconnected),
        }
    }

    pub(super) fn statuses(&self) -> Vec<Option<RegistrationStatus>> {
        (0..URLS.len()).map(|url| self.status(url)).collect()
    }

    /// Forgets what is forgotten by now.
    pub(super) fn forget(&mut self) {
        let gone: Vec<usize> =
            self.entries.keys().copied().filter(|&url| self.status(url).is_none()).collect();
        self.entries.retain(|url, _| !gone.contains(url));
    }

    fn end(&mut self, url: usize) {
        if self.status(url) == Some(RegistrationStatus::Live) {
            let now = Instant::now();
            self.entries.entry(url).and_modify(|entry| (entry.alive, entry.ended) = (None, now));
        }
    }

    /// The rule of 5.13.1 and INV-REG-5.
    fn take(&mut self, url: usize, owner: usize, user: Option<u8>, epoch: u64) -> Said {
        if let (Some(status), Some(entry)) = (self.status(url), self.entries.get(&url)) {
            match status {
                RegistrationStatus::Deleted => return Said::Gone,
                _ if epoch < entry.epoch => return Said::Conflict,
                RegistrationStatus::Live if entry.owner != owner && epoch == entry.epoch => {
                    return Said::Conflict;
                }
                _ if entry.owner != owner && user != Some(entry.user) => return Said::Refused,
                _ => {}
            }
        }
        let now = Instant::now();
        let Some(user) = user.or(self.entries.get(&url).map(|entry| entry.user)) else {
            return Said::Unknown;
        };
        self.entries.insert(url, Entry { owner, user, epoch, alive: Some(now), ended: now, deleted: false });
        Said::Done
    }

    /// The owner alone names who goes on with it, above its epoch.
    fn give(&mut self, url: usize, from: usize, to: usize, epoch: u64) -> Said {
        let status = self.status(url);
        match self.entries.get_mut(&url).zip(status) {
            None => Said::Unknown,
            Some((_, RegistrationStatus::Deleted)) => Said::Gone,
            Some((entry, _)) if entry.owner != from || epoch <= entry.epoch => Said::Refused,
            Some((entry, _)) => {
                (entry.owner, entry.epoch, entry.alive) = (to, epoch, Some(Instant::now()));
                Said::Done
            }
        }
    }

    /// Does what a step does, and says what is answered.
    pub(super) fn apply(&mut self, step: &Step) -> Said {
        let now = Instant::now();
        match *step {
            Step::Register { from, url, user, epoch } => self.take(url, from, Some(user), epoch),
            Step::SetLive { from, url, user, epoch } => {
                let Some(entry) = self.entries.get(&url).cloned() else { return Said::Unknown };
                // Its own runtime need not repeat the epoch.
                let epoch = if epoch == 0 && entry.owner == from { entry.epoch } else { epoch };
                self.take(url, from, user, epoch)
            }
            Step::Give { from, to, url, epoch } if from == to => {
                self.apply(&Step::SetLive { from, url, user: None, epoch })
            }
            Step::Give { from, to, url, epoch } => self.give(url, from, to, epoch),
            Step::KeepAlive { from, url } => match self.status(url) {
                None => Said::Unknown,
                Some(RegistrationStatus::Deleted) => Said::Gone,
                Some(_) if self.entries[&url].owner != from => Said::Conflict,
                Some(RegistrationStatus::Live) => {
                    self.entries.entry(url).and_modify(|entry| entry.alive = Some(now));
                    Said::Done
                }
                Some(RegistrationStatus::Disconnected) => Said::Done,
            },
            Step::Unregister { from, url } => match self.status(url) {
                None => Said::Unknown,
                Some(RegistrationStatus::Deleted) => Said::Gone,
                Some(_) if self.entries[&url].owner != from => Said::Refused,
                Some(_) => {
                    self.end(url);
                    Said::Done
                }
            },
            Step::Delete { from, url } => match self.status(url) {
                None => Said::Unknown,
                Some(_) if self.entries[&url].owner != from => Said::Refused,
                Some(RegistrationStatus::Deleted) => Said::Done,
                // A hyperty leaves no mark: nobody holds a copy of it.
                Some(_) if URLS[url].starts_with("hyperty:") => {
                    self.entries.remove(&url);
                    Said::Done
                }
                Some(_) => {
                    self.entries.entry(url).and_modify(|entry| (entry.deleted, entry.ended) = (true, now));
                    Said::Done
                }
            },
            Step::SessionEnds { of } => {
                let own: Vec<usize> =
                    self.entries.iter().filter(|(_, entry)| entry.owner == of).map(|(url, _)| *url).collect();
                own.into_iter().for_each(|url| self.end(url));
                Said::Done
            }
            Step::Pass { .. } | Step::Restart => Said::Done,
        }
    }
}

/// One event per change of a status, and none else (INV-REG-2).
pub(super) fn event(
    before: Option<RegistrationStatus>,
    after: Option<RegistrationStatus>,
) -> Option<RegistrationStatus> {
    match (before, after) {
        (Some(RegistrationStatus::Live), None) => Some(RegistrationStatus::Disconnected),
        (before, after) if before != after => after,
        _ => None,
    }
}
