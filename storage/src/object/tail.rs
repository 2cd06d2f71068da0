//! How changes are kept behind a record.
//!
//! A change is: the length of what follows (4 bytes), the version (8), when it was made in milliseconds (8; all
//! ones for unknown), what it does (1, [`Kind`]), the length of the attribute (4), the attribute, and what
//! belongs to it, as JSON, to the end. Who made it, and for whom, is not needed to make it again.

use hyperty_model::Timestamp;
use hyperty_model::change::{AttrPath, Change, ChangeOp};
use hyperty_model::message::{UpdateBody, UpdateKind};
use serde::Serialize;
use serde_json::Value;

use super::header::write_json;

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
        let time = update.last_modified.map_or(NO_TIME, Timestamp::as_millis);
        let room = update.approximate_size();
        let encoded = match &update.kind {
            UpdateKind::Change(Change { path, op }) => match op {
                ChangeOp::Set(value) => encode(room, Kind::Set, time, path.as_str(), Some(value)),
                ChangeOp::Delete => encode(room, Kind::Delete, time, path.as_str(), None::<&Value>),
                ChangeOp::ReplaceElement(value) => {
                    encode(room, Kind::ReplaceElement, time, path.as_str(), Some(value))
                }
                ChangeOp::Insert(values) => encode(room, Kind::Insert, time, path.as_str(), Some(values)),
                ChangeOp::Remove(count) => encode(room, Kind::Remove, time, path.as_str(), Some(count)),
            },
            UpdateKind::Metadata { attribute, value } => {
                encode(room, Kind::Metadata, time, attribute, Some(value))
            }
            _ => return None,
        };
        Some(Encoded(encoded))
    }

    pub(super) fn with_version(mut self, version: u64) -> Vec<u8> {
        self.0[VERSION_AT..VERSION_AT + 8].copy_from_slice(&version.to_be_bytes());
        self.0
    }
}

fn encode(room: usize, kind: Kind, time: u64, attribute: &str, value: Option<&impl Serialize>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room);
    bytes.extend([0; VERSION_AT + 8]);
    bytes.extend(time.to_be_bytes());
    bytes.push(kind as u8);
    bytes.extend(length(attribute.len()));
    bytes.extend(attribute.as_bytes());
    if let Some(value) = value {
        write_json(&mut bytes, value);
    }
    let rest = length(bytes.len() - VERSION_AT);
    bytes[..VERSION_AT].copy_from_slice(&rest);
    bytes
}

fn length(bytes: usize) -> [u8; 4] {
    // Messages are bounded far below.
    u32::try_from(bytes).unwrap_or_else(|_| unreachable!("a change of 4 GiB")).to_be_bytes()
}

/// A change read back.
pub(super) struct Stored {
    pub(super) version: u64,
    pub(super) last_modified: Option<Timestamp>,
    pub(super) what: What,
}

/// What a stored change does.
pub(super) enum What {
    Data(Change),
    Metadata { attribute: String, value: Value },
}

/// The changes of one row, which must go on from `version`; or what is wrong with it.
pub(super) fn decode(version: u64, mut row: &[u8]) -> Result<Vec<Stored>, String> {
    let mut changes = Vec::new();
    while !row.is_empty() {
        let (stored, rest) = split(row).ok_or_else(|| format!("change {} is cut off", changes.len() + 1))?;
        let stored = read(stored).ok_or_else(|| format!("change {} cannot be read", changes.len() + 1))?;
        let next = version.saturating_add(changes.len() as u64 + 1);
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
        what: read_what(*kind, attribute, json)?,
    })
}

fn read_what(kind: u8, attribute: &str, json: &[u8]) -> Option<What> {
    let value = || serde_json::from_slice(json).ok();
    let op = match kind {
        kind if kind == Kind::Set as u8 => ChangeOp::Set(value()?),
        kind if kind == Kind::Delete as u8 && json.is_empty() => ChangeOp::Delete,
        kind if kind == Kind::ReplaceElement as u8 => ChangeOp::ReplaceElement(value()?),
        kind if kind == Kind::Insert as u8 => ChangeOp::Insert(serde_json::from_slice(json).ok()?),
        kind if kind == Kind::Remove as u8 => ChangeOp::Remove(serde_json::from_slice(json).ok()?),
        kind if kind == Kind::Metadata as u8 => {
            return Some(What::Metadata { attribute: attribute.to_owned(), value: value()? });
        }
        _ => return None,
    };
    Some(What::Data(Change::new(AttrPath::new(attribute), op)))
}
