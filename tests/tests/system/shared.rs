//! Many who come back at once (protocol M7): answers of one state are made once, and different ones not faster than so.

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::Request;
use hyperty_model::message::{ReadBody, ReadCriteria, ResponseBody};
use hyperty_model::{MessageType, Position};
use hyperty_runtime::SyncManagerConfig;
use hyperty_syncher::Reporter;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Party, topic};

/// A repair read of bob's Sync Manager.
fn read(bob: &Party, board: &Reporter, since: Option<Position>) -> Request {
    let bus = bob.runtime.bus();
    let body = ReadBody { criteria: Some(ReadCriteria { since }), ..ReadBody::default() };
    let from = bob.runtime.url().sync_manager();
    bus.request(bus.new_message(MessageType::Read, &from, board.url().as_url(), body))
}

#[tokio::test(start_paused = true)]
async fn answers_of_one_state_are_made_once() {
    let world = World::new(341);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let _copy = bob.observe(&board).await;
    for text in ["b", "c", "d"] {
        board.set("topic", text).await.unwrap();
    }
    let before = alice.runtime.stats();
    let mut asked = JoinSet::new();
    for since in [Some(1), Some(2), None].repeat(20) {
        asked.spawn(read(&bob, &board, since.map(|version| Position::new(0, version))));
    }
    while let Some(answer) = asked.join_next().await {
        let body = answer.unwrap().decode::<ResponseBody>().unwrap();
        match &body.changes {
            Some(changes) => assert_eq!(changes.last().unwrap().version, Some(3)),
            None => assert_eq!(body.value.as_ref().unwrap()["data"], topic("d")),
        }
    }
    let stats = alice.runtime.stats();
    assert_eq!(stats.answered_by_changes - before.answered_by_changes, 40);
    assert_eq!(stats.answered_by_snapshot - before.answered_by_snapshot, 20);
    assert_eq!(stats.answers_shared - before.answers_shared, 57);

    // A change makes them outdated at once.
    board.set("topic", "e").await.unwrap();
    let answer = read(&bob, &board, Some(Position::new(0, 2))).await.decode::<ResponseBody>().unwrap();
    assert_eq!((answer.version, answer.changes.as_ref().map(Vec::len)), (Some(4), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn whole_states_of_an_object_that_goes_on_changing_are_paced() {
    let world = World::new(342);
    let mut config = SyncManagerConfig::default();
    config.answer_bytes_per_second = 1_000_000;
    let alice = Party::with(&world, "alice", |builder| builder.sync_manager(config)).await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(json!({"topic": "x".repeat(100_000), "n": 0})).await;
    let _copy = bob.observe(&board).await;
    let started = Instant::now();
    for n in 1..=5 {
        board.set("n", n).await.unwrap();
        // Who asks together shares one, so that none waits for more than a turn.
        let (one, other) = tokio::join!(read(&bob, &board, None), read(&bob, &board, None));
        for answer in [one, other] {
            let body = answer.decode::<ResponseBody>().unwrap();
            assert_eq!(body.value.as_ref().unwrap()["data"]["n"], n);
        }
    }
    // Four pauses of a tenth of a second between five answers of 100 kB.
    let took = started.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_millis(600)).contains(&took), "{took:?}");
}

/// One attribute may be as large as the whole.
#[tokio::test(start_paused = true)]
async fn reads_of_attributes_are_paced_too_m7() {
    let world = World::new(343);
    let mut config = SyncManagerConfig::default();
    config.answer_bytes_per_second = 1_000_000;
    let alice = Party::with(&world, "alice", |builder| builder.sync_manager(config)).await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(json!({"topic": "x".repeat(100_000), "n": 0})).await;
    let _copy = bob.observe(&board).await;
    let read = |attribute: &str| {
        let bus = bob.runtime.bus();
        let body = ReadBody { attribute: Some(attribute.to_owned()), ..ReadBody::default() };
        bus.request(bus.new_message(
            MessageType::Read,
            bob.hyperty.url().as_url(),
            board.url().as_url(),
            body,
        ))
    };
    let started = Instant::now();
    let mut asked = JoinSet::new();
    for _ in 0..5 {
        asked.spawn(read("topic"));
    }
    while let Some(answer) = asked.join_next().await {
        let body = answer.unwrap().decode::<ResponseBody>().unwrap();
        assert_eq!(body.value.as_ref().unwrap().as_str().map(str::len), Some(100_000));
    }
    // Four pauses of a tenth of a second between five answers of 100 kB.
    let took = started.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_millis(600)).contains(&took), "{took:?}");
    // Small ones cost next to nothing, and what is not there nothing at all.
    let started = Instant::now();
    assert_eq!(read("nothing").await.code().0, 404);
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    for _ in 0..5 {
        assert_eq!(read("n").await.decode::<ResponseBody>().unwrap().value, Some(json!(0)));
    }
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
}
