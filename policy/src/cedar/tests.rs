//! Cedar policies by their verdicts.

use std::sync::Arc;

use hyperty_model::{ChildrenName, HypertyUrl, Identity, ManualClock, ObjectUrl, Timestamp, Url};
use proptest::prelude::*;

use super::{CedarError, CedarPolicy, Outcome, SCHEMA};
use crate::rules::{RULES_BYTES_MAX, RULES_MAX};
use crate::{BLOCKED, Decision, Point, Policy, PolicyRequest};

const NOON: u64 = 12 * 3_600_000;

fn policy_of(text: &str, schema: Option<&str>) -> CedarPolicy {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(NOON)));
    CedarPolicy::parse(text, schema, clock).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn wrong(text: &str, schema: Option<&str>) -> CedarError {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(NOON)));
    CedarPolicy::parse(text, schema, clock).err().unwrap_or_else(|| panic!("{text} is taken"))
}

fn of(point: Point) -> PolicyRequest {
    PolicyRequest::new(point, Url::parse("hyperty://example.com/6f1c").unwrap())
}

fn hyperty(text: &str) -> HypertyUrl {
    HypertyUrl::parse(text).unwrap()
}

fn user(name: &str) -> Option<Identity> {
    Some(Identity::of_user(&format!("user://example.com/{name}")))
}

/// A request of which everything is known.
fn full(point: Point) -> PolicyRequest {
    of(point)
        .identity(Some(Identity::of_user_with_guid("user://example.com/bob", "user-guid://bob")))
        .object(ObjectUrl::parse("comm://example.com/8a7b").unwrap())
        .schema(Url::parse("https://example.com/.well-known/dataschema/Chat").unwrap())
        .children(ChildrenName::new("messages").unwrap())
        .target(hyperty("hyperty://example.org/t"))
        .reporter(hyperty("hyperty://example.net/r"), user("alice"))
}

async fn decision(text: &str, request: &PolicyRequest) -> Decision {
    // With and without the schema: what requests bring is what the schema says.
    let (bare, checked) = (policy_of(text, None), policy_of(text, Some(SCHEMA)));
    let decision = bare.decide(request).await;
    assert_eq!(decision, checked.decide(request).await, "{text}");
    assert_eq!(decision, bare.explain(request, Timestamp::from_millis(NOON)).decision, "{text}");
    decision
}

#[tokio::test]
async fn everything_a_request_tells_can_be_asked() {
    for point in Point::ALL {
        let action = format!("action == Action::\"{}\"", point.as_str());
        let text = format!("permit (principal, {action}, resource);");
        assert_eq!(decision(&text, &full(point)).await, Decision::Permit);
        let permits = policy_of(&text, Some(SCHEMA));
        for other in Point::ALL.into_iter().filter(|other| *other != point) {
            assert_eq!(permits.decide(&full(other)).await, Decision::NotApplicable, "{text}");
        }
    }
    for (when, holds) in [
        (r#"principal == Hyperty::"hyperty://example.com/6f1c""#, true),
        (r#"principal in User::"user://example.com/bob""#, true),
        (r#"principal in User::"user-guid://bob""#, true),
        (r#"principal in User::"user://example.com/alice""#, false),
        (r#"principal.scheme == "hyperty""#, true),
        (r#"principal has domain && principal.domain == "example.com""#, true),
        (r#"principal has domain && principal.domain == "example.net""#, false),
        (r#"resource == Object::"comm://example.com/8a7b""#, true),
        (r#"resource in User::"user://example.com/alice""#, true),
        (r#"resource in User::"user://example.com/bob""#, false),
        (r#"resource in Schema::"https://example.com/.well-known/dataschema/Chat""#, true),
        (r#"resource has reporterUser && resource.reporterUser == User::"user://example.com/alice""#, true),
        (r#"resource has reporter && resource.reporter == Hyperty::"hyperty://example.net/r""#, true),
        (r#"resource has reporter && resource.reporter in User::"user://example.com/alice""#, true),
        (r#"resource has scheme && resource.scheme == "comm""#, true),
        (r#"resource has domain && resource.domain like "*.com""#, true),
        (r#"context has children && context.children == "messages""#, true),
        (
            r#"context has target && context.target has domain && context.target.domain == "example.org""#,
            true,
        ),
        (r#"context.time.date == 19700101 && context.time.clock == 1200"#, true),
        (r#"context.time.weekday == "thursday" && context.time.millis == 43200000"#, true),
        (r#"context.time.clock > 1200"#, false),
    ] {
        let text = format!("permit (principal, action, resource) when {{ {when} }};");
        let expected = if holds { Decision::Permit } else { Decision::NotApplicable };
        assert_eq!(decision(&text, &full(Point::Subscribe)).await, expected, "{when}");
    }
}

#[tokio::test]
async fn what_forbids_wins_and_says_why() {
    let text = r#"
        permit (principal, action, resource);
        @reason("not Bob") forbid (principal in User::"user://example.com/bob", action, resource);
        forbid (principal in User::"user://example.com/eve", action, resource);
    "#;
    let read = |name| of(Point::Read).identity(user(name));
    assert_eq!(decision(text, &read("bob")).await, Decision::Deny("not Bob".to_owned()));
    assert_eq!(decision(text, &read("eve")).await, Decision::Deny(BLOCKED.to_owned()));
    assert_eq!(decision(text, &read("carol")).await, Decision::Permit);
    assert_eq!(decision("", &read("carol")).await, Decision::NotApplicable);
}

#[tokio::test]
async fn a_policy_that_fails_denies_whatever_the_others_say() {
    let text = r#"
        @id("all") permit (principal, action, resource);
        @id("careless") forbid (principal, action, resource) when { resource.scheme == "comm" };
        @id("eve") @reason("no") forbid (principal in User::"user://example.com/eve", action, resource);
    "#;
    let policy = policy_of(text, None);
    let eve = of(Point::Resume).identity(user("eve"));
    assert_eq!(policy.decide(&of(Point::Resume)).await, Decision::Deny(BLOCKED.to_owned()));
    assert_eq!(policy.decide(&eve).await, Decision::Deny(BLOCKED.to_owned()));
    let told = policy.explain(&eve, Timestamp::from_millis(NOON));
    assert_eq!(told.by, ["careless"]);
    assert_eq!(told.looked[0].outcome, Outcome::Overruled);
    assert!(matches!(&told.looked[1].outcome, Outcome::Failed(why) if why.contains("scheme")), "{told:?}");
    assert_eq!(told.looked[2].outcome, Outcome::Overruled);
    // The schema sees it beforehand.
    let wrong = wrong(text, Some(SCHEMA));
    assert!(matches!(&wrong, CedarError::Disagrees(text) if text.starts_with("line 3, ")), "{wrong}");
}

#[tokio::test]
async fn what_cannot_be_said_is_denied() {
    let policy = policy_of("permit (principal, action, resource);", None);
    let never = policy.explain(&of(Point::Read), Timestamp::from_millis(u64::MAX));
    assert_eq!(never.decision, Decision::Deny(BLOCKED.to_owned()));
    assert!(never.failed.is_some_and(|why| why.contains("calendar")));
    // A schema that does not know what requests bring.
    let narrow = r#"entity Hyperty; entity Object; action read appliesTo { principal: [Hyperty], resource: [Object] };"#;
    let policy = policy_of("permit (principal, action, resource);", Some(narrow));
    assert_eq!(policy.decide(&of(Point::Read)).await, Decision::Deny(BLOCKED.to_owned()));
}

/// What the actor says of itself is not believed of the Reporter, nor the other way round.
#[tokio::test]
async fn an_actor_that_is_the_reporter_is_who_it_says() {
    let mine = of(Point::Delete)
        .identity(user("eve"))
        .reporter(hyperty("hyperty://example.com/6f1c"), user("alice"))
        .target(hyperty("hyperty://example.com/6f1c"));
    let text = |who: &str, name: &str| {
        let (principal, resource) = match who {
            "principal" => {
                (format!("principal in User::\"user://example.com/{name}\""), "resource".to_owned())
            }
            _ => ("principal".to_owned(), format!("resource in User::\"user://example.com/{name}\"")),
        };
        format!("permit ({principal}, action, {resource});")
    };
    for (who, name, holds) in [
        ("principal", "eve", true),
        ("principal", "alice", false),
        ("resource", "alice", true),
        ("resource", "eve", false),
    ] {
        assert_eq!(decision(&text(who, name), &mine).await.is_permit(), holds, "{who} {name}");
    }
}

#[tokio::test]
async fn names_of_people_are_no_language() {
    for name in ["\" || true || \"", "\\", "*", "\u{0}", "a\nb", "principal"] {
        let request = of(Point::Read).identity(Some(Identity::of_user(name)));
        let text = r#"permit (principal in User::"user://example.com/bob", action, resource);"#;
        assert_eq!(decision(text, &request).await, Decision::NotApplicable, "{name:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let form = wrong("permit (principal, action, resource);\n  forbid (", None);
    assert!(matches!(&form, CedarError::Form(text) if text.starts_with("line 2, column ")), "{form}");
    let template = "@id(\"t\") permit (principal == ?principal, action, resource);";
    assert_eq!(wrong(template, None), CedarError::Template { name: "t".to_owned() });
    let twice =
        "@id(\"x\") permit (principal, action, resource); @id(\"x\") forbid (principal, action, resource);";
    assert_eq!(wrong(twice, None), CedarError::Twice { name: "x".to_owned() });
    let schema = wrong("", Some("entity Hyperty;\nentity"));
    assert!(matches!(&schema, CedarError::Schema(text) if text.starts_with("line 2, ")), "{schema}");
    let unknown = wrong("permit (principal, action == Action::\"raed\", resource);", Some(SCHEMA));
    assert!(matches!(&unknown, CedarError::Disagrees(text) if text.starts_with("line 1, ")), "{unknown}");
    let long = " ".repeat(RULES_BYTES_MAX + 1);
    assert_eq!(wrong(&long, None), CedarError::TooLong { bytes: RULES_BYTES_MAX + 1 });
    assert_eq!(policy_of(&long[1..], None).count(), 0);
    let many = |count: usize| "permit (principal, action, resource);".repeat(count);
    assert_eq!(wrong(&many(RULES_MAX + 1), None), CedarError::TooMany { count: RULES_MAX + 1 });
    assert_eq!(policy_of(&many(RULES_MAX), None).count(), RULES_MAX);
}

#[tokio::test]
async fn broken_policies_leave_those_before_in_force() {
    let policy = policy_of("forbid (principal, action, resource);", Some(SCHEMA));
    let handle = policy.clone();
    for broken in ["permit", "permit (principal, action, resource) when { principal.x };"] {
        assert!(policy.replace(broken, Some(SCHEMA)).is_err());
        assert_eq!(handle.decide(&of(Point::Read)).await, Decision::Deny(BLOCKED.to_owned()));
    }
    policy.replace("permit (principal, action, resource);", Some(SCHEMA)).unwrap();
    assert_eq!(handle.decide(&of(Point::Read)).await, Decision::Permit);
}

/// One policy of the property below: what it does to a request at noon, and its text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Permits,
    Forbids,
    Nothing,
    Fails,
}

impl Does {
    fn text(self, number: usize) -> String {
        let (effect, when) = match self {
            Does::Permits => ("permit", "true"),
            Does::Forbids => ("forbid", "true"),
            Does::Nothing => ("forbid", "false"),
            Does::Fails => ("permit", "resource.domain == \"x\""),
        };
        format!(
            "@id(\"p{number}\") @reason(\"r{number}\") {effect} (principal, action, resource) when {{ {when} }};\n"
        )
    }
}

proptest! {
    /// Failing denies, else forbidding, else permitting permits; named are all that decide, in the order of the text,
    /// and the reason is that of the first.
    #[test]
    fn policies_combine(all in proptest::collection::vec(
        proptest::sample::select(vec![Does::Permits, Does::Forbids, Does::Nothing, Does::Fails]), 0..14,
    )) {
        let text: String = all.iter().enumerate().map(|(number, does)| does.text(number)).collect();
        let told = policy_of(&text, None).explain(&of(Point::Create), Timestamp::from_millis(NOON));
        let strongest = [Does::Fails, Does::Forbids, Does::Permits].into_iter().find(|does| all.contains(does));
        let named = |does| all.iter().enumerate().filter(move |(_, one)| **one == does).map(|(number, _)| number);
        let by: Vec<String> =
            strongest.map(|does| named(does).map(|number| format!("p{number}")).collect()).unwrap_or_default();
        prop_assert_eq!(&told.by, &by);
        let decision = match strongest {
            None => Decision::NotApplicable,
            Some(Does::Permits) => Decision::Permit,
            Some(Does::Fails) => Decision::Deny(BLOCKED.to_owned()),
            Some(does) => Decision::Deny(format!("r{}", named(does).next().unwrap())),
        };
        prop_assert_eq!(told.decision, decision);
        for (looked, does) in told.looked.iter().zip(&all) {
            let right = match (&looked.outcome, does) {
                (Outcome::Failed(_), Does::Fails) | (Outcome::DoesNotApply, Does::Nothing) => true,
                (Outcome::Decides, does) => strongest == Some(*does),
                (Outcome::Overruled, Does::Permits | Does::Forbids) => strongest != Some(*does),
                _ => false,
            };
            prop_assert!(right, "{:?} of {:?}", looked, does);
        }
        prop_assert_eq!(told.looked.len(), all.len());
    }
}
