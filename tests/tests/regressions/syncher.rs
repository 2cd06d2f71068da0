//! What applications saw of the older implementation's object handles.

use std::collections::BTreeSet;
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_syncher::{Accept, ChildOp, Observer, ObserverEvent, ReadError, SubscribeError};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Party, agree, board, soon};

/// Rule: the number of a new child is above the greatest one, compared as a number (INV-DOM-5).
#[tokio::test(start_paused = true)]
async fn after_nine_children_an_id_is_used_again() {
    let world = World::new(7301);
    let mut alice = Party::new(&world, "alice").await;
    let object = alice.create(json!({})).await;
    let mut ids = BTreeSet::new();
    for n in 0..11 {
        ids.insert(object.children("notes").unwrap().add(json!({"n": n})).await.unwrap().id().to_owned());
    }
    drop(object);
    alice = alice.crash().await;
    let object = alice.reporter();
    let next = object.children("notes").unwrap().add(json!({"n": 11})).await.unwrap();
    assert!(ids.insert(next.id().to_owned()), "{} is the id of another child", next.id());
    assert_eq!((ids.len(), object.children("notes").unwrap().list().len()), (12, 12));
}

/// Rule: a child counts its own changes (INV-CHD-5).
#[tokio::test(start_paused = true)]
async fn a_change_of_a_child_raises_the_version_of_its_object() {
    let world = World::new(7302);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({})).await;
    let copy = bob.observe(&object).await;
    object.set("n", 1).await.unwrap();
    for child in [
        object.children("notes").unwrap().add(json!({"n": 1})).await.unwrap(),
        copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap(),
    ] {
        assert_eq!(child.set("n", 2).await.unwrap(), 1);
    }
    agree(&copy, &object).await;
    assert_eq!((object.version(), copy.version()), (1, 1));
}

/// Reads children's events until one of this kind.
async fn told(copy: &mut Observer, op: ChildOp) -> Value {
    soon(async {
        loop {
            match copy.next_event().await.expect("the observation goes on") {
                ObserverEvent::Child(child) if child.op == op => return child.data,
                _ => {}
            }
        }
    })
    .await
}

/// Rule: every operation on a child is sent, applied by everybody, and told (5.9.3, 5.9.4).
#[tokio::test(start_paused = true)]
async fn changed_and_deleted_children_stay_as_they_were_for_everybody_else() {
    let world = World::new(7303);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let object = alice.create(json!({})).await;
    let (of_bob, mut of_carol) = (bob.observe(&object).await, carol.observe(&object).await);
    let child = of_bob.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    assert_eq!(told(&mut of_carol, ChildOp::Create).await, json!({"n": 1}));
    child.set("n", 2).await.unwrap();
    assert_eq!(told(&mut of_carol, ChildOp::Update).await, json!({"n": 2}));
    child.delete().await.unwrap();
    told(&mut of_carol, ChildOp::Delete).await;
    for copy in [&of_bob, &of_carol] {
        agree(copy, &object).await;
        assert!(copy.children("notes").unwrap().list().is_empty());
    }
}

/// Rule: an element that is an array is one element; what is removed has a count (3.3).
#[tokio::test(start_paused = true)]
async fn arrays_in_arrays_are_flattened_and_removed_elements_stay() {
    let world = World::new(7304);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"list": [1, 2, 3, 4]})).await;
    let copy = bob.observe(&object).await;
    object.insert("list", 1, [json!([5, [6]]), json!([])]).await.unwrap();
    object.remove_elements("list", 3, 2).await.unwrap();
    object.insert("list", 4, [json!(null)]).await.unwrap();
    agree(&copy, &object).await;
    assert_eq!(copy.data(), json!({"list": [1, [5, [6]], [], 4, null]}));
}

/// Rule: a state replaces the copy; it is not merged into it (3.4).
#[tokio::test(start_paused = true)]
async fn attributes_that_were_removed_are_back_after_a_repair() {
    let world = World::new(7305);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"removed": {"deep": true}})).await;
    let copy = bob.observe(&object).await;
    world.cut("bob");
    sleep(Duration::from_secs(60)).await;
    object.remove("removed").await.unwrap();
    // More than is kept to tell one by one, so that the whole state is sent.
    for n in 0..3_000 {
        object.set("n", n).await.unwrap();
    }
    world.heal("bob");
    agree(&copy, &object).await;
    assert_eq!(copy.data(), json!({"n": 2_999}));
}

/// Rule: a question that nobody decides is answered by the safe default in half of T_RESP (4.3, INV-SUB-7, 5.5).
#[tokio::test(start_paused = true)]
async fn who_asks_an_application_without_handlers_waits_for_ever() {
    let world = World::new(7306);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let object = board(&alice, &alice.hyperty, Accept::Ask).await.unwrap();
    for hyperty in [&bob.hyperty, &neighbour] {
        let refused = soon(hyperty.subscribe(object.url())).await.map(|_| ());
        let is_403 = matches!(&refused, Err(SubscribeError::Refused { code: StatusCode::FORBIDDEN, .. }));
        assert!(is_403, "{refused:?}");
        let refused = soon(hyperty.read(object.url())).await.map(|_| ());
        assert!(matches!(&refused, Err(ReadError::Refused { code, .. }) if code.0 == 401), "{refused:?}");
    }
}

/// Rule: a read that fails is an error, and objects elsewhere are read there (5.5).
#[tokio::test(start_paused = true)]
async fn a_read_that_fails_gives_nothing_at_all_and_elsewhere_nothing_is_read() {
    let world = World::new(7307);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"n": 1})).await;
    let unknown = "comm://example.com/unknown".parse().unwrap();
    let refused = soon(bob.hyperty.read(&unknown)).await.map(|_| ());
    let is_404 = matches!(&refused, Err(ReadError::Refused { code: StatusCode::NOT_FOUND, .. }));
    assert!(is_404, "{refused:?}");
    assert_eq!(soon(bob.hyperty.read(object.url())).await.unwrap().data, json!({"n": 1}));
}

/// Rule: routes and listeners are there before an observer is told 100 (5.3 step 4), so that what happens while it
/// subscribes is in the state or told after it.
#[tokio::test(start_paused = true)]
async fn what_changes_while_somebody_subscribes_is_lost() {
    let world = World::new(7308);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({})).await;
    let busy = {
        let object = object.clone();
        tokio::spawn(async move {
            for n in 0..40 {
                object.set("n", n).await.unwrap();
                object.children("notes").unwrap().add(json!({"n": n})).await.unwrap();
            }
        })
    };
    let copy = bob.observe(&object).await;
    soon(busy).await.unwrap();
    agree(&copy, &object).await;
    assert_eq!(copy.children("notes").unwrap().list().len(), 40);
}
