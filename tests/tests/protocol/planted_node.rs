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
    let report = Runner::new(level::seed()).suite("healthy").sequences(8).run(&node, &cases()).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_found_by_what_it_breaks() {
    let mut missed = Vec::new();
    for fault in all() {
        let node: Arc<dyn NodeUnderTest> = Arc::new((fault.make)(DOMAIN, level::seed()));
        let mut runner = Runner::new(level::seed()).suite(fault.name);
        if Level::of_run() != Level::Nightly {
            runner = runner.checking(fault.breaks).sequences(4);
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

/// Random sequences find faults that no case was written for in particular, and show the few steps that it takes.
#[tokio::test(start_paused = true)]
async fn random_sequences_find_faults_and_are_shortened() {
    let by_chance = [
        ("double answer", "INV-MSG-1"),
        ("lost unsubscribe", "INV-MN-1"),
        ("echo", "INV-MN-1"),
        ("leaked routes after close", "INV-MN-1"),
        ("buffer lost", "INV-MN-1"),
        ("wrong token accepted", "INV-SES-2"),
        ("two holders", "M17"),
    ];
    for (name, invariant) in by_chance {
        let fault = all().into_iter().find(|fault| fault.name == name).unwrap();
        // A seed of its own: whether chance finds something is not to depend on where other random tests begin.
        let node: Arc<dyn NodeUnderTest> = Arc::new((fault.make)(DOMAIN, 1));
        let runner = Runner::new(1).sequences(300).filter("random-sequences");
        let report = runner.run(&node, &cases()).await;
        assert_eq!(report.broken(), [invariant], "{name}: {report}");
        let Outcome::Failed { detail, trace, .. } = &report.cases[0].outcome else { unreachable!() };
        let sequence = trace.iter().find(|line| line.contains("-- sequence [")).unwrap();
        let steps = sequence.matches("who:").count();
        assert!(steps <= 6, "{name} takes {steps} steps: {detail}");
        assert!(trace.len() < 60, "{name}: {report}");
    }
}
