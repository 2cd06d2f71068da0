//! How changes are kept: those behind a record, and those before it that observers may have missed.
//!
//! A change is: the length of what follows (4 bytes), the version (8), when it was made in milliseconds (8; all
//! ones for unknown), what it does (1, [`Kind`]), the length of the attribute (4), the attribute, and what
//! belongs to it, as JSON, to the end. Who made it, and for whom, is not needed to make it again.

use std::sync::Arc;

use hyperty_model::change::{AttrPath, Change, ChangeOp};
use hyperty_model::log::ChangeLog;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Position, Timestamp};

use super::json;

/// The version of a change begins here.
const VERSION_AT: usize = 4;
const NO_TIME: u64 = u64::MAX;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Set = 1,
    Delete = 2,
    ReplaceElement = 3,
    Insert = 4,
    Remove = 5,
    Metadata = 6,
}

/// A change as it is kept; its version is set by [`Encoded::with_version`].
pub(super) struct Encoded(Vec<u8>);

impl Encoded {
    /// `None` for what changes nothing: beats, status words, the data of a child.
    pub(super) fn of(update: &UpdateBody) -> Option<Encoded> {
        let mut bytes = Vec::with_capacity(update.approximate_size());
        match &update.kind {
            UpdateKind::Change(change) => {
                begin(&mut bytes, update, kind(&change.op), change.path.as_str());
                match &change.op {
                    ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) => {
                        json::write_value(&mut bytes, value)
                    }
                    ChangeOp::Insert(values) => json::write_list(&mut bytes, values),
                    ChangeOp::Remove(count) => bytes.extend(count.to_string().as_bytes()),
                    ChangeOp::Delete => {}
                }
            }
            UpdateKind::Metadata { attribute, value } => {
                begin(&mut bytes, update, Kind::Metadata, attribute);
                json::write_value(&mut bytes, value);
            }
            _ => return None,
        }
        let rest = length(bytes.len() - VERSION_AT);
        bytes[..VERSION_AT].copy_from_slice(&rest);
        Some(Encoded(bytes))
    }

    pub(super) fn with_version(mut self, version: u64) -> Vec<u8> {
        self.0[VERSION_AT..VERSION_AT + 8].copy_from_slice(&version.to_be_bytes());
        self.0
    }
}

fn kind(op: &ChangeOp) -> Kind {
    match op {
        ChangeOp::Set(_) => Kind::Set,
        ChangeOp::Delete => Kind::Delete,
        ChangeOp::ReplaceElement(_) => Kind::ReplaceElement,
        ChangeOp::Insert(_) => Kind::Insert,
        ChangeOp::Remove(_) => Kind::Remove,
    }
}

/// All but what belongs to the attribute; length and version are filled in later.
fn begin(bytes: &mut Vec<u8>, update: &UpdateBody, kind: Kind, attribute: &str) {
    bytes.extend([0; VERSION_AT + 8]);
    bytes.extend(update.last_modified.map_or(NO_TIME, Timestamp::as_millis).to_be_bytes());
    bytes.push(kind as u8);
    bytes.extend(length(attribute.len()));
    bytes.extend(attribute.as_bytes());
}

fn length(bytes: usize) -> [u8; 4] {
    // Messages are bounded far below.
    u32::try_from(bytes).unwrap_or_else(|_| unreachable!("a change of 4 GiB")).to_be_bytes()
}

/// A change read back.
pub(super) struct Stored {
    pub(super) version: u64,
    last_modified: Option<Timestamp>,
    kind: UpdateKind,
    /// How many bytes it takes in its row.
    pub(super) bytes: usize,
}

impl Stored {
    /// The change as it travelled, but for who made it.
    pub(super) fn into_body(self, epoch: u64) -> UpdateBody {
        let body = UpdateBody { last_modified: self.last_modified, ..UpdateBody::new(self.kind) };
        body.at(Position::new(epoch, self.version))
    }
}

/// The newest of a row of changes that a log keeps: its limits are those of the log in memory.
pub(super) fn newest(log: &ChangeLog) -> Vec<Arc<UpdateBody>> {
    let end = log.end();
    let kept = Position::new(end.epoch, end.version.saturating_sub(log.len() as u64));
    log.since(kept).unwrap_or_default()
}

/// The changes of one row, which must begin with `first`; or what is wrong with it.
pub(super) fn decode(first: u64, mut row: &[u8]) -> Result<Vec<Stored>, String> {
    let mut changes = Vec::new();
    while !row.is_empty() {
        let (stored, rest) = split(row).ok_or_else(|| format!("change {} is cut off", changes.len() + 1))?;
        let stored = read(stored).ok_or_else(|| format!("change {} cannot be read", changes.len() + 1))?;
        let next = first.saturating_add(changes.len() as u64);
        if stored.version != next {
            return Err(format!("change {next} is missing: there is {} in its place", stored.version));
        }
        changes.push(stored);
        row = rest;
    }
    if changes.is_empty() { Err("it is empty".to_owned()) } else { Ok(changes) }
}

fn split(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = row.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn read(bytes: &[u8]) -> Option<Stored> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let (kind, rest) = rest.split_first()?;
    let (attribute, json) = split(rest)?;
    let attribute = std::str::from_utf8(attribute).ok()?;
    let time = Some(u64::from_be_bytes(*time)).filter(|&time| time != NO_TIME);
    Some(Stored {
        version: u64::from_be_bytes(*version),
        last_modified: time.map(Timestamp::from_millis),
        kind: read_kind(*kind, attribute, json)?,
        bytes: VERSION_AT + bytes.len(),
    })
}

fn read_kind(kind: u8, attribute: &str, json: &[u8]) -> Option<UpdateKind> {
    let value = || serde_json::from_slice(json).ok();
    let op = match kind {
        kind if kind == Kind::Set as u8 => ChangeOp::Set(value()?),
        kind if kind == Kind::Delete as u8 && json.is_empty() => ChangeOp::Delete,
        kind if kind == Kind::ReplaceElement as u8 => ChangeOp::ReplaceElement(value()?),
        kind if kind == Kind::Insert as u8 => ChangeOp::Insert(serde_json::from_slice(json).ok()?),
        kind if kind == Kind::Remove as u8 => ChangeOp::Remove(serde_json::from_slice(json).ok()?),
        kind if kind == Kind::Metadata as u8 => {
            return Some(UpdateKind::Metadata { attribute: attribute.to_owned(), value: value()? });
        }
        _ => return None,
    };
    Some(UpdateKind::Change(Change::new(AttrPath::new(attribute), op)))
}
