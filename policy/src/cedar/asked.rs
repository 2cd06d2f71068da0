//! A request in Cedar's words: entities, and a context.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use hyperty_model::{Identity, Timestamp, Url};

use crate::PolicyRequest;
use crate::moment::Moment;

type Attributes = HashMap<String, RestrictedExpression>;

/// The kinds of entities.
struct Kinds {
    hyperty: EntityTypeName,
    user: EntityTypeName,
    schema: EntityTypeName,
    object: EntityTypeName,
    action: EntityTypeName,
}

static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let kind = |name: &str| -> EntityTypeName { name.parse().expect("a word of letters names a kind") };
    Kinds {
        hyperty: kind("Hyperty"),
        user: kind("User"),
        schema: kind("Schema"),
        object: kind("Object"),
        action: kind("Action"),
    }
});

/// What the engine is asked with.
pub(super) struct Asked {
    pub request: Request,
    pub entities: Entities,
}

impl Asked {
    /// Says the request in Cedar's words.
    ///
    /// # Errors
    /// What cannot be said: a year beyond the calendar, or what the schema does not allow.
    pub(super) fn new(
        request: &PolicyRequest,
        now: Timestamp,
        schema: Option<&Schema>,
    ) -> Result<Asked, String> {
        let mut known = Known::default();
        // The actor first: who it is does not depend on what is told of a Reporter of the same address.
        let principal = known.hyperty(&request.actor, request.identity.as_ref())?;
        let resource = known.object(request)?;
        let context = known.context(request, now)?;
        let action = uid(&KINDS.action, request.point.as_str());
        let request = Request::new(principal, action, resource, context, schema).map_err(text)?;
        let entities = Entities::from_entities(known.entities.into_values(), schema).map_err(text)?;
        Ok(Asked { request, entities })
    }
}

/// The entities that a request tells of; what was said first of one stays.
#[derive(Default)]
struct Known {
    entities: BTreeMap<String, Entity>,
}

impl Known {
    fn add(&mut self, uid: EntityUid, attributes: Attributes, parents: Vec<EntityUid>) -> Result<(), String> {
        if let Entry::Vacant(free) = self.entities.entry(uid.to_string()) {
            free.insert(Entity::new(uid, attributes, HashSet::from_iter(parents)).map_err(text)?);
        }
        Ok(())
    }

    fn hyperty(&mut self, url: &Url, identity: Option<&Identity>) -> Result<EntityUid, String> {
        let hyperty = uid(&KINDS.hyperty, url.as_str());
        let parents = self.users(identity)?;
        self.add(hyperty.clone(), of_url(url), parents)?;
        Ok(hyperty)
    }

    /// The names that a user is known by: the URL first, then the GUID.
    fn users(&mut self, identity: Option<&Identity>) -> Result<Vec<EntityUid>, String> {
        let Some(identity) = identity else { return Ok(Vec::new()) };
        let names = [identity.user(), identity.guid()].into_iter().flatten().filter(|name| !name.is_empty());
        let users: Vec<EntityUid> = names.map(|name| uid(&KINDS.user, name)).collect();
        for user in &users {
            self.add(user.clone(), Attributes::new(), Vec::new())?;
        }
        Ok(users)
    }

    fn object(&mut self, request: &PolicyRequest) -> Result<EntityUid, String> {
        let url = request.object.as_ref().map(|object| object.as_url());
        let mut attributes = url.map(of_url).unwrap_or_default();
        let mut parents = self.users(request.reporter_user.as_ref())?;
        if let Some(user) = parents.first() {
            attributes.insert("reporterUser".to_owned(), entity(user));
        }
        if let Some(reporter) = &request.reporter {
            let reporter = self.hyperty(reporter.as_url(), request.reporter_user.as_ref())?;
            attributes.insert("reporter".to_owned(), entity(&reporter));
        }
        if let Some(schema) = &request.schema {
            let schema = uid(&KINDS.schema, schema.as_str());
            self.add(schema.clone(), Attributes::new(), Vec::new())?;
            attributes.insert("schema".to_owned(), entity(&schema));
            parents.push(schema);
        }
        let object = uid(&KINDS.object, url.map_or("", |url| url.as_str()));
        self.add(object.clone(), attributes, parents)?;
        Ok(object)
    }

    fn context(&mut self, request: &PolicyRequest, now: Timestamp) -> Result<Context, String> {
        let mut pairs = vec![("time".to_owned(), time(now)?)];
        if let Some(children) = &request.children {
            pairs.push(("children".to_owned(), string(children.as_str())));
        }
        if let Some(target) = &request.target {
            let target = self.hyperty(target.as_url(), None)?;
            pairs.push(("target".to_owned(), entity(&target)));
        }
        Context::from_pairs(pairs).map_err(text)
    }
}

/// The time as numbers that compare as dates and times do.
fn time(now: Timestamp) -> Result<RestrictedExpression, String> {
    let (Some(moment), Ok(millis)) = (Moment::at(now), i64::try_from(now.as_millis())) else {
        return Err("the time is beyond the calendar".to_owned());
    };
    let Moment { date, weekday, time } = moment;
    let day =
        i64::from(date.year()) * 10_000 + i64::from(u8::from(date.month())) * 100 + i64::from(date.day());
    let clock = i64::from(time.hour()) * 100 + i64::from(time.minute());
    let long = RestrictedExpression::new_long;
    let fields = [
        ("date".to_owned(), long(day)),
        ("clock".to_owned(), long(clock)),
        ("weekday".to_owned(), string(&weekday.to_string().to_lowercase())),
        ("millis".to_owned(), long(millis)),
    ];
    RestrictedExpression::new_record(fields).map_err(text)
}

fn of_url(url: &Url) -> Attributes {
    let mut attributes = Attributes::from([("scheme".to_owned(), string(url.scheme()))]);
    if let Some(domain) = url.domain() {
        attributes.insert("domain".to_owned(), string(domain));
    }
    attributes
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn entity(uid: &EntityUid) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid.clone())
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
