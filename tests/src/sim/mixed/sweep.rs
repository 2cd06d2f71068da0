//! Many seeds, on as many threads as there are processors.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Mixed, Summary};
use crate::reference::{Invariant, Violation};
use crate::sim::Failure;

/// What many runs did together.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// How many runs there were.
    pub seeds: u64,
    /// Sums over those that violated nothing; the hash is of all their hashes.
    pub sum: Summary,
    /// The others, by seed.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

impl Sweep {
    /// Runs `of(seed)` for each seed. Each run has one thread to itself.
    ///
    /// `done` is told of each run when it ends.
    pub fn run(
        seeds: Range<u64>,
        threads: usize,
        of: impl Fn(u64) -> Mixed + Sync,
        done: impl Fn(u64, &Result<Summary, Box<Failure>>) + Sync,
    ) -> Sweep {
        let begun = Instant::now();
        let next = AtomicU64::new(seeds.start);
        let results = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return;
                        }
                        let mixed = of(seed);
                        let ran = catch_unwind(AssertUnwindSafe(|| mixed.run()));
                        let result = ran.unwrap_or_else(|_| Err(Box::new(panicked(&mixed))));
                        done(seed, &result);
                        results.lock().push((seed, result));
                    }
                });
            }
        });
        let mut results = results.into_inner();
        results.sort_by_key(|(seed, _)| *seed);
        let mut sweep = Sweep { seeds: seeds.end.saturating_sub(seeds.start), ..Sweep::default() };
        for (_, result) in results {
            match result {
                Ok(summary) => sweep.sum.add(&summary),
                Err(failure) => sweep.failures.push(*failure),
            }
        }
        sweep.took = begun.elapsed();
        sweep
    }
}

/// A panic outside of the simulated machines; its text is on stderr.
fn panicked(mixed: &Mixed) -> Failure {
    let system = || "the system".to_owned();
    Failure {
        seed: mixed.seed,
        violation: Violation {
            invariant: Invariant::I12,
            object: system(),
            who: system(),
            detail: "the simulation panicked".to_owned(),
        },
        at: Duration::ZERO,
        trace: Vec::new(),
        replay: mixed.command(),
    }
}

impl Summary {
    fn add(&mut self, other: &Summary) {
        self.simulated += other.simulated;
        self.hash = self.hash.rotate_left(1) ^ other.hash;
        self.lines += other.lines;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.repairs_by_changes += other.repairs_by_changes;
        self.repairs_by_snapshot += other.repairs_by_snapshot;
        self.conflations += other.conflations;
        self.crashes += other.crashes;
        self.invited += other.invited;
        self.revoked += other.revoked;
        self.removed += other.removed;
        self.actions += other.actions;
        self.delegated += other.delegated;
        self.taken_over += other.taken_over;
        self.large += other.large;
        self.other_devices += other.other_devices;
        self.tokens += other.tokens;
    }
}
