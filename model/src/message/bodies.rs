//! Typed bodies of the synchronisation procedures (protocol 2.2 to 2.5, section 5).
//!
//! They read what an interoperable implementation accepts (section 6) and write what we emit. Members that they do
//! not know stay in the message's raw body, which is what relays pass on.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{StatusCode, UpdateBody, WireBody};
use crate::{HypertyUrl, Identity, ObjectUrl, Position, Timestamp, Url};

fn is_false(value: &bool) -> bool {
    !value
}

/// A list that may also come as a single element, or as a list in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> OneOrMany<T> {
        OneOrMany(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<T>, D::Error> {
        let mut found = Vec::new();
        // One level of nesting: blocks are released by `[[…]]` in the widespread stub (protocol 5.14).
        for item in elements(Value::deserialize(deserializer)?) {
            for inner in elements(item) {
                found.push(serde_json::from_value(inner).map_err(serde::de::Error::custom)?);
            }
        }
        Ok(OneOrMany(found))
    }
}

fn elements(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

/// Body of the `create` that asks a Sync Manager for an object, or to resume some (protocol 5.1, 5.10.1).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateObject {
    /// Marks a request to resume.
    pub resume: bool,
    /// The object to resume or reuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<OneOrMany<ObjectUrl>>,
    /// The schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Url>,
    /// Metadata and initial data, as the application gave them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Map<String, Value>>,
    /// Keep metadata and data in the Data Object Storage; implies `resumable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// Keep a record for resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumable: Option<bool>,
    /// Use a P2P path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p2p: Option<bool>,
    /// Mutual authentication wanted; carried only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutual: Option<bool>,
    /// The user behind the hyperty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Invited (with a known `resource`) or pre-authorised hyperties.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub authorise: OneOrMany<Url>,
    /// Register the object at its domain; `true` if absent.
    #[serde(rename = "domain_registration", skip_serializing_if = "Option::is_none")]
    pub domain_registration: Option<bool>,
    /// Route the object at its domain's message node; `true` if absent.
    #[serde(rename = "domain_routing", skip_serializing_if = "Option::is_none")]
    pub domain_routing: Option<bool>,
    /// Set where the body is not this procedure's: the older child storage hint (5.9.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Delegation (5.11).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<HypertyUrl>,
    /// Delegation (5.11).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
}

/// Body of the `subscribe` from a hyperty to its Sync Manager, and from there to `O/subscription` (5.3, 5.10.2).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscribeBody {
    /// Marks a request to resume.
    #[serde(skip_serializing_if = "is_false")]
    pub resume: bool,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<OneOrMany<ObjectUrl>>,
    /// The schema, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Url>,
    /// Who subscribes, when another sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<HypertyUrl>,
    /// The same in the older form; we write both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriber: Option<HypertyUrl>,
    /// Keep metadata and data; implies `resumable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// Keep a record for resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumable: Option<bool>,
    /// Use a P2P path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p2p: Option<bool>,
    /// Mutual authentication wanted; carried only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutual: Option<bool>,
    /// Subscribe the stream at the message node; `true` if absent.
    #[serde(rename = "domain_subscription", skip_serializing_if = "Option::is_none")]
    pub domain_subscription: Option<bool>,
    /// The user behind the subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Where the subscriber's copy stands (10.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
}

impl SubscribeBody {
    /// Who subscribes: `source`, else `subscriber`, else the sender (5.3 step 7).
    pub fn subscriber_or(&self, from: &Url) -> Option<HypertyUrl> {
        self.source
            .clone()
            .or_else(|| self.subscriber.clone())
            .or_else(|| HypertyUrl::try_from(from.clone()).ok())
    }
}

/// Body of `unsubscribe` to a Sync Manager, to `O/subscription` or to a hyperty (5.6, 5.7).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnsubscribeBody {
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ObjectUrl>,
    /// Whose subscription ends: a hyperty, or a runtime whose session ended (M13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Url>,
    /// The user behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The children names of the object.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub children_resources: OneOrMany<String>,
    /// Why, when a node says it (`session-ended`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a `read` asks for (5.5, 10.1).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadCriteria {
    /// Only what came after this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
}

/// Body of `read` to an object or a Sync Manager (5.5).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadBody {
    /// The object, when the addressee is a Sync Manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ObjectUrl>,
    /// Who reads, when another sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Url>,
    /// A path into the data; the whole object if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// What is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criteria: Option<ReadCriteria>,
    /// The user behind the reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Body of `delete` (5.8, 5.9.4).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteBody {
    /// The object, or the child's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Older place of the child's id: a string, or an object with `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The actor, when another sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Url>,
    /// The user behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

impl DeleteBody {
    /// The id of the child to delete, wherever it stands.
    pub fn child_id(&self) -> Option<&str> {
        let older = || match self.value.as_ref()? {
            Value::String(text) => Some(text.as_str()),
            other => other.get("url").and_then(Value::as_str),
        };
        self.resource.as_deref().or_else(older)
    }
}

/// Which message is handed on by a `forward`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardKind {
    /// A subscription to decide, or that was accepted.
    Subscribe,
    /// An observer left.
    Unsubscribe,
    /// A read to decide.
    Read,
}

/// Body of `forward` from a Sync Manager to the Reporter (5.3.8d, 5.6.3, M5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardBody {
    /// What is handed on.
    #[serde(rename = "type")]
    pub kind: ForwardKind,
    /// Who sent it.
    pub from: Url,
    /// The object.
    pub to: ObjectUrl,
    /// The user behind the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Already authorised: for information, not for decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorised: Option<bool>,
    /// Mutual authentication wanted; carried only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutual: Option<bool>,
}

/// Body of `create` on a children channel (5.9.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildBody {
    /// The child's id.
    pub resource: String,
    /// The child, metadata and data.
    pub value: crate::object::ChildValue,
    /// The user behind its reporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Mutual authentication wanted; carried only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutual: Option<bool>,
}

/// Body of `subscribe` and `unsubscribe` at a message node (5.14).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoutesBody {
    /// The addresses; what we write.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub resources: OneOrMany<Url>,
    /// Older list.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub subscribe: OneOrMany<Url>,
    /// Older list.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub unsubscribe: OneOrMany<Url>,
    /// Legacy single address.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub resource: OneOrMany<Url>,
    /// Legacy further addresses.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub children_resources: OneOrMany<Url>,
    /// The runtime that subscribes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Url>,
    /// The runtime that the holder gives the addresses to (M17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Url>,
}

impl RoutesBody {
    /// What we write: `resources` and `source`.
    pub fn new(resources: Vec<Url>, source: Url) -> RoutesBody {
        RoutesBody { resources: OneOrMany(resources), source: Some(source), ..RoutesBody::default() }
    }

    /// All addresses of all forms, each once, in order.
    pub fn all(&self) -> Vec<Url> {
        let lists =
            [&self.resources, &self.subscribe, &self.unsubscribe, &self.resource, &self.children_resources];
        let mut seen = std::collections::HashSet::new();
        lists
            .into_iter()
            .flat_map(|list| &list.0)
            .filter(|url| seen.insert((*url).clone()))
            .cloned()
            .collect()
    }
}

/// Body of every `response` (2.5). What a procedure adds beyond the named members stands in `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, from = "ResponseIn", into = "ResponseOut")]
pub struct ResponseBody {
    /// The code.
    pub code: StatusCode,
    /// Says why, for codes from 300; written as `desc` and `description`.
    pub description: Option<String>,
    /// What was asked for.
    pub value: Option<Value>,
    /// Children names.
    pub children_resources: Option<Vec<String>>,
    /// The schema.
    pub schema: Option<Url>,
    /// The entity the request was about.
    pub resource: Option<String>,
    /// The real sender, when `from` is not it.
    pub source: Option<Url>,
    /// The Reporter.
    pub owner: Option<HypertyUrl>,
    /// A word for programs: `no-route`, `limit`, `forbidden` (M12).
    pub reason: Option<String>,
    /// The version that was committed, or where a repair leads to.
    pub version: Option<u64>,
    /// The epoch of a repair.
    pub epoch: Option<u64>,
    /// Whether a repair carries the missing changes (10.1).
    pub recovered: Option<bool>,
    /// The missing changes.
    pub changes: Option<Vec<UpdateBody>>,
    /// When the commit was made.
    pub last_modified: Option<Timestamp>,
    /// Everything else.
    pub extra: Map<String, Value>,
}

impl ResponseBody {
    /// 200.
    pub fn ok() -> ResponseBody {
        ResponseBody::of(StatusCode::OK)
    }

    /// A bare code.
    pub fn of(code: StatusCode) -> ResponseBody {
        ResponseBody { code, ..ResponseBody::default() }
    }

    /// A failure and why.
    pub fn failure(code: StatusCode, description: impl Into<String>) -> ResponseBody {
        ResponseBody { code, description: Some(description.into()), ..ResponseBody::default() }
    }

    /// With a value.
    #[must_use]
    pub fn with_value(self, value: Value) -> ResponseBody {
        ResponseBody { value: Some(value), ..self }
    }

    /// With a reason for programs.
    #[must_use]
    pub fn with_reason(self, reason: &str) -> ResponseBody {
        ResponseBody { reason: Some(reason.to_owned()), ..self }
    }

    /// With the real sender.
    #[must_use]
    pub fn with_source(self, source: Url) -> ResponseBody {
        ResponseBody { source: Some(source), ..self }
    }

    /// The text that says why, never empty for failures.
    pub fn why(&self) -> &str {
        self.description.as_deref().unwrap_or(if self.code.is_success() { "" } else { "no reason given" })
    }
}

/// What is read: either spelling of the text, names under either member.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseIn {
    #[serde(default)]
    code: StatusCode,
    description: Option<String>,
    desc: Option<String>,
    value: Option<Value>,
    children_resources: Option<Vec<String>>,
    schema: Option<Url>,
    resource: Option<String>,
    source: Option<Url>,
    owner: Option<HypertyUrl>,
    reason: Option<String>,
    version: Option<u64>,
    epoch: Option<u64>,
    recovered: Option<bool>,
    changes: Option<Vec<UpdateBody>>,
    last_modified: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<ResponseIn> for ResponseBody {
    fn from(wire: ResponseIn) -> ResponseBody {
        let ResponseIn {
            code,
            description,
            desc,
            value,
            schema,
            resource,
            source,
            owner,
            reason,
            version,
            ..
        } = wire;
        let ResponseIn { epoch, recovered, changes, last_modified, children_resources, mut extra, .. } = wire;
        // The 100 to a subscription may name the children under `resources` only (protocol 6, row 2).
        let resources = extra.remove("resources").and_then(|names| serde_json::from_value(names).ok());
        ResponseBody {
            code,
            description: description.or(desc),
            value,
            children_resources: children_resources.or(resources),
            schema,
            resource,
            source,
            owner,
            reason,
            version,
            epoch,
            recovered,
            changes,
            last_modified,
            extra,
        }
    }
}

/// What is written: both spellings of the text, names under both members of a provisional response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseOut {
    code: StatusCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children_resources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<HypertyUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<UpdateBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<ResponseBody> for ResponseOut {
    fn from(body: ResponseBody) -> ResponseOut {
        ResponseOut {
            resources: body.children_resources.clone().filter(|_| body.code.is_provisional()),
            desc: body.description.clone(),
            code: body.code,
            description: body.description,
            value: body.value,
            children_resources: body.children_resources,
            schema: body.schema,
            resource: body.resource,
            source: body.source,
            owner: body.owner,
            reason: body.reason,
            version: body.version,
            epoch: body.epoch,
            recovered: body.recovered,
            changes: body.changes,
            last_modified: body.last_modified,
            extra: body.extra,
        }
    }
}

impl WireBody for CreateObject {}
impl WireBody for SubscribeBody {}
impl WireBody for UnsubscribeBody {}
impl WireBody for ReadBody {}
impl WireBody for DeleteBody {}
impl WireBody for ForwardBody {}
impl WireBody for ChildBody {}
impl WireBody for RoutesBody {}
impl WireBody for ResponseBody {}
