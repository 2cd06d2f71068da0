//! Each fault of a node is found, by the invariant that it breaks; a node without one passes.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyperty_conformance::level::{self, Level};
use hyperty_conformance::planted::node::{all, healthy};
use hyperty_conformance::protocol::node::{NodeUnderTest, cases};
use hyperty_conformance::protocol::{Outcome, Runner};

const DOMAIN: &str = "example.com";

#[tokio::test(start_paused = true)]
async fn without_a_fault_everything_passes() {
    let node: Arc<dyn NodeUnderTest> = Arc::new(healthy(DOMAIN, level::seed()));
    let report = Runner::new(level::seed()).suite("healthy").run(&node, &cases()).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_found_by_what_it_breaks() {
    let mut missed = Vec::new();
    for fault in all() {
        let node: Arc<dyn NodeUnderTest> = Arc::new((fault.make)(DOMAIN, level::seed()));
        let mut runner = Runner::new(level::seed()).suite(fault.name);
        if Level::of_run() == Level::Quick {
            runner = runner.checking(fault.breaks);
        }
        let report = runner.run(&node, &cases()).await;
        if !report.broken().contains(&fault.breaks) {
            missed.push(format!("{}: {} is not found broken\n{report}", fault.name, fault.breaks));
        }
        for case in report.failures() {
            let Outcome::Failed { detail, trace, .. } = &case.outcome else { continue };
            assert!(!detail.is_empty() && !trace.is_empty(), "{}: a failure without its story", case.id);
            assert!(!detail.starts_with("panicked"), "{}: {detail}", case.id);
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn there_are_many_different_faults() {
    let faults = all();
    let names: BTreeSet<&str> = faults.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), faults.len(), "two of one name");
    assert!(faults.len() >= 30, "{}", faults.len());
    let breaks: BTreeSet<&str> = faults.iter().map(|fault| fault.breaks).collect();
    assert!(breaks.len() >= 20, "{breaks:?}");
    assert!(faults.iter().all(|fault| !fault.what.is_empty()));
}
