//! Subscription, reading, deletion, and what is handed on to the Reporter.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OneOrMany;
use crate::message::WireBody;
use crate::{HypertyUrl, Identity, ObjectUrl, Position, Url};

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
    /// Let the user's other devices know of it, by the backup of the subscriber's domain; implies `resumable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
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
    /// A large answer may come in parts that are fetched (10.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<bool>,
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
    /// A large answer may come in parts that are fetched (10.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<bool>,
    /// The large answer that a part is fetched of (10.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// Which part, from 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
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

fn is_false(value: &bool) -> bool {
    !value
}

impl WireBody for SubscribeBody {}
impl WireBody for UnsubscribeBody {}
impl WireBody for ReadBody {}
impl WireBody for DeleteBody {}
impl WireBody for ForwardBody {}
