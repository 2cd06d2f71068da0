use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Children, Metadata, Position};
use crate::message::WireBody;

/// A whole object at one position: `data` is exactly the state after change number `version` (protocol 3.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Everything beside the data.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// The version.
    #[serde(default)]
    pub version: u64,
    /// The epoch.
    #[serde(default)]
    pub epoch: u64,
    /// The data.
    #[serde(default = "empty_object")]
    pub data: Value,
    /// The children by name and id, with the tombstones of deleted ones.
    #[serde(flatten)]
    pub children: Children,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

impl Snapshot {
    /// Where its history stands.
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.version)
    }

    /// As it travels, without copying the data.
    pub fn into_value(mut self) -> Value {
        let data = std::mem::take(&mut self.data);
        // Nothing in it can fail to be written: no map has keys that are not strings.
        let mut value = serde_json::to_value(&self).unwrap_or_default();
        if let Some(members) = value.as_object_mut() {
            members.insert("data".to_owned(), data);
        }
        value
    }
}

impl WireBody for Snapshot {}
