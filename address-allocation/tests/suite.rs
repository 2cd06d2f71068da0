//! The allocators through the suite.

use std::sync::Arc;

use hyperty_conformance::suites::allocator::{
    self,
    ours::{LocalDomain, NodeDomain, TableDomain},
};

#[test]
fn a_local_allocator_passes_the_suite() {
    allocator::run(&|| Arc::new(LocalDomain::new(7))).assert_passed();
}

#[test]
fn the_table_of_a_node_passes_the_suite() {
    allocator::run(&|| Arc::new(TableDomain::new(false))).assert_passed();
}

#[test]
fn a_pooling_allocator_passes_the_suite() {
    allocator::run(&|| Arc::new(TableDomain::new(true))).assert_passed();
}

#[test]
fn a_pooling_allocator_at_a_node_passes_the_suite() {
    allocator::run(&|| Arc::new(NodeDomain::new())).assert_passed();
}
