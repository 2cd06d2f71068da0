//! The row of the data: where the history of an object stands, and the data if it is kept.

use hyperty_model::{Position, Timestamp};
use serde_json::Value;

use super::json;

/// Where an object stands.
pub(super) struct Base<'a> {
    pub(super) position: Position,
    pub(super) last_modified: Timestamp,
    /// JSON; empty if the data is not kept.
    pub(super) json: &'a [u8],
}

pub(super) fn encode(position: Position, last_modified: Timestamp, data: Option<&Value>) -> Vec<u8> {
    let mut row = data.map_or_else(Vec::new, |_| Vec::with_capacity(512));
    for number in [position.epoch, position.version, last_modified.as_millis()] {
        row.extend(number.to_be_bytes());
    }
    if let Some(data) = data {
        json::write_value(&mut row, data);
    }
    row
}

pub(super) fn decode(row: &[u8]) -> Option<Base<'_>> {
    let (epoch, rest) = row.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (time, json) = rest.split_first_chunk()?;
    Some(Base {
        position: Position::new(u64::from_be_bytes(*epoch), u64::from_be_bytes(*version)),
        last_modified: Timestamp::from_millis(u64::from_be_bytes(*time)),
        json,
    })
}
