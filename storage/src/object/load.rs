//! Reading records back.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hyperty_model::Position;
use hyperty_model::change::apply;
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::UpdateKind;
use hyperty_model::object::Metadata;
use serde_json::Value;

use super::keys::{CHANGES, CHILDREN, DATA, ENTRIES, MEMBERS, OBJECTS, SUBSCRIBERS};
use super::runs::{Run, Runs};
use super::{ObjectRecord, Role, base, breaks, children, corrupt, entries, header, keys, subscribers, tail};
use crate::StorageError;
use crate::engine::rows::Reading;

type Rows = Vec<(Bytes, Bytes)>;

/// A record, and what the store has to remember of its rows.
pub(super) struct Loaded {
    pub(super) record: ObjectRecord,
    /// The size of the row of the data.
    pub(super) data_bytes: usize,
    /// The rows of changes.
    pub(super) runs: Runs,
    /// Whether changes behind the record may have changed what its own row tells.
    pub(super) header_is_stale: bool,
    /// How often the history of the store was broken when the record was saved.
    pub(super) breaks: u64,
    /// Whether it has rows in the table of children.
    pub(super) has_children: bool,
    /// How many of them are children that are not deleted.
    pub(super) children_rows: usize,
    /// The number of the next deletion of a child.
    pub(super) next_deletion: u64,
}

/// All records whose keys begin with `prefix`.
pub(super) fn load<R: Reading + ?Sized>(
    tables: &R,
    role: Role,
    prefix: &[u8],
) -> Result<Vec<Loaded>, StorageError> {
    let breaks = breaks::count(tables)?;
    let headers = tables.scan(OBJECTS, prefix)?;
    let mut data = Cursor::new(tables, DATA, prefix)?;
    let mut changes = Cursor::new(tables, CHANGES, prefix)?;
    let mut members = Cursor::new(tables, MEMBERS, prefix)?;
    let mut children = Cursor::new(tables, CHILDREN, prefix)?;
    let mut subscribers = Cursor::new(tables, SUBSCRIBERS, prefix)?;
    let mut entries = Cursor::new(tables, ENTRIES, prefix)?;
    let read = |(object, header): (Bytes, Bytes)| {
        let rows = ObjectRows {
            data: data.below(&object),
            changes: changes.below(&object),
            members: members.below(&object),
            children: children.below(&object),
            subscribers: subscribers.below(&object),
            entries: entries.below(&object),
            header,
            object,
        };
        let mut loaded = rows.read(role)?;
        loaded.record.broken = loaded.breaks < breaks;
        Ok(loaded)
    };
    headers.into_iter().map(read).collect()
}

/// The rows of one table, which are in the order of the objects they belong to.
struct Cursor {
    table: &'static str,
    rows: std::iter::Peekable<std::vec::IntoIter<(Bytes, Bytes)>>,
}

impl Cursor {
    fn new<R: Reading + ?Sized>(
        tables: &R,
        table: &'static str,
        prefix: &[u8],
    ) -> Result<Cursor, StorageError> {
        Ok(Cursor { table, rows: tables.scan(table, prefix)?.into_iter().peekable() })
    }

    /// The rows of the next object.
    fn below(&mut self, object: &[u8]) -> Rows {
        while let Some((key, _)) = self.rows.next_if(|(key, _)| **key < *object) {
            tracing::warn!(
                table = self.table,
                key = keys::readable(self.table, &key),
                "a row of an object that is not stored"
            );
        }
        std::iter::from_fn(|| self.rows.next_if(|(key, _)| key.starts_with(object))).collect()
    }
}

/// All rows of one object.
struct ObjectRows {
    object: Bytes,
    header: Bytes,
    data: Rows,
    changes: Rows,
    members: Rows,
    children: Rows,
    subscribers: Rows,
    entries: Rows,
}

impl ObjectRows {
    fn read(self, role: Role) -> Result<Loaded, StorageError> {
        let object = &*self.object;
        let Some((_, row)) = self.data.first() else {
            return Err(corrupt(DATA, object, "the row is missing".to_owned()));
        };
        let base = base::decode(row).ok_or_else(|| corrupt(DATA, object, "it is cut off".to_owned()))?;
        let data = if base.json.is_empty() { None } else { Some(parse(DATA, object, base.json)?) };
        let (mut record, breaks) = header::decode(role, &self.header, base.position, data)
            .map_err(|error| corrupt(OBJECTS, object, error.to_string()))?;
        record.metadata.last_modified = base.last_modified;
        let runs = redo(&mut record, object, &self.changes)?;
        let has_changed = runs.tail_bytes() > 0 || !self.members.is_empty();
        for (key, row) in &self.members {
            let member = std::str::from_utf8(&key[object.len()..]);
            let member = member.map_err(|_| corrupt(MEMBERS, key, "it does not name a member".to_owned()))?;
            set_member(&mut record.metadata, member, &parse(MEMBERS, key, row)?);
        }
        let children::Read { children, live, next_deletion } = children::read(object, &self.children)?;
        record.children = children;
        record.subscriptions = subscribers::read(object, &self.subscribers)?;
        let entries::Read { grants, invitations, pending } = entries::read(object, &self.entries)?;
        (record.grants, record.invitations, record.pending) = (grants, invitations, pending);
        Ok(Loaded {
            data_bytes: row.len(),
            runs,
            header_is_stale: has_changed,
            breaks,
            has_children: !self.children.is_empty(),
            children_rows: live,
            next_deletion,
            record,
        })
    }
}

/// Applies the changes that the record does not have, and gives it the others as its log.
fn redo(record: &mut ObjectRecord, object: &[u8], rows: &Rows) -> Result<Runs, StorageError> {
    let base = record.position;
    let mut log: Option<ChangeLog> = None;
    let (mut runs, mut tail_bytes) = (VecDeque::with_capacity(rows.len()), 0);
    for (key, row) in rows {
        let corrupt = |detail: String| corrupt(CHANGES, key, detail);
        let first = <[u8; 8]>::try_from(&key[object.len()..]).map(u64::from_be_bytes);
        let first = first.map_err(|_| corrupt("its key is not that of a change".to_owned()))?;
        let log = log.get_or_insert_with(|| {
            let before = Position::new(base.epoch, first.saturating_sub(1));
            ChangeLog::starting_at(before, LogLimits::default())
        });
        // The data is older than the first change, or a row between two others is gone.
        let next = log.end().version.min(base.version) + 1;
        let next = if runs.is_empty() { next } else { log.end().version + 1 };
        if first != next {
            return Err(corrupt(format!("change {next} is missing: there is {first} in its place")));
        }
        let changes = tail::decode(first, row).map_err(corrupt)?;
        runs.push_back(Run { first, changes: changes.len(), bytes: row.len() });
        for change in changes {
            let (version, bytes) = (change.version, change.bytes);
            let body = change.into_body(base.epoch);
            if version > base.version {
                tail_bytes += bytes;
                let applied = advance(record, &body.kind);
                applied.map_err(|error| corrupt(format!("change {version} does not fit: {error}")))?;
                record.position.version = version;
                record.metadata.last_modified = body.last_modified.unwrap_or(record.metadata.last_modified);
            }
            log.push(Position::new(base.epoch, version), Arc::new(body));
        }
    }
    let Some(log) = log else { return Ok(Runs::default()) };
    if log.end() != record.position {
        let (next, end) = (log.end().next(), record.position);
        return Err(corrupt(CHANGES, object, format!("change {next} is missing: the data is at {end}")));
    }
    record.log = tail::newest(&log);
    Ok(Runs::of(runs, tail_bytes))
}

/// Applies one change.
fn advance(record: &mut ObjectRecord, kind: &UpdateKind) -> Result<(), String> {
    let Some(data) = &mut record.data else { return Err("there is no data".to_owned()) };
    match kind {
        UpdateKind::Change(change) => apply(data, change).map_err(|error| error.to_string())?,
        UpdateKind::Metadata { attribute, value } => set_member(&mut record.metadata, attribute, value),
        _ => return Err("it changes nothing".to_owned()),
    }
    Ok(())
}

fn set_member(metadata: &mut Metadata, member: &str, value: &Value) {
    // What no update changes was not changed when this one was made either: it only took its version.
    if let Err(error) = metadata.set(member, value) {
        tracing::debug!(%error, "a stored change of metadata has no effect");
    }
}

fn parse(table: &'static str, key: &[u8], json: &[u8]) -> Result<Value, StorageError> {
    serde_json::from_slice(json).map_err(|error| corrupt(table, key, error.to_string()))
}
