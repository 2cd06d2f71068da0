//! The procedures between two runtimes through a message node.

use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_syncher::{Accept, ObserverEvent, ReporterEvent, SubscribeError};
use serde_json::json;

use crate::support::{Party, topic, until};

#[tokio::test(start_paused = true)]
async fn an_observer_elsewhere_gets_the_snapshot_and_every_change_inv_sub_1() {
    let world = World::new(1);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    board.set("topic", "b").await.unwrap();
    let mut copy = bob.observe(&board).await;
    assert_eq!((copy.version(), copy.data()), (1, topic("b")));
    board.set("members", json!([])).await.unwrap();
    board.insert("members", 0, vec![json!("bob"), json!(null)]).await.unwrap();
    board.remove_elements("members", 1, 1).await.unwrap();
    board.remove("topic").await.unwrap();
    let events = until(&mut copy, 5).await;
    let versions: Vec<u64> = events
        .iter()
        .filter_map(|e| if let ObserverEvent::Change(c) = e { Some(c.version) } else { None })
        .collect();
    assert_eq!(versions, [2, 3, 4, 5]);
    assert_eq!(copy.data(), json!({"members": ["bob"]}));
    assert_eq!(copy.data(), board.data());
}

#[tokio::test(start_paused = true)]
async fn the_application_decides_and_a_refusal_leaves_no_trace_inv_sub_3() {
    let world = World::new(2);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    board.accept(Accept::None);
    let refused = bob.hyperty.subscribe(board.url()).await;
    assert!(
        matches!(refused, Err(SubscribeError::Refused { code: StatusCode::FORBIDDEN, .. })),
        "{refused:?}"
    );
    assert!(bob.hyperty.read(board.url()).await.is_err());
    board.accept(Accept::All);
    let copy = bob.observe(&board).await;
    assert_eq!(copy.data(), topic("a"));
    assert_eq!(bob.hyperty.read(board.url()).await.unwrap().data, topic("a"));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_left_gets_nothing_more_inv_uns_1() {
    let world = World::new(3);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let board = alice.create(topic("a")).await;
    let mut events = board.events();
    let (leaving, mut staying) = (bob.observe(&board).await, carol.observe(&board).await);
    leaving.unsubscribe().await.unwrap();
    board.set("topic", "b").await.unwrap();
    until(&mut staying, 1).await;
    assert_eq!(leaving.version(), 0);
    let mut left = None;
    while left.is_none() {
        if let Some(ReporterEvent::Left { hyperty, .. }) = events.next().await {
            left = Some(hyperty);
        }
    }
    assert_eq!(left.unwrap(), *bob.hyperty.url());
}

#[tokio::test(start_paused = true)]
async fn deletion_reaches_every_observer_once_inv_del_2() {
    let world = World::new(4);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let board = alice.create(topic("a")).await;
    let mut copies = [bob.observe(&board).await, carol.observe(&board).await];
    board.delete().await.unwrap();
    for copy in &mut copies {
        let mut deleted = 0;
        while let Some(event) = copy.next_event().await {
            deleted += usize::from(event == ObserverEvent::Deleted);
        }
        assert_eq!(deleted, 1);
    }
    let gone = bob.hyperty.subscribe(board.url()).await;
    assert!(gone.is_err());
    // Nothing is left that a later session could bring back (INV-DEL-1).
    let alice = alice.crash().await;
    assert!(alice.hyperty.resumed().reporters.is_empty());
    let bob = bob.crash().await;
    assert!(bob.hyperty.resumed().observers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn data_that_violates_the_schema_is_refused_and_nothing_else_is_disturbed() {
    let world = World::new(5);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    let bad = board.set("topic", 5);
    let good = board.set("topic", "b");
    assert!(bad.await.is_err());
    // It was made on top of the refused one, so the application is told and makes it again.
    let again = if good.await.is_err() { board.set("topic", "b").await } else { Ok(board.position()) };
    again.unwrap();
    assert_eq!(board.data(), topic("b"));
    until(&mut copy, board.version()).await;
    assert_eq!(copy.data(), topic("b"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_reached_is_answered_in_time_and_leaves_nothing_inv_msg_3() {
    let world = World::new(6);
    let bob = Party::new(&world, "bob").await;
    let elsewhere = "comm://elsewhere.example/1".parse().unwrap();
    let refused = bob.hyperty.subscribe(&elsewhere).await;
    assert!(
        matches!(refused, Err(SubscribeError::Refused { code: StatusCode::NOT_FOUND, .. })),
        "{refused:?}"
    );
    let unknown = "comm://example.com/never-made".parse().unwrap();
    let refused = bob.hyperty.subscribe(&unknown).await;
    assert!(
        matches!(refused, Err(SubscribeError::Refused { code: StatusCode::NOT_FOUND, .. })),
        "{refused:?}"
    );

    world.stop_node();
    let alice = Party::new(&world, "alice").await;
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    assert!(alice.hyperty.create(schema).name("board").await.is_err());
    assert!(bob.hyperty.subscribe(&unknown).await.is_err());
    world.start_node();
    let board = alice.create(topic("a")).await;
    assert_eq!(bob.observe(&board).await.data(), topic("a"));
}
