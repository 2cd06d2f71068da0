//! One child: metadata and data (protocol 3.1, 5.9.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ChildId;
use crate::{ChildrenName, HypertyUrl, Identity, ObjectUrl, RuntimeUrl, Timestamp, Url};

/// A child as it travels in `value`. Members that are not known are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildValue {
    /// The child's id.
    pub url: ChildId,
    /// The object it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ObjectUrl>,
    /// The only writer; fixed at creation.
    pub reporter: HypertyUrl,
    /// Where the reporter runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeUrl>,
    /// The schema of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Url>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The number of changes since creation; separate from the parent's.
    #[serde(default)]
    pub version: u64,
    /// The name of the children it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<ChildrenName>,
    /// The data.
    #[serde(default = "empty_object")]
    pub data: Value,
    /// The application's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of resource it is, such as `chat` or `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// When it was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Timestamp>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ChildValue {
    /// A child at version 0 with id, reporter and data; the rest is absent.
    pub fn new(url: ChildId, reporter: HypertyUrl, data: Value) -> ChildValue {
        ChildValue {
            url,
            parent: None,
            reporter,
            runtime: None,
            schema: None,
            created: None,
            version: 0,
            children: None,
            data,
            name: None,
            resource_type: None,
            last_modified: None,
            extra: Map::new(),
        }
    }
}

/// A child and the user behind its reporter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildEntry {
    /// The child.
    pub value: ChildValue,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

impl From<ChildValue> for ChildEntry {
    fn from(value: ChildValue) -> ChildEntry {
        ChildEntry { value, identity: None }
    }
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}
