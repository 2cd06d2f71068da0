//! What coming back costs (protocol 10.1): an observer that missed 10 of 10,000 changes of an object of a megabyte gets
//! the ten changes, in one round trip, whoever was restarted meanwhile. Bytes and round trips are counted, not timed.

use hyperty_conformance::world::{Traffic, World};
use hyperty_model::log::LOG_CHANGES_MAX;
use hyperty_model::{Message, MessageType};
use hyperty_syncher::{Observer, ObserverEvent, Reporter};
use serde_json::{Map, Value, json};

use crate::spy::{NODE, Spy};
use crate::support::{Party, settled};

/// Bytes in both directions, session and routes included, that a resume by changes may cost.
const DELTA_BYTES_MAX: u64 = 8_000;
const OBJECT_BYTES: usize = 1_000_000;
const CHANGES: u64 = 10_000;
const MISSED: u64 = 10;

fn megabyte() -> Value {
    let parts = (0..16).map(|at| (format!("part{at}"), Value::from("x".repeat(OBJECT_BYTES / 16))));
    Value::Object(
        parts.chain([("topic".to_owned(), json!("a")), ("n".to_owned(), json!(0))]).collect::<Map<_, _>>(),
    )
}

/// Makes `changes` more, and waits until they are committed.
async fn change(board: &Reporter, changes: u64) {
    let mut last = None;
    for _ in 0..changes {
        last = Some(board.set("n", board.version() + 1));
    }
    last.expect("at least one").await.unwrap();
}

struct Scene {
    world: World,
    alice: Party,
    bob: Party,
    board: Reporter,
    copy: Observer,
}

impl Scene {
    /// Both sides stand at version 9,990.
    async fn new(seed: u64) -> Scene {
        let world = World::new(seed);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let board = alice.create(megabyte()).await;
        let mut copy = bob.observe(&board).await;
        // In bursts that no queue collapses, so that nothing but the scene itself is repaired.
        while board.version() < CHANGES - MISSED {
            change(&board, (CHANGES - MISSED - board.version()).min(500)).await;
            settled(&mut copy, board.version()).await;
        }
        copy.snapshot();
        Scene { world, alice, bob, board, copy }
    }
}

/// What bob's runtime asked for on its way back: one read, and the routes once if the session is new.
fn round_trips(spy: &Spy, board: &str) -> (usize, usize) {
    let is = |kind: MessageType, to: &str, message: &Message| {
        message.kind() == kind && message.to().as_str() == to
    };
    let reads = spy.outgoing(|message| is(MessageType::Read, board, message)).len();
    let routes = spy.outgoing(|message| is(MessageType::Subscribe, NODE, message)).len();
    (reads, routes)
}

fn check(what: &str, cost: Traffic, trips: (usize, usize), repairs: (u64, u64)) {
    println!(
        "{what}: {} bytes ({} frames out, {} in), {} read, {} messages for routes",
        cost.bytes(),
        cost.frames_sent,
        cost.frames_received,
        trips.0,
        trips.1
    );
    assert!(cost.bytes() <= DELTA_BYTES_MAX, "{what}: {cost:?}");
    assert_eq!(trips.0, 1, "{what}: one round trip for the object");
    assert_eq!(repairs, (1, 0), "{what}: by changes, by a snapshot");
}

/// How often a runtime's copies were repaired by changes and by a whole state, beyond what is known.
fn repairs(party: &Party, known: (u64, u64)) -> (u64, u64) {
    let stats = party.runtime.stats();
    (stats.repairs_by_changes - known.0, stats.repairs_by_snapshot - known.1)
}

/// Cuts bob off and waits until he knows.
async fn cut(world: &World, copy: &mut Observer) {
    world.cut("bob");
    while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_costs_the_changes_that_were_missed() {
    let Scene { world, alice: _alice, bob, board, mut copy } = Scene::new(311).await;
    cut(&world, &mut copy).await;
    change(&board, MISSED).await;
    let (before, known, spy) = (world.traffic("bob"), repairs(&bob, (0, 0)), Spy::on(bob.runtime.bus()));
    world.heal("bob");
    while copy.next_event().await != Some(ObserverEvent::Resumed { missed: MISSED }) {}
    assert_eq!(copy.data(), board.data());
    let trips = round_trips(&spy, board.url().as_str());
    check("connection lost", world.traffic("bob").since(before), trips, repairs(&bob, known));
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_observer_costs_the_changes_that_were_missed() {
    let Scene { world, alice: _alice, bob, board, copy } = Scene::new(312).await;
    drop(copy);
    world.cut("bob");
    change(&board, MISSED).await;
    let before = world.traffic("bob");
    let bob = bob.crash().await;
    let spy = Spy::on(bob.runtime.bus());
    world.heal("bob");
    let mut copy = bob.observer();
    settled(&mut copy, CHANGES).await;
    assert_eq!(copy.data(), board.data());
    let trips = round_trips(&spy, board.url().as_str());
    check("observer restarted", world.traffic("bob").since(before), trips, repairs(&bob, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_reporter_costs_the_changes_that_were_missed() {
    let Scene { world, alice, bob, board, mut copy } = Scene::new(313).await;
    cut(&world, &mut copy).await;
    change(&board, MISSED).await;
    drop(board);
    let alice = alice.crash().await;
    let board = alice.reporter();
    let (before, known, spy) = (world.traffic("bob"), repairs(&bob, (0, 0)), Spy::on(bob.runtime.bus()));
    world.heal("bob");
    while copy.next_event().await != Some(ObserverEvent::Resumed { missed: MISSED }) {}
    assert_eq!(copy.data(), board.data());
    let trips = round_trips(&spy, board.url().as_str());
    check("reporter restarted", world.traffic("bob").since(before), trips, repairs(&bob, known));
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_both_costs_the_changes_that_were_missed() {
    let Scene { world, alice, bob, board, copy } = Scene::new(314).await;
    drop(copy);
    world.cut("bob");
    change(&board, MISSED).await;
    drop(board);
    let before = world.traffic("bob");
    let bob = bob.crash().await;
    let alice = alice.crash().await;
    let (spy, board) = (Spy::on(bob.runtime.bus()), alice.reporter());
    world.heal("bob");
    let mut copy = bob.observer();
    settled(&mut copy, CHANGES).await;
    assert_eq!(copy.data(), board.data());
    let trips = round_trips(&spy, board.url().as_str());
    check("both restarted", world.traffic("bob").since(before), trips, repairs(&bob, (0, 0)));
}

/// The other end of the scale: who missed more than the log holds gets the whole object, once.
#[tokio::test(start_paused = true)]
async fn who_missed_too_much_gets_the_whole_object_once() {
    let Scene { world, alice: _alice, bob, board, mut copy } = Scene::new(315).await;
    let missed = LOG_CHANGES_MAX as u64 + 1;
    cut(&world, &mut copy).await;
    change(&board, missed).await;
    let (before, known) = (world.traffic("bob"), repairs(&bob, (0, 0)));
    world.heal("bob");
    while copy.next_event().await != Some(ObserverEvent::Resumed { missed }) {}
    assert_eq!(copy.data(), board.data());
    let cost = world.traffic("bob").since(before);
    println!(
        "a snapshot: {} bytes ({} frames out, {} in)",
        cost.bytes(),
        cost.frames_sent,
        cost.frames_received
    );
    assert!((OBJECT_BYTES as u64..2 * OBJECT_BYTES as u64).contains(&cost.bytes()), "{cost:?}");
    assert_eq!(repairs(&bob, known), (0, 1));
}
