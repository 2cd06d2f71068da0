//! The built-in policies through the suite.

use std::sync::Arc;

use hyperty_conformance::suites::policy::{self, Rules};
use hyperty_policy::{Closed, Permissive};

#[test]
fn permissive_passes_the_suite() {
    policy::run(Rules::default(), &|| Arc::new(Permissive)).assert_passed();
}

#[test]
fn closed_passes_the_suite() {
    policy::run(Rules::default(), &|| Arc::new(Closed)).assert_passed();
}
