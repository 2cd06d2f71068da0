//! The registries through the suite.

use std::sync::Arc;

use hyperty_conformance::suites::registry::{
    self,
    ours::{NodeDomain, TableDomain},
};

#[test]
fn a_client_of_the_table_passes_the_suite() {
    registry::run(&|| Arc::new(TableDomain::new())).assert_passed();
}

#[test]
fn a_client_of_a_node_passes_the_suite() {
    registry::run(&|| Arc::new(NodeDomain::new())).assert_passed();
}
