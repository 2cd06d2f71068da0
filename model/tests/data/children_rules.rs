//! Single rules of children: why something is refused, what overtakes what, what is forgotten (protocol 5.9).

use hyperty_model::Position;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{ChildId, ChildOutcome, ChildRefusal, Children, TOMBSTONES_MAX};
use serde_json::json;

use crate::children::{entry, hyperty, name, set, through_json, update};

#[test]
fn each_refusal_has_its_reason() {
    let (notes, alice, bob) = (name("notes"), hyperty(1), hyperty(2));
    let id = ChildId::of(&alice, 1);
    let mut children = Children::default();
    let text = |children: &Children| children.get(&notes, id.as_str()).unwrap().value.data.clone();

    assert_eq!(
        children.update(&notes, id.as_str(), &alice, &set(1, "a", json!(1))),
        Err(ChildRefusal::Unknown)
    );
    assert_eq!(children.create(&notes, entry(&id, &bob, json!({}))), Err(ChildRefusal::OtherReporter));
    let scalar = children.create(&notes, entry(&id, &alice, json!("x")));
    assert!(matches!(scalar, Err(ChildRefusal::Diverged(_))));
    assert_eq!(children.create(&notes, entry(&id, &alice, json!({}))), Ok(ChildOutcome::Applied));
    assert_eq!(children.create(&notes, entry(&id, &alice, json!({"b": 1}))), Ok(ChildOutcome::Duplicate));

    assert_eq!(
        children.update(&notes, id.as_str(), &bob, &set(1, "a", json!(1))),
        Err(ChildRefusal::NotReporter)
    );
    assert_eq!(children.update(&notes, id.as_str(), &alice, &set(2, "a", json!(1))), Err(ChildRefusal::Gap));
    let misfit = children.update(&notes, id.as_str(), &alice, &set(1, "a.b", json!(1)));
    assert!(matches!(misfit, Err(ChildRefusal::Diverged(_))));
    let beat = UpdateBody::beat(Position::new(0, 1), None);
    assert_eq!(children.update(&notes, id.as_str(), &alice, &beat), Err(ChildRefusal::NotAnUpdate));
    assert_eq!(text(&children), json!({}));

    let whole = update(7, UpdateKind::Whole(json!({"w": 1})));
    assert_eq!(children.update(&notes, id.as_str(), &alice, &whole), Ok(ChildOutcome::Applied));
    assert_eq!(children.update(&notes, id.as_str(), &alice, &whole), Ok(ChildOutcome::Duplicate));
    assert_eq!(
        children.update(&notes, id.as_str(), &alice, &set(7, "a", json!(1))),
        Ok(ChildOutcome::Duplicate)
    );
    assert_eq!(
        children.update(&notes, id.as_str(), &alice, &set(8, "a", json!(1))),
        Ok(ChildOutcome::Applied)
    );
    assert_eq!(text(&children), json!({"w": 1, "a": 1}));
    let healed = update(8, UpdateKind::Whole(json!({"w": 2})));
    assert_eq!(children.update(&notes, id.as_str(), &alice, &healed), Ok(ChildOutcome::Applied));
    assert_eq!(text(&children), json!({"w": 2}));

    assert_eq!(children.delete(&notes, id.as_str(), &bob), Err(ChildRefusal::NotReporter));
    assert_eq!(children.delete(&notes, id.as_str(), &alice), Ok(ChildOutcome::Applied));
    assert_eq!(children.delete(&notes, id.as_str(), &alice), Ok(ChildOutcome::Duplicate));
    assert_eq!(
        children.update(&notes, id.as_str(), &alice, &set(9, "a", json!(2))),
        Err(ChildRefusal::Deleted)
    );
    assert_eq!(children.create(&notes, entry(&id, &alice, json!({}))), Err(ChildRefusal::Deleted));
    assert_eq!(ChildRefusal::Deleted.code().0, 410);
}

#[test]
fn a_deletion_that_overtakes_the_creation_counts_for_ones_own_ids_only() {
    let (notes, alice, bob) = (name("notes"), hyperty(1), hyperty(2));
    let mut children = Children::default();
    let (mine, foreign) = (ChildId::of(&alice, 1), ChildId::parse("1700000000000-x#3").unwrap());
    assert_eq!(children.delete(&notes, mine.as_str(), &bob), Err(ChildRefusal::Unknown));
    assert_eq!(children.delete(&notes, foreign.as_str(), &bob), Err(ChildRefusal::Unknown));
    assert_eq!(children.delete(&notes, mine.as_str(), &alice), Ok(ChildOutcome::Applied));
    assert_eq!(children.create(&notes, entry(&mine, &alice, json!({}))), Err(ChildRefusal::Deleted));
    assert_eq!(children.create(&notes, entry(&foreign, &alice, json!({}))), Ok(ChildOutcome::Applied));
}

#[test]
fn numbers_are_compared_as_numbers() {
    let (notes, alice) = (name("notes"), hyperty(1));
    let mut children = Children::default();
    for number in [9, 10] {
        children.create(&notes, entry(&ChildId::of(&alice, number), &alice, json!({}))).unwrap();
    }
    assert_eq!(children.next_number(&notes, &alice), 11);
    assert_eq!(children.next_number(&name("files"), &alice), 1);
    assert_eq!(children.next_number(&notes, &hyperty(2)), 1);
    children.delete(&notes, ChildId::of(&alice, 10).as_str(), &alice).unwrap();
    assert_eq!(children.next_number(&notes, &alice), 11);
}

/// The bound of what is remembered loses neither numbers nor the knowledge of what was deleted.
#[test]
fn old_tombstones_become_a_floor_that_spares_the_living() {
    let (notes, alice) = (name("notes"), hyperty(1));
    let mut children = Children::default();
    let last = TOMBSTONES_MAX as u64 + 500;
    for number in 1..=last {
        let id = ChildId::of(&alice, number);
        children.create(&notes, entry(&id, &alice, json!({}))).unwrap();
        if number != 3 {
            children.delete(&notes, id.as_str(), &alice).unwrap();
        }
    }
    for children in [through_json(&children), children] {
        let mut children = children;
        for number in [1, 2, 500, 501, last] {
            let id = ChildId::of(&alice, number);
            assert!(children.table(&notes).unwrap().is_deleted(&id), "{number}");
            assert_eq!(children.create(&notes, entry(&id, &alice, json!({}))), Err(ChildRefusal::Deleted));
            assert_eq!(children.delete(&notes, id.as_str(), &alice), Ok(ChildOutcome::Duplicate));
        }
        assert!(children.get(&notes, ChildId::of(&alice, 3).as_str()).is_some());
        assert_eq!(children.next_number(&notes, &alice), last + 1);
        let stored = serde_json::to_value(&children).unwrap();
        assert_eq!(stored["childrenDeleted"]["notes"]["ids"].as_array().unwrap().len(), TOMBSTONES_MAX);
    }

    // The same whatever the order in which they were deleted.
    let mut children = Children::default();
    (1..=last).rev().for_each(|number| children.bury(&notes, ChildId::of(&alice, number)));
    assert!(
        (1..=last).all(|number| children.table(&notes).unwrap().is_deleted(&ChildId::of(&alice, number)))
    );
    assert_eq!(children.next_number(&notes, &alice), last + 1);
}
