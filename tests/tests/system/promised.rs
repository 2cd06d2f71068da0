//! An observation that is said to outlast a restart is durable on both sides before that is said, and so is its end.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_syncher::{
    Accept, Observer, ObserverEvent, Reporter, ReporterEvent, SubscribeError, UnsubscribeError,
};
use tokio::time::timeout;

use crate::held::Held;
use crate::support::topic;

const A_WHILE: Duration = Duration::from_secs(1);

/// A party whose store can be held back.
async fn hesitant(world: &World, name: &str) -> (Arc<Held>, Runtime, Hyperty) {
    let tables = Arc::new(Held::new());
    let runtime = world.runtime(name, &tables).await;
    let hyperty = runtime.deploy("app").await.unwrap();
    (tables, runtime, hyperty)
}

async fn stored(runtime: &Runtime, hyperty: &Hyperty) -> Reporter {
    let schema = runtime.schema(SCHEMA).unwrap();
    let create = hyperty.create(schema).name("b").data(topic("a")).store(true).accept(Accept::All);
    create.await.unwrap()
}

async fn refused(subscribing: impl Future<Output = Result<Observer, SubscribeError>>) {
    let refused = timeout(A_WHILE, subscribing).await.expect("an answer in time").map(drop);
    assert!(
        matches!(&refused, Err(SubscribeError::Refused { code: StatusCode::INTERNAL, .. })),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_kept_at_both_sides_before_it_is_told_that_it_observes() {
    for holding in ["alice", "bob"] {
        let world = World::new(54);
        let (at_alice, alices, alice) = hesitant(&world, "alice").await;
        let (at_bob, bobs, bob) = hesitant(&world, "bob").await;
        let board = stored(&alices, &alice).await;
        let neighbour = bobs.deploy("neighbour").await.unwrap();
        let tables = if holding == "alice" { &at_alice } else { &at_bob };

        tables.hold();
        let mut subscribing = Box::pin(bob.subscribe(board.url()).store(true).into_future());
        assert!(timeout(A_WHILE, &mut subscribing).await.is_err(), "answered before {holding} kept it");
        // Who wants nothing kept waits for nothing, and what happens meanwhile is missed by nobody.
        timeout(A_WHILE, neighbour.subscribe(board.url()).into_future()).await.expect("not held up").unwrap();
        let changing = board.set("topic", "b").into_future();
        if holding == "bob" {
            timeout(A_WHILE, changing).await.expect("not held up").unwrap();
            tables.let_go();
        } else {
            tables.let_go();
            timeout(A_WHILE, changing).await.expect("an answer in time").unwrap();
        }
        let mut copy = timeout(A_WHILE, subscribing).await.expect("an answer in time").unwrap();
        board.set("topic", "c").await.unwrap();
        tokio::time::sleep(A_WHILE).await;
        assert_eq!((copy.version(), copy.data()), (2, topic("c")));
        let mut last = copy.snapshot().version;
        while let Ok(Some(event)) = timeout(A_WHILE, copy.next_event()).await {
            let ObserverEvent::Change(change) = event else { panic!("{event:?}") };
            assert!(change.version > last || last == 2, "{} after {last}", change.version);
            last = change.version;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_is_not_kept_is_refused_and_nothing_is_left_of_it() {
    for failing in ["alice", "bob"] {
        let world = World::new(55);
        let (at_alice, alices, alice) = hesitant(&world, "alice").await;
        let (at_bob, bobs, bob) = hesitant(&world, "bob").await;
        let board = stored(&alices, &alice).await;
        let mut events = board.events();
        let tables = if failing == "alice" { &at_alice } else { &at_bob };

        tables.hold();
        let mut subscribing = Box::pin(bob.subscribe(board.url()).store(true).into_future());
        assert!(timeout(A_WHILE, &mut subscribing).await.is_err(), "answered before {failing} kept it");
        tables.fail();
        refused(subscribing).await;
        refused(bob.subscribe(board.url()).store(true).into_future()).await;
        tokio::time::sleep(A_WHILE).await;
        let mut observing = 0;
        while let Ok(Some(event)) = timeout(A_WHILE, events.next()).await {
            match event {
                ReporterEvent::Joined { .. } => observing += 1,
                ReporterEvent::Left { .. } => observing -= 1,
                _ => {}
            }
        }
        assert_eq!(observing, 0, "the application takes it for an observer");
        assert_eq!(bobs.stats().observed, 0, "something is left of it");
        // Without a promise there is nothing to be kept.
        timeout(A_WHILE, bob.subscribe(board.url()).into_future()).await.expect("not held up").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_observation_has_ended_when_a_crash_does_not_bring_it_back() {
    for holding in ["alice", "bob"] {
        let world = World::new(56);
        let (at_alice, alices, alice) = hesitant(&world, "alice").await;
        let (at_bob, _bobs, bob) = hesitant(&world, "bob").await;
        let board = stored(&alices, &alice).await;
        let copy = bob.subscribe(board.url()).store(true).await.unwrap();
        let tables = if holding == "alice" { &at_alice } else { &at_bob };

        tables.hold();
        let mut leaving = Box::pin(copy.unsubscribe());
        assert!(timeout(A_WHILE, &mut leaving).await.is_err(), "answered before {holding} kept it");
        tables.let_go();
        timeout(A_WHILE, leaving).await.expect("an answer in time").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_kept_is_not_said_to_be() {
    let world = World::new(57);
    let alice = Party::new(&world, "alice").await;
    let (tables, _runtime, bob) = hesitant(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let copy = bob.subscribe(board.url()).store(true).await.unwrap();
    tables.hold();
    tables.fail();
    let ended = timeout(A_WHILE, copy.unsubscribe()).await.expect("an answer in time");
    assert!(matches!(&ended, Err(UnsubscribeError::Refused { code: StatusCode::INTERNAL, .. })), "{ended:?}");
}

/// The last observer with a promise leaves, one without stays: nothing comes back after a crash.
#[tokio::test(start_paused = true)]
async fn a_neighbour_without_a_promise_keeps_nobody_elses() {
    let world = World::new(58);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let neighbour = bob.runtime.deploy("neighbour").await.unwrap();
    let _beside = neighbour.subscribe(board.url()).await.unwrap();
    bob.observe(&board).await.unsubscribe().await.unwrap();
    let bob = bob.crash().await;
    assert!(bob.hyperty.resumed().observers.is_empty(), "it had left");
}
