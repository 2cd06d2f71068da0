//! What is left of a deleted object, and that nothing can keep it from being deleted (protocol 5.8).

use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_message_bus::Direction;
use hyperty_model::MessageType;
use hyperty_runtime::SyncManagerConfig;
use hyperty_storage::Role;
use hyperty_syncher::{Criteria, ObserverEvent, Reporter};
use tokio::time::{Instant, sleep, timeout};

use crate::spy::{gate, is_taken, registered, routes, stored};
use crate::support::{Party, topic};

/// T_DELACK, the time that observers have to acknowledge.
const ACKNOWLEDGEMENTS: Duration = Duration::from_secs(5);

/// Longer than every retry.
const PATIENCE: Duration = Duration::from_secs(600);

async fn delete(board: &Reporter) {
    timeout(PATIENCE, board.delete()).await.expect("an answer in time").expect("it is deleted");
}

fn is_live(status: &(u16, Option<String>)) -> bool {
    status.1.as_deref() == Some("live")
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_is_never_shown_live_again_inv_del_3() {
    let world = World::new(80);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let url = board.url().clone();
    let _copy = bob.observe(&board).await;
    assert!(is_live(&registered(&bob, &url).await));
    delete(&board).await;
    assert_eq!(registered(&bob, &url).await.0, 410);
    drop(board);
    // Keep-alives, other registrations of the runtime, lost connections and restarts do not bring it back.
    let alice = {
        let other = alice.create(topic("b")).await;
        sleep(Duration::from_secs(3 * 3600)).await;
        assert_eq!(registered(&bob, &url).await.0, 410);
        assert!(is_live(&registered(&bob, other.url()).await), "keep-alives are sent");
        world.cut("alice");
        sleep(Duration::from_secs(300)).await;
        assert_eq!(registered(&bob, &url).await.0, 410);
        world.heal("alice");
        sleep(Duration::from_secs(300)).await;
        assert!(is_live(&registered(&bob, other.url()).await), "registrations are made again");
        assert_eq!(registered(&bob, &url).await.0, 410);
        alice.crash().await
    };
    sleep(Duration::from_secs(300)).await;
    assert_eq!(registered(&bob, &url).await.0, 410);
    world.stop_node();
    sleep(Duration::from_secs(10)).await;
    world.start_node();
    sleep(Duration::from_secs(300)).await;
    let after = registered(&bob, &url).await;
    assert!(matches!(after.0, 404 | 410), "{after:?}");
    assert!(alice.hyperty.resumed().reporters.iter().all(|reporter| *reporter.url() != url));
}

/// The deletion is under way when the connection, or the whole runtime, is lost.
#[tokio::test(start_paused = true)]
async fn an_interrupted_deletion_is_finished_and_not_undone_inv_del_3() {
    for crash in [false, true] {
        let world = World::new(81);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        bob.runtime.connected().await;
        let before = routes(&world);
        let board = alice.create(topic("a")).await;
        let url = board.url().clone();
        world.cut("alice");
        sleep(Duration::from_secs(1)).await;
        let deleting = board.clone();
        let deleting = tokio::spawn(async move { deleting.delete().await });
        drop(board);
        let alice = if crash {
            sleep(Duration::from_secs(1)).await;
            deleting.abort();
            let _ = deleting.await;
            alice.crash().await
        } else {
            // Nobody waits for the node: what it does not hear now it hears later.
            deleting.await.unwrap().unwrap();
            assert!(alice.hyperty.reporters().is_empty());
            alice
        };
        world.heal("alice");
        // From the first time that it is not shown live on, it never is.
        let mut gone = false;
        for _ in 0..120 {
            let status = registered(&bob, &url).await;
            assert!(!(gone && is_live(&status)), "crash: {crash}");
            gone |= !is_live(&status);
            sleep(Duration::from_secs(5)).await;
        }
        assert!(gone);
        assert_eq!(registered(&bob, &url).await.0, 410, "crash: {crash}");
        assert!(!is_taken(&bob, url.as_str()).await, "the address is released");
        assert_eq!(routes(&world), before);
        assert!(stored(&alice, Role::Reporter).is_empty());
        assert!(alice.hyperty.resumed().reporters.is_empty());
    }
}

/// The data was not stored, so that its history is broken at each start: a deletion that goes on is one all the same.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_interrupted_twice_is_finished_inv_res_7() {
    let world = World::new(86);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let board = alice.hyperty.create(schema).name("board").data(topic("a")).resumable(true).await.unwrap();
    let url = board.url().clone();
    world.cut("alice");
    sleep(Duration::from_secs(1)).await;
    let deleting = tokio::spawn(async move { board.delete().await });
    sleep(Duration::from_secs(1)).await;
    deleting.abort();
    let _ = deleting.await;
    let mut alice = alice;
    for _ in 0..2 {
        alice = alice.crash().await;
        assert!(alice.hyperty.resumed().reporters.is_empty(), "it is deleted");
        sleep(Duration::from_secs(1)).await;
    }
    world.heal("alice");
    sleep(PATIENCE).await;
    assert_eq!(registered(&bob, &url).await.0, 410);
    assert!(stored(&alice, Role::Reporter).is_empty());
}

#[tokio::test(start_paused = true)]
async fn deletion_ends_with_all_observers_dead_inv_del_5() {
    let world = World::new(82);
    let alice = Party::new(&world, "alice").await;
    let parties = [
        Party::new(&world, "bob").await,
        Party::new(&world, "carol").await,
        Party::new(&world, "dave").await,
    ];
    let asker = Party::new(&world, "erin").await;
    for party in parties.iter().chain([&asker]) {
        party.runtime.connected().await;
    }
    let before = routes(&world);
    let board = alice.create(topic("a")).await;
    for party in &parties {
        drop(party.observe(&board).await);
    }
    let [bob, carol, dave] = parties;
    // One is cut off, one is cut off and crashes, one never comes back.
    world.cut("bob");
    world.cut("carol");
    world.cut("dave");
    let image = carol.tables.snapshot();
    carol.runtime.abort();
    dave.runtime.abort();
    drop((carol, dave));
    let started = Instant::now();
    delete(&board).await;
    let took = started.elapsed();
    assert!(took >= ACKNOWLEDGEMENTS, "their sessions are still kept, so they are waited for: {took:?}");
    assert!(took < ACKNOWLEDGEMENTS + Duration::from_secs(2), "{took:?}");
    assert!(board.is_closed());
    let url = board.url().clone();
    assert_eq!(registered(&asker, &url).await.0, 410);
    assert!(!is_taken(&asker, url.as_str()).await, "the address is released");
    assert!(stored(&alice, Role::Reporter).is_empty());
    assert!(alice.hyperty.reporters().is_empty());
    // Their routes end with their sessions.
    sleep(Duration::from_secs(120)).await;
    assert_eq!(routes(&world), before);
    // Who comes back is told.
    world.heal("bob");
    world.heal("carol");
    let carol = Party::over(&world, "carol", std::sync::Arc::new(image)).await;
    for party in [&bob, &carol] {
        // What it resumed may have ended before anybody looks.
        for mut observer in party.hyperty.resumed().observers.clone() {
            let mut last = None;
            while let Some(event) = timeout(PATIENCE, observer.next_event()).await.expect("it ends in time") {
                last = Some(event);
            }
            assert_eq!(last, Some(ObserverEvent::Deleted));
        }
        sleep(PATIENCE).await;
        assert!(party.hyperty.observers().is_empty());
        assert!(stored(party, Role::Observer).is_empty());
    }
    assert_eq!(routes(&world), before);
}

#[tokio::test(start_paused = true)]
async fn deletion_waits_for_nobody_who_left_or_answered_inv_del_5() {
    let world = World::new(83);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    let _here = neighbour.subscribe(board.url()).await.unwrap();
    let _there = bob.observe(&board).await;
    let carol = Party::new(&world, "carol").await;
    drop(carol.observe(&board).await);
    carol.runtime.abort();
    drop(carol);
    // Its session is over: the node said so, and it is away.
    sleep(Duration::from_secs(120)).await;
    let started = Instant::now();
    delete(&board).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// I11: the announcement of the deletion never comes, and nothing else does: silence itself makes the observer ask, and
/// no later than the protocol says, whenever it heard the last word.
#[tokio::test(start_paused = true)]
async fn an_observer_that_missed_the_deletion_finds_out() {
    for heard_for in [0, 30, 100, 149, 151, 280] {
        let world = World::new(86);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let board = alice.create(topic("a")).await;
        let mut copy = bob.observe(&board).await;
        let announcement = board.url().changes();
        gate(bob.runtime.bus(), move |direction, message| {
            direction != Direction::Incoming
                || message.kind() != MessageType::Delete
                || *message.to() != announcement
        });
        sleep(Duration::from_secs(heard_for)).await;
        delete(&board).await;
        let told = async {
            while let Some(event) = copy.next_event().await {
                if event == ObserverEvent::Deleted {
                    return true;
                }
            }
            false
        };
        let limit = SyncManagerConfig::default().silence + Duration::from_secs(5);
        assert!(timeout(limit, told).await.expect("word of it in time"), "{heard_for}");
    }
}

/// A deletion that goes on after a restart, as the node is away: nobody resumes what it is about (INV-DEL-3).
#[tokio::test(start_paused = true)]
async fn what_is_being_deleted_is_not_resumed_by_criteria() {
    let world = World::new(45);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    world.stop_node();
    board.delete().await.unwrap();
    drop(board);
    let alice = alice.crash().await;
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let found = alice.hyperty.resume_by(Criteria::default().schema(schema)).await.unwrap();
    assert!(found.reporters.is_empty(), "{found:?}");
    world.start_node();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(alice.hyperty.reporters().is_empty());
}
