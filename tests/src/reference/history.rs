//! The document at every position that is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::Position;
use serde_json::Value;

/// How much of a history is remembered. What is older passes unjudged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many of the newest documents are kept whole, so that a failure can show them.
    pub values: usize,
    /// So many of the newest positions are kept at least as a digest.
    pub positions: usize,
    /// So many of the newest versions of each child are kept.
    pub child_versions: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { values: 1_024, positions: 65_536, child_versions: 256 }
    }
}

#[derive(Debug, Clone)]
enum Entry {
    Whole(Arc<Value>),
    Digest(u64),
    /// Within an edit, and nobody was shown it yet.
    Unknown,
}

#[derive(Debug, Clone)]
struct Epoch {
    owner: String,
    versions: BTreeMap<u64, Entry>,
    /// Versions below this were forgotten.
    forgotten_below: u64,
}

#[derive(Debug, Clone)]
pub(super) struct History {
    epochs: BTreeMap<u64, Epoch>,
    limits: Limits,
    pub(super) acknowledged: Position,
    /// The last position anybody was shown, and who.
    pub(super) shown: Option<(Position, String)>,
}

impl History {
    pub(super) fn new(owner: String, data: Value, limits: Limits) -> History {
        let versions = BTreeMap::from([(0, Entry::Whole(Arc::new(data)))]);
        let first = Epoch { owner, versions, forgotten_below: 0 };
        History {
            epochs: BTreeMap::from([(0, first)]),
            limits,
            acknowledged: Position::default(),
            shown: None,
        }
    }

    fn last(&self) -> (u64, &Epoch) {
        let (epoch, last) = self.epochs.last_key_value().expect("there is a first epoch");
        (*epoch, last)
    }

    pub(super) fn owner(&self) -> &str {
        &self.last().1.owner
    }

    pub(super) fn owner_of(&self, epoch: u64) -> Option<&str> {
        self.epochs.get(&epoch).map(|epoch| epoch.owner.as_str())
    }

    pub(super) fn latest(&self) -> Position {
        let (epoch, last) = self.last();
        let version = last.versions.last_key_value().map_or(0, |(version, _)| *version);
        Position { epoch, version }
    }

    pub(super) fn data_at(&self, at: Position) -> Option<&Value> {
        match self.epochs.get(&at.epoch)?.versions.get(&at.version)? {
            Entry::Whole(data) => Some(data),
            _ => None,
        }
    }

    pub(super) fn write(&mut self, at: Position, data: &Value) {
        let Limits { values, positions, .. } = self.limits;
        let Some(epoch) = self.epochs.get_mut(&at.epoch) else { return };
        let last = epoch.versions.last_key_value().map_or(0, |(version, _)| *version);
        for between in last + 1..at.version {
            epoch.versions.insert(between, Entry::Unknown);
        }
        epoch.versions.insert(at.version, Entry::Whole(Arc::new(data.clone())));
        if let Some(old) = at.version.checked_sub(values as u64)
            && let Some(entry) = epoch.versions.get_mut(&old)
            && let Entry::Whole(data) = entry
        {
            *entry = Entry::Digest(digest(data));
        }
        if let Some(old) = at.version.checked_sub(positions as u64) {
            epoch.versions = epoch.versions.split_off(&old);
            epoch.forgotten_below = epoch.forgotten_below.max(old);
        }
    }

    /// Forgets this position and what came after it in its epoch: it was never committed.
    pub(super) fn cut(&mut self, at: Position) {
        if let Some(epoch) = self.epochs.get_mut(&at.epoch) {
            epoch.versions.split_off(&at.version);
        }
    }

    /// Goes on from a position with this document: in the latest epoch, or in a new one of this owner.
    pub(super) fn restart(&mut self, who: &str, at: Position, data: &Value) {
        let whole = Entry::Whole(Arc::new(data.clone()));
        let epoch = self.epochs.entry(at.epoch).or_insert_with(|| Epoch {
            owner: who.to_owned(),
            versions: BTreeMap::new(),
            forgotten_below: 0,
        });
        epoch.versions.split_off(&at.version);
        epoch.versions.insert(at.version, whole);
        let here = Position { version: self.acknowledged.version.min(at.version), ..at };
        self.acknowledged = self.acknowledged.max(here);
        // What was acknowledged before a loss that the epoch tells of is not asked for again.
        if self.acknowledged.epoch < at.epoch {
            self.acknowledged = here;
        }
    }

    /// Notes that somebody was shown a position.
    pub(super) fn show(&mut self, who: &str, at: Position) {
        if self.shown.as_ref().is_none_or(|(shown, _)| *shown < at) {
            self.shown = Some((at, who.to_owned()));
        }
    }

    /// Whether a document is the one at its position; what it should be, in words, if not. One that was not known
    /// yet is from now on.
    pub(super) fn compare(&mut self, at: Position, data: &Value) -> Result<(), String> {
        let Some(epoch) = self.epochs.get_mut(&at.epoch) else {
            return Err("an epoch nobody began".to_owned());
        };
        if at.version < epoch.forgotten_below {
            return Ok(());
        }
        match epoch.versions.get_mut(&at.version) {
            None => Err("a position nobody wrote".to_owned()),
            Some(entry @ Entry::Unknown) => {
                *entry = Entry::Whole(Arc::new(data.clone()));
                Ok(())
            }
            Some(Entry::Whole(known)) if **known == *data => Ok(()),
            Some(Entry::Whole(known)) => Err(known.to_string()),
            Some(Entry::Digest(known)) if *known == digest(data) => Ok(()),
            Some(Entry::Digest(_)) => Err("the document, of which only the digest is kept".to_owned()),
        }
    }

    /// Whether anybody wrote this position.
    pub(super) fn is_written(&self, at: Position) -> bool {
        self.epochs.get(&at.epoch).is_some_and(|epoch| {
            at.version < epoch.forgotten_below || epoch.versions.contains_key(&at.version)
        })
    }

    /// The first epoch from `epoch` on in which this version was written with this document, or in which it was
    /// written at all.
    pub(super) fn epoch_of(&self, epoch: u64, version: u64, data: &Value) -> Option<u64> {
        let written = || {
            let at = move |epoch: u64| Position { epoch, version };
            self.epochs
                .range(epoch..)
                .map(|(epoch, _)| *epoch)
                .filter(move |epoch| self.is_written(at(*epoch)))
        };
        let equal = |epoch: &u64| {
            let entry = self.epochs.get(epoch).and_then(|known| known.versions.get(&version));
            match entry {
                Some(Entry::Whole(known)) => **known == *data,
                Some(Entry::Digest(known)) => *known == digest(data),
                Some(Entry::Unknown) | None => true,
            }
        };
        written().find(equal).or_else(|| written().next())
    }
}

/// 64 bits of FNV-1a over a form of the value in which members are ordered.
fn digest(value: &Value) -> u64 {
    fn text(hash: &mut u64, bytes: &[u8]) {
        for byte in bytes {
            *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // Ends the piece, with a byte that no text has.
        *hash = (*hash ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    }
    fn walk(hash: &mut u64, value: &Value) {
        match value {
            Value::Array(items) => {
                text(hash, b"[");
                items.iter().for_each(|item| walk(hash, item));
                text(hash, b"]");
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(key, _)| key.as_str());
                text(hash, b"{");
                for (key, value) in members {
                    text(hash, key.as_bytes());
                    walk(hash, value);
                }
                text(hash, b"}");
            }
            Value::String(found) => {
                text(hash, b"\"");
                text(hash, found.as_bytes());
            }
            other => text(hash, other.to_string().as_bytes()),
        }
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    walk(&mut hash, value);
    hash
}
