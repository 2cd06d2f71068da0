//! An object changes hands (protocol 5.11).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::WireBody;
use crate::{HypertyUrl, Identity, ObjectUrl, Url};

/// Body of the `forward` by which the Sync Manager of the new Reporter claims an object (5.11 step 5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimBody {
    /// Always `create`.
    #[serde(rename = "type")]
    pub kind: ClaimKind,
    /// The new Reporter.
    pub from: HypertyUrl,
    /// The object.
    pub to: ObjectUrl,
    /// The object.
    pub resource: ObjectUrl,
    /// The new Reporter.
    pub delegate: HypertyUrl,
    /// The offer.
    pub delegation: String,
    /// The Sync Manager that claims.
    pub source: Url,
    /// The user behind the new Reporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// A grant that is larger than a message is fetched in parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parts: bool,
}

/// What tells a claim from what else is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimKind {
    /// The object is to be the claimant's.
    Create,
}

/// Body of the `forward` by which a request that came to the former owner is passed on to the new one (5.11 step 7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassedBody {
    /// The whole message, as it came.
    pub message: Value,
    /// By which offer the object was given.
    pub delegation: String,
}

/// Body of the `delete` that gives an object back (5.11.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GiveBackBody {
    /// The object.
    pub resource: ObjectUrl,
    /// By which offer it was given.
    pub delegation: String,
    /// The epoch at which it was given.
    pub epoch: u64,
}

/// Body of the `execute` by which a Sync Manager stops a Reporter, lets it go on, or makes a hyperty of its runtime
/// take up what it reports (5.11 step 6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlBody {
    /// What is to be done.
    pub method: Control,
    /// The object.
    pub resource: ObjectUrl,
    /// The offer.
    #[serde(default)]
    pub params: Vec<String>,
}

/// What a Sync Manager has a Reporter do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// Send what is pending, and nothing more.
    Freeze,
    /// Go on: the object stays yours.
    Thaw,
    /// The object is yours from now on: resume it.
    Resume,
}

impl WireBody for ClaimBody {}
impl WireBody for PassedBody {}
impl WireBody for GiveBackBody {}
impl WireBody for ControlBody {}
