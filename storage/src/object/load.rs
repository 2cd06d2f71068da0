//! Reading records back.

use bytes::Bytes;
use hyperty_model::change::apply;
use hyperty_model::object::Metadata;
use serde_json::Value;

use super::keys::{CHANGES, CHILDREN, DATA, MEMBERS, OBJECTS};
use super::tail::{self, What};
use super::{ObjectRecord, Role, base, children, corrupt, header, keys};
use crate::{StorageError, Tables};

type Rows = Vec<(Bytes, Bytes)>;

/// A record, and what the store has to remember of its rows.
pub(super) struct Loaded {
    pub(super) record: ObjectRecord,
    /// The size of the row of the data.
    pub(super) data_bytes: usize,
    /// The size of each row of changes.
    pub(super) runs: Vec<usize>,
    /// Whether changes behind the record may have changed what its own row tells.
    pub(super) header_is_stale: bool,
    /// Whether it has rows in the table of children.
    pub(super) has_children: bool,
    /// The number of the next deletion of a child.
    pub(super) next_deletion: u64,
}

/// All records whose keys begin with `prefix`.
pub(super) fn load(tables: &dyn Tables, role: Role, prefix: &[u8]) -> Result<Vec<Loaded>, StorageError> {
    let headers = tables.scan(OBJECTS, prefix)?;
    let mut data = Cursor::new(tables, DATA, prefix)?;
    let mut changes = Cursor::new(tables, CHANGES, prefix)?;
    let mut members = Cursor::new(tables, MEMBERS, prefix)?;
    let mut children = Cursor::new(tables, CHILDREN, prefix)?;
    let read = |(object, header): (Bytes, Bytes)| {
        let rows = ObjectRows {
            data: data.below(&object),
            changes: changes.below(&object),
            members: members.below(&object),
            children: children.below(&object),
            header,
            object,
        };
        rows.read(role)
    };
    headers.into_iter().map(read).collect()
}

/// The rows of one table, which are in the order of the objects they belong to.
struct Cursor {
    table: &'static str,
    rows: std::iter::Peekable<std::vec::IntoIter<(Bytes, Bytes)>>,
}

impl Cursor {
    fn new(tables: &dyn Tables, table: &'static str, prefix: &[u8]) -> Result<Cursor, StorageError> {
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
}

impl ObjectRows {
    fn read(self, role: Role) -> Result<Loaded, StorageError> {
        let object = &*self.object;
        let Some((_, row)) = self.data.first() else {
            return Err(corrupt(DATA, object, "the row is missing".to_owned()));
        };
        let base = base::decode(row).ok_or_else(|| corrupt(DATA, object, "it is cut off".to_owned()))?;
        let data = if base.json.is_empty() { None } else { Some(parse(DATA, object, base.json)?) };
        let mut record = header::decode(role, &self.header, base.position, data)
            .map_err(|error| corrupt(OBJECTS, object, error.to_string()))?;
        record.metadata.last_modified = base.last_modified;
        for (number, (key, row)) in self.changes.iter().enumerate() {
            if key.get(object.len()..) != Some(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()) {
                return Err(corrupt(CHANGES, key, format!("row {number} is missing")));
            }
            redo(&mut record, key, row)?;
        }
        for (key, row) in &self.members {
            let member = std::str::from_utf8(&key[object.len()..]);
            let member = member.map_err(|_| corrupt(MEMBERS, key, "it does not name a member".to_owned()))?;
            set_member(&mut record.metadata, member, &parse(MEMBERS, key, row)?);
        }
        let (children, next_deletion) = children::read(object, &self.children)?;
        record.children = children;
        Ok(Loaded {
            data_bytes: row.len(),
            runs: self.changes.iter().map(|(_, row)| row.len()).collect(),
            header_is_stale: !self.changes.is_empty() || !self.members.is_empty(),
            has_children: !self.children.is_empty(),
            next_deletion,
            record,
        })
    }
}

/// Applies a row of changes, which must go on where the record stands.
fn redo(record: &mut ObjectRecord, key: &[u8], row: &[u8]) -> Result<(), StorageError> {
    let corrupt = |detail: String| corrupt(CHANGES, key, detail);
    let Some(data) = &mut record.data else {
        return Err(corrupt("there are changes and no data".to_owned()));
    };
    for change in tail::decode(record.position.version, row).map_err(corrupt)? {
        match change.what {
            What::Data(done) => {
                let applied = apply(data, &done);
                applied
                    .map_err(|error| corrupt(format!("change {} does not fit: {error}", change.version)))?;
            }
            What::Metadata { attribute, value } => set_member(&mut record.metadata, &attribute, &value),
        }
        record.position.version = change.version;
        record.metadata.last_modified = change.last_modified.unwrap_or(record.metadata.last_modified);
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
