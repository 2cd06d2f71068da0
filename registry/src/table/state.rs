//! The entries of a domain registry and their indexes: no time, no I/O, no messages.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hyperty_model::{RuntimeUrl, Timestamp, Url, UrlKind};

use super::request::{guid_key, user_key};
use crate::{RegistrationRecord, RegistrationStatus};

/// One registered entity.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) record: RegistrationRecord,
    /// Of a live entry the last sign of life, else when it stopped being live.
    pub(super) touched: Timestamp,
}

impl Entry {
    pub(super) fn is_live(&self) -> bool {
        self.record.status == RegistrationStatus::Live
    }

    /// When it expires or, if it is not live, when it is forgotten.
    fn deadline(&self, keep: Duration) -> Timestamp {
        self.touched + if self.is_live() { Duration::from_secs(self.record.expires) } else { keep }
    }
}

/// A property that entries are found by.
#[derive(Hash)]
pub(super) enum Facet<'a> {
    User(&'a str),
    Guid(&'a str),
    Name(&'a str),
    Runtime(&'a str),
    Reporter(&'a str),
    /// In lower case.
    Scheme(&'a str),
}

/// Number of an entry, in the order of registration.
type EntryId = u64;

/// All entries. Every operation looks at the entries it is about only: those of one URL, of one facet, or due.
pub(super) struct State {
    entries: HashMap<EntryId, Entry>,
    by_url: HashMap<Url, EntryId>,
    /// Hash of a facet, and an entry that may have it: 16 bytes where a string and a set would be a hundred. Who
    /// looks something up checks the entry itself.
    by_facet: BTreeSet<(u64, EntryId)>,
    deadlines: BTreeSet<(Timestamp, EntryId)>,
    per_runtime: HashMap<RuntimeUrl, usize>,
    /// Keyed per process: nobody can choose names that collide.
    hasher: RandomState,
    next_id: EntryId,
    /// How long an entry is kept that is not live.
    keep: Duration,
}

impl State {
    pub(super) fn new(keep: Duration) -> State {
        State {
            entries: HashMap::new(),
            by_url: HashMap::new(),
            by_facet: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            per_runtime: HashMap::new(),
            hasher: RandomState::new(),
            next_id: 0,
            keep,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many entries, live or not, a runtime has.
    pub(super) fn count_of(&self, runtime: &RuntimeUrl) -> usize {
        self.per_runtime.get(runtime).copied().unwrap_or_default()
    }

    pub(super) fn get(&self, url: &Url) -> Option<&Entry> {
        self.entries.get(self.by_url.get(url)?)
    }

    /// Adds an entry, or replaces that of the same URL.
    pub(super) fn put(&mut self, entry: Entry) {
        let id = match self.by_url.get(&entry.record.url) {
            Some(&id) => {
                self.unindex(id);
                id
            }
            None => {
                self.next_id += 1;
                self.by_url.insert(entry.record.url.clone(), self.next_id);
                self.next_id
            }
        };
        for facet in self.facets(&entry.record) {
            self.by_facet.insert((facet, id));
        }
        self.deadlines.insert((entry.deadline(self.keep), id));
        *self.per_runtime.entry(entry.record.runtime.clone()).or_default() += 1;
        self.entries.insert(id, entry);
    }

    /// A sign of life of a live entry: only its deadline moves.
    pub(super) fn touch(&mut self, url: &Url, now: Timestamp) {
        let Some(&id) = self.by_url.get(url) else { return };
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.deadlines.remove(&(entry.deadline(self.keep), id));
        entry.touched = now;
        self.deadlines.insert((entry.deadline(self.keep), id));
    }

    pub(super) fn remove(&mut self, url: &Url) {
        if let Some(id) = self.by_url.remove(url) {
            self.unindex(id);
            self.entries.remove(&id);
        }
    }

    /// The next moment at which something expires or is forgotten.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// An entry whose time has come, the earliest first.
    pub(super) fn due(&self, now: Timestamp) -> Option<&Entry> {
        self.deadlines
            .first()
            .filter(|(deadline, _)| *deadline <= now)
            .and_then(|(_, id)| self.entries.get(id))
    }

    /// The entries that may have the facet, in the order of registration.
    pub(super) fn with_facet(&self, facet: &Facet<'_>) -> impl Iterator<Item = &Entry> {
        let hash = self.hasher.hash_one(facet);
        let found = self.by_facet.range((hash, EntryId::MIN)..=(hash, EntryId::MAX));
        found.filter_map(|(_, id)| self.entries.get(id))
    }

    /// All entries, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// All runtimes with entries, in no order.
    pub(super) fn runtimes(&self) -> impl Iterator<Item = &RuntimeUrl> {
        self.per_runtime.keys()
    }

    /// Takes an entry out of everything that is derived from it.
    fn unindex(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get(&id) else { return };
        for facet in self.facets(&entry.record) {
            self.by_facet.remove(&(facet, id));
        }
        self.deadlines.remove(&(entry.deadline(self.keep), id));
        if let Some(count) = self.per_runtime.get_mut(&entry.record.runtime) {
            *count -= 1;
            if *count == 0 {
                self.per_runtime.remove(&entry.record.runtime);
            }
        }
    }

    fn facets(&self, record: &RegistrationRecord) -> Vec<u64> {
        let user = record.user.as_deref().map(user_key);
        let guid = record.guid.as_deref().map(guid_key);
        let scheme = record.url.scheme().to_ascii_lowercase();
        let name = record.name.as_deref().filter(|_| record.url.kind() == UrlKind::Object);
        let facets = [
            user.as_deref().map(Facet::User),
            guid.as_deref().map(Facet::Guid),
            name.map(Facet::Name),
            Some(Facet::Runtime(record.runtime.key())),
            record.reporter.as_ref().map(|reporter| Facet::Reporter(reporter.key())),
            Some(Facet::Scheme(&scheme)),
        ];
        facets.into_iter().flatten().map(|facet| self.hasher.hash_one(facet)).collect()
    }
}
