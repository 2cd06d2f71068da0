//! What is asked of a domain's registry (protocol 5.13.4).

use serde::{Deserialize, Deserializer, Serialize};

use crate::message::OneOrMany;
use crate::{HypertyUrl, Url};

/// How a registered entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationStatus {
    /// Registered, and kept alive.
    Live,
    /// Unregistered, expired, or its runtime's session ended. It may come back.
    Disconnected,
    /// Deleted. It never comes back.
    Deleted,
}

impl RegistrationStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RegistrationStatus::Live => "live",
            RegistrationStatus::Disconnected => "disconnected",
            RegistrationStatus::Deleted => "deleted",
        }
    }

    /// Reads a word of the wire; `created` means live (protocol M28).
    pub fn parse(word: &str) -> Option<RegistrationStatus> {
        match word {
            "live" | "created" => Some(RegistrationStatus::Live),
            "disconnected" => Some(RegistrationStatus::Disconnected),
            "deleted" => Some(RegistrationStatus::Deleted),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for RegistrationStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RegistrationStatus, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        RegistrationStatus::parse(&word)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown registration status {word:?}")))
    }
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Find {
    /// Everything of a user, by the user's URL.
    User(String),
    /// Everything of a user, by the user's GUID.
    Guid(String),
    /// Data objects of this name.
    Name(String),
    /// The entity of this URL.
    Url(Url),
    /// Whatever the criteria say.
    Any,
}

/// A query for registered entities (protocol 5.13.4).
///
/// ```
/// use hyperty_model::discovery::Query;
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
    /// This schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Url>,
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

    /// The entity of this URL.
    pub fn of_url(url: Url) -> Query {
        Query::new(Find::Url(url))
    }

    /// Everything whose URL has this scheme: `hyperty`, `comm`, …; `dataObject` is all data objects.
    pub fn of_scheme(scheme: &str) -> Query {
        Query { scheme: Some(scheme.to_owned()), ..Query::new(Find::Any) }
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

    /// Hyperties only.
    #[must_use]
    pub fn hyperties(self) -> Query {
        Query { scheme: Some("hyperty".to_owned()), ..self }
    }

    /// Only what has all of these resource types.
    #[must_use]
    pub fn resources(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Query {
        self.criteria.resources = types.into_iter().map(Into::into).collect();
        self
    }

    /// Only what has all of these data schemes.
    #[must_use]
    pub fn data_schemes(mut self, schemes: impl IntoIterator<Item = impl Into<String>>) -> Query {
        self.criteria.data_schemes = schemes.into_iter().map(Into::into).collect();
        self
    }

    /// Only objects of this schema.
    #[must_use]
    pub fn schema(mut self, schema: Url) -> Query {
        self.criteria.schema = Some(schema);
        self
    }

    /// Only what this hyperty reports.
    #[must_use]
    pub fn reporter(mut self, reporter: HypertyUrl) -> Query {
        self.criteria.reporter = Some(reporter);
        self
    }

    /// Only what has this status.
    #[must_use]
    pub fn status(mut self, status: RegistrationStatus) -> Query {
        self.criteria.status = Some(status);
        self
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
            (Find::Url(url), _) => url.to_string(),
            (Find::Any, scheme) => format!("/{}", scheme.unwrap_or(OBJECTS)),
        }
    }
}

/// What stands for all object schemes in a query.
pub const OBJECTS: &str = "dataObject";

/// A GUID without the scheme that it may be written with.
pub fn bare_guid(guid: &str) -> &str {
    guid.strip_prefix("user-guid://").unwrap_or(guid)
}
