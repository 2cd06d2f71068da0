//! The rows of changes of one object: which there are, and when they go.
//!
//! A change is added to the last row until that is large, and a row stays where it is when the data is written anew
//! behind it: from then on it is the log that observers are brought up to date from. A row is removed when those after it
//! hold as many changes as a log may have, or as many bytes as the data itself, which then is the shorter answer.

use std::collections::VecDeque;

use hyperty_model::log::{LOG_BYTES_MAX, LOG_CHANGES_MAX};

use super::LOG_BYTES_KEPT;
use super::keys::{self, CHANGES};
use super::tail::Encoded;
use crate::Batch;

/// Size of a row of changes beyond which the next change begins a new one: writing a change writes the row it is
/// added to, and a page of the file at least.
const RUN_BYTES: usize = 1 << 10;

/// The version of a change that does not follow: no row that holds it is ever read as a history.
const SPOILT: u64 = u64::MAX;

/// What is known of the rows of changes of one object.
#[derive(Debug, Default)]
pub(super) struct Runs {
    rows: VecDeque<Run>,
    /// The size of the changes that the data as it is stored does not have.
    tail_bytes: usize,
    /// There is a change that does not follow: the record is damaged until its data is written anew.
    spoilt: bool,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The version of its first change, which is its key.
    pub(super) first: u64,
    /// How many changes it holds.
    pub(super) changes: usize,
    /// Its size.
    pub(super) bytes: usize,
}

impl Runs {
    /// Rows that were read back; `tail_bytes` of them are not in the data.
    pub(super) fn of(rows: VecDeque<Run>, tail_bytes: usize) -> Runs {
        Runs { rows, tail_bytes, spoilt: false }
    }

    /// The size of the changes that the data does not have.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// Whether the record cannot be read as it is stored.
    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt
    }

    /// Adds the change that leads to `version`.
    pub(super) fn add(&mut self, batch: Batch, object: Vec<u8>, version: u64, change: Encoded) -> Batch {
        let entry = change.with_version(version);
        self.tail_bytes += entry.len();
        if let Some(last) = self.rows.back_mut().filter(|last| last.bytes <= RUN_BYTES || version == SPOILT) {
            last.changes += 1;
            last.bytes += entry.len();
            return batch.append(CHANGES, keys::run(object, last.first), entry);
        }
        self.rows.push_back(Run { first: version, changes: 1, bytes: entry.len() });
        batch.put(CHANGES, keys::run(object, version), entry)
    }

    /// Adds a change that does not follow.
    pub(super) fn spoil(&mut self, batch: Batch, object: Vec<u8>, change: Encoded) -> Batch {
        self.spoilt = true;
        self.add(batch, object, SPOILT, change)
    }

    /// The data is written with all these changes: they become the log, of which the oldest rows go.
    pub(super) fn settle(&mut self, mut batch: Batch, object: &[u8], data_bytes: usize) -> Batch {
        self.tail_bytes = 0;
        let bytes_max = data_bytes.clamp(LOG_BYTES_KEPT, LOG_BYTES_MAX);
        let (mut changes, mut bytes) =
            self.rows.iter().fold((0, 0), |(changes, bytes), run| (changes + run.changes, bytes + run.bytes));
        while let Some(oldest) = self.rows.front().copied() {
            changes -= oldest.changes;
            bytes -= oldest.bytes;
            if changes < LOG_CHANGES_MAX && bytes < bytes_max {
                break;
            }
            self.rows.pop_front();
            batch = batch.delete(CHANGES, keys::run(object.to_vec(), oldest.first));
        }
        batch
    }

    /// Removes all rows.
    pub(super) fn clear(&mut self, batch: Batch, object: &[u8]) -> Batch {
        let rows = std::mem::take(self).rows;
        rows.iter().fold(batch, |batch, run| batch.delete(CHANGES, keys::run(object.to_vec(), run.first)))
    }
}
