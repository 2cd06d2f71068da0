//! What a store remembers of the rows that it has written or read, so that it needs not look before it writes.

use foldhash::HashMap;
use hyperty_model::message::UpdateKind;
use hyperty_model::object::Children;
use hyperty_model::{ObjectUrl, Position, Timestamp};

use super::keys::{self, CHANGES, DATA, MEMBERS};
use super::load::Loaded;
use super::runs::Runs;
use super::tail::Encoded;
use super::{ObjectRecord, Role, base, breaks, entries, json};
use crate::{Batch, Tables};

#[derive(Default)]
pub(super) struct Known {
    pub(super) reported: Side,
    pub(super) observed: Side,
    /// How often the history of the store was broken; none while it was not looked up.
    pub(super) breaks: Option<u64>,
}

#[derive(Default)]
pub(super) struct Side {
    pub(super) states: HashMap<ObjectUrl, State>,
    /// All records were loaded: what is not among the states is not stored.
    pub(super) complete: bool,
}

/// What is known of the rows of an object.
#[derive(Default)]
pub(super) struct State {
    pub(super) position: Position,
    pub(super) last_modified: Timestamp,
    pub(super) with_data: bool,
    pub(super) data_bytes: usize,
    pub(super) runs: Runs,
    /// How often the history of the store was broken when the record was saved whole.
    pub(super) breaks: u64,
    /// A change of the metadata was added since the record was written.
    pub(super) header_is_stale: bool,
    pub(super) has_children: bool,
    pub(super) has_subscribers: bool,
    pub(super) has_entries: bool,
    pub(super) next_deletion: u64,
}

/// Most bytes of changes kept behind data of a size. Up to 4 KiB, the page of the file that is written with any
/// change of it, four times the data may gather; then as much as the data itself. So writing the data anew costs
/// less than the changes did, and reading it all back takes a small multiple of reading the data.
pub(super) fn tail_bytes_max(data_bytes: usize) -> usize {
    data_bytes.max((4 * data_bytes).clamp(512, 4 << 10))
}

impl State {
    /// What is known after a record was written, but for its children and the size of its header.
    pub(super) fn of(record: &ObjectRecord, data_bytes: usize) -> State {
        State {
            position: record.position,
            last_modified: record.metadata.last_modified,
            with_data: record.data.is_some(),
            data_bytes,
            has_children: record.children != Children::default(),
            has_subscribers: !record.subscriptions.is_empty(),
            has_entries: entries::has_any(record),
            ..State::default()
        }
    }

    /// Adds the log of a record, if it is one: up to its position, without a hole.
    pub(super) fn add_log(&mut self, mut batch: Batch, object: &[u8], record: &ObjectRecord) -> Batch {
        let length = record.log.len() as u64;
        let Some(first) = record.position.version.checked_sub(length).map(|before| before + 1) else {
            return batch;
        };
        let follows = (first..)
            .zip(&record.log)
            .all(|(version, body)| body.position() == Some(Position::new(record.position.epoch, version)));
        let encoded: Option<Vec<Encoded>> = record.log.iter().map(|body| Encoded::of(body)).collect();
        if let Some(changes) = encoded.filter(|_| follows && record.data.is_some()) {
            for (version, change) in (first..).zip(changes) {
                batch = self.runs.add(batch, object.to_vec(), version, change);
            }
            batch = self.runs.settle(batch, object, self.data_bytes);
        }
        batch
    }

    /// Where the history stands now, for an object whose data is not kept.
    pub(super) fn moved(&self, object: Vec<u8>, change: &UpdateKind) -> Batch {
        let batch = Batch::new().put(DATA, &object, base::encode(self.position, self.last_modified, None));
        match change {
            UpdateKind::Metadata { attribute, value } => {
                batch.put(MEMBERS, keys::member(object, attribute), json::of(value))
            }
            _ => batch,
        }
    }
}

impl Side {
    pub(super) fn remember(&mut self, loaded: Loaded) -> ObjectRecord {
        let record = loaded.record;
        let state = State {
            runs: loaded.runs,
            breaks: loaded.breaks,
            header_is_stale: loaded.header_is_stale,
            has_children: loaded.has_children,
            next_deletion: loaded.next_deletion,
            ..State::of(&record, loaded.data_bytes)
        };
        self.states.insert(record.metadata.url.clone(), state);
        record
    }

    /// Removes what was stored behind a record: row by row where they are known, which is cheaper than to look.
    pub(super) fn without_changes(
        &self,
        mut batch: Batch,
        object: &[u8],
        state: Option<&mut State>,
    ) -> Batch {
        let is_unknown = state.is_none() && !self.complete;
        if is_unknown || state.as_ref().is_some_and(|state| !state.with_data) {
            batch = batch.delete_range(MEMBERS, object, keys::after(object));
        }
        match state {
            Some(state) => state.runs.clear(batch, object),
            None if is_unknown => batch.delete_range(CHANGES, object, keys::after(object)),
            None => batch,
        }
    }
}

impl Known {
    pub(super) fn of(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Reporter => &mut self.reported,
            Role::Observer => &mut self.observed,
        }
    }

    /// How often the history of the store was broken.
    pub(super) fn breaks(&mut self, tables: &dyn Tables) -> u64 {
        *self.breaks.get_or_insert_with(|| {
            breaks::count(tables).unwrap_or_else(|error| {
                // Nothing is saved either where nothing can be read.
                tracing::error!(%error, "it cannot be told whether history is broken");
                0
            })
        })
    }
}
