//! Two sides and what lies between them, explored through every interleaving of messages, loss, doubling, crash,
//! restart and time-out that a few faults allow (INV-DLG-1, INV-DLG-5, INV-DLG-7).

mod world;

use std::collections::{HashMap, VecDeque};

use hyperty_model::delegation::{Claim, Giver};
use proptest::prelude::*;
use world::{B, Broken, Giving, World};

/// Visits every world that can come to be; gives how many there are, or how one of them breaks a rule.
fn explore(start: World) -> Result<usize, String> {
    let mut seen: HashMap<World, ()> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(mut world) = queue.pop_front() {
        world.check().map_err(|why| format!("{why} in {world:?}"))?;
        if seen.insert(world.clone(), ()).is_some() {
            continue;
        }
        world.clone().settle().map_err(|why| format!("{why} after {world:?}"))?;
        queue.extend(world.next());
    }
    Ok(seen.len())
}

#[test]
fn never_two_owners_and_in_the_end_always_one_inv_dlg_1_inv_dlg_7() {
    let worlds = explore(World::new(2, 2, Broken::Nothing)).unwrap();
    assert!(worlds > 5_000, "only {worlds} worlds were looked at");
}

#[test]
fn each_rule_that_is_broken_is_found() {
    for broken in [
        Broken::GrantsEarly,
        Broken::ClaimsEarly,
        Broken::ActsEarly,
        Broken::ReturnsLate,
        Broken::ForgetsGift,
        Broken::AnyAnswer,
    ] {
        let offers = 1 + u8::from(broken == Broken::AnyAnswer);
        let found = explore(World::new(2, offers, broken));
        assert!(found.is_err(), "{broken:?} does no harm in {found:?} worlds");
    }
}

/// INV-DLG-5: whatever becomes of an offer that was not committed, the epoch stays.
#[test]
fn an_aborted_offer_leaves_the_epoch_as_it_was_inv_dlg_5() {
    for claimed in [false, true] {
        for restarted in [false, true] {
            let mut giver: Giving = Giver::Owner { epoch: 7 };
            assert!(giver.offer(1));
            assert!(!giver.offer(2), "two offers at once");
            if claimed {
                assert_eq!(giver.claim(&1, &B), Claim::Freeze);
                assert_eq!(giver.claim(&1, &'c'), Claim::Taken);
            }
            if restarted {
                let (after, told) = giver.clone().restarted();
                (giver, _) = (after, assert_eq!(told, Some(1)));
            } else {
                assert!(giver.abort(&1));
            }
            assert_eq!(giver, Giver::Owner { epoch: 7 });
            assert_eq!(giver.claim(&1, &B), Claim::Unknown);
            assert!(!giver.commit(&1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Longer runs than can be explored: many offers, many faults, one path each.
    #[test]
    fn long_runs_never_have_two_owners(choices in proptest::collection::vec(any::<u16>(), 0..200)) {
        let mut world = World::new(40, 9, Broken::Nothing);
        for choice in choices {
            let next = world.next();
            if next.is_empty() {
                break;
            }
            world = next[usize::from(choice) % next.len()].clone();
            prop_assert_eq!(world.check(), Ok(()));
        }
        prop_assert_eq!(world.settle(), Ok(()));
    }
}
