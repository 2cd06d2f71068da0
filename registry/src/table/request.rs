//! What the messages to a registry ask for, in all accepted forms (protocol 5.13.2 to 5.13.4).

use hyperty_model::message::WireBody;
use hyperty_model::{HypertyUrl, RuntimeUrl, Url, UrlKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RegistrationStatus;
use crate::client::{Criteria, Find, Query, bare_guid};
use crate::record::RecordIn;

/// Body of `create`. Kept as a value until the record is read from it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CreateBody {
    pub(super) value: Option<Value>,
}

impl CreateBody {
    pub(super) fn record(&self) -> Result<RecordIn, String> {
        let value = self.value.as_ref().ok_or("Bad Request: Missing value")?;
        RecordIn::deserialize(value).map_err(|error| error.to_string())
    }
}

/// Body of `update`, `delete` and `read`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct EntryBody {
    resource: Option<String>,
    value: Option<Value>,
    attribute: Option<Value>,
    method: Option<Value>,
    criteria: Option<Criteria>,
    page: Option<Value>,
}

impl WireBody for CreateBody {}
impl WireBody for EntryBody {}

/// Which entry a message is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Url(Url),
    /// The identifier of a hyperty (or else of an object) of the sending runtime: `/hyperty/<id>`.
    Identifier {
        hyperty: bool,
        id: String,
    },
}

/// What an `update` does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Update {
    KeepAlive,
    /// Back to life, with new facts.
    SetLive(Facts),
    /// New facts only.
    Change(Facts),
    Unregister,
    Delete,
}

/// What an `update` may change of a record.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Facts {
    pub(super) status: Option<String>,
    pub(super) user: Option<String>,
    pub(super) guid: Option<String>,
    pub(super) runtime: Option<RuntimeUrl>,
    pub(super) reporter: Option<HypertyUrl>,
    pub(super) p2p_handler: Option<Url>,
    pub(super) p2p_requester: Option<Url>,
    pub(super) epoch: Option<u64>,
    pub(super) expires: Option<Value>,
    pub(super) pre_auth: Option<Value>,
    pub(super) subscribers: Option<Value>,
    pub(super) taken_from: Option<Value>,
}

impl EntryBody {
    pub(super) fn resource(&self) -> Result<&str, String> {
        self.resource.as_deref().ok_or_else(|| "Bad Request: Missing resource".to_owned())
    }

    pub(super) fn target(&self) -> Result<Target, String> {
        Target::parse(self.resource()?)
    }

    /// What an `update` with this body does.
    ///
    /// A value that says nothing of the status is a keep-alive: others send any text beside it. A message with
    /// `method:"refresh"` is one even if it says `live`, so that a late one revives nothing (protocol 5.13.2).
    pub(super) fn update(&self) -> Result<Update, String> {
        if self.method.as_ref().is_some_and(|method| method == "refresh") {
            return Ok(Update::KeepAlive);
        }
        match &self.value {
            None | Some(Value::Null) => Ok(Update::KeepAlive),
            Some(Value::String(word)) => {
                let of_status = self.attribute.as_ref().is_none_or(|name| name.is_null() || name == "status");
                match RegistrationStatus::parse(word).filter(|_| of_status) {
                    Some(status) => Ok(Update::of(status, Facts::default())),
                    None if self.attribute.as_ref().is_some_and(|name| name == "status") => {
                        Err(format!("unknown registration status {word:?}"))
                    }
                    None => Ok(Update::KeepAlive),
                }
            }
            Some(value @ Value::Object(_)) => {
                let facts = Facts::deserialize(value).map_err(|error| error.to_string())?;
                match &facts.status {
                    None => Ok(Update::Change(facts)),
                    Some(word) => RegistrationStatus::parse(word)
                        .map(|status| Update::of(status, facts.clone()))
                        .ok_or_else(|| format!("unknown registration status {word:?}")),
                }
            }
            Some(_) => Err("value is neither a status nor a record".to_owned()),
        }
    }

    /// From which entry on a `read` goes on: what the page before told as `next`.
    pub(super) fn page(&self) -> Result<Option<&str>, String> {
        match &self.page {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(after)) => Ok(Some(after)),
            Some(_) => Err("page is not what an answer told as next".to_owned()),
        }
    }

    /// The query of a `read`, unless it asks for one URL.
    pub(super) fn query(&self) -> Result<Asked, String> {
        let resource = self.resource()?;
        let criteria = self.criteria.clone().unwrap_or_default();
        let (find, scheme) = match resource.strip_prefix('/') {
            Some(path) => match path.split_once('/') {
                None => (Find::Any, Some(path)),
                Some((scheme, rest)) => {
                    let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
                    let rest = percent_decoded(rest);
                    let find = match kind {
                        "user" => Find::User(rest),
                        "user-guid" => Find::Guid(rest),
                        "idp-identifier" => {
                            return Ok(Asked::OfIdentifier { id: rest, scheme: scheme.to_owned(), criteria });
                        }
                        _ => return Err(format!("unknown query {resource:?}")),
                    };
                    (find, Some(scheme))
                }
            },
            None => match Url::parse(resource) {
                Ok(url) if url.scheme().eq_ignore_ascii_case("user-guid") => {
                    (Find::Guid(resource.to_owned()), None)
                }
                Ok(url) if url.kind() == UrlKind::User => (Find::User(resource.to_owned()), None),
                Ok(url) => return Ok(Asked::Url(url)),
                Err(_) => (Find::Name(resource.to_owned()), None),
            },
        };
        Ok(Asked::Query(Query { find, scheme: scheme.map(str::to_owned), criteria }))
    }
}

/// What a `read` asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    Url(Url),
    Query(Query),
    /// Entities of the user whose URL ends in this identifier.
    OfIdentifier {
        id: String,
        scheme: String,
        criteria: Criteria,
    },
}

impl Update {
    fn of(status: RegistrationStatus, facts: Facts) -> Update {
        match status {
            RegistrationStatus::Live => Update::SetLive(facts),
            RegistrationStatus::Disconnected => Update::Unregister,
            RegistrationStatus::Deleted => Update::Delete,
        }
    }
}

impl Target {
    fn parse(resource: &str) -> Result<Target, String> {
        let Some(path) = resource.strip_prefix('/') else {
            return Url::parse(resource).map(Target::Url).map_err(|error| error.to_string());
        };
        let (kind, id) = path.split_once('/').ok_or_else(|| format!("{resource:?} names no entry"))?;
        let id = percent_decoded(id);
        // Some put the whole URL where the identifier belongs.
        match Url::parse(&id) {
            Ok(url) => Ok(Target::Url(url)),
            Err(_) => Ok(Target::Identifier { hyperty: kind == "hyperty", id }),
        }
    }
}

/// How users are compared: as URLs, with scheme and authority in any case.
pub(super) fn user_key(user: &str) -> String {
    Url::parse(user).map_or_else(|_| user.to_owned(), |url| url.key().to_owned())
}

/// How GUIDs are compared: with or without the scheme before them.
pub(super) fn guid_key(guid: &str) -> String {
    bare_guid(guid).trim_end_matches('/').to_owned()
}

/// A URL inside a path comes bare or percent-encoded.
fn percent_decoded(text: &str) -> String {
    if text.contains("://") || !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: Value) -> EntryBody {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn keep_alives_are_told_from_what_revives() {
        let url = "comm://a/o";
        for form in [
            json!({"resource": url}),
            json!({"resource": url, "value": null}),
            json!({"resource": url, "value": {"status": "live"}, "method": "refresh"}),
            json!({"resource": url, "value": "some text", "attribute": "attribute"}),
        ] {
            assert_eq!(body(form.clone()).update(), Ok(Update::KeepAlive), "{form}");
        }
        for form in [
            json!({"resource": url, "value": {"status": "live"}}),
            json!({"resource": url, "value": {"status": "created"}, "attribute": "anything"}),
            json!({"resource": url, "value": "live", "attribute": "status"}),
        ] {
            assert!(matches!(body(form.clone()).update(), Ok(Update::SetLive(_))), "{form}");
        }
    }

    #[test]
    fn every_form_of_an_unregistration_is_understood() {
        for form in [
            json!({"resource": "hyperty://a/1", "value": "disconnected", "attribute": "status"}),
            json!({"resource": "hyperty://a/1", "value": {"status": "disconnected"}}),
            json!({"resource": "/hyperty/hyperty://a/1", "value": "disconnected", "attribute": "status"}),
            json!({"resource": "/hyperty/hyperty%3A%2F%2Fa%2F1", "value": "disconnected"}),
        ] {
            let read = body(form.clone());
            assert_eq!(read.update(), Ok(Update::Unregister), "{form}");
            assert_eq!(read.target(), Ok(Target::Url(Url::parse("hyperty://a/1").unwrap())), "{form}");
        }
        let short =
            body(json!({"resource": "/dataObject/8a7b", "value": "disconnected", "attribute": "status"}));
        assert_eq!(short.target(), Ok(Target::Identifier { hyperty: false, id: "8a7b".to_owned() }));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for form in [
            json!({"resource": "comm://a/o", "value": {"status": "asleep"}}),
            json!({"resource": "comm://a/o", "value": "asleep", "attribute": "status"}),
            json!({"resource": "comm://a/o", "value": 3}),
            json!({"resource": "comm://a/o", "value": {"status": "live", "runtime": "nowhere"}}),
        ] {
            assert!(body(form.clone()).update().is_err(), "{form}");
        }
        assert_eq!(body(json!({})).target(), Err("Bad Request: Missing resource".to_owned()));
        assert!(body(json!({"resource": "/hyperty"})).target().is_err());
        assert!(body(json!({"resource": "/comm/shape/round"})).query().is_err());
    }

    #[test]
    fn queries_are_read_as_they_are_written() {
        for query in [
            Query::of_user("user://a/alice"),
            Query::of_user("user://a/alice").objects(),
            Query::of_guid("user-guid://1").objects(),
            Query::of_name("standup"),
            Query::of_reporter(HypertyUrl::parse("hyperty://a/1").unwrap()),
        ] {
            let written = json!({"resource": query.resource(), "criteria": query.criteria});
            let expected = match &query.find {
                Find::Guid(guid) => Query { find: Find::Guid(bare_guid(guid).to_owned()), ..query.clone() },
                _ => query.clone(),
            };
            assert_eq!(body(written).query(), Ok(Asked::Query(expected)));
        }
        let guid = body(json!({"resource": Query::of_guid("1").resource()})).query().unwrap();
        assert!(
            matches!(guid, Asked::Query(Query { find: Find::Guid(guid), scheme: None, .. }) if guid_key(&guid) == "1")
        );
        let url = body(json!({"resource": "comm://a/o"})).query();
        assert_eq!(url, Ok(Asked::Url(Url::parse("comm://a/o").unwrap())));
    }
}
