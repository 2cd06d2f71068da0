//! What ends and begins again in one runtime.

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_syncher::ObserverEvent;
use serde_json::json;

use crate::support::{Party, topic};

#[tokio::test(start_paused = true)]
async fn who_subscribes_again_hears_of_children_though_a_handle_is_left_from_before() {
    let world = World::new(15);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let left = bob.observe(&board).await;
    left.unsubscribe().await.unwrap();
    let mut copy = bob.observe(&board).await;
    let child = board.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(60), copy.next_event()).await;
    assert!(matches!(event, Ok(Some(ObserverEvent::Child(heard))) if heard.id == child.id()));
}
