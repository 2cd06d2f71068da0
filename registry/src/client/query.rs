use hyperty_model::HypertyUrl;
use hyperty_model::message::OneOrMany;
use serde::{Deserialize, Deserializer, Serialize};

use crate::RegistrationStatus;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Find {
    /// Everything of a user, by the user's URL.
    User(String),
    /// Everything of a user, by the user's GUID.
    Guid(String),
    /// Data objects of this name.
    Name(String),
    /// Whatever the criteria say.
    Any,
}

/// A query for registered entities (protocol 5.13.4).
///
/// ```
/// use hyperty_registry::Query;
/// let query = Query::of_user("user://example.com/alice").objects();
/// assert_eq!(query.resource(), "/dataObject/user/user://example.com/alice");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What is looked for.
    pub find: Find,
    /// Only URLs of this scheme; `dataObject` stands for all object schemes.
    pub scheme: Option<String>,
    /// What must hold beside.
    pub criteria: Criteria,
}

/// Conditions on entries; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Criteria {
    /// The scheme of the URL; `dataObject` stands for all object schemes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// All of these resource types.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub resources: Vec<String>,
    /// All of these data schemes.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub data_schemes: Vec<String>,
    /// This Reporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reporter: Option<HypertyUrl>,
    /// This status. Without it, an answer with disconnected entries only is a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RegistrationStatus>,
}

/// One element, several, or `null`.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany::deserialize(deserializer).map(|list| list.0)
}

impl Criteria {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Criteria::default()
    }
}

impl Query {
    /// Everything of a user.
    pub fn of_user(user: &str) -> Query {
        Query::new(Find::User(user.to_owned()))
    }

    /// Everything of the user with this GUID.
    pub fn of_guid(guid: &str) -> Query {
        Query::new(Find::Guid(guid.to_owned()))
    }

    /// Data objects of this name.
    pub fn of_name(name: &str) -> Query {
        Query::new(Find::Name(name.to_owned()))
    }

    /// Data objects of this Reporter.
    pub fn of_reporter(reporter: HypertyUrl) -> Query {
        let criteria = Criteria { reporter: Some(reporter), ..Criteria::default() };
        Query { criteria, ..Query::new(Find::Any).objects() }
    }

    fn new(find: Find) -> Query {
        Query { find, scheme: None, criteria: Criteria::default() }
    }

    /// Data objects only.
    #[must_use]
    pub fn objects(self) -> Query {
        Query { scheme: Some(OBJECTS.to_owned()), ..self }
    }

    /// The `resource` of the query on the wire.
    pub fn resource(&self) -> String {
        let scheme = self.scheme.as_deref();
        match (&self.find, scheme) {
            (Find::User(user), None) => user.clone(),
            (Find::User(user), Some(scheme)) => format!("/{scheme}/user/{user}"),
            // Without a scheme the prefix is what tells a GUID from a name.
            (Find::Guid(guid), None) => format!("user-guid://{}", bare_guid(guid)),
            (Find::Guid(guid), Some(scheme)) => format!("/{scheme}/user-guid/{}", bare_guid(guid)),
            (Find::Name(name), _) => name.clone(),
            (Find::Any, scheme) => format!("/{}", scheme.unwrap_or(OBJECTS)),
        }
    }
}

/// What stands for all object schemes in a query.
pub(crate) const OBJECTS: &str = "dataObject";

/// A GUID without the scheme that it may be written with.
pub(crate) fn bare_guid(guid: &str) -> &str {
    guid.strip_prefix("user-guid://").unwrap_or(guid)
}
