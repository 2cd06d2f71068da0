//! Routes at a message node.

use serde::{Deserialize, Serialize};

use super::OneOrMany;
use crate::Url;
use crate::message::WireBody;

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
    /// The owner of an object: whether everybody may listen (10.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// The owner of an object: the runtime in `source` may listen (10.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<bool>,
    /// The owner of an object, in `unsubscribe`: the runtime in `source` may listen no longer (10.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke: Option<bool>,
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

impl WireBody for RoutesBody {}
