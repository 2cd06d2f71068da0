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

/// How an epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    /// The object was created.
    Created,
    /// The same owner went on with the same state.
    Raised,
    /// The owner before gave the object away.
    Given,
    /// It was taken over from the owner before.
    Taken,
}

#[derive(Debug, Clone)]
struct Epoch {
    /// One; several while only its first position was seen, and not whose it is.
    owners: Vec<String>,
    began: Began,
    /// Where the state stood in the epoch before from which this one went on.
    from: Option<Position>,
    /// Its first version.
    first: u64,
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
        let (owners, began) = (vec![owner], Began::Created);
        let first = Epoch { owners, began, from: None, first: 0, versions, forgotten_below: 0 };
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
        &self.last().1.owners[0]
    }

    /// Whose an epoch is, or may be.
    pub(super) fn owners_of(&self, epoch: u64) -> Option<&[String]> {
        self.epochs.get(&epoch).map(|epoch| epoch.owners.as_slice())
    }

    /// It is known now whose an epoch is.
    pub(super) fn fix_owner(&mut self, epoch: u64, owner: &str) {
        if let Some(epoch) = self.epochs.get_mut(&epoch) {
            epoch.owners = vec![owner.to_owned()];
        }
    }

    /// It is known now how an epoch began.
    pub(super) fn fix_began(&mut self, epoch: u64, began: Began) {
        if let Some(epoch) = self.epochs.get_mut(&epoch) {
            epoch.began = began;
        }
    }

    /// All epochs that began, the latest first.
    pub(super) fn epochs_down(&self) -> Vec<u64> {
        self.epochs.keys().rev().copied().collect()
    }

    /// The first version of an epoch.
    pub(super) fn first_of(&self, epoch: u64) -> Option<u64> {
        self.epochs.get(&epoch).map(|epoch| epoch.first)
    }

    /// How the epoch after this one began, and from which version of this one it went on; of none if it went on from
    /// an earlier one.
    pub(super) fn followed(&self, epoch: u64) -> Option<(Began, Option<u64>)> {
        let (_, next) = self.epochs.range(epoch + 1..).next()?;
        Some((next.began, next.from.filter(|from| from.epoch == epoch).map(|from| from.version)))
    }

    /// Begins an epoch with its first position.
    pub(super) fn begin(
        &mut self,
        owners: Vec<String>,
        at: Position,
        from: Position,
        began: Began,
        data: &Value,
    ) {
        let versions = BTreeMap::from([(at.version, Entry::Whole(Arc::new(data.clone())))]);
        let epoch =
            Epoch { owners, began, from: Some(from), first: at.version, versions, forgotten_below: 0 };
        self.epochs.insert(at.epoch, epoch);
        // Whoever begins an epoch has kept it before it is told.
        self.acknowledged = at;
    }

    /// Whether a position is the next after another: of the same epoch, or the first of one that went on from there.
    pub(super) fn follows(&self, before: Position, at: Position) -> bool {
        let begins = |epoch: &Epoch| {
            let goes_on = epoch.from.is_some_and(|from| self.is_same(from, before));
            goes_on && (epoch.first == before.version || epoch.first == at.version)
        };
        at == before.next()
            || at.version == before.version + 1 && self.epochs.get(&at.epoch).is_some_and(begins)
    }

    /// Whether nothing lies between two positions but epochs in which nothing was written: an object came back to its
    /// owner as it was, and was given again.
    fn is_same(&self, mut at: Position, before: Position) -> bool {
        while at != before {
            let begun = self.epochs.get(&at.epoch).filter(|epoch| epoch.first == at.version);
            match begun.and_then(|epoch| epoch.from) {
                Some(from) if from.version == at.version => at = from,
                _ => return false,
            }
        }
        true
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
        let from = self.epochs.last_key_value().map(|(epoch, _)| Position { epoch: *epoch, ..at });
        let epoch = self.epochs.entry(at.epoch).or_insert_with(|| Epoch {
            owners: vec![who.to_owned()],
            began: Began::Raised,
            from,
            first: at.version,
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
