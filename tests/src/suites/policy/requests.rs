//! Requests of all kinds.

use hyperty_model::{ChildrenName, Identity, ObjectUrl, Url};
use hyperty_policy::{Point, PolicyRequest};
use proptest::prelude::*;

/// A request in small numbers, so that a failure reads well.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    point: Point,
    actor: Actor,
    identity: Option<Who>,
    object: Option<u8>,
    schema: Option<u8>,
    children: Option<String>,
}

/// Who wants something.
#[derive(Debug, Clone)]
enum Actor {
    Hyperty { domain: String, number: u16 },
    SyncManager { domain: String, number: u16 },
    Object { domain: String, number: u16 },
}

/// Who is behind it.
#[derive(Debug, Clone)]
enum Who {
    User(String),
    /// An object without anything that says who it is.
    Nobody,
}

impl Asked {
    pub(super) fn request(&self) -> PolicyRequest {
        let parse = |text: String| Url::parse(&text).unwrap_or_else(|error| unreachable!("{text}: {error}"));
        let actor = match &self.actor {
            Actor::Hyperty { domain, number } => parse(format!("hyperty://{domain}/{number}")),
            Actor::SyncManager { domain, number } => parse(format!("hyperty-runtime://{domain}/{number}/sm")),
            Actor::Object { domain, number } => parse(format!("comm://{domain}/{number}")),
        };
        let identity = self.identity.as_ref().map(|who| match who {
            Who::User(name) => Identity::of_user(format!("user://example.com/{name}").as_str()),
            Who::Nobody => Identity::of_user(""),
        });
        PolicyRequest {
            point: self.point,
            actor,
            identity,
            object: self
                .object
                .and_then(|number| ObjectUrl::parse(&format!("comm://example.com/o{number}")).ok()),
            schema: self
                .schema
                .map(|number| parse(format!("https://example.com/.well-known/dataschema/S{number}"))),
            target: None,
            children: self.children.as_deref().and_then(|name| ChildrenName::new(name).ok()),
            reporter: None,
            reporter_user: None,
        }
    }
}

fn actor(domain: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Actor> {
    let of = |make: fn(String, u16) -> Actor, domain| {
        (domain, any::<u16>()).prop_map(move |(domain, number)| make(domain, number))
    };
    prop_oneof![
        4 => of(|domain, number| Actor::Hyperty { domain, number }, domain.clone()),
        1 => of(|domain, number| Actor::SyncManager { domain, number }, domain.clone()),
        1 => of(|domain, number| Actor::Object { domain, number }, domain),
    ]
}

fn point() -> impl Strategy<Value = Point> {
    proptest::sample::select(Point::ALL.to_vec())
}

pub(super) fn asked() -> impl Strategy<Value = Asked> {
    let domain = prop_oneof![3 => Just("example.com".to_owned()), 1 => "[a-z]{1,8}\\.example", 1 => "[a-zA-Z0-9.-]{1,40}"]
        .prop_filter("a domain", |domain| Url::parse(&format!("hyperty://{domain}/1")).is_ok());
    let who = prop_oneof![3 => "[a-z]{1,6}".prop_map(Who::User), 1 => "\\PC{0,20}".prop_map(Who::User), 1 => Just(Who::Nobody)];
    let number = || proptest::option::of(0..4_u8);
    let names = proptest::option::of("[a-z]{1,10}");
    (point(), actor(domain.boxed()), proptest::option::of(who), number(), number(), names).prop_map(
        |(point, actor, identity, object, schema, children)| Asked {
            point,
            actor,
            identity,
            object,
            schema,
            children,
        },
    )
}

/// Somebody without an identity, from a domain that no list of known ones has.
pub(super) fn stranger() -> impl Strategy<Value = Asked> {
    let domain = "[a-z]{8}\\.nowhere\\.invalid";
    (point(), actor(domain.boxed()), proptest::option::of(0..4_u8)).prop_map(|(point, actor, object)| Asked {
        point,
        actor,
        identity: None,
        object,
        schema: None,
        children: None,
    })
}
