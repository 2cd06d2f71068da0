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
