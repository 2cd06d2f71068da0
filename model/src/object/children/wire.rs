//! The forms in which children travel and are stored (protocol 3.6).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::tombstones::TombstonesWire;
use super::{ChildEntry, ChildId, ChildTable, Children};
use crate::ChildrenName;

/// The name that children without one belong to, where the schema does not tell (protocol 3.6).
const LEGACY_NAME: &str = "resources";

/// What is written: always by name, with the deleted ids beside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChildrenOut {
    children_objects: BTreeMap<ChildrenName, BTreeMap<ChildId, ChildEntry>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    children_deleted: BTreeMap<ChildrenName, TombstonesWire>,
}

impl From<Children> for ChildrenOut {
    fn from(children: Children) -> ChildrenOut {
        let deleted = children.tables.iter().filter(|(_, table)| !table.deleted.is_empty());
        let children_deleted = deleted.map(|(name, table)| (name.clone(), table.deleted.to_wire())).collect();
        let live = children.tables.into_iter().filter(|(_, table)| !table.is_empty());
        ChildrenOut {
            children_objects: live.map(|(name, table)| (name, Arc::unwrap_or_clone(table.live))).collect(),
            children_deleted,
        }
    }
}

/// What is read: by name, by name in a wrapper, or flat.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChildrenIn {
    children_objects: Option<Map<String, Value>>,
    children_deleted: Option<BTreeMap<ChildrenName, TombstonesWire>>,
}

/// Why a value cannot be read as children.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildrenError {
    #[error("child {id:?}: {why}")]
    Entry { id: String, why: String },
    #[error("children {name:?}: {why}")]
    Name { name: String, why: String },
}

impl TryFrom<ChildrenIn> for Children {
    type Error = ChildrenError;
    fn try_from(wire: ChildrenIn) -> Result<Children, ChildrenError> {
        let mut children = Children::default();
        for (name, deleted) in wire.children_deleted.unwrap_or_default() {
            children
                .tables_mut()
                .insert(name, ChildTable { live: Arc::default(), deleted: Arc::new(deleted.into()) });
        }
        for (key, value) in wire.children_objects.unwrap_or_default() {
            if is_heartbeat(&key, &value) {
                continue;
            }
            if is_entry(&value) {
                children.read_flat(&key, value)?;
            } else {
                children.read_named(&key, value)?;
            }
        }
        Ok(children)
    }
}

impl Children {
    /// Gives the children that were read without a name the one they belong to, by the names of the object's
    /// schema: the only one, else `resources`. Until then they are found under `resources`.
    pub fn name_flat(&mut self, names: &[ChildrenName]) {
        let unnamed = std::mem::take(&mut self.unnamed);
        let [only] = names else { return };
        for id in unnamed {
            let entry = self.tables_mut().get_mut(LEGACY_NAME).and_then(|table| table.live_mut().remove(&id));
            if let Some(entry) = entry {
                self.insert_read(only.clone(), id, entry);
            }
        }
        self.tables_mut().retain(|_, table| !table.is_empty() || !table.deleted.is_empty());
    }

    fn read_flat(&mut self, id: &str, value: Value) -> Result<(), ChildrenError> {
        let (id, entry) = read_entry(id, value)?;
        let name = match &entry.value.children {
            Some(name) => name.clone(),
            None => {
                self.unnamed.push(id.clone());
                read_name(LEGACY_NAME)?
            }
        };
        self.insert_read(name, id, entry);
        Ok(())
    }

    fn read_named(&mut self, name: &str, value: Value) -> Result<(), ChildrenError> {
        let malformed = |why: &str| ChildrenError::Name { name: name.to_owned(), why: why.to_owned() };
        let Value::Object(mut entries) = value else { return Err(malformed("not an object")) };
        if let Some(Value::Object(wrapped)) = entries.remove("children") {
            entries = wrapped;
        }
        let name = read_name(name)?;
        for (id, value) in entries {
            if !is_heartbeat(&id, &value) {
                let (id, entry) = read_entry(&id, value)?;
                self.insert_read(name.clone(), id, entry);
            }
        }
        Ok(())
    }

    /// What is deleted stays so, whatever stands beside it.
    fn insert_read(&mut self, name: ChildrenName, id: ChildId, entry: ChildEntry) {
        let table = self.tables_mut().entry(name).or_default();
        if !table.deleted.contains(id.as_str()) {
            table.live_mut().insert(id, entry);
        }
    }
}

fn read_name(name: &str) -> Result<ChildrenName, ChildrenError> {
    ChildrenName::new(name)
        .map_err(|error| ChildrenError::Name { name: name.to_owned(), why: error.to_string() })
}

/// An entry is a child and its identity, or the child itself; the id may stand in the key alone.
fn read_entry(id: &str, value: Value) -> Result<(ChildId, ChildEntry), ChildrenError> {
    let failed = |why: String| ChildrenError::Entry { id: id.to_owned(), why };
    let key = ChildId::parse(id).map_err(|error| failed(error.to_string()))?;
    let mut value = if value.get("value").is_some_and(Value::is_object) {
        value
    } else {
        serde_json::json!({ "value": value })
    };
    if let Some(Value::Object(child)) = value.get_mut("value") {
        child.insert("url".to_owned(), Value::String(id.to_owned()));
    }
    let entry = serde_json::from_value(value).map_err(|error| failed(error.to_string()))?;
    Ok((key, entry))
}

/// A beat of an older implementation, kept among its children (protocol 5.19).
fn is_heartbeat(key: &str, value: &Value) -> bool {
    key == "heartbeat" && value.is_number()
}

fn is_entry(value: &Value) -> bool {
    value.get("url").is_some_and(Value::is_string) || value.get("value").is_some_and(Value::is_object)
}
