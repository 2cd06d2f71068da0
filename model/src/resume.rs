//! Which objects a hyperty wants to go on with (protocol 5.10).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::object::Metadata;
use crate::{HypertyUrl, Identity, ObjectUrl, Url};

/// Most objects that one request can name. As many as one answer of metadata alone could tell of.
pub const CRITERIA_RESOURCES_MAX: usize = 1_000;

/// What the objects to resume have in common; all that is given must hold.
///
/// ```
/// use hyperty_model::{Url, resume::Criteria};
/// let schema = Url::parse("hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Board").unwrap();
/// let criteria = Criteria::default().schema(schema.clone());
/// let wire = serde_json::Value::Object(criteria.to_members());
/// assert_eq!(Criteria::from_members(wire.as_object().unwrap()).unwrap(), criteria);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Criteria {
    /// Objects of this schema.
    pub schema: Option<Url>,
    /// These objects.
    pub resources: Option<Vec<ObjectUrl>>,
    /// Objects whose metadata has these members.
    pub like: Option<Map<String, Value>>,
    /// Objects of this user, on this device and on others. It has to be the user behind who asks.
    pub identity: Option<Identity>,
    /// Objects that this hyperty reports, or reported last.
    pub reporter: Option<HypertyUrl>,
    /// Objects that this hyperty observes.
    pub subscriber: Option<HypertyUrl>,
    /// Objects whose data has this in it: members of objects one by one, all else whole.
    pub data: Option<Value>,
}

/// Why criteria cannot be understood; the answer is 400 with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {why}")]
pub struct CriteriaError {
    member: &'static str,
    why: String,
}

impl Criteria {
    /// With this schema.
    #[must_use]
    pub fn schema(self, schema: Url) -> Criteria {
        Criteria { schema: Some(schema), ..self }
    }

    /// These objects only.
    #[must_use]
    pub fn resources(self, objects: impl IntoIterator<Item = ObjectUrl>) -> Criteria {
        Criteria { resources: Some(objects.into_iter().collect()), ..self }
    }

    /// Objects whose metadata has these members.
    #[must_use]
    pub fn like(self, members: Map<String, Value>) -> Criteria {
        Criteria { like: Some(members), ..self }
    }

    /// Everything of this user, which has to be the one behind who asks: what another hyperty of the same user had, here
    /// or on another device, is taken over.
    #[must_use]
    pub fn identity(self, identity: Identity) -> Criteria {
        Criteria { identity: Some(identity), ..self }
    }

    /// Objects that this hyperty reported last.
    #[must_use]
    pub fn reporter(self, hyperty: HypertyUrl) -> Criteria {
        Criteria { reporter: Some(hyperty), ..self }
    }

    /// Objects that this hyperty observes.
    #[must_use]
    pub fn subscriber(self, hyperty: HypertyUrl) -> Criteria {
        Criteria { subscriber: Some(hyperty), ..self }
    }

    /// Objects whose data has this in it.
    #[must_use]
    pub fn data(self, data: Value) -> Criteria {
        Criteria { data: Some(data), ..self }
    }

    /// Whether nothing is asked: then a hyperty goes on with what is its own.
    pub fn is_empty(&self) -> bool {
        *self == Criteria::default()
    }

    /// Whether an object is meant, as far as its own content tells. `data` is `None` where it is not kept. Who reports
    /// and who observes it is compared apart.
    pub fn covers(&self, metadata: &Metadata, data: Option<&Value>) -> bool {
        self.schema.as_ref().is_none_or(|schema| *schema == metadata.schema)
            && self.resources.as_ref().is_none_or(|listed| listed.contains(&metadata.url))
            && self.reporter.as_ref().is_none_or(|reporter| *reporter == metadata.reporter)
            && self.data.as_ref().is_none_or(|want| data.is_some_and(|have| contains(have, want)))
            && self.like.as_ref().is_none_or(|want| is_like(want, metadata, data))
    }

    /// Reads the members of a request, from its body or from `value` in it (protocol 5.10). `null` is absent.
    ///
    /// # Errors
    /// [`CriteriaError`] names the member that is malformed.
    pub fn from_members(body: &Map<String, Value>) -> Result<Criteria, CriteriaError> {
        let nested = body.get("value").and_then(Value::as_object);
        let given = |member: &str| {
            let present =
                |members: &Map<String, Value>| members.get(member).filter(|v| !v.is_null()).cloned();
            present(body).or_else(|| nested.and_then(present))
        };
        let (resources, like) = match given("resource") {
            Some(Value::Object(like)) => (None, Some(like)),
            Some(listed) => (Some(read_list(listed)?), None),
            None => (None, None),
        };
        Ok(Criteria {
            schema: read("schema", given("schema"))?,
            resources,
            like,
            identity: read("identity", given("identity"))?,
            reporter: read("reporter", given("reporter"))?,
            subscriber: read("subscriber", given("subscriber"))?,
            data: given("data"),
        })
    }

    /// The members of a request with these criteria.
    pub fn to_members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(member.to_owned(), value);
            }
        };
        put("schema", self.schema.as_ref().map(|schema| serde_json::json!(schema)));
        put("resource", self.resources.as_ref().map(|listed| serde_json::json!(listed)));
        put("resource", self.like.clone().map(Value::Object));
        put("identity", self.identity.as_ref().map(|identity| serde_json::json!(identity)));
        put("reporter", self.reporter.as_ref().map(|reporter| serde_json::json!(reporter)));
        put("subscriber", self.subscriber.as_ref().map(|subscriber| serde_json::json!(subscriber)));
        put("data", self.data.clone());
        members
    }
}

fn read<T: for<'de> Deserialize<'de>>(
    member: &'static str,
    given: Option<Value>,
) -> Result<Option<T>, CriteriaError> {
    let malformed = |error: serde_json::Error| CriteriaError { member, why: error.to_string() };
    given.map(serde_json::from_value).transpose().map_err(malformed)
}

fn read_list(listed: Value) -> Result<Vec<ObjectUrl>, CriteriaError> {
    let member = "resource";
    let listed: crate::message::OneOrMany<ObjectUrl> = read(member, Some(listed))?.unwrap_or_default();
    if listed.0.len() > CRITERIA_RESOURCES_MAX {
        return Err(CriteriaError { member, why: format!("more than {CRITERIA_RESOURCES_MAX} objects") });
    }
    Ok(listed.0)
}

/// Whether `want` is in `have`: members of objects one by one, all else whole.
fn contains(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(key, want)| have.get(key).is_some_and(|have| contains(have, want)))
        }
        _ => have == want,
    }
}

fn is_like(want: &Map<String, Value>, metadata: &Metadata, data: Option<&Value>) -> bool {
    let Ok(Value::Object(have)) = serde_json::to_value(metadata) else { return false };
    want.iter().all(|(member, want)| match member.as_str() {
        "data" => data.is_some_and(|have| contains(have, want)),
        _ => have.get(member).is_some_and(|have| contains(have, want)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> Metadata {
        serde_json::from_value(json!({
            "url": "comm://a/o", "reporter": "hyperty://a/1", "runtime": "hyperty-runtime://a/r",
            "schema": "hyperty-catalogue://a/s", "name": "standup", "tags": ["x"],
            "created": "2026-01-01T00:00:00.000Z", "lastModified": "2026-01-01T00:00:00.000Z",
        }))
        .unwrap()
    }

    fn criteria(value: Value) -> Result<Criteria, CriteriaError> {
        Criteria::from_members(value.as_object().unwrap())
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let data = json!({"topic": "a", "more": {"n": 1, "m": 2}, "list": [1, 2]});
        let covers = |wire: Value| criteria(wire).unwrap().covers(&metadata(), Some(&data));
        for wire in [
            json!({}),
            json!({"resource": "comm://a/o"}),
            json!({"resource": ["comm://a/x", "comm://a/o"], "schema": "hyperty-catalogue://a/s"}),
            json!({"resource": {"name": "standup", "tags": ["x"]}}),
            json!({"resource": {"data": {"topic": "a"}}}),
            json!({"data": {"more": {"n": 1}}, "reporter": "hyperty://a/1"}),
            json!({"value": {"data": {"list": [1, 2]}}, "schema": null}),
        ] {
            assert!(covers(wire.clone()), "{wire}");
        }
        for wire in [
            json!({"resource": []}),
            json!({"resource": "comm://a/x"}),
            json!({"resource": "comm://a/o", "schema": "hyperty-catalogue://a/t"}),
            json!({"resource": {"name": "other"}}),
            json!({"resource": {"unknown": 1}}),
            json!({"data": {"list": [1]}}),
            json!({"data": {"more": {"n": null}}}),
            json!({"value": {"reporter": "hyperty://a/2"}}),
        ] {
            assert!(!covers(wire.clone()), "{wire}");
        }
        let unkept = criteria(json!({"data": {}})).unwrap();
        assert!(!unkept.covers(&metadata(), None), "what is not kept cannot be compared");
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (wire, member) in [
            (json!({"resource": ["no url"]}), "resource"),
            (json!({"resource": 3}), "resource"),
            (json!({"schema": {}}), "schema"),
            (json!({"value": {"reporter": "user://a/x"}}), "reporter"),
            (json!({"resource": vec!["comm://a/o"; CRITERIA_RESOURCES_MAX + 1]}), "resource"),
        ] {
            let error = criteria(wire.clone()).unwrap_err();
            assert!(error.to_string().starts_with(member), "{wire}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let object = ObjectUrl::parse("comm://a/o").unwrap();
        let reporter = HypertyUrl::parse("hyperty://a/1").unwrap();
        let all = Criteria::default()
            .resources([object])
            .identity(Identity::of_user("user://a/x"))
            .subscriber(reporter.clone())
            .reporter(reporter)
            .data(json!({"a": 1}));
        assert_eq!(Criteria::from_members(&all.to_members()), Ok(all.clone()));
        assert!(!all.is_empty());
        let like = Criteria::default().like(json!({"name": "x"}).as_object().unwrap().clone());
        assert_eq!(Criteria::from_members(&like.to_members()), Ok(like));
    }
}
