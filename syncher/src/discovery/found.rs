use hyperty_model::discovery::RegistrationStatus;
use hyperty_model::message::OneOrMany;
use hyperty_model::{HypertyUrl, RuntimeUrl, Url};
use serde::Deserialize;
use serde_json::Value;

/// A hyperty or an object that a registry knows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// What it is.
    pub url: Url,
    /// Whether it is live.
    pub status: RegistrationStatus,
    /// Where it lives.
    pub runtime: Option<RuntimeUrl>,
    /// The user behind it.
    pub user: Option<String>,
    /// That user's GUID.
    pub guid: Option<String>,
    /// The name of an object.
    pub name: Option<String>,
    /// The schema of an object.
    pub schema: Option<Url>,
    /// The Reporter of an object.
    pub reporter: Option<HypertyUrl>,
    /// The descriptor of a hyperty.
    pub descriptor: Option<String>,
    /// Resource types, such as `chat`.
    pub resources: Vec<String>,
    /// The schemes of its data.
    pub data_schemes: Vec<String>,
    /// The children names of an object.
    pub children: Vec<String>,
    /// The generation of ownership.
    pub epoch: u64,
}

/// As it comes: anything may be absent or `null`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    url: Option<Url>,
    status: Option<RegistrationStatus>,
    runtime: Option<RuntimeUrl>,
    user: Option<String>,
    guid: Option<String>,
    name: Option<String>,
    schema: Option<Url>,
    reporter: Option<HypertyUrl>,
    descriptor: Option<String>,
    resources: Option<OneOrMany<String>>,
    data_schemes: Option<OneOrMany<String>>,
    children_resources: Option<OneOrMany<String>>,
    epoch: Option<u64>,
}

impl Found {
    /// Reads a record; `key` is its URL, where others write that beside it only.
    pub(super) fn read(key: Option<&str>, record: &Value) -> Result<Found, String> {
        let record = Record::deserialize(record).map_err(|error| error.to_string())?;
        let url = match (record.url, key) {
            (Some(url), _) => url,
            (None, Some(key)) => Url::parse(key).map_err(|error| error.to_string())?,
            (None, None) => return Err("a record has no url".to_owned()),
        };
        let list = |list: Option<OneOrMany<String>>| list.unwrap_or_default().0;
        Ok(Found {
            url,
            status: record.status.unwrap_or(RegistrationStatus::Live),
            runtime: record.runtime,
            user: record.user,
            guid: record.guid,
            name: record.name,
            schema: record.schema,
            reporter: record.reporter,
            descriptor: record.descriptor,
            resources: list(record.resources),
            data_schemes: list(record.data_schemes),
            children: list(record.children_resources),
            epoch: record.epoch.unwrap_or_default(),
        })
    }

    /// Whether it can be reached now.
    pub fn is_live(&self) -> bool {
        self.status == RegistrationStatus::Live
    }
}
