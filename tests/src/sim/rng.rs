//! Random numbers that follow from the seed of a simulation.

use std::ops::RangeInclusive;
use std::time::Duration;

use hyperty_model::{Ids, SeededIds};

/// One stream of random numbers. Everything in a simulation that needs randomness has a stream of its own, so that
/// one more frame on a link changes nothing but that link.
#[derive(Debug)]
pub struct SimRng(SeededIds);

impl SimRng {
    /// The stream of `seed` for the thing of this name.
    pub fn new(seed: u64, name: &str) -> SimRng {
        SimRng(SeededIds::new(derived(seed, name)))
    }

    /// Any number.
    pub fn number(&self) -> u64 {
        self.0.random() as u64
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The remainder's bias is far below what any test could see.
        if bound == 0 { 0 } else { self.number() % bound }
    }

    /// Whether something with this probability happens. Certainty and impossibility take no number.
    pub fn chance(&self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        probability >= 1.0 || self.unit() < probability
    }

    /// A number from 0 to 1, without the 1.
    pub fn unit(&self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time in whole milliseconds within the range.
    pub fn within(&self, range: &RangeInclusive<Duration>) -> Duration {
        let (low, high) = (range.start().as_millis() as u64, range.end().as_millis() as u64);
        Duration::from_millis(low + self.below(high.saturating_sub(low) + 1))
    }

    /// A time around `mean`, as between events that know nothing of each other; at most ten times the mean.
    pub fn around(&self, mean: Duration) -> Duration {
        let factor = (-(1.0 - self.unit()).ln()).min(10.0);
        Duration::from_millis((mean.as_millis() as f64 * factor) as u64)
    }

    /// One of them; `None` if there is none.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}

/// A seed for the thing of this name, the same in every process.
pub(crate) fn derived(seed: u64, name: &str) -> u64 {
    name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_apart() {
        let numbers = |seed, name| (0..5).map(|_| SimRng::new(seed, name).number()).collect::<Vec<_>>();
        assert_eq!(numbers(1, "a"), numbers(1, "a"));
        assert_ne!(numbers(1, "a"), numbers(1, "b"));
        assert_ne!(numbers(1, "a"), numbers(2, "a"));
    }

    #[test]
    fn what_is_drawn_is_within_its_bounds() {
        let rng = SimRng::new(3, "bounds");
        let range = Duration::from_millis(5)..=Duration::from_millis(7);
        let mut seen = [0; 3];
        for _ in 0..300 {
            assert!(rng.below(3) < 3 && rng.unit() < 1.0);
            seen[rng.within(&range).as_millis() as usize - 5] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
        assert!(!rng.chance(0.0) && rng.chance(1.0));
    }
}
