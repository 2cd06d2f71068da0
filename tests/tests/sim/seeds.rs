//! Many systems with everything going wrong in them.

use std::thread::available_parallelism;

use hyperty_conformance::level::{self, Work};
use hyperty_conformance::sim::mixed::{Mixed, Sweep};

#[test]
fn many_seeds_of_all_faults_violate_nothing() {
    let begin = level::seed();
    let seeds = begin..begin + u64::from(level::of(Work::SimulatedSeeds));
    let threads = available_parallelism().map_or(1, usize::from);
    let sweep = Sweep::run(seeds, threads, Mixed::small, |_, _| {});
    let Sweep { seeds, sum, took, .. } = &sweep;
    println!("{seeds} seeds in {took:?}: {sum:?}");
    for failure in &sweep.failures {
        println!("{}\n{}", failure.violation, failure.replay);
    }
    if let Some(failure) = sweep.failures.first() {
        panic!("{} of {seeds} seeds fail, the first is\n{failure}", sweep.failures.len());
    }
}
