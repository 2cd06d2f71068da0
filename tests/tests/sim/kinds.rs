//! Each kind of fault by itself, none, and systems of other shapes.

use std::thread::available_parallelism;
use std::time::Duration;

use hyperty_conformance::level;
use hyperty_conformance::sim::Fault;
use hyperty_conformance::sim::mixed::{Mixed, Summary, Sweep};

/// Runs these, one for each number, and returns what they did together.
fn run(count: usize, of: impl Fn(usize) -> Mixed + Sync) -> Summary {
    let threads = available_parallelism().map_or(1, usize::from);
    let sweep = Sweep::run(0..count as u64, threads, |at| of(at as usize), |_, _| {});
    if let Some(failure) = sweep.failures.first() {
        panic!("{} of {count} fail, the first is\n{failure}", sweep.failures.len());
    }
    sweep.sum
}

fn short(faults: &[Fault]) -> Mixed {
    let troubled = Duration::from_secs(60);
    Mixed { faults: faults.to_vec(), troubled, runtimes: 4, ..Mixed::new(level::seed()) }
}

#[test]
fn each_fault_alone_violates_nothing() {
    run(Fault::ALL.len(), |at| short(&[Fault::ALL[at]]));
}

#[test]
fn without_faults_nothing_is_repaired_and_nothing_crashes() {
    let sum = run(1, |_| short(&[]));
    assert_eq!((sum.crashes, sum.conflations), (0, 0));
    assert!(sum.deliveries > 100, "{sum:?}");
}

#[test]
fn torn_files_are_opened_again() {
    let faults = [Fault::RuntimeCrash, Fault::NodeCrash, Fault::PowerLoss];
    let sum = run(2, |at| Mixed { files: true, seed: level::seed() + at as u64, ..short(&faults) });
    assert!(sum.crashes > 0, "{sum:?}");
}

/// A node knows who may speak for the objects of its own domain only, and runtimes listen at the nodes of others, too.
#[test]
fn two_domains_with_a_node_each() {
    let sum = run(2, |at| Mixed { domains: 2, seed: level::seed() + at as u64, ..short(&Fault::ALL) });
    assert!(sum.deliveries > 100, "{sum:?}");
}
