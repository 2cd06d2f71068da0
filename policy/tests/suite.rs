//! The built-in policies through the suite.

use std::sync::Arc;

use hyperty_conformance::suites::policy::{self, Rules};
use hyperty_model::SystemClock;
use hyperty_policy::rules::{RulePolicy, RuleSet};
use hyperty_policy::{Closed, Permissive};

#[test]
fn permissive_passes_the_suite() {
    policy::run(Rules::default(), &|| Arc::new(Permissive)).assert_passed();
}

#[test]
fn closed_passes_the_suite() {
    policy::run(Rules::default(), &|| Arc::new(Closed)).assert_passed();
}

#[test]
fn rules_pass_the_suite() {
    let rules = RuleSet::from_toml(
        r#"
        [groups]
        known = ["user://example.com/a", "user://example.com/b"]

        [[rule]]
        name = "who is known may look"
        decision = true
        points = ["subscribe", "read"]
        condition = { attribute = "source", operator = "in", params = ["group:known"] }

        [[rule]]
        name = "not from elsewhere"
        decision = false
        condition = { not = { attribute = "domain", operator = "equals", params = "example.com" } }
        "#,
    )
    .expect("sound rules");
    let policy = || Arc::new(RulePolicy::new(rules.clone(), Arc::new(SystemClock))) as _;
    policy::run(Rules::default(), &policy).assert_passed();
}

#[cfg(feature = "cedar")]
#[test]
fn cedar_passes_the_suite() {
    use hyperty_policy::cedar::{CedarPolicy, SCHEMA};

    let text = r#"
        @id("who is known may look")
        permit (principal, action in [Action::"subscribe", Action::"read"], resource)
        when { principal in [User::"user://example.com/a", User::"user://example.com/b"] };

        @id("not from elsewhere")
        forbid (principal, action, resource)
        unless { principal has domain && principal.domain == "example.com" };
    "#;
    let read = |schema| CedarPolicy::parse(text, schema, Arc::new(SystemClock)).expect("sound policies");
    for schema in [None, Some(SCHEMA)] {
        let policy = read(schema);
        // Handles of the same policies, which reading anew each time would take most of the time.
        policy::run(Rules::default(), &|| Arc::new(policy.clone())).assert_passed();
    }
}
