//! Creation of objects and of children.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{OneOrMany, Scope};
use crate::message::WireBody;
use crate::{HypertyUrl, Identity, ObjectUrl, Url};

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
    /// Keep it at the backup of the domain, too, so that the user's other devices can go on with it; implies `store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
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
    /// Hyperties that are told of the object (with a known `resource`), without a grant.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub announce: OneOrMany<Url>,
    /// What is granted to those in `authorise`.
    #[serde(skip_serializing_if = "Scope::is_unlimited")]
    pub scope: Scope,
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
    /// Delegation: whose the object is, or the Sync Manager that offers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Url>,
    /// Delegation: how long the offer stands, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
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

impl WireBody for CreateObject {}
impl WireBody for ChildBody {}
