//! Every planted fault of a runtime is found by the protocol suite, and by the rule that it breaks.

use std::sync::Arc;

use hyperty_conformance::level::{self, Level};
use hyperty_conformance::planted::runtime::{Fault, faults};
use hyperty_conformance::protocol::runtime;
use hyperty_conformance::protocol::{Report, Runner};

/// Only the cases about the rules that the fault breaks; at night all.
async fn examine(fault: &Fault) -> Report {
    let mut cases = runtime::cases();
    if Level::of_run() != Level::Nightly {
        cases.retain(|case| case.invariants.iter().any(|invariant| fault.breaks.contains(invariant)));
    }
    Runner::new(level::seed()).suite(fault.name).run(&Arc::new(fault.subject()), &cases).await
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_caught_by_the_rule_that_it_breaks() {
    let mut missed = Vec::new();
    for fault in faults() {
        let report = examine(&fault).await;
        let broken = report.broken();
        let found: Vec<&&str> = broken.iter().filter(|rule| fault.breaks.contains(rule)).collect();
        let cases: Vec<&str> = report.failures().map(|case| case.id).collect();
        println!("{:<34} {:<24} by {} cases: {}", fault.name, broken.join(" "), cases.len(), cases.join(" "));
        if found.is_empty() {
            missed.push(format!(
                "{} ({}): breaks {:?}, found {broken:?}",
                fault.name, fault.what, fault.breaks
            ));
        }
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
}

#[test]
fn there_are_enough_faults_and_each_has_a_name() {
    let all = faults();
    assert!(all.len() >= 15, "{}", all.len());
    for (n, fault) in all.iter().enumerate() {
        assert!(!fault.what.is_empty() && !fault.breaks.is_empty(), "{}", fault.name);
        assert!(all[..n].iter().all(|other| other.name != fault.name), "{} is there twice", fault.name);
    }
}
