use std::time::Duration;

use hyperty_model::discovery::RegistrationStatus;
use hyperty_model::message::OneOrMany;
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Position, RuntimeUrl, Timestamp, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How long a registration lives without a keep-alive, and the longest that can be asked for (protocol 0.2).
pub const REGISTRATION_EXPIRES: Duration = Duration::from_secs(3600);

/// Member of a record that tells from which position of the former owner an object went on, `{"epoch","version"}`.
pub(crate) const TAKEN_FROM: &str = "takenFrom";

/// What a domain registry knows of a data object or a hyperty (protocol 5.13.1).
///
/// A member that is `null` on the wire is absent. What is not named here is kept in `extra`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "RecordIn")]
pub struct RegistrationRecord {
    /// The entity.
    pub url: Url,
    /// Where it lives; this runtime alone may change the registration, unless another comes with a higher epoch.
    pub runtime: RuntimeUrl,
    /// How it is.
    pub status: RegistrationStatus,
    /// After how many seconds without a keep-alive it counts as disconnected.
    pub expires: u64,
    /// Resource types, such as `chat`.
    pub resources: Vec<String>,
    /// The schemes of its data.
    pub data_schemes: Vec<String>,
    /// The schema of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Url>,
    /// The name of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The Reporter of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reporter: Option<HypertyUrl>,
    /// The descriptor of a hyperty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<String>,
    /// The URL of the user behind it; absent for an anonymous one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's GUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// When it was first registered; set by the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_time: Option<Timestamp>,
    /// When the registration was last changed; set by the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Timestamp>,
    /// The stub that accepts P2P connections to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p2p_handler: Option<Url>,
    /// The stub that makes P2P connections from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p2p_requester: Option<Url>,
    /// The generation of ownership; never falls.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: u64,
    /// The children names of an object (protocol M21).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_resources: Option<Vec<String>>,
    /// Everything else, such as `preAuth`, `subscribers` and the object's description.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A user that is known by URL, GUID or both.
pub(crate) fn identity(user: Option<&str>, guid: Option<&str>) -> Option<Identity> {
    if user.is_none() && guid.is_none() {
        return None;
    }
    let profile = serde_json::json!({ "userProfile": { "userURL": user, "guid": guid } });
    serde_json::from_value(profile).ok()
}

fn is_zero(epoch: &u64) -> bool {
    *epoch == 0
}

impl RegistrationRecord {
    /// The user behind it; `None` for an anonymous entry.
    pub fn identity(&self) -> Option<Identity> {
        identity(self.user.as_deref(), self.guid.as_deref())
    }

    /// The record of a live data object.
    ///
    /// ```
    /// use hyperty_model::{HypertyUrl, ObjectUrl, RuntimeUrl, Url};
    /// use hyperty_registry::RegistrationRecord;
    /// let record = RegistrationRecord::of_object(
    ///     &ObjectUrl::parse("comm://example.com/8a7b").unwrap(),
    ///     RuntimeUrl::parse("hyperty-runtime://example.com/laptop").unwrap(),
    ///     Url::parse("hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat").unwrap(),
    ///     "standup",
    ///     HypertyUrl::parse("hyperty://example.com/6f1c").unwrap(),
    /// );
    /// assert_eq!(record.data_schemes, ["comm"]);
    /// ```
    pub fn of_object(
        object: &ObjectUrl,
        runtime: RuntimeUrl,
        schema: Url,
        name: &str,
        reporter: HypertyUrl,
    ) -> RegistrationRecord {
        RegistrationRecord {
            schema: Some(schema),
            name: Some(name.to_owned()),
            reporter: Some(reporter),
            data_schemes: vec![object.scheme().to_owned()],
            ..RegistrationRecord::bare(object.as_url().clone(), runtime)
        }
    }

    /// The record of a live hyperty.
    pub fn of_hyperty(hyperty: &HypertyUrl, runtime: RuntimeUrl, descriptor: &str) -> RegistrationRecord {
        RegistrationRecord {
            descriptor: Some(descriptor.to_owned()),
            ..RegistrationRecord::bare(hyperty.as_url().clone(), runtime)
        }
    }

    /// With the user behind it, as far as the identity tells.
    #[must_use]
    pub fn with_user(self, identity: Option<&Identity>) -> RegistrationRecord {
        RegistrationRecord {
            user: identity.and_then(Identity::user).map(str::to_owned),
            guid: identity.and_then(Identity::guid).map(str::to_owned),
            ..self
        }
    }

    /// With the position of the former owner from which an object goes on after a takeover.
    #[must_use]
    pub fn with_taken_from(mut self, position: Position) -> RegistrationRecord {
        let position = serde_json::json!({ "epoch": position.epoch, "version": position.version });
        self.extra.insert(TAKEN_FROM.to_owned(), position);
        self
    }

    /// The position of the former owner from which an object went on, as far as that is known: what a former owner
    /// has beyond it is lost.
    pub fn taken_from(&self) -> Option<Position> {
        let given = self.extra.get(TAKEN_FROM)?;
        let number = |member: &str| given.get(member).and_then(Value::as_u64);
        Some(Position::new(number("epoch")?, number("version")?))
    }

    fn bare(url: Url, runtime: RuntimeUrl) -> RegistrationRecord {
        RegistrationRecord {
            url,
            runtime,
            status: RegistrationStatus::Live,
            expires: REGISTRATION_EXPIRES.as_secs(),
            resources: Vec::new(),
            data_schemes: Vec::new(),
            schema: None,
            name: None,
            reporter: None,
            descriptor: None,
            user: None,
            guid: None,
            starting_time: None,
            last_modified: None,
            p2p_handler: None,
            p2p_requester: None,
            epoch: 0,
            children_resources: None,
            extra: Map::new(),
        }
    }
}

/// Why a record cannot be used; its text is that of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The protocol's words.
    #[error("Bad Request: Missing {0}")]
    Missing(&'static str),
    #[error("expires is no number of seconds")]
    Expires,
    #[error("only hyperties and data objects are registered")]
    Kind,
}

/// A record as it comes in: anything may be absent or `null`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RecordIn {
    pub(crate) url: Option<Url>,
    pub(crate) runtime: Option<RuntimeUrl>,
    pub(crate) status: Option<RegistrationStatus>,
    pub(crate) expires: Option<Value>,
    pub(crate) resources: Option<OneOrMany<String>>,
    pub(crate) data_schemes: Option<OneOrMany<String>>,
    pub(crate) schema: Option<Url>,
    pub(crate) name: Option<String>,
    pub(crate) reporter: Option<HypertyUrl>,
    pub(crate) descriptor: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) guid: Option<String>,
    pub(crate) starting_time: Option<Value>,
    pub(crate) last_modified: Option<Value>,
    pub(crate) p2p_handler: Option<Url>,
    pub(crate) p2p_requester: Option<Url>,
    pub(crate) epoch: Option<u64>,
    pub(crate) children_resources: Option<OneOrMany<String>>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl TryFrom<RecordIn> for RegistrationRecord {
    type Error = RecordError;

    fn try_from(wire: RecordIn) -> Result<RegistrationRecord, RecordError> {
        let list = |list: Option<OneOrMany<String>>| list.unwrap_or_default().0;
        // Times come from the registry. Others write them in forms of their own; those are not ours to keep.
        let time = |time: Option<Value>| time.and_then(|time| serde_json::from_value(time).ok());
        let mut extra = wire.extra;
        extra.retain(|_, value| !value.is_null());
        Ok(RegistrationRecord {
            url: wire.url.ok_or(RecordError::Missing("url"))?,
            runtime: wire.runtime.ok_or(RecordError::Missing("runtime"))?,
            status: wire.status.unwrap_or(RegistrationStatus::Live),
            expires: read_expires(wire.expires.as_ref())?,
            resources: list(wire.resources),
            data_schemes: list(wire.data_schemes),
            schema: wire.schema,
            name: wire.name,
            reporter: wire.reporter,
            descriptor: wire.descriptor,
            user: wire.user,
            guid: wire.guid,
            starting_time: time(wire.starting_time),
            last_modified: time(wire.last_modified),
            p2p_handler: wire.p2p_handler,
            p2p_requester: wire.p2p_requester,
            epoch: wire.epoch.unwrap_or_default(),
            children_resources: wire.children_resources.map(|names| names.0),
            extra,
        })
    }
}

/// Absent and 0 mean the default, which is also the most.
pub(crate) fn read_expires(value: Option<&Value>) -> Result<u64, RecordError> {
    let seconds = match value {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) => text.parse().map_err(|_| RecordError::Expires)?,
        Some(Value::Number(number)) => number.as_u64().ok_or(RecordError::Expires)?,
        Some(_) => return Err(RecordError::Expires),
    };
    let most = REGISTRATION_EXPIRES.as_secs();
    Ok(if seconds == 0 { most } else { seconds.min(most) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(value: Value) -> Result<RegistrationRecord, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn null_is_absent_and_created_is_live() {
        let read = record(json!({
            "url": "comm://a/o", "runtime": "runtime://a/r", "status": "created", "expires": null, "user": null,
            "guid": null, "p2pHandler": null, "resources": null, "startingTime": 17, "preAuth": ["hyperty://a/h"],
            "subscribers": null, "epoch": null,
        }))
        .unwrap();
        assert_eq!((read.status, read.expires), (RegistrationStatus::Live, 3600));
        assert_eq!((read.user, read.p2p_handler, read.starting_time, read.epoch), (None, None, None, 0));
        assert_eq!(read.extra, *json!({"preAuth": ["hyperty://a/h"]}).as_object().unwrap());
    }

    #[test]
    fn a_record_round_trips() {
        let object = ObjectUrl::parse("comm://a/o").unwrap();
        let runtime = RuntimeUrl::parse("hyperty-runtime://a/r").unwrap();
        let reporter = HypertyUrl::parse("hyperty://a/h").unwrap();
        let schema = Url::parse("https://a/.well-known/dataschema/Chat").unwrap();
        let mut written = RegistrationRecord::of_object(&object, runtime, schema, "standup", reporter)
            .with_user(Some(&Identity::of_user("user://a/alice")));
        written.epoch = 3;
        written.children_resources = Some(vec!["messages".to_owned()]);
        written.starting_time = Some(Timestamp::from_millis(1_700_000_000_000));
        written.extra.insert("description".to_owned(), json!("daily"));
        assert_eq!(record(serde_json::to_value(&written).unwrap()).unwrap(), written);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = record(json!({"url": "comm://a/o"})).unwrap_err();
        assert!(error.to_string().contains("Bad Request: Missing runtime"), "{error}");
        for expires in [json!(-1), json!(1.5), json!("soon"), json!([])] {
            assert!(
                record(json!({"url": "comm://a/o", "runtime": "runtime://a/r", "expires": expires})).is_err()
            );
        }
        let capped =
            record(json!({"url": "comm://a/o", "runtime": "runtime://a/r", "expires": "86400"})).unwrap();
        assert_eq!(capped.expires, 3600);
    }
}
