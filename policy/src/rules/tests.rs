use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Timestamp, Url};
use proptest::prelude::*;

use super::*;
use crate::{Decision, Point, PolicyRequest};

const USERS: [&str; 3] = ["user://a.example/ann", "user://b.example/bob", "user://b.example/ben"];
const ACTORS: [&str; 2] = ["hyperty://a.example/1", "hyperty://b.example/2"];
const DAY: u64 = 86_400_000;

fn at(text: &str) -> Timestamp {
    serde_json::from_value(serde_json::json!(text)).unwrap()
}

fn request(point: Point, actor: &str, user: Option<&str>) -> PolicyRequest {
    PolicyRequest::new(point, Url::parse(actor).unwrap()).identity(user.map(Identity::of_user))
}

fn block_if(condition: &str) -> RuleSet {
    RuleSet::from_toml(&format!("[[rule]]\nname = \"x\"\ndecision = false\ncondition = {condition}")).unwrap()
}

fn applies(condition: &str, now: &str) -> bool {
    block_if(condition).decide(&request(Point::Read, ACTORS[0], Some(USERS[0])), at(now)).refusal().is_some()
}

#[test]
fn time_goes_round_midnight_and_days_round_the_week() {
    let night = r#"{ attribute = "time", operator = "between", params = ["22:00", "06:00"] }"#;
    for (now, inside) in [
        ("2026-11-22T21:59:59Z", false),
        ("2026-11-22T22:00:00Z", true),
        ("2026-11-22T00:00:00Z", true),
        ("2026-11-22T06:00:59Z", true),
        ("2026-11-22T06:01:00Z", false),
    ] {
        assert_eq!(applies(night, now), inside, "{now}");
    }
    let weekend = r#"{ attribute = "weekday", operator = "between", params = ["saturday", "monday"] }"#;
    assert!(applies(weekend, "2026-11-22T12:00:00Z"), "a Sunday");
    assert!(!applies(weekend, "2026-11-24T12:00:00Z"), "a Tuesday");
    let later = r#"{ attribute = "date", operator = "greaterThan", params = "2026-11-21" }"#;
    assert!(applies(later, "2026-11-22T00:00:00Z") && !applies(later, "2026-11-21T23:59:59Z"));
}

#[test]
fn a_rule_of_a_scope_is_for_the_objects_of_its_target() {
    let rules = RuleSet::from_json(
        r#"{"rule": [{"name": "mine", "decision": true, "scope": "identity", "target": "user://a.example/ann"}]}"#,
    )
    .unwrap();
    let hyperty = HypertyUrl::parse(ACTORS[0]).unwrap();
    let of = |user: &str| {
        request(Point::Subscribe, ACTORS[1], None).reporter(hyperty.clone(), Some(Identity::of_user(user)))
    };
    assert_eq!(rules.decide(&of(USERS[0]), at("2026-01-01T00:00:00Z")), Decision::Permit);
    assert_eq!(rules.decide(&of(USERS[1]), at("2026-01-01T00:00:00Z")), Decision::NotApplicable);
    let unknown = request(Point::Subscribe, ACTORS[1], None);
    assert_eq!(rules.decide(&unknown, at("2026-01-01T00:00:00Z")), Decision::NotApplicable);
}

#[test]
fn an_explanation_tells_who_decided_and_what_was_looked_at() {
    let rules = RuleSet::from_toml(
        r#"
        algorithm = "firstApplicable"
        [[rule]]
        name = "late"
        decision = false
        reason = "later"
        [[rule]]
        name = "first"
        priority = 5
        decision = true
        points = ["create"]
        condition = { not = { attribute = "scheme", operator = "equals", params = "comm" } }
        "#,
    )
    .unwrap();
    let create =
        request(Point::Create, ACTORS[0], None).object(ObjectUrl::parse("comm://a.example/1").unwrap());
    let told = rules.explain(&create, Timestamp::from_millis(0));
    assert_eq!(told.by.map(|rule| rule.name.as_str()), Some("late"));
    assert_eq!(told.decision.refusal(), Some("later"));
    let looked: Vec<_> =
        told.looked.iter().map(|looked| (looked.rule.name.as_str(), looked.applies)).collect();
    assert_eq!(looked, [("first", Applies::No), ("late", Applies::Yes)]);
    let read = rules.explain(&request(Point::Read, ACTORS[0], None), Timestamp::from_millis(0));
    assert_eq!(read.looked.len(), 1, "the other is for another point");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let form = RuleSet::from_toml("[[rule]]\nname = \"x\"\ndecison = true").unwrap_err().to_string();
    assert!(form.contains("decison") && form.contains("line 3"), "{form}");
    for (condition, what) in [
        (r#"{ attribute = "domain", operator = "lessThan", params = "x" }"#, "no order"),
        (r#"{ attribute = "date", operator = "equals", params = "22.11.2026" }"#, "2026-11-22"),
        (r#"{ attribute = "time", operator = "between", params = ["10:00"] }"#, "2 to 2"),
        (r#"{ attribute = "source", operator = "in", params = ["group:nobody"] }"#, "no group"),
        (r#"{ and = [], or = [] }"#, "one of"),
    ] {
        let text = format!("[[rule]]\nname = \"x\"\ndecision = true\ncondition = {condition}");
        let error = RuleSet::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(what), "{condition}: {error}");
    }
    let targets = r#"{"rule": [{"name": "x", "decision": true, "scope": "hyperty"}]}"#;
    assert!(matches!(RuleSet::from_json(targets), Err(RulesError::Rule { .. })));
}

#[test]
fn the_limits_are_kept() {
    let rule = r#"{"name": "x", "decision": true}"#;
    let many = |count: usize| format!(r#"{{"rule": [{}]}}"#, vec![rule; count].join(","));
    assert!(RuleSet::from_json(&many(RULES_MAX)).is_ok());
    assert_eq!(RuleSet::from_json(&many(RULES_MAX + 1)), Err(RulesError::TooMany { count: RULES_MAX + 1 }));
    let long = format!("#{}", " ".repeat(RULES_BYTES_MAX));
    assert!(matches!(RuleSet::from_toml(&long), Err(RulesError::TooLong { .. })));
    let nested = |depth: usize| {
        let test = r#"{"attribute": "type", "operator": "equals", "params": "read"}"#;
        let nots = depth - 1;
        let condition = format!("{}{test}{}", r#"{"not": "#.repeat(nots), "}".repeat(nots));
        format!(r#"{{"rule": [{{"name": "x", "decision": true, "condition": {condition}}}]}}"#)
    };
    assert!(RuleSet::from_json(&nested(16)).is_ok());
    assert!(matches!(RuleSet::from_json(&nested(17)), Err(RulesError::Rule { .. })));
    assert!(matches!(RuleSet::from_json(&nested(5_000)), Err(RulesError::Form(_))));
}

fn test() -> impl Strategy<Value = Condition> {
    let some = |values: &'static [&'static str]| {
        proptest::sample::subsequence(values.to_vec(), 1..=values.len())
            .prop_map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    prop_oneof![
        some(&USERS).prop_map(|texts| (Attribute::Source, Operator::In, texts)),
        some(&["group:bs", ACTORS[0]]).prop_map(|texts| (Attribute::Source, Operator::In, texts)),
        some(&["a.example", "b.example"]).prop_map(|texts| (Attribute::Domain, Operator::In, texts)),
        some(&["comm", "context"]).prop_map(|texts| (Attribute::Scheme, Operator::In, texts)),
        some(&["read", "subscribe"]).prop_map(|texts| (Attribute::Type, Operator::In, texts)),
        (0..24u8, 0..24u8).prop_map(|(from, to)| {
            (Attribute::Time, Operator::Between, vec![format!("{from:02}:00"), format!("{to:02}:30")])
        }),
        (1..29u8).prop_map(|day| (Attribute::Date, Operator::LessThan, vec![format!("1970-01-{day:02}")])),
    ]
    .prop_map(|(attribute, operator, params)| {
        Condition::Test(Test::new(attribute, operator, params).expect("a sound test"))
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    test().prop_recursive(3, 12, 3, |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            several.clone().prop_map(Condition::And),
            several.prop_map(Condition::Or),
            inner.prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let points = proptest::sample::subsequence(Point::ALL.to_vec(), 0..3);
    (any::<bool>(), points, proptest::option::of(condition()), -2..3i64).prop_map(
        |(decision, points, condition, priority)| Rule {
            name: format!("{priority}"),
            decision,
            points,
            condition,
            scope: Scope::Global,
            target: None,
            priority,
            reason: None,
        },
    )
}

fn rules() -> impl Strategy<Value = RuleSet> {
    let algorithm = prop_oneof![
        Just(Algorithm::BlockOverrides),
        Just(Algorithm::AllowOverrides),
        Just(Algorithm::FirstApplicable)
    ];
    (algorithm, proptest::collection::vec(rule(), 0..5)).prop_map(|(algorithm, rules)| {
        let bs = USERS[1..].iter().map(|user| (*user).to_owned()).collect();
        let set = RuleSet { algorithm, groups: [("bs".to_owned(), bs)].into(), rules };
        RuleSet::from_json(&serde_json::to_string(&set).unwrap()).unwrap()
    })
}

fn requests() -> impl Strategy<Value = (PolicyRequest, Timestamp)> {
    let object = proptest::option::of(prop_oneof![Just("comm://a.example/1"), Just("context://a.example/1")]);
    let (points, actors) = (proptest::sample::select(&Point::ALL[..]), proptest::sample::select(&ACTORS[..]));
    (points, actors, proptest::sample::select(&USERS[..]), object, 0..30 * DAY).prop_map(
        |(point, actor, user, object, now)| {
            let mut request = request(point, actor, Some(user));
            request.object = object.map(|url| ObjectUrl::parse(url).unwrap());
            (request, Timestamp::from_millis(now))
        },
    )
}

proptest! {
    #[test]
    fn rules_survive_being_written(rules in rules()) {
        let toml = toml::to_string(&rules).unwrap();
        prop_assert_eq!(&RuleSet::from_toml(&toml).unwrap(), &rules);
        prop_assert_eq!(&RuleSet::from_json(&serde_json::to_string(&rules).unwrap()).unwrap(), &rules);
    }

    #[test]
    fn what_is_not_told_never_lets_anybody_in(rules in rules(), (told, now) in requests()) {
        let untold = PolicyRequest { identity: None, object: None, ..told.clone() };
        if rules.decide(&untold, now).is_permit() {
            prop_assert!(rules.decide(&told, now).is_permit());
        }
        if rules.decide(&told, now).refusal().is_some() {
            prop_assert!(!rules.decide(&untold, now).is_permit());
        }
    }

    #[test]
    fn with_block_overrides_one_more_rule_to_block_never_lets_more_in(
        rules in rules(), one in rule(), (request, now) in requests(),
    ) {
        let before = RuleSet { algorithm: Algorithm::BlockOverrides, ..rules };
        let mut after = before.clone();
        after.rules.push(Rule { decision: false, ..one });
        if before.decide(&request, now).refusal().is_some() {
            prop_assert!(after.decide(&request, now).refusal().is_some());
        }
        prop_assert!(!after.decide(&request, now).is_permit() || before.decide(&request, now).is_permit());
    }

    #[test]
    fn the_explanation_is_of_the_decision(rules in rules(), (request, now) in requests()) {
        let told = rules.explain(&request, now);
        prop_assert_eq!(&told.decision, &rules.decide(&request, now));
        match told.by {
            None => prop_assert_eq!(told.decision, Decision::NotApplicable),
            Some(rule) => {
                prop_assert_eq!(told.decision.is_permit(), rule.decision);
                prop_assert!(told.looked.iter().any(|looked| looked.rule == rule));
            }
        }
    }

    #[test]
    fn a_condition_and_its_opposite_disagree(condition in condition(), (request, now) in requests()) {
        let groups = [("bs".to_owned(), vec![USERS[1].to_owned()])].into();
        let now = crate::moment::Moment::at(now);
        let opposite = Condition::Not(Box::new(condition.clone()));
        let (a, b) = (condition.holds(&request, now, &groups), opposite.holds(&request, now, &groups));
        prop_assert_eq!(a.map(|a| !a), b);
        let both = Condition::And(vec![condition.clone(), opposite.clone()]).holds(&request, now, &groups);
        let either = Condition::Or(vec![condition, opposite]).holds(&request, now, &groups);
        prop_assert_eq!((both, either), (a.map(|_| false), a.map(|_| true)));
    }
}
