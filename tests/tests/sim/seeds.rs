//! Many systems with everything going wrong in them.

use std::thread::available_parallelism;

use hyperty_conformance::level::{self, Work};
use hyperty_conformance::sim::mixed::{Mixed, Procedure, Sweep, Weights};

/// One system in this many is as large, and as long, as those of `hyperty simulate`.
const LARGE_EVERY: u32 = 8;

/// One system in this many has two domains, each with a node of its own.
const TWO_DOMAINS_EVERY: u32 = 16;

#[test]
fn many_seeds_of_all_faults_violate_nothing() {
    violates_nothing(level::of(Work::SimulatedSeeds), Mixed::small);
}

#[test]
fn many_seeds_of_larger_systems_violate_nothing() {
    violates_nothing(level::of(Work::SimulatedSeeds).div_ceil(LARGE_EVERY), Mixed::new);
}

/// A node knows who may speak for the objects of its own domain only, and its runtimes listen to those of the other, too.
#[test]
fn many_seeds_in_two_domains_violate_nothing() {
    // Devices of one user in two domains: tests/tests/system/backup_domains.rs.
    let weights = Weights::default().with(Procedure::OtherDevice, 0);
    let seeds = level::of(Work::SimulatedSeeds).div_ceil(TWO_DOMAINS_EVERY);
    violates_nothing(seeds, |seed| Mixed { weights, domains: 2, ..Mixed::small(seed) });
}

fn violates_nothing(seeds: u32, of: impl Fn(u64) -> Mixed + Sync) {
    let begin = level::seed();
    let threads = available_parallelism().map_or(1, usize::from);
    let sweep = Sweep::run(begin..begin + u64::from(seeds), threads, of, |_, _| {});
    let Sweep { seeds, sum, took, .. } = &sweep;
    println!("{seeds} seeds in {took:?}: {sum:?}");
    for failure in &sweep.failures {
        println!("{}\n{}", failure.violation, failure.replay);
    }
    if let Some(failure) = sweep.failures.first() {
        panic!("{} of {seeds} seeds fail, the first is\n{failure}", sweep.failures.len());
    }
}
