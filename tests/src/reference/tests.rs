//! The model can fail: for each invariant, histories that break it, and random good ones that break none.

use serde_json::json;

use super::*;

pub(super) const OBJECT: &str = "comm://example.com/1";

pub(super) fn at(epoch: u64, version: u64) -> Position {
    Position::new(epoch, version)
}

pub(super) fn doc(version: u64) -> Value {
    json!({"n": version})
}

/// An open object of alice with these versions written, and the first ones acknowledged.
pub(super) fn board(written: u64, acknowledged: u64) -> Reference {
    let mut board = Reference::new(OBJECT, "alice", doc(0)).open();
    for version in 1..=written {
        board.proposed("alice", at(0, version), &doc(version)).unwrap();
    }
    board.acknowledged("alice", at(0, acknowledged)).unwrap();
    board
}

#[track_caller]
pub(super) fn broken<T: fmt::Debug>(result: Result<T, Violation>) -> Invariant {
    result.expect_err("a violation").invariant
}

fn kid(version: u64) -> ChildSeen {
    ChildSeen { id: "notes/1".into(), writer: "bob".into(), version, data: json!({"v": version}) }
}

fn with_kid(versions: u64) -> Reference {
    let mut board = board(0, 0);
    board.joined("bob", at(0, 0), &doc(0)).unwrap();
    board.joined("carol", at(0, 0), &doc(0)).unwrap();
    for version in 0..=versions {
        board.child_proposed("bob", "notes/1", version, &kid(version).data).unwrap();
        board.child_acknowledged("bob", "notes/1", version).unwrap();
    }
    board
}

#[test]
fn i1_another_document_is_found_wherever_it_is_shown() {
    let other = json!({"n": 1, "more": true});
    let mut board = board(3, 3);
    assert_eq!(broken(board.joined("bob", at(0, 1), &other)), Invariant::I1);
    board.joined("bob", at(0, 0), &doc(0)).unwrap();
    assert_eq!(broken(board.changed("bob", at(0, 1), &other)), Invariant::I1);
    assert_eq!(broken(board.resynced("bob", at(0, 1), &other)), Invariant::I1);
    assert_eq!(broken(board.holds("bob", at(0, 1), &other)), Invariant::I1);
    assert_eq!(broken(board.read("bob", at(0, 1), &other)), Invariant::I1);
    assert_eq!(broken(board.owner_holds("alice", at(0, 2), &doc(2))), Invariant::I1);
    assert_eq!(broken(board.owner_holds("alice", at(0, 3), &other)), Invariant::I1);
    board.owner_holds("alice", at(0, 3), &doc(3)).unwrap();
    let mut kids = with_kid(1);
    let seen = ChildSeen { data: json!({"v": 7}), ..kid(1) };
    assert_eq!(broken(kids.child_changed("carol", &seen, false)), Invariant::I1);
    assert_eq!(broken(kids.holds_children("carol", &[seen])), Invariant::I1);
}

#[test]
fn i1_what_lies_within_an_edit_is_the_same_for_everybody() {
    let mut board = board(0, 0);
    board.proposed("alice", at(0, 2), &doc(2)).unwrap();
    board.joined("bob", at(0, 1), &json!({"half": 1})).unwrap();
    assert_eq!(broken(board.joined("carol", at(0, 1), &json!({"half": 2}))), Invariant::I1);
    board.joined("carol", at(0, 1), &json!({"half": 1})).unwrap();
}

#[test]
fn i1_documents_of_which_only_a_digest_is_kept_are_compared() {
    let limits = Limits { values: 2, positions: 4, ..Limits::default() };
    let mut board = Reference::with_limits(OBJECT, "alice", doc(0), limits).open();
    (1..=9).for_each(|version| board.proposed("alice", at(0, version), &doc(version)).unwrap());
    board.read("bob", at(0, 6), &doc(6)).unwrap();
    assert_eq!(broken(board.read("bob", at(0, 6), &doc(7))), Invariant::I1);
    // What is forgotten is not judged.
    board.read("bob", at(0, 1), &doc(7)).unwrap();
    assert_eq!(board.data(), Some(&doc(9)));
}

#[test]
fn i2_gaps_doubles_and_ways_back_are_found() {
    for (told, next) in [(1, 3), (1, 1), (2, 1)] {
        let mut board = board(4, 4);
        board.joined("bob", at(0, told), &doc(told)).unwrap();
        assert_eq!(broken(board.changed("bob", at(0, next), &doc(next))), Invariant::I2, "{told} {next}");
    }
    let mut board = board(4, 4);
    board.joined("bob", at(0, 0), &doc(0)).unwrap();
    board.resynced("bob", at(0, 3), &doc(3)).unwrap();
    assert_eq!(broken(board.resynced("bob", at(0, 2), &doc(2))), Invariant::I2);
    board.changed("bob", at(0, 4), &doc(4)).unwrap();
    board.holds("bob", at(0, 4), &doc(4)).unwrap();
    assert_eq!(broken(board.holds("bob", at(0, 3), &doc(3))), Invariant::I2);
    assert_eq!(broken(board.proposed("alice", at(0, 4), &doc(5))), Invariant::I2);
    let mut kids = with_kid(2);
    kids.child_changed("carol", &kid(1), false).unwrap();
    assert_eq!(broken(kids.child_changed("carol", &kid(1), false)), Invariant::I2);
    kids.holds_children("carol", &[kid(2)]).unwrap();
    assert_eq!(broken(kids.holds_children("carol", &[kid(1)])), Invariant::I2);
}

#[test]
fn i9_a_deletion_is_final_once_the_reporters_side_has_it() {
    let mut kids = with_kid(1);
    kids.child_deleted("bob", "notes/1").unwrap();
    // The deletion on its way, or a version that is taken back: nobody can tell.
    kids.child_changed("carol", &kid(1), true).unwrap();
    kids.holds_children("carol", &[kid(1)]).unwrap();
    kids.child_changed("carol", &kid(1), false).unwrap();
    kids.child_changed("carol", &kid(1), true).unwrap();
    kids.child_deletion_acknowledged("bob", "notes/1").unwrap();
    assert_eq!(broken(kids.child_changed("carol", &kid(1), false)), Invariant::I9);
    assert_eq!(broken(kids.holds_children("carol", &[kid(1)])), Invariant::I9);
}

#[test]
fn i3_what_nobody_wrote_or_kept_is_found() {
    let mut first = board(2, 2);
    assert_eq!(broken(first.joined("bob", at(0, 3), &doc(3))), Invariant::I3);
    assert_eq!(broken(first.joined("bob", at(1, 2), &doc(2))), Invariant::I3);
    assert_eq!(broken(first.acknowledged("alice", at(0, 3))), Invariant::I3);
    // Shown, and lost in a crash: it was shown before it was durable.
    assert_eq!(broken(first.deleted("alice")), Invariant::I3);
    let mut early = board(2, 1);
    early.joined("bob", at(0, 2), &doc(2)).unwrap();
    assert_eq!(broken(early.resumed("alice", at(0, 1), &doc(1))), Invariant::I3);
    assert_eq!(broken(early.undone("alice", at(0, 2))), Invariant::I3);
    let mut kids = with_kid(1);
    assert_eq!(broken(kids.child_changed("carol", &kid(2), false)), Invariant::I3);
    assert_eq!(broken(kids.child_changed("carol", &kid(1), true)), Invariant::I3);
    let unknown = ChildSeen { id: "notes/2".into(), ..kid(0) };
    assert_eq!(broken(kids.holds_children("alice", &[unknown])), Invariant::I3);
    assert_eq!(broken(board(0, 0).saw_deleted("bob")), Invariant::I3);
}

#[test]
fn i4_nothing_comes_after_the_end_but_what_was_on_its_way() {
    type End = fn(&mut Reference);
    let ends: [End; 3] = [|b| b.refused("bob"), |b| b.removed("bob"), |b| b.unsubscribed("bob")];
    for end in ends {
        let mut board = board(1, 1);
        board.joined("bob", at(0, 0), &doc(0)).unwrap();
        end(&mut board);
        board.changed("bob", at(0, 1), &doc(1)).unwrap();
        board.proposed("alice", at(0, 2), &doc(2)).unwrap();
        assert_eq!(broken(board.changed("bob", at(0, 2), &doc(2))), Invariant::I4);
        assert_eq!(broken(board.holds("bob", at(0, 2), &doc(2))), Invariant::I4);
        assert_eq!(broken(board.came_back("bob", at(0, 2), &doc(2))), Invariant::I4);
        // Who was removed and has not heard of it comes back with what it had, and only once.
        let back = board.came_back("bob", at(0, 1), &doc(1));
        assert_eq!(back.is_ok(), board.is_unheard("bob"));
        board.saw_removed("bob").unwrap();
        assert_eq!(broken(board.came_back("bob", at(0, 1), &doc(1))), Invariant::I4);
    }
    let mut board = board(0, 0);
    board.refused("bob");
    assert_eq!(broken(board.joined("bob", at(0, 0), &doc(0))), Invariant::I4);
    assert_eq!(broken(board.read("bob", at(0, 0), &doc(0))), Invariant::I4);
    board.granted("bob");
    board.joined("bob", at(0, 0), &doc(0)).unwrap();
    assert_eq!(broken(board.saw_removed("bob")), Invariant::I4);
    let mut closed = Reference::new(OBJECT, "alice", doc(0));
    assert_eq!(broken(closed.joined("bob", at(0, 0), &doc(0))), Invariant::I4);
    assert_eq!(broken(closed.changed("carol", at(0, 0), &doc(0))), Invariant::I4);
}

#[test]
fn i5_an_epoch_and_a_child_have_one_owner() {
    let mut board = board(2, 2);
    assert_eq!(broken(board.proposed("bob", at(0, 3), &doc(3))), Invariant::I5);
    assert_eq!(broken(board.resumed("bob", at(0, 2), &doc(2))), Invariant::I5);
    assert_eq!(broken(board.took_over("bob", at(0, 2), &doc(2))), Invariant::I5);
    board.took_over("bob", at(1, 3), &doc(2)).unwrap();
    assert_eq!(broken(board.took_over("carol", at(1, 3), &doc(2))), Invariant::I5);
    // The former owner goes on until it hears, for nobody to see.
    board.proposed("alice", at(0, 3), &doc(3)).unwrap();
    assert_eq!(broken(board.joined("carol", at(0, 3), &doc(3))), Invariant::I3);
    assert_eq!(broken(board.proposed("alice", at(1, 4), &doc(4))), Invariant::I5);
    board.proposed("bob", at(1, 4), &doc(4)).unwrap();
    board.owns("alice", 0).unwrap();
    assert_eq!(broken(board.owns("alice", 1)), Invariant::I5);
    board.deposed("alice").unwrap();
    assert_eq!(broken(board.deposed("bob")), Invariant::I5);
    assert_eq!(broken(board.proposed("alice", at(0, 3), &doc(3))), Invariant::I5);
    let mut kids = with_kid(0);
    assert_eq!(broken(kids.child_proposed("carol", "notes/1", 1, &json!({}))), Invariant::I5);
    let stolen = ChildSeen { writer: "carol".into(), ..kid(0) };
    assert_eq!(broken(kids.holds_children("alice", &[stolen])), Invariant::I5);
}

#[test]
fn i6_what_was_acknowledged_is_there_after_a_crash() {
    assert_eq!(broken(board(4, 3).resumed("alice", at(0, 2), &doc(2))), Invariant::I6);
    assert_eq!(broken(board(4, 3).resumed("alice", at(1, 2), &doc(2))), Invariant::I6);
    assert_eq!(broken(board(4, 3).vanished("alice")), Invariant::I6);
    assert_eq!(broken(board(4, 3).undone("alice", at(0, 3))), Invariant::I6);
    let mut kept = board(4, 3);
    kept.resumed("alice", at(0, 3), &doc(3)).unwrap();
    // The same version again is another change: what was lost is not asked for.
    kept.proposed("alice", at(0, 4), &json!("other")).unwrap();
    // A store that may lose says so by the epoch.
    let mut buffered = board(4, 3).lossy();
    assert_eq!(broken(buffered.clone().resumed("alice", at(0, 2), &doc(2))), Invariant::I6);
    buffered.resumed("alice", at(1, 2), &doc(2)).unwrap();
    buffered.proposed("alice", at(1, 3), &json!("other")).unwrap();
    buffered.joined("bob", at(1, 3), &json!("other")).unwrap();
    let mut kids = with_kid(1);
    assert_eq!(broken(kids.holds_children("alice", &[kid(0)])), Invariant::I6);
    assert_eq!(broken(kids.holds_children("alice", &[])), Invariant::I6);
    kids.holds_children("alice", &[kid(1)]).unwrap();
}

#[test]
fn i7_each_request_has_one_final_answer() {
    let mut answers = Answers::new();
    answers.asked("read 1").unwrap();
    assert_eq!((broken(answers.finished()), answers.waiting()), (Invariant::I7, 1));
    answers.provisional("read 1").unwrap();
    answers.answered("read 1", "200").unwrap();
    answers.finished().unwrap();
    assert_eq!(broken(answers.answered("read 1", "200")), Invariant::I7);
    assert_eq!(broken(answers.provisional("read 1")), Invariant::I7);
    assert_eq!(broken(answers.answered("read 2", "200")), Invariant::I7);
    assert_eq!(broken(answers.provisional("read 2")), Invariant::I7);
    assert_eq!(broken(answers.asked("read 1")), Invariant::I7);
}

#[test]
fn i8_a_record_comes_back_as_it_was() {
    assert_eq!(broken(board(3, 2).resumed("alice", at(0, 2), &json!({}))), Invariant::I8);
    assert_eq!(broken(board(3, 2).resumed("alice", at(0, 4), &doc(4))), Invariant::I8);
    let mut copy = board(3, 3);
    copy.joined("bob", at(0, 3), &doc(3)).unwrap();
    assert_eq!(broken(copy.came_back("bob", at(0, 2), &json!({"n": 1}))), Invariant::I8);
    copy.came_back("bob", at(0, 1), &doc(1)).unwrap();
    copy.changed("bob", at(0, 2), &doc(2)).unwrap();
}

#[test]
fn i9_deleted_stays_deleted() {
    let mut board = board(2, 2);
    board.joined("bob", at(0, 1), &doc(1)).unwrap();
    board.deleting();
    // It may be there still.
    board.joined("carol", at(0, 2), &doc(2)).unwrap();
    board.saw_deleted("carol").unwrap();
    assert_eq!(broken(board.clone().resumed("alice", at(0, 2), &doc(2))), Invariant::I9);
    board.deleted("alice").unwrap();
    board.changed("bob", at(0, 2), &doc(2)).unwrap();
    assert_eq!(broken(board.joined("dave", at(0, 2), &doc(2))), Invariant::I9);
    assert_eq!(broken(board.read("dave", at(0, 2), &doc(2))), Invariant::I9);
    assert_eq!(broken(board.resumed("alice", at(0, 2), &doc(2))), Invariant::I9);
    assert_eq!(broken(board.proposed("alice", at(0, 3), &doc(3))), Invariant::I9);
    assert_eq!(broken(board.took_over("bob", at(1, 3), &doc(2))), Invariant::I9);
    board.vanished("alice").unwrap();
    let mut kids = with_kid(1);
    kids.child_deleted("bob", "notes/1").unwrap();
    kids.holds_children("alice", &[kid(1)]).unwrap();
    kids.child_deletion_acknowledged("bob", "notes/1").unwrap();
    assert_eq!(broken(kids.holds_children("alice", &[kid(1)])), Invariant::I9);
    // One who has not heard of it may hold it still.
    kids.holds_children("carol", &[kid(1)]).unwrap();
    kids.child_changed("carol", &kid(1), true).unwrap();
    assert_eq!(broken(kids.holds_children("carol", &[kid(1)])), Invariant::I9);
    assert_eq!(broken(kids.child_changed("carol", &kid(1), false)), Invariant::I9);
    assert_eq!(broken(kids.child_proposed("bob", "notes/1", 2, &json!({}))), Invariant::I9);
    kids.joined("dave", at(0, 0), &doc(0)).unwrap();
    assert_eq!(broken(kids.holds_children("dave", &[kid(1)])), Invariant::I9);
    // What is deleted while the answer is on its way may be in it, until it is told.
    let mut late = with_kid(1);
    late.granted("dave");
    late.asks("dave");
    late.child_deleted("bob", "notes/1").unwrap();
    late.child_deletion_acknowledged("bob", "notes/1").unwrap();
    late.joined("dave", at(0, 0), &doc(0)).unwrap();
    late.holds_children("dave", &[kid(1)]).unwrap();
    late.child_changed("dave", &kid(1), true).unwrap();
    assert_eq!(broken(late.holds_children("dave", &[kid(1)])), Invariant::I9);
}

#[test]
fn i10_what_is_left_is_found() {
    let before = Baseline::new([("routes", 2), ("tasks", 5)]);
    before.holds("node", &Baseline::new([("routes", 2), ("tasks", 4)])).unwrap();
    assert_eq!(broken(before.holds("node", &Baseline::new([("routes", 3)]))), Invariant::I10);
    assert_eq!(broken(before.holds("node", &Baseline::new([("queues", 1)]))), Invariant::I10);
}

#[test]
fn i11_who_is_behind_in_the_end_is_found() {
    let mut board = board(2, 2);
    board.settled("bob", at(0, 2), &doc(2)).unwrap();
    assert_eq!(broken(board.settled("bob", at(0, 1), &doc(1))), Invariant::I11);
    assert_eq!(broken(board.settled("bob", at(0, 2), &doc(1))), Invariant::I11);
    let mut kids = with_kid(1);
    kids.settled_children("carol", &[kid(1)], &[kid(1)]).unwrap();
    assert_eq!(broken(kids.settled_children("carol", &[], &[kid(1)])), Invariant::I11);
    assert_eq!(broken(kids.settled_children("carol", &[kid(0)], &[kid(0)])), Invariant::I11);
    kids.child_deleted("bob", "notes/1").unwrap();
    assert_eq!(broken(kids.settled_children("carol", &[kid(1)], &[kid(1)])), Invariant::I11);
}

#[test]
fn i12_what_was_forged_is_found_in_any_place() {
    let forged = json!({"n": 1, "deep": [{"x": "so forged-7!"}]});
    let mut board = with_kid(0);
    board.hostile("forged-7");
    board.proposed("alice", at(0, 1), &doc(1)).unwrap();
    assert_eq!(broken(board.changed("bob", at(0, 1), &forged)), Invariant::I12);
    assert_eq!(broken(board.resynced("bob", at(0, 9), &forged)), Invariant::I12);
    assert_eq!(broken(board.resumed("alice", at(0, 1), &forged)), Invariant::I12);
    let seen = ChildSeen { id: "notes/9".into(), data: forged.clone(), ..kid(0) };
    assert_eq!(broken(board.child_changed("bob", &seen, false)), Invariant::I12);
    board.child_uncertain("notes/1");
    let seen = ChildSeen { data: forged, ..kid(0) };
    assert_eq!(broken(board.holds_children("carol", &[seen])), Invariant::I12);
}

#[test]
fn what_never_reached_the_reporters_side_is_taken_back_to_what_did() {
    let mut kids = with_kid(1);
    kids.child_proposed("bob", "notes/1", 2, &kid(2).data).unwrap();
    kids.child_changed("carol", &kid(2), false).unwrap();
    assert_eq!(broken(kids.child_changed("carol", &kid(1), false)), Invariant::I2);
    kids.child_changed("carol", &kid(2), true).unwrap();
    kids.child_changed("carol", &kid(1), false).unwrap();
    assert_eq!(broken(kids.child_changed("carol", &kid(1), false)), Invariant::I2);
}

#[test]
fn a_child_that_was_refused_or_is_uncertain_is_not_asked_for() {
    let mut kids = with_kid(0);
    (1..=2).for_each(|v| kids.child_proposed("bob", "notes/1", v, &kid(v).data).unwrap());
    kids.child_refused("bob", "notes/1", 1).unwrap();
    // It went from peer to peer as well; in the end nobody has it.
    kids.holds_children("carol", &[kid(1)]).unwrap();
    assert_eq!(broken(kids.settled_children("carol", &[kid(1)], &[kid(1)])), Invariant::I11);
    kids.settled_children("carol", &[kid(0)], &[kid(0)]).unwrap();
    assert_eq!(broken(kids.holds_children("carol", &[kid(3)])), Invariant::I3);
    kids.child_proposed("bob", "notes/1", 1, &json!({"v": 1})).unwrap();
    kids.children_uncertain("bob");
    // What of it was lost nobody can say, but all have the same.
    for version in 0..=1 {
        kids.settled_children("carol", &[kid(version)], &[kid(version)]).unwrap();
    }
    assert_eq!(broken(kids.settled_children("carol", &[kid(0)], &[kid(1)])), Invariant::I11);
    assert_eq!(broken(kids.settled_children("carol", &[], &[kid(1)])), Invariant::I11);
    // Who was told of a deletion that never took place believes it.
    kids.child_deleted("bob", "notes/1").unwrap();
    kids.settled_children("carol", &[], &[kid(1)]).unwrap();
}
