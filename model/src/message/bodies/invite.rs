//! Invitations (protocol 5.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::message::WireBody;
use crate::{HypertyUrl, Identity, Timestamp, Url};

/// What an invitation allows, and until when it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// Whether an observer that came by it may write children, where the schema lets observers.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub children: bool,
    /// Until when one may subscribe by it; whoever observes by then goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Default for Scope {
    /// Everything, without end.
    fn default() -> Scope {
        Scope { children: true, until: None }
    }
}

impl Scope {
    /// Whether it limits nothing.
    pub fn is_unlimited(&self) -> bool {
        *self == Scope::default()
    }
}

/// Body of the `create` from `O/subscription` by which a hyperty is invited, or told of an object (protocol 5.2.4).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InviteBody {
    /// The Reporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<HypertyUrl>,
    /// The object's schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Url>,
    /// The object's metadata, without its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Map<String, Value>>,
    /// The user behind the Reporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Mutual authentication wanted; carried only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutual: Option<bool>,
    /// What the grant allows.
    #[serde(skip_serializing_if = "Scope::is_unlimited")]
    pub scope: Scope,
    /// Only told of the object: nothing is granted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
}

impl WireBody for InviteBody {}
