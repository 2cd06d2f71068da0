//! The body of every `update`: one change of an object or a child, or what else travels the same way (protocol 3.3).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::WireBody;
use crate::change::{Change, ChangeOp, approximate_size};
use crate::{Identity, Position, Timestamp, Url};

/// A member that may be absent, or present with any value: tells an absent member from `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Not there.
    #[default]
    Absent,
    /// There, be it `null`.
    Present(T),
}

impl<T> Field<T> {
    /// Whether it is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }

    /// The value, if it is there.
    pub fn present(self) -> Option<T> {
        match self {
            Field::Absent => None,
            Field::Present(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field<T>, D::Error> {
        T::deserialize(deserializer).map(Field::Present)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    /// An absent field is left out by its struct; standing alone it is `null`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Absent => serializer.serialize_none(),
            Field::Present(value) => value.serialize(serializer),
        }
    }
}

/// What an update says.
#[derive(Debug, Clone, PartialEq)]
pub enum UpdateKind {
    /// A change of the data.
    Change(Change),
    /// A change of the metadata; it has a version like any other.
    Metadata {
        /// Which member of the metadata.
        attribute: String,
        /// The new value.
        value: Value,
    },
    /// No change: where the history stands (protocol 10.2).
    Position {
        /// The digest of the data at this position.
        digest: Option<String>,
        /// The digest of the children, so that the loss of an operation on one is noticed too.
        children: Option<String>,
    },
    /// The whole data of a child: a value without `attribute`, with a version or with a child's id as `resource`.
    Whole(Value),
    /// A word on `O/status` or `O/registration`: any other value without `attribute`.
    Status(Value),
    /// A change that does not say where or what, such as an array change without `attribute`. Who gets one as the
    /// next change has diverged; who is asked to commit one answers 400.
    Unlocated,
}

/// Body of `update`.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateBody {
    /// The version after the change.
    pub version: Option<u64>,
    /// The epoch; absent means 0, and 0 is not written.
    pub epoch: Option<u64>,
    /// The writer, when `from` is the object.
    pub source: Option<Url>,
    /// The child's id, or the object.
    pub resource: Option<String>,
    /// When the change was made.
    pub last_modified: Option<Timestamp>,
    /// The sender wants an answer once it is committed; never leaves the runtime (protocol M2).
    pub receipt: bool,
    /// The user behind the writer.
    pub identity: Option<Identity>,
    /// What it says.
    pub kind: UpdateKind,
}

impl UpdateBody {
    /// An update that says only this.
    pub fn new(kind: UpdateKind) -> UpdateBody {
        UpdateBody {
            version: None,
            epoch: None,
            source: None,
            resource: None,
            last_modified: None,
            receipt: false,
            identity: None,
            kind,
        }
    }

    /// A change that leads to this position.
    pub fn change(to: Position, change: Change) -> UpdateBody {
        UpdateBody::new(UpdateKind::Change(change)).at(to)
    }

    /// A position beat (protocol 10.2).
    pub fn beat(at: Position, digest: Option<String>) -> UpdateBody {
        UpdateBody::new(UpdateKind::Position { digest, children: None }).at(at)
    }

    /// The same with this position.
    #[must_use]
    pub fn at(self, position: Position) -> UpdateBody {
        UpdateBody { version: Some(position.version), epoch: Some(position.epoch).filter(|&e| e > 0), ..self }
    }

    /// The position it carries, if it has a version; an absent epoch is 0.
    pub fn position(&self) -> Option<Position> {
        self.version.map(|version| Position::new(self.epoch.unwrap_or(0), version))
    }

    /// The values it brings, to be checked before it is accepted.
    pub fn values(&self) -> &[Value] {
        match &self.kind {
            UpdateKind::Change(change) => change.values(),
            UpdateKind::Metadata { value, .. } | UpdateKind::Whole(value) | UpdateKind::Status(value) => {
                std::slice::from_ref(value)
            }
            UpdateKind::Position { .. } | UpdateKind::Unlocated => &[],
        }
    }

    /// About how many bytes it takes, to bound what is kept.
    pub fn approximate_size(&self) -> usize {
        /// Struct, header members and bookkeeping of whatever holds it.
        const OVERHEAD: usize = 160;
        let name = match &self.kind {
            UpdateKind::Change(change) => change.path.as_str().len(),
            UpdateKind::Metadata { attribute, .. } => attribute.len(),
            UpdateKind::Position { digest, .. } => digest.as_ref().map_or(0, String::len),
            _ => 0,
        };
        OVERHEAD + name + self.values().iter().map(approximate_size).sum::<usize>()
    }
}

impl WireBody for UpdateBody {}

/// What is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<ValueOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a Identity>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueOut<'a> {
    One(&'a Value),
    List(&'a [Value]),
    Count(u64),
}

impl<'a> WireOut<'a> {
    fn new(body: &'a UpdateBody) -> WireOut<'a> {
        let header = WireOut {
            version: body.version,
            epoch: body.epoch.filter(|&epoch| epoch > 0),
            source: body.source.as_ref(),
            resource: body.resource.as_deref(),
            attribute: None,
            attribute_type: None,
            operation: None,
            value: None,
            last_modified: body.last_modified,
            receipt: Some(true).filter(|_| body.receipt),
            digest: None,
            children_digest: None,
            identity: body.identity.as_ref(),
        };
        match &body.kind {
            UpdateKind::Change(change) => header.change(change),
            UpdateKind::Metadata { attribute, value } => WireOut {
                attribute: Some(attribute),
                attribute_type: Some("metadata"),
                value: Some(ValueOut::One(value)),
                ..header
            },
            UpdateKind::Position { digest, children } => WireOut {
                attribute_type: Some("position"),
                digest: digest.as_deref(),
                children_digest: children.as_deref(),
                ..header
            },
            UpdateKind::Whole(value) | UpdateKind::Status(value) => {
                WireOut { value: Some(ValueOut::One(value)), ..header }
            }
            UpdateKind::Unlocated => WireOut { attribute_type: Some("array"), ..header },
        }
    }

    fn change(self, change: &'a Change) -> WireOut<'a> {
        let (attribute_type, operation, value) = match &change.op {
            ChangeOp::Set(value) => (None, None, Some(ValueOut::One(value))),
            ChangeOp::Delete => (None, None, None),
            ChangeOp::ReplaceElement(value) => (Some("array"), None, Some(ValueOut::One(value))),
            ChangeOp::Insert(values) => (Some("array"), Some("add"), Some(ValueOut::List(values))),
            ChangeOp::Remove(count) => (Some("array"), Some("remove"), Some(ValueOut::Count(*count))),
        };
        WireOut { attribute: Some(change.path.as_str()), attribute_type, operation, value, ..self }
    }
}

impl Serialize for UpdateBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireOut::new(self).serialize(serializer)
    }
}

/// What is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireIn {
    version: Option<u64>,
    epoch: Option<u64>,
    source: Option<Url>,
    resource: Option<String>,
    attribute: Option<String>,
    attribute_type: Option<String>,
    operation: Option<String>,
    #[serde(default)]
    value: Field<Value>,
    last_modified: Option<Timestamp>,
    receipt: Option<bool>,
    digest: Option<String>,
    children_digest: Option<String>,
    identity: Option<Identity>,
}

impl WireIn {
    fn kind(&mut self) -> UpdateKind {
        let value = std::mem::take(&mut self.value);
        let attribute_type = self.attribute_type.as_deref();
        if attribute_type == Some("position") {
            let (digest, children) = (self.digest.take(), self.children_digest.take());
            return UpdateKind::Position { digest, children };
        }
        let Some(attribute) = self.attribute.take() else {
            return self.without_attribute(value);
        };
        if attribute_type == Some("metadata") {
            return UpdateKind::Metadata { attribute, value: value.present().unwrap_or_default() };
        }
        let op = match (attribute_type, self.operation.as_deref()) {
            (None | Some("object"), operation) => Some(object_op(operation, value)),
            (Some("array"), operation) => array_op(operation, value),
            _ => None,
        };
        op.map_or(UpdateKind::Unlocated, |op| UpdateKind::Change(Change::new(attribute, op)))
    }

    fn without_attribute(&self, value: Field<Value>) -> UpdateKind {
        match value {
            Field::Present(value) if self.attribute_type.is_none() && self.operation.is_none() => {
                let names_child = self.resource.as_deref().is_some_and(|id| id.contains('#'));
                if names_child || self.version.is_some() {
                    UpdateKind::Whole(value)
                } else {
                    UpdateKind::Status(value)
                }
            }
            _ => UpdateKind::Unlocated,
        }
    }
}

/// The reference tells its operations apart by the value alone; an explicit `remove` means what it says.
fn object_op(operation: Option<&str>, value: Field<Value>) -> ChangeOp {
    match value {
        Field::Present(value) if operation != Some("remove") => ChangeOp::Set(value),
        _ => ChangeOp::Delete,
    }
}

/// `None` for what no receiver can carry out.
fn array_op(operation: Option<&str>, value: Field<Value>) -> Option<ChangeOp> {
    match (operation, value) {
        (None, Field::Present(value)) => Some(ChangeOp::ReplaceElement(value)),
        (Some("add"), Field::Present(Value::Array(values))) => Some(ChangeOp::Insert(values)),
        (Some("add"), Field::Present(value)) => Some(ChangeOp::Insert(vec![value])),
        (Some("remove"), Field::Absent) => Some(ChangeOp::Remove(1)),
        (Some("remove"), Field::Present(value)) => {
            value.as_u64().filter(|&count| count > 0).map(ChangeOp::Remove)
        }
        _ => None,
    }
}

impl<'de> Deserialize<'de> for UpdateBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UpdateBody, D::Error> {
        let mut wire = WireIn::deserialize(deserializer)?;
        let kind = wire.kind();
        Ok(UpdateBody {
            version: wire.version,
            epoch: wire.epoch.filter(|&epoch| epoch > 0),
            source: wire.source,
            resource: wire.resource,
            last_modified: wire.last_modified,
            receipt: wire.receipt.unwrap_or(false),
            identity: wire.identity,
            kind,
        })
    }
}
