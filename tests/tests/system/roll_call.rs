//! The Reporter's list of observers after its own runtime was away (protocol 5.3.5): who is there, who is not any more,
//! and who is silent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyperty_conformance::world::{Link, World};
use hyperty_model::MessageType;
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables, Role};
use hyperty_syncher::{Accept, ObserversChange, Reporter};
use tokio::time::{sleep, timeout};

use crate::spy::{Spy, stored};
use crate::support::{Party, board_in, settled, topic};

/// Long enough for every connection to be there again, and for all tries after which who is silent is away.
const HEALED: Duration = Duration::from_secs(180);

/// Who observes, and whether it is away.
fn list(board: &Reporter) -> Vec<(String, bool)> {
    let name = |entry: &hyperty_syncher::ObserverEntry| {
        let user = entry.identity.as_ref().and_then(|identity| identity.user());
        user.and_then(|user| user.rsplit('/').next()).unwrap_or_default().to_owned()
    };
    let mut list: Vec<_> = board.observers().iter().map(|entry| (name(entry), entry.away)).collect();
    list.sort();
    list
}

fn names(list: &[(&str, bool)]) -> Vec<(String, bool)> {
    list.iter().map(|(name, away)| ((*name).to_owned(), *away)).collect()
}

/// An observer that was accepted and whose runtime stopped before it had kept that; the node could not say so, as the
/// Reporter's runtime was away, too.
#[tokio::test(start_paused = true)]
async fn who_knows_nothing_of_its_place_loses_it_and_who_vanished_is_away() {
    for crash in [false, true] {
        let world = World::new(341);
        let mut alice = Party::new(&world, "alice").await;
        let mut board = alice.create(topic("a")).await;
        let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
        let dave = Party::new(&world, "dave").await;
        drop((bob.observe(&board).await, carol.observe(&board).await));
        let mut copy = dave.observe(&board).await;
        world.cut("alice");
        sleep(Duration::from_secs(100)).await;
        let kept = Arc::new(carol.tables.snapshot());
        bob.runtime.abort();
        carol.runtime.abort();
        drop((bob, carol));
        let _bob = Party::over(&world, "bob", Arc::new(MemoryTables::new())).await;
        if crash {
            drop(board);
            alice = alice.crash().await;
            board = alice.reporter();
        }
        sleep(HEALED).await;
        world.heal("alice");
        sleep(HEALED).await;
        assert_eq!(list(&board), names(&[("carol", true), ("dave", false)]), "{crash}");
        assert_eq!(stored(&alice, Role::Reporter)[0].subscriptions.len(), 2, "{crash}");
        board.set("topic", "b").await.unwrap();
        settled(&mut copy, 1).await;
        // Who vanished has its place when it comes back.
        let carol = Party::over(&world, "carol", kept).await;
        settled(&mut carol.observer(), 1).await;
        assert_eq!(list(&board), names(&[("carol", false), ("dave", false)]), "{crash}");
    }
}

/// One that has lost its place, and only looks at the object now and then: it is asked all the same.
#[tokio::test(start_paused = true)]
async fn who_only_reads_is_not_heard_of_as_an_observer() {
    let world = World::new(344);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let bob = Party::new(&world, "bob").await;
    drop(bob.observe(&board).await);
    let url = board.url().clone();
    drop(board);
    world.cut("alice");
    bob.runtime.abort();
    drop(bob);
    let bob = Party::over(&world, "bob", Arc::new(MemoryTables::new())).await;
    let alice = alice.crash().await;
    world.heal("alice");
    timeout(HEALED, alice.runtime.connected()).await.unwrap();
    let board = alice.reporter();
    board.accept(Accept::All);
    bob.hyperty.read(&url).await.unwrap();
    assert_eq!(list(&board), names(&[("bob", false)]), "not asked yet");
    sleep(HEALED).await;
    assert_eq!(list(&board), names(&[]));
}

/// One that is there and slow is served on, and is back as soon as it answers.
#[tokio::test(start_paused = true)]
async fn who_is_slow_to_answer_is_away_for_a_while_and_misses_nothing() {
    let world = World::new(342);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let bob = Party::new(&world, "bob").await;
    let mut copy = bob.observe(&board).await;
    drop(board);
    world.set_link("bob", Link::Stalled);
    let alice = alice.crash().await;
    let board = alice.reporter();
    let mut changes = board.observers_changes();
    board.set("topic", "b").await.unwrap();
    // Not so long that its session ends.
    sleep(Duration::from_secs(45)).await;
    assert_eq!(list(&board), names(&[("bob", true)]));
    world.heal("bob");
    settled(&mut copy, 1).await;
    sleep(Duration::from_secs(70)).await;
    assert_eq!(list(&board), names(&[("bob", false)]));
    let told = std::iter::from_fn(|| changes.next().now_or_never().flatten()).collect::<Vec<_>>();
    assert!(matches!(told[..], [ObserversChange::Away(_), ObserversChange::Back(_)]), "{told:?}");
    assert!(!stored(&alice, Role::Reporter)[0].subscriptions[0].away);
}

/// Who is heard of by itself is not asked, and nobody is asked twice.
#[tokio::test(start_paused = true)]
async fn who_is_heard_of_is_not_asked() {
    let world = World::new(343);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let _copies = (bob.observe(&board).await, carol.observe(&board).await);
    drop(board);
    let (asked_bob, asked_carol) = (Spy::on(bob.runtime.bus()), Spy::on(carol.runtime.bus()));
    let alice = alice.crash().await;
    world.cut("bob");
    timeout(HEALED, alice.runtime.connected()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    world.heal("bob");
    sleep(10 * HEALED).await;
    let asked = |spy: &Spy, name: &str| {
        let manager = format!("hyperty-runtime://example.com/{name}/sm");
        spy.incoming(|m| m.kind() == MessageType::Read && m.to().as_str() == manager).len()
    };
    assert_eq!((asked(&asked_bob, "bob"), asked(&asked_carol, "carol")), (0, 1));
    assert_eq!(list(&alice.reporter()), names(&[("bob", false), ("carol", false)]));
}

/// One that had come back, which a disk did not keep: it repairs nothing any more, and is asked.
#[tokio::test(start_paused = true)]
async fn who_is_said_to_be_away_is_asked_after_a_restart() {
    let world = World::new(346);
    let tables = Arc::new(FaultyTables::new(MemoryTables::new(), FaultPlan::default()));
    let runtime = world.runtime("alice", &tables).await;
    let (alice, board) = board_in(&runtime).await;
    let bob = Party::new(&world, "bob").await;
    let copy = bob.observe(&board).await;
    world.cut("bob");
    sleep(HEALED).await;
    assert!(board.observers()[0].away);
    tables.freeze();
    world.heal("bob");
    sleep(HEALED).await;
    assert!(!board.observers()[0].away);
    let disk = Arc::new(tables.inner().snapshot());
    runtime.abort();
    drop((board, alice, runtime));

    let runtime = world.runtime("alice", &disk).await;
    let alice = runtime.deploy("app").await.unwrap();
    let board = alice.resumed().reporters[0].clone();
    assert!(board.observers()[0].away);
    sleep(HEALED).await;
    assert!(!board.observers()[0].away);
    drop(copy);
}

/// That a runtime has no session is heard long before another one's silence is over, and by then it is back.
#[tokio::test(start_paused = true)]
async fn who_is_back_before_all_were_heard_of_stays() {
    let world = World::new(349);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let (_his, mut hers) = (bob.observe(&board).await, carol.observe(&board).await);
    drop(board);
    let tables = crate::takeover::stopped(alice);
    world.cut("carol");
    // Their sessions have ended, and nobody was there to be told.
    sleep(Duration::from_secs(120)).await;
    world.set_link("bob", Link::Silent);
    let mut config = hyperty_runtime::SyncManagerConfig::default();
    config.repair_timeout = Duration::from_secs(40);
    let runtime = world.runtime_with("alice", &tables, |builder| builder.sync_manager(config)).await;
    runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let hyperty = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    let board = hyperty.resumed().reporters.first().expect("it is resumed").clone();
    runtime.connected().await;
    sleep(Duration::from_secs(7)).await;
    world.heal("carol");
    carol.runtime.connected().await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(list(&board), names(&[("bob", false), ("carol", false)]), "nobody's silence is over yet");
    sleep(Duration::from_secs(60)).await;
    board.set("topic", "b").await.unwrap();
    let change = timeout(Duration::from_secs(2), hers.next()).await.expect("a change in time");
    assert!(change.is_some(), "she observes still");
}
