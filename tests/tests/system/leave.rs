//! An observer that leaves while the Reporter's side cannot hear it (protocol 5.6): the Reporter's side hears of it all
//! the same, sooner or later (INV-UNS-4).

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::peer::{Peer, SESSION};
use hyperty_conformance::world::{Link, World};
use hyperty_runtime::SyncManagerConfig;
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables, RecordStatus, Role};
use hyperty_syncher::{Accept, Observer, Reporter, ReporterEvent, SubscribeError};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::{NODE, stored};
use crate::support::{Party, board_in, settled, topic};

/// Long enough for every connection to be there again, and for the longest pause between two tries.
const HEALED: Duration = Duration::from_secs(180);

/// Longer than whoever asks waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the Reporter's side cannot hear.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    Link(&'static str, Link),
    Node,
}

const OBSTACLES: [Obstacle; 7] = [
    Obstacle::Link("alice", Link::Cut),
    Obstacle::Link("alice", Link::Silent),
    Obstacle::Link("alice", Link::Stalled),
    Obstacle::Link("bob", Link::Cut),
    Obstacle::Link("bob", Link::Silent),
    Obstacle::Link("bob", Link::Stalled),
    Obstacle::Node,
];

impl Obstacle {
    fn begin(self, world: &World) {
        match self {
            Obstacle::Link(who, link) => world.set_link(who, link),
            Obstacle::Node => world.stop_node(),
        }
    }

    fn end(self, world: &World) {
        match self {
            Obstacle::Link(who, _) => world.heal(who),
            Obstacle::Node => world.start_node(),
        }
    }
}

/// Who stops hard once the observer has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    None,
    Observer,
    Both,
}

async fn leave(copy: &Observer) {
    timeout(PATIENCE, copy.unsubscribe()).await.expect("an answer in time").expect("it leaves");
}

fn nobody_observes(board: &Reporter, alice: &Party, bob: &Party, case: &str) {
    assert_eq!(board.observers(), [], "{case}");
    assert!(stored(alice, Role::Reporter)[0].subscriptions.is_empty(), "{case}");
    assert!(stored(bob, Role::Observer).is_empty(), "{case}: {:?}", stored(bob, Role::Observer));
}

#[tokio::test(start_paused = true)]
async fn the_reporter_hears_of_a_leave_however_it_was_cut_off_inv_uns_4() {
    for obstacle in OBSTACLES {
        for crash in [Crash::None, Crash::Observer, Crash::Both] {
            // Within what the node keeps for a lost session, and beyond.
            for lasts in [Duration::from_secs(1), Duration::from_secs(150)] {
                let case = format!("{obstacle:?} for {lasts:?}, {crash:?}");
                let world = World::new(69);
                let mut alice = Party::new(&world, "alice").await;
                let mut bob = Party::new(&world, "bob").await;
                let mut board = alice.create(topic("a")).await;
                let copy = bob.observe(&board).await;
                assert_eq!(board.observers().len(), 1, "{case}");
                obstacle.begin(&world);
                leave(&copy).await;
                drop(copy);
                if crash == Crash::Both {
                    drop(board);
                    alice = alice.crash().await;
                    board = alice.reporter();
                }
                if crash != Crash::None {
                    bob = bob.crash().await;
                    assert!(bob.hyperty.resumed().observers.is_empty(), "{case}");
                }
                sleep(lasts).await;
                obstacle.end(&world);
                sleep(HEALED).await;
                nobody_observes(&board, &alice, &bob, &case);
            }
        }
    }
}

/// The Reporter's side hears of a subscription and of its end at once: the end does not wait for the decision, and the
/// decision is nobody's. The observer's side was restarted, and knows nothing of an answer that comes then.
#[tokio::test(start_paused = true)]
async fn who_gives_up_while_it_is_decided_does_not_observe_inv_uns_4() {
    let world = World::new(78);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    board.accept(Accept::Ask);
    let mut events = board.events();
    world.set_link("alice", Link::Stalled);
    let subscribing = bob.hyperty.subscribe(board.url()).store(true);
    timeout(PATIENCE, subscribing.into_future())
        .await
        .expect("an answer in time")
        .expect_err("nobody answers");
    let bob = bob.crash().await;
    world.heal("alice");
    let asked = async {
        loop {
            if let Some(ReporterEvent::Subscription(request)) = events.next().await {
                break request;
            }
        }
    };
    let request = timeout(PATIENCE, asked).await.expect("it is asked");
    sleep(Duration::from_secs(1)).await;
    request.accept();
    sleep(HEALED).await;
    nobody_observes(&board, &alice, &bob, "decided late");
}

/// A session ends while a subscription that came over it is decided: the decision is nobody's (M13, INV-UNS-4).
#[tokio::test(start_paused = true)]
async fn whose_session_ends_while_it_is_decided_does_not_observe_inv_uns_4() {
    for resumable in [true, false] {
        let world = World::new(79);
        let alice = Party::new(&world, "alice").await;
        let board = alice.create(topic("a")).await;
        board.accept(Accept::Ask);
        let mut events = board.events();
        let mut eve = Peer::open(&world.node().unwrap(), "eve").await;
        let (sm, runtime, me) = (eve.sm(), eve.runtime.clone(), "hyperty://example.com/eve");
        let (object, changes) = (board.url().to_string(), board.url().changes());
        eve.request("subscribe", &sm, NODE, json!({"resources": [changes], "source": runtime})).await;
        let body = json!({"source": me, "subscriber": me, "resumable": resumable, "store": resumable});
        eve.send("subscribe", &sm, &format!("{object}/subscription"), body).await;
        let request = loop {
            let event = timeout(PATIENCE, events.next()).await.expect("it is asked");
            if let Some(ReporterEvent::Subscription(request)) = event {
                break request;
            }
        };
        eve.send("close", &runtime, SESSION, json!({})).await;
        sleep(Duration::from_secs(1)).await;
        request.accept();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(board.observers(), [], "resumable: {resumable}");
        sleep(HEALED).await;
        assert_eq!(board.observers(), [], "resumable: {resumable}");
        assert!(stored(&alice, Role::Reporter)[0].subscriptions.is_empty(), "resumable: {resumable}");
    }
}

/// Who subscribes anew before its leave was heard of stays.
#[tokio::test(start_paused = true)]
async fn a_new_subscription_takes_the_place_of_a_leave_that_was_not_heard() {
    for obstacle in OBSTACLES {
        for crash in [Crash::None, Crash::Observer, Crash::Both] {
            let case = format!("{obstacle:?}, {crash:?}");
            let world = World::new(70);
            let mut alice = Party::new(&world, "alice").await;
            let mut bob = Party::new(&world, "bob").await;
            let mut board = alice.create(topic("a")).await;
            let copy = bob.observe(&board).await;
            obstacle.begin(&world);
            leave(&copy).await;
            drop(copy);
            if crash == Crash::Both {
                drop(board);
                alice = alice.crash().await;
                board = alice.reporter();
                board.accept(Accept::All);
            }
            if crash != Crash::None {
                bob = bob.crash().await;
            }
            obstacle.end(&world);
            let subscribing = async {
                loop {
                    match bob.hyperty.subscribe(board.url()).store(true).await {
                        Ok(copy) => return copy,
                        Err(_) => sleep(Duration::from_secs(1)).await,
                    }
                }
            };
            let mut copy = timeout(HEALED, subscribing).await.expect(&case);
            sleep(HEALED).await;
            let list = board.observers();
            assert!(list.len() == 1 && !list[0].away, "{case}: {list:?}");
            let subscribers = stored(&bob, Role::Observer)[0].subscriptions.clone();
            assert!(subscribers.len() == 1 && subscribers[0].left.is_none(), "{case}: {subscribers:?}");
            board.set("topic", "b").await.unwrap();
            settled(&mut copy, 1).await;
            // And what it leaves now has ended, here and there.
            leave(&copy).await;
            nobody_observes(&board, &alice, &bob, &case);
        }
    }
}

/// A subscription that comes to nothing leaves the leave before it as it was, after a restart too.
#[tokio::test(start_paused = true)]
async fn a_leave_that_was_not_heard_outlives_a_subscription_that_fails_inv_uns_4() {
    for store in [true, false] {
        for crash in [Crash::None, Crash::Observer, Crash::Both] {
            let case = format!("store: {store}, {crash:?}");
            let world = World::new(83);
            let mut alice = Party::new(&world, "alice").await;
            let mut bob = Party::new(&world, "bob").await;
            let mut board = alice.create(topic("a")).await;
            let copy = bob.observe(&board).await;
            // Longer than the node keeps what is for her: whoever asks is told that there is no way.
            world.set_link("alice", Link::Cut);
            sleep(Duration::from_secs(90)).await;
            leave(&copy).await;
            drop(copy);
            bob.hyperty.subscribe(board.url()).store(store).await.expect_err(&case);
            if crash == Crash::Both {
                drop(board);
                alice = alice.crash().await;
                board = alice.reporter();
            }
            if crash != Crash::None {
                bob = bob.crash().await;
                assert!(bob.hyperty.resumed().observers.is_empty(), "{case}");
            }
            world.heal("alice");
            sleep(HEALED).await;
            nobody_observes(&board, &alice, &bob, &case);
        }
    }
}

/// Others in its runtime observe on, and what is kept of them is not touched.
#[tokio::test(start_paused = true)]
async fn who_leaves_takes_nobody_along() {
    let world = World::new(71);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let copy = bob.observe(&board).await;
    let viewer = bob.runtime.deploy("viewer").await.unwrap();
    let theirs = viewer.subscribe(board.url()).store(true).await.unwrap();
    let viewer_url = viewer.url().clone();
    world.cut("bob");
    leave(&theirs).await;
    drop((copy, theirs, viewer));
    let kept = stored(&bob, Role::Observer)[0].subscriptions.clone();
    let left = |left: bool| kept.iter().filter(|s| s.left.is_some() == left).count();
    assert_eq!((left(false), left(true)), (1, 1), "{kept:?}");

    let bob = bob.crash().await;
    let mut copy = bob.observer();
    assert!(bob.runtime.deploy("viewer").await.unwrap().resumed().observers.is_empty());
    world.heal("bob");
    sleep(HEALED).await;
    assert!(board.observers().iter().all(|entry| entry.url != viewer_url && !entry.away));
    assert_eq!(board.observers().len(), 1);
    assert_eq!(stored(&bob, Role::Observer)[0].subscriptions.len(), 1);
    board.set("topic", "b").await.unwrap();
    settled(&mut copy, 1).await;
}

/// A Reporter that never comes back is not told for ever.
#[tokio::test(start_paused = true)]
async fn what_nobody_hears_is_forgotten_after_a_while_or_when_there_is_too_much() {
    let world = World::new(72);
    let alice = Party::new(&world, "alice").await;
    let mut config = SyncManagerConfig::default();
    config.leaves_max = 2;
    let bob = Party::with(&world, "bob", |builder| builder.sync_manager(config)).await;
    let mut copies = Vec::new();
    for _ in 0..3 {
        let board = alice.create(topic("a")).await;
        copies.push(bob.observe(&board).await);
    }
    alice.runtime.abort();
    drop(alice);
    sleep(HEALED).await;
    for copy in &copies {
        leave(copy).await;
    }
    drop(copies);
    sleep(HEALED).await;
    let records = stored(&bob, Role::Observer);
    assert!(records.iter().all(|record| record.status == RecordStatus::Left && record.data.is_none()));
    assert_eq!(records.len(), 2);
    assert_eq!(bob.runtime.stats().observed, 0);
}

/// A leave that the Reporter's side has taken in, and does not keep yet, is answered when it is kept, however often it
/// is told: a crash would bring the observer back, and nobody would tell again.
#[tokio::test(start_paused = true)]
async fn a_leave_that_is_not_kept_yet_is_not_answered() {
    let world = World::new(73);
    let tables = Arc::new(FaultyTables::new(MemoryTables::new(), FaultPlan::default()));
    let runtime = world.runtime("alice", &tables).await;
    let (alice, board) = board_in(&runtime).await;
    let bob = Party::new(&world, "bob").await;
    let copy = bob.observe(&board).await;
    tables.freeze();
    leave(&copy).await;
    drop(copy);
    sleep(HEALED).await;
    assert_eq!(board.observers(), []);
    let disk = Arc::new(tables.inner().snapshot());
    runtime.abort();
    drop((board, alice, runtime));

    let runtime = world.runtime("alice", &disk).await;
    let alice = runtime.deploy("app").await.unwrap();
    let board = alice.resumed().reporters[0].clone();
    assert_eq!(board.observers().len(), 1);
    sleep(HEALED).await;
    assert_eq!(board.observers(), []);
    assert!(stored(&bob, Role::Observer).is_empty());
}

/// One that asked in vain, left, and asked again: that the first request is answered after all ends nothing.
#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_end_what_was_begun_since() {
    let world = World::new(74);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let bob = Party::new(&world, "bob").await;
    let copy = bob.observe(&board).await;
    world.cut("bob");
    let asked = bob.hyperty.subscribe(board.url()).store(true).await;
    assert!(matches!(asked, Err(SubscribeError::Timeout)), "{asked:?}");
    leave(&copy).await;
    drop(copy);
    let asking = tokio::spawn(bob.hyperty.subscribe(board.url()).store(true).into_future());
    world.heal("bob");
    let mut copy = asking.await.unwrap().unwrap();
    sleep(HEALED).await;
    assert_eq!(board.observers().len(), 1);
    board.set("topic", "b").await.unwrap();
    settled(&mut copy, 1).await;
}
