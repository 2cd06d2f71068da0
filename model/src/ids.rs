//! Randomness as a value: whoever needs an identifier is given an [`Ids`].

use std::sync::atomic::{AtomicU64, Ordering};

/// Where identifiers and random numbers come from. Nothing else in the workspace draws randomness.
pub trait Ids: Send + Sync {
    /// 128 random bits.
    fn random(&self) -> u128;

    /// A UUIDv4 in lower case, for identifiers in URLs (protocol 1.1).
    fn uuid(&self) -> String {
        let bits = (self.random() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Where the message ids of a bus start: below 2³¹, so that a restarted sender is not matched with late
    /// responses of its former life (protocol 2.1).
    fn first_message_id(&self) -> u64 {
        (self.random() & 0x7fff_ffff) as u64
    }
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    /// # Panics
    /// When the operating system has no randomness to give: nothing could go on safely.
    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        u128::from_le_bytes(bytes)
    }
}

/// A reproducible sequence for tests and simulations (splitmix64); never for tokens.
#[derive(Debug)]
pub struct SeededIds(AtomicU64);

/// How far the sequence goes with each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SeededIds {
    /// The sequence of `seed`. Seeds that are multiples of the sequence's own step apart run into each other: for several
    /// sequences of one seed there is [`SeededIds::of_part`].
    pub fn new(seed: u64) -> SeededIds {
        SeededIds(AtomicU64::new(seed))
    }

    /// The sequence of the part of this number of whatever has this seed: of the second start of a node, say. Parts of
    /// one seed, and of seeds that are close to each other in whatever way, have nothing in common.
    pub fn of_part(seed: u64, part: u64) -> SeededIds {
        SeededIds::new(mixed(mixed(seed).wrapping_add(part)))
    }

    fn next(&self) -> u64 {
        mixed(self.0.fetch_add(STEP, Ordering::SeqCst))
    }
}

/// Each number in the place of another, without a pattern.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Ids for SeededIds {
    fn random(&self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uuids_are_version_4_and_distinct() {
        let ids = SeededIds::new(7);
        let (first, second) = (ids.uuid(), ids.uuid());
        assert_ne!(first, second);
        assert_eq!(first.len(), 36);
        assert_eq!(&first[14..15], "4");
        assert!("89ab".contains(&first[19..20]));
        assert_eq!(SeededIds::new(7).uuid(), first);
    }

    /// Parts of seeds that differ by little, by the step of the sequence, or by a bit.
    fn near(seed: u64) -> Vec<SeededIds> {
        let by_step = |n: u64| n.wrapping_mul(STEP);
        let seeds = [seed, seed ^ by_step(1), seed.wrapping_add(by_step(1)), seed.wrapping_sub(by_step(1))];
        let near = (1..=4).flat_map(|n| {
            [
                seed.wrapping_add(n),
                seed.wrapping_sub(n),
                seed ^ by_step(n + 1),
                seed.wrapping_add(by_step(n + 1)),
            ]
        });
        let bits = (0..64).map(|bit| seed ^ (1 << bit));
        let all: BTreeSet<u64> = seeds.into_iter().chain(near).chain(bits).collect();
        all.iter().flat_map(|&seed| (0..3).map(move |part| SeededIds::of_part(seed, part))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn parts_of_nearby_seeds_have_nothing_in_common(seed in any::<u64>()) {
            let mut seen = BTreeSet::new();
            for ids in near(seed) {
                for _ in 0..100 {
                    // Halves, too: a sequence may not run into another out of step.
                    let number = ids.random();
                    prop_assert!(seen.insert(number as u64), "twice, of {:?}", seed);
                    prop_assert!(seen.insert((number >> 64) as u64), "twice, of {:?}", seed);
                }
            }
        }
    }

    #[test]
    fn system_ids_differ() {
        assert_ne!(SystemIds.random(), SystemIds.random());
        assert!(SystemIds.first_message_id() < 1 << 31);
    }
}
