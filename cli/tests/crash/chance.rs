//! What is left to chance.

use std::time::Duration;

use hyperty_conformance::level::{self, Work};
use hyperty_model::{Ids, SeededIds};

/// A seeded source, one for each kind of process.
pub(crate) struct Chance {
    ids: SeededIds,
    pub(crate) seed: u64,
}

impl Chance {
    pub(crate) fn of(kind: u64) -> Chance {
        let seed = level::seed();
        Chance { ids: SeededIds::new(seed.wrapping_mul(2).wrapping_add(kind)), seed }
    }

    /// A number below a bound.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        (self.ids.random() % u128::from(bound)) as u64
    }

    /// How long until the kill, once enough was acknowledged: nothing is waited for but the moment.
    pub(crate) fn moment(&self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros() as u64 + 1))
    }
}

/// How many cycles of one kind of process.
pub(crate) fn cycles() -> u32 {
    level::of(Work::KillCycles).div_ceil(2)
}
