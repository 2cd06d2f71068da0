//! Observers whose session ended (protocol M13), and observers that come back before their Reporter.

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_runtime::SyncManagerConfig;
use hyperty_storage::Role;
use hyperty_syncher::{ObserverEvent, ObserverState, ReporterEvent};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::stored;
use crate::support::{Party, settled, topic, until};

/// Longer than a node keeps a lost session (T_GRACE).
const GONE: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_leaves_only_those_who_may_come_back() {
    let world = World::new(331);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let board = alice.create(topic("a")).await;
    let _bob = bob.hyperty.subscribe(board.url()).await.unwrap();
    let mut copy = carol.observe(&board).await;
    let mut events = board.events();
    for name in ["bob", "carol"] {
        world.cut(name);
    }
    sleep(GONE).await;
    let mut left = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_millis(1), events.next()).await {
        if let ReporterEvent::Left { hyperty } = event {
            left.push(hyperty);
        }
    }
    assert_eq!(left, [bob.hyperty.url().clone()]);
    assert_eq!(alice.runtime.stats().observers_dropped, 1);
    let subscribers = stored(&alice, Role::Reporter)[0].subscriptions.clone();
    assert_eq!(subscribers.len(), 1, "{subscribers:?}");
    assert!(subscribers[0].away && subscribers[0].hyperty == *carol.hyperty.url());

    // Who comes back has its place, and everything that came after.
    board.set("topic", "b").await.unwrap();
    world.heal("carol");
    settled(&mut copy, 1).await;
    board.set("topic", "c").await.unwrap();
    settled(&mut copy, 2).await;
    assert_eq!(copy.data(), topic("c"));
    assert!(!stored(&alice, Role::Reporter)[0].subscriptions[0].away);
}

#[tokio::test(start_paused = true)]
async fn who_is_away_too_long_or_one_too_many_is_dropped_and_may_subscribe_anew() {
    let world = World::new(332);
    let mut config = SyncManagerConfig::default();
    (config.away_max, config.away_age) = (2, Duration::from_secs(3_600));
    let alice = Party::with(&world, "alice", |builder| builder.sync_manager(config)).await;
    let board = alice.create(topic("a")).await;
    let mut others = Vec::new();
    for name in ["bob", "carol", "dave"] {
        let party = Party::new(&world, name).await;
        let copy = party.observe(&board).await;
        others.push((party, copy));
    }
    let away = || {
        let subscribers = stored(&alice, Role::Reporter)[0].subscriptions.clone();
        subscribers.iter().map(|s| s.hyperty.clone()).collect::<Vec<_>>()
    };
    for name in ["bob", "carol", "dave"] {
        world.cut(name);
        sleep(GONE).await;
    }
    // One too many: the first to leave goes.
    let bob = others[0].0.hyperty.url().clone();
    assert_eq!((away().len(), away().contains(&bob)), (2, false));
    assert_eq!(alice.runtime.stats().observers_dropped, 1);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!((away(), alice.runtime.stats().observers_dropped), (Vec::new(), 3));

    // They find their place gone and subscribe anew, without the application.
    board.set("topic", "b").await.unwrap();
    for name in ["bob", "carol", "dave"] {
        world.heal(name);
    }
    for (_, copy) in &mut others {
        settled(copy, 1).await;
        assert_eq!(copy.data(), topic("b"));
    }
    assert_eq!(away().len(), 3);
}

/// INV-RES-2 within one runtime: the order in which hyperties are deployed after a restart does not matter.
#[tokio::test(start_paused = true)]
async fn an_observer_that_is_deployed_before_its_local_reporter_resumes() {
    let world = World::new(333);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let viewer = alice.runtime.deploy("viewer").await.unwrap();
    drop(viewer.subscribe(board.url()).store(true).await.unwrap());
    board.set("topic", "b").await.unwrap();
    drop((board, viewer));

    let image = alice.tables.snapshot();
    alice.runtime.abort();
    drop(alice);
    let runtime = world.runtime("alice", &std::sync::Arc::new(image)).await;
    runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let viewer = runtime.deploy("viewer").await.unwrap();
    let mut copy = viewer.resumed().observers.first().expect("it is resumed").clone();
    assert_eq!((copy.data(), copy.state()), (topic("b"), ObserverState::Disconnected));
    let app = runtime.deploy("app").await.unwrap();
    let board = app.resumed().reporters.first().expect("it is resumed").clone();
    assert_eq!(copy.next_event().await, Some(ObserverEvent::Resumed { missed: 0 }));
    board.set("topic", "c").await.unwrap();
    assert_eq!(until(&mut copy, 2).await.len(), 1);
    assert_eq!((copy.data(), copy.state()), (topic("c"), ObserverState::Live));
    // Its children too.
    board.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    assert!(matches!(copy.next_event().await, Some(ObserverEvent::Child(_))));
}

/// It may leave before the Reporter is back: nothing of it is left.
#[tokio::test(start_paused = true)]
async fn an_observer_may_leave_before_its_local_reporter_is_back() {
    let world = World::new(334);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let viewer = alice.runtime.deploy("viewer").await.unwrap();
    drop(viewer.subscribe(board.url()).store(true).await.unwrap());
    drop((board, viewer));
    let image = std::sync::Arc::new(alice.tables.snapshot());
    alice.runtime.abort();
    drop(alice);
    let runtime = world.runtime("alice", &image).await;
    runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let viewer = runtime.deploy("viewer").await.unwrap();
    viewer.resumed().observers[0].unsubscribe().await.unwrap();
    let app = runtime.deploy("app").await.unwrap();
    let board = app.resumed().reporters[0].clone();
    board.set("topic", "b").await.unwrap();
    drop((board, app, viewer));
    let image = std::sync::Arc::new(image.snapshot());
    runtime.abort();
    let runtime = world.runtime("alice", &image).await;
    let viewer = runtime.deploy("viewer").await.unwrap();
    assert!(viewer.resumed().observers.is_empty());
}
