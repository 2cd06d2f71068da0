//! Crashes, restarts and lost connections: streams go on by themselves.

use std::future::IntoFuture;

use hyperty_conformance::world::World;
use hyperty_syncher::ObserverEvent;
use serde_json::json;

use crate::support::{Party, settled, topic, until};

#[tokio::test(start_paused = true)]
async fn a_reporter_that_crashed_goes_on_and_its_observers_need_nothing_inv_res_1() {
    let world = World::new(20);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    board.set("topic", "b").await.unwrap();
    until(&mut copy, 1).await;
    drop(board);
    let alice = alice.crash().await;
    let board = alice.reporter();
    assert_eq!((board.version(), board.data()), (1, topic("b")));
    board.set("topic", "c").await.unwrap();
    until(&mut copy, 2).await;
    assert_eq!(copy.data(), topic("c"));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_crashed_comes_back_to_the_reporters_state_inv_res_2() {
    let world = World::new(21);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    drop(bob.observe(&board).await);
    world.cut("bob");
    for text in ["b", "c", "d"] {
        board.set("topic", text).await.unwrap();
    }
    world.heal("bob");
    let bob = bob.crash().await;
    let mut copy = bob.observer();
    settled(&mut copy, 3).await;
    assert_eq!(copy.data(), topic("d"));
    board.set("topic", "e").await.unwrap();
    settled(&mut copy, 4).await;
    assert_eq!(copy.data(), topic("e"));
}

#[tokio::test(start_paused = true)]
async fn both_may_crash_at_once() {
    let world = World::new(22);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    drop(bob.observe(&board).await);
    board.set("topic", "b").await.unwrap();
    drop(board);
    let bob = bob.crash().await;
    let mut copy = bob.observer();
    let alice = alice.crash().await;
    let board = alice.reporter();
    board.set("topic", "c").await.unwrap();
    settled(&mut copy, 2).await;
    assert_eq!(copy.data(), topic("c"));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_cut_off_is_made_up_for_inv_ses_1() {
    let world = World::new(23);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    world.cut("bob");
    while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
    board.set("topic", "b").await.unwrap();
    board.set("n", 1).await.unwrap();
    world.heal("bob");
    let events = until(&mut copy, 2).await;
    assert!(
        events.iter().any(|event| matches!(event, ObserverEvent::Change(_) | ObserverEvent::Resync { .. }))
    );
    assert_eq!(copy.data(), json!({"topic": "b", "n": 1}));
    while copy.next_event().await != Some(ObserverEvent::Resumed { missed: 2 }) {}
}

#[tokio::test(start_paused = true)]
async fn a_node_that_crashed_and_came_back_is_told_everything_again_inv_ses_1() {
    let world = World::new(24);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    world.stop_node();
    while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
    // The Reporter goes on alone.
    board.set("topic", "b").await.unwrap();
    world.start_node();
    until(&mut copy, 1).await;
    assert_eq!(copy.data(), topic("b"));
    board.set("topic", "c").await.unwrap();
    until(&mut copy, 2).await;
    // A newcomer finds it too.
    let carol = Party::new(&world, "carol").await;
    assert_eq!(carol.observe(&board).await.data(), topic("c"));
}

#[tokio::test(start_paused = true)]
async fn a_reporter_cut_off_announces_its_position_when_it_is_back() {
    let world = World::new(25);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    world.cut("alice");
    board.set("topic", "b").await.unwrap();
    world.heal("alice");
    // No further change is needed for the observer to learn of the lost one (INV-EXT-2).
    until(&mut copy, 1).await;
    assert_eq!(copy.data(), topic("b"));
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_again_while_cut_off_is_told_that_it_is_back() {
    let world = World::new(26);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    world.cut("bob");
    while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
    let again = {
        let (hyperty, url) = (bob.hyperty.clone(), board.url().clone());
        tokio::spawn(async move { hyperty.subscribe(&url).store(true).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    world.heal("bob");
    again.await.unwrap().expect("another handle");
    let told = tokio::time::timeout(std::time::Duration::from_secs(60), copy.next_event()).await;
    assert!(matches!(told, Ok(Some(ObserverEvent::Resumed { .. }))), "{told:?}");
    assert_eq!(copy.state(), hyperty_syncher::ObserverState::Live);
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_a_crash_interrupted_holds_up_no_resume_while_the_node_is_away() {
    let world = World::new(27);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    world.stop_node();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let create = alice.hyperty.create(schema).name("other").data(topic("b")).store(true);
    let creating = tokio::spawn(create.into_future());
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    drop(board);
    let before = tokio::time::Instant::now();
    let alice = alice.crash().await;
    assert!(before.elapsed() < std::time::Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(alice.reporter().data(), topic("a"));
    creating.abort();
}
