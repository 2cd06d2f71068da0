//! A history that is broken (protocol M8): the Reporter's store has lost what others have seen. A new epoch begins, and
//! every copy follows it openly.

use std::sync::Arc;

use hyperty_conformance::world::World;
use hyperty_model::{MessageType, Position};
use hyperty_storage::{Batch, MemoryTables, Tables};
use hyperty_syncher::ObserverEvent;
use serde_json::json;

use crate::spy::ask;
use crate::support::{Party, settled, topic, until};

/// The store as it was, noting that it may have forgotten what came after.
fn as_it_was(image: MemoryTables) -> Arc<MemoryTables> {
    image.commit(Batch::new().put("store/v1", b"breaks", 1_u64.to_be_bytes()));
    Arc::new(image)
}

#[tokio::test(start_paused = true)]
async fn a_reporter_that_forgot_begins_a_new_epoch_and_copies_follow_with_a_resync_inv_ext_2() {
    let world = World::new(321);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    board.set("topic", "b").await.unwrap();
    let image = alice.tables.snapshot();
    board.set("topic", "lost").await.unwrap();
    board.set("n", 3).await.unwrap();
    until(&mut copy, 3).await;

    drop(board);
    alice.runtime.abort();
    drop(alice);
    let alice = Party::over(&world, "alice", as_it_was(image)).await;
    let board = alice.reporter();
    assert_eq!((board.position(), board.data()), (Position::new(1, 1), topic("b")));
    assert_eq!(alice.runtime.stats().epochs_raised, 1);
    // Without any change: the first beat tells.
    let told = loop {
        match copy.next_event().await.unwrap() {
            ObserverEvent::Resync { version, data, .. } => break (version, data),
            ObserverEvent::Change(change) => panic!("{change:?}"),
            _ => {}
        }
    };
    assert_eq!((told.0, &*told.1, copy.position()), (1, &topic("b"), Position::new(1, 1)));
    board.set("topic", "c").await.unwrap();
    assert_eq!(until(&mut copy, 2).await.len(), 1);
    assert_eq!((copy.data(), copy.position()), (topic("c"), Position::new(1, 2)));

    // It was told to nobody before it was durable, and one break is one epoch.
    drop(board);
    let alice = alice.crash().await;
    assert_eq!(alice.reporter().position(), Position::new(1, 2));
    assert_eq!(alice.runtime.stats().epochs_raised, 0);
}

/// A copy that was away meanwhile, and has more than there is, is answered with the whole state of the new epoch.
#[tokio::test(start_paused = true)]
async fn who_was_away_and_is_ahead_gets_the_new_epoch_whole() {
    let world = World::new(322);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    let image = alice.tables.snapshot();
    board.set("topic", "lost").await.unwrap();
    until(&mut copy, 1).await;
    drop((copy, board));
    world.cut("bob");
    alice.runtime.abort();
    drop(alice);
    let alice = Party::over(&world, "alice", as_it_was(image)).await;
    let board = alice.reporter();
    let bob = bob.crash().await;
    world.heal("bob");
    let mut copy = bob.observer();
    board.set("topic", "b").await.unwrap();
    settled(&mut copy, 1).await;
    while copy.position().epoch == 0 {
        copy.next_event().await.unwrap();
    }
    assert_eq!((copy.data(), copy.position()), (topic("b"), Position::new(1, 1)));
}

/// Protocol 10.1: a reader that is ahead changes nothing, and gets the whole state.
#[tokio::test(start_paused = true)]
async fn a_reader_that_is_ahead_changes_nothing() {
    let world = World::new(323);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let _copy = bob.observe(&board).await;
    let from = bob.runtime.url().sync_manager();
    for since in [json!({"epoch": 0, "version": 7}), json!({"epoch": 3, "version": 0})] {
        let body = json!({"criteria": {"since": since}});
        let answer = ask(&bob, MessageType::Read, &from, board.url().as_str(), body).await;
        assert_eq!((answer.code.0, answer.recovered), (200, Some(false)));
        assert_eq!(answer.value.as_ref().unwrap()["version"], 0);
    }
    assert_eq!((board.position(), alice.runtime.stats().readers_ahead), (Position::new(0, 0), 2));
}
