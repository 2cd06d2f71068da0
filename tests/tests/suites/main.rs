//! The suites can fail: implementations with a fault each, and the invariant that catches it.

mod allocator;
mod bus;
mod policy;
mod protostub;
mod registry;
mod storage;

use hyperty_conformance::suites::Verdict;

/// The fault is caught, and by its invariant; the failure says where to look.
#[track_caller]
fn caught(fault: &str, invariant: &str, verdict: &Verdict) {
    assert!(verdict.broken().contains(invariant), "{fault} is not caught by {invariant}:\n{verdict}");
    let text = verdict.to_string();
    assert!(text.contains("HYPERTY_SEED="), "{text}");
}
