//! What the older implementation stored, and what it found again.

use hyperty_conformance::world::World;
use serde_json::json;

use crate::support::{Party, agree};

/// Rule: what is stored is changed as the data is: elements are inserted and removed (3.3, INV-DOM-6).
#[tokio::test(start_paused = true)]
async fn arrays_are_as_they_began_after_a_restart() {
    let world = World::new(7401);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"list": [1, 2, 3]})).await;
    let copy = bob.observe(&object).await;
    object.insert("list", 1, [8, 9]).await.unwrap();
    object.remove_elements("list", 3, 2).await.unwrap();
    object.set("list.0", json!([])).await.unwrap();
    agree(&copy, &object).await;
    drop((object, copy));
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    assert_eq!(alice.reporter().data(), json!({"list": [[], 8, 9]}));
    agree(&bob.observer(), &alice.reporter()).await;
}

/// Rule: every value is a value (3.3).
#[tokio::test(start_paused = true)]
async fn values_that_count_as_nothing_are_not_stored() {
    let world = World::new(7402);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"n": 1, "text": "x", "is": true, "list": [1], "what": {}})).await;
    let copy = bob.observe(&object).await;
    let nothing = json!({"n": 0, "text": "", "is": false, "list": [0, false, "", null], "what": null});
    for (key, value) in nothing.as_object().unwrap() {
        object.set(key.as_str(), value.clone()).await.unwrap();
    }
    agree(&copy, &object).await;
    drop((object, copy));
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    assert_eq!(alice.reporter().data(), nothing);
    agree(&bob.observer(), &alice.reporter()).await;
}

/// Rule: children are stored one by one, on both sides, and one does not cost another (INV-DOM-6).
#[tokio::test(start_paused = true)]
async fn stored_children_are_wiped_by_the_next_one() {
    let world = World::new(7403);
    let (mut alice, mut bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let mut object = alice.create(json!({})).await;
    let mut copy = bob.observe(&object).await;
    for n in 0..3 {
        object.children("notes").unwrap().add(json!({"of": "alice", "n": n})).await.unwrap();
        copy.children("notes").unwrap().add(json!({"of": "bob", "n": n})).await.unwrap();
        agree(&copy, &object).await;
        drop((object, copy));
        (alice, bob) = (alice.crash().await, bob.crash().await);
        (object, copy) = (alice.reporter(), bob.observer());
        agree(&copy, &object).await;
        assert_eq!(object.children("notes").unwrap().list().len(), 2 * (n + 1));
    }
}
