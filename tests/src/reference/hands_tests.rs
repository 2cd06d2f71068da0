//! An object that changes hands is judged: each way it may go passes, each wrong step is found.

use serde_json::json;

use super::tests::{at, board, broken, doc};
use super::*;

/// Alice's object at 0.3, of which bob, who observes it, has seen 0.2; it is offered to bob and carol sees.
fn offered() -> Reference {
    let mut board = board(3, 2);
    board.joined("carol", at(0, 2), &doc(2)).unwrap();
    board.offered("alice", "bob").unwrap();
    board
}

#[test]
fn both_sides_and_observers_tell_of_a_gift_in_any_order() {
    type Tell = fn(&mut Reference) -> Result<(), Violation>;
    let tell: [Tell; 3] = [
        |board| board.delegated("alice", "bob", at(1, 4), &doc(3)),
        |board| board.joined("dave", at(1, 4), &doc(3)),
        |board| board.resynced("carol", at(1, 4), &doc(3)),
    ];
    for first in 0..3 {
        let mut board = offered();
        (0..3).for_each(|next| tell[(first + next) % 3](&mut board).unwrap());
        assert!(board.is_owner("bob") && !board.is_owner("alice"));
        // What alice had made and did not go along is nobody's to see; what she wrote before she heard is refused.
        board.acknowledged("alice", at(0, 3)).unwrap();
        assert_eq!(broken(board.acknowledged("alice", at(0, 4))), Invariant::I6);
        assert_eq!(broken(board.undone("alice", at(0, 3))), Invariant::I6);
        board.deposed("alice").unwrap();
        assert_eq!(broken(board.proposed("alice", at(0, 4), &doc(4))), Invariant::I5);
        assert_eq!(broken(board.resumed("alice", at(0, 3), &doc(3))), Invariant::I6);
        board.proposed("bob", at(1, 5), &doc(5)).unwrap();
        board.changed("carol", at(1, 5), &doc(5)).unwrap();
        // And back.
        board.offered("bob", "alice").unwrap();
        board.delegated("bob", "alice", at(2, 6), &doc(5)).unwrap();
        board.proposed("alice", at(2, 7), &doc(7)).unwrap();
    }
}

#[test]
fn an_observer_goes_on_into_the_new_epoch_without_a_gap() {
    let mut board = offered();
    board.changed("carol", at(0, 3), &doc(3)).unwrap();
    assert_eq!(broken(board.changed("carol", at(1, 5), &doc(3))), Invariant::I2);
    board.changed("carol", at(1, 4), &doc(3)).unwrap();
    let mut gap = offered();
    assert_eq!(broken(gap.changed("carol", at(1, 4), &doc(3))), Invariant::I2);
}

#[test]
fn a_gift_that_nobody_made_or_that_lost_something_is_found() {
    let mut nobody = board(3, 3);
    assert_eq!(broken(nobody.delegated("alice", "bob", at(1, 4), &doc(3))), Invariant::I5);
    assert_eq!(broken(nobody.joined("carol", at(1, 4), &doc(3))), Invariant::I3);
    assert_eq!(broken(nobody.offered("bob", "carol")), Invariant::I5);
    let mut over = offered();
    over.offer_over("bob");
    assert_eq!(broken(over.delegated("alice", "bob", at(1, 4), &doc(3))), Invariant::I5);
    let given = |at: Position, data: Value| broken(offered().delegated("alice", "bob", at, &data));
    assert_eq!(given(at(0, 4), doc(3)), Invariant::I5);
    assert_eq!(given(at(1, 2), doc(1)), Invariant::I6);
    assert_eq!(given(at(1, 5), doc(4)), Invariant::I3);
    assert_eq!(given(at(1, 4), json!("other")), Invariant::I1);
    let mut shown = offered();
    shown.changed("carol", at(0, 3), &doc(3)).unwrap();
    assert_eq!(broken(shown.delegated("alice", "bob", at(1, 3), &doc(2))), Invariant::I3);
    let mut twice = offered();
    twice.delegated("alice", "bob", at(1, 4), &doc(3)).unwrap();
    assert_eq!(broken(twice.delegated("alice", "carol", at(1, 4), &doc(3))), Invariant::I5);
    assert_eq!(broken(twice.delegated("alice", "bob", at(1, 5), &doc(3))), Invariant::I5);
    let mut back = offered();
    back.resumed("alice", at(0, 3), &doc(3)).unwrap();
    assert_eq!(broken(back.delegated("alice", "bob", at(1, 4), &doc(3))), Invariant::I5);
}

#[test]
fn what_cannot_be_hosted_comes_back_two_epochs_higher() {
    let mut told = offered();
    told.owner_holds("alice", at(2, 3), &doc(3)).unwrap();
    told.proposed("alice", at(2, 4), &doc(4)).unwrap();
    told.resynced("carol", at(2, 3), &doc(3)).unwrap();
    told.changed("carol", at(2, 4), &doc(4)).unwrap();
    let mut seen = offered();
    seen.joined("dave", at(2, 3), &doc(3)).unwrap();
    assert!(seen.is_owner("alice"));
    assert_eq!(broken(offered().joined("dave", at(4, 3), &doc(3))), Invariant::I3);
}

#[test]
fn whoever_takes_over_from_an_old_copy_may_lose_and_from_a_new_one_not() {
    let mut new = board(3, 3);
    new.taking_over("tablet", false);
    assert_eq!(broken(new.clone().took_over("tablet", at(1, 3), &doc(2))), Invariant::I6);
    new.took_over("tablet", at(1, 4), &doc(3)).unwrap();
    // Back in its epoch until it hears.
    new.resumed("alice", at(0, 3), &doc(3)).unwrap();
    new.deposed("alice").unwrap();
    assert_eq!(broken(new.proposed("alice", at(0, 4), &doc(4))), Invariant::I5);
    // A crash before its store had forgotten: it hears once more.
    new.resumed("alice", at(0, 3), &doc(3)).unwrap();
    new.proposed("alice", at(0, 4), &doc(4)).unwrap();
    assert_eq!(broken(new.joined("bob", at(0, 4), &doc(4))), Invariant::I3);
    let mut old = board(3, 3);
    old.joined("bob", at(0, 3), &doc(3)).unwrap();
    old.taking_over("tablet", true);
    old.took_over("tablet", at(3, 2), &doc(1)).unwrap();
    old.resynced("bob", at(3, 2), &doc(1)).unwrap();
    assert_eq!(broken(old.resynced("bob", at(0, 3), &doc(3))), Invariant::I2);
    old.resumed("tablet", at(3, 2), &doc(1)).unwrap();
    assert_eq!(broken(old.resumed("tablet", at(0, 3), &doc(3))), Invariant::I6);
}

/// A record that was saved before somebody else had the object, and lost it without having saved anything.
#[test]
fn whoever_takes_over_from_a_backup_may_skip_an_epoch() {
    let mut skips = board(3, 3);
    skips.taking_over("tablet", true);
    skips.took_over("tablet", at(1, 3), &doc(2)).unwrap();
    skips.proposed("tablet", at(1, 4), &doc(4)).unwrap();
    let mut sees = skips.clone();
    for judge in [&mut skips, &mut sees] {
        judge.taking_over("phone", true);
    }
    sees.joined("bob", at(2, 4), &doc(3)).unwrap();
    sees.took_over("phone", at(2, 4), &doc(3)).unwrap();
    assert_eq!(broken(skips.clone().took_over("phone", at(2, 4), &doc(9))), Invariant::I1);
    assert_eq!(broken(skips.clone().took_over("phone", at(2, 9), &doc(3))), Invariant::I3);
    skips.took_over("phone", at(2, 4), &doc(3)).unwrap();
    // Whoever it was taken from comes back as it was.
    skips.resumed("tablet", at(1, 4), &doc(4)).unwrap();
    skips.acknowledged("tablet", at(1, 4)).unwrap();
    // From what its owner has, nothing is skipped.
    let mut new = board(3, 3);
    new.taking_over("tablet", true);
    new.took_over("tablet", at(1, 3), &doc(2)).unwrap();
    new.taking_over("phone", false);
    assert_eq!(broken(new.took_over("phone", at(2, 4), &doc(3))), Invariant::I1);
}

#[test]
fn who_takes_over_may_be_offered_the_object_meanwhile() {
    let both = |stale| {
        let mut board = offered();
        board.taking_over("bob", stale);
        board
    };
    for stale in [false, true] {
        both(stale).delegated("alice", "bob", at(1, 4), &doc(3)).unwrap();
        both(stale).took_over("bob", at(1, 4), &doc(3)).unwrap();
        // What is given has all that was kept.
        assert_eq!(broken(both(stale).delegated("alice", "bob", at(1, 2), &doc(1))), Invariant::I6);
        let mut failed = both(stale);
        failed.take_over_failed("bob");
        failed.delegated("alice", "bob", at(1, 4), &doc(3)).unwrap();
        let mut over = both(stale);
        over.offer_over("bob");
        assert_eq!(broken(over.delegated("alice", "bob", at(1, 4), &doc(3))), Invariant::I5);
        over.took_over("bob", at(1, 4), &doc(3)).unwrap();
    }
    both(true).took_over("bob", at(1, 3), &doc(2)).unwrap();
    // Seen before it is told how.
    let mut seen = both(true);
    seen.joined("dave", at(1, 4), &doc(3)).unwrap();
    seen.took_over("bob", at(1, 4), &doc(3)).unwrap();
    seen.acknowledged("alice", at(0, 4)).unwrap();
}
