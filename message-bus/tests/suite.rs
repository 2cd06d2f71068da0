//! The buses through the suite.

use std::sync::Arc;

use hyperty_conformance::suites::bus::{self, ours::HypertyBus};
use hyperty_message_bus::{BusConfig, MessageBus};
use hyperty_model::SeededIds;

fn message_bus() -> MessageBus {
    MessageBus::new(BusConfig::default(), &SeededIds::new(1))
}

#[test]
fn the_message_bus_passes_the_suite() {
    bus::run(&|| Arc::new(message_bus())).assert_passed();
}

#[test]
fn a_mini_bus_passes_the_suite() {
    bus::run(&|| Arc::new(HypertyBus::new(&message_bus()))).assert_passed();
}
