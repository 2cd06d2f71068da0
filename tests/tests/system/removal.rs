//! The Reporter removes observers (protocol 5.7, 10.4; INV-KICK-1 to 3, INV-LSN-2).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{Link, World};
use hyperty_message_bus::Direction;
use hyperty_message_node::NodeConfig;
use hyperty_model::MessageType;
use hyperty_storage::Role;
use hyperty_syncher::{
    Accept, ChildError, CloseReason, Observer, ObserverEvent, ObserverState, ReadError, RemoveError,
    SubscribeError,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::{gate, stored};
use crate::support::{Party, settled, topic};

/// Reads events to the end, which must be the removal; gives the last version that was told.
async fn to_the_end(observer: &mut Observer) -> Option<u64> {
    let mut last = None;
    loop {
        let event = timeout(Duration::from_secs(600), observer.next_event()).await.expect("an event in time");
        match event.expect("the end is told") {
            ObserverEvent::Change(change) => last = Some(change.version),
            ObserverEvent::Resync { version, .. } => last = Some(version),
            ObserverEvent::Closed { reason } => {
                assert_eq!(reason, CloseReason::Removed);
                return last;
            }
            _ => {}
        }
    }
}

/// INV-KICK-1, INV-LSN-2: by the node, and in the Reporter's own runtime.
#[tokio::test(start_paused = true)]
async fn who_is_removed_sees_reads_and_subscribes_nothing_any_more() {
    let world = World::new(701);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let carol = Party::new(&world, "carol").await;
    let neighbour = alice.runtime.deploy("neighbour").user("user://example.com/neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    let mut of_bob = bob.observe(&board).await;
    let mut of_carol = carol.observe(&board).await;
    let mut of_neighbour = neighbour.subscribe(board.url()).store(true).await.unwrap();
    let note = of_bob.children("notes").unwrap().add(json!({"n": 1}));
    let note = note.await.unwrap();
    board.set("topic", "b").await.unwrap();
    settled(&mut of_bob, 1).await;

    for (hyperty, observer) in [(&bob.hyperty, &mut of_bob), (&neighbour, &mut of_neighbour)] {
        board.remove_observer(hyperty.url()).await.unwrap();
        board.set("topic", "c").await.unwrap();
        let last = to_the_end(observer).await;
        assert!(last.is_none_or(|last| last < board.position().version), "{last:?}");
        let refused = hyperty.subscribe(board.url()).await.map(|_| ());
        assert!(
            matches!(&refused, Err(SubscribeError::Refused { code, .. }) if code.0 == 403),
            "{refused:?}"
        );
        let refused = hyperty.read(board.url()).await.map(|_| ());
        assert!(matches!(&refused, Err(ReadError::Refused { code, .. }) if code.0 == 401), "{refused:?}");
        // Once more is the same.
        board.remove_observer(hyperty.url()).await.unwrap();
    }
    // Who was not removed goes on; what the removed one wrote stays, and is not its to change.
    board.set("topic", "d").await.unwrap();
    let version = board.position().version;
    settled(&mut of_carol, version).await;
    assert_eq!(board.children("notes").unwrap().list().len(), 1);
    let changed = note.set("n", json!(2)).await;
    let is_refused =
        matches!(changed, Err(ChildError::Closed | ChildError::Refused { .. } | ChildError::Unanswered));
    assert!(is_refused, "{changed:?}");
    assert_eq!(board.children("notes").unwrap().list()[0].data, json!({"n": 1}));
    assert_eq!(of_bob.data(), topic("b"));

    let stranger = Party::new(&world, "dave").await;
    let unknown = board.remove_observer(stranger.hyperty.url()).await;
    assert_eq!(unknown, Err(RemoveError::NotObserving(stranger.hyperty.url().clone())));
}

/// Somebody else of the same runtime observes: the runtime has the stream, and the removed one has not.
#[tokio::test(start_paused = true)]
async fn another_observer_of_the_same_runtime_goes_on() {
    let world = World::new(702);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let second = bob.runtime.deploy("second").user("user://example.com/bob").await.unwrap();
    let board = alice.create(topic("a")).await;
    let mut of_bob = bob.observe(&board).await;
    let mut of_second = second.subscribe(board.url()).store(true).await.unwrap();
    board.set("topic", "b").await.unwrap();
    for copy in [&mut of_bob, &mut of_second] {
        settled(copy, 1).await;
    }
    board.remove_observer(bob.hyperty.url()).await.unwrap();
    for version in 2..6 {
        board.set("topic", format!("{version}")).await.unwrap();
        settled(&mut of_second, version).await;
    }
    assert_eq!(to_the_end(&mut of_bob).await, None);
    assert_eq!(of_bob.data(), topic("b"));
    let subscribers = stored(&bob, Role::Observer)[0].subscriptions.clone();
    assert_eq!(subscribers.len(), 1, "{subscribers:?}");
    assert_eq!(subscribers[0].hyperty, *second.url());
}

/// The same while the runtime is away: it hears of it before it hears anything else.
#[tokio::test(start_paused = true)]
async fn who_is_away_is_removed_when_it_comes_back() {
    for (seed, both) in [(703, false), (704, true)] {
        for pause in [Duration::from_secs(1), Duration::from_secs(200)] {
            let world = World::new(seed);
            let alice = Party::new(&world, "alice").await;
            let bob = Party::new(&world, "bob").await;
            let board = alice.create(topic("a")).await;
            let mut of_bob = bob.observe(&board).await;
            let mut others = Vec::new();
            if both {
                let second = bob.runtime.deploy("second").await.unwrap();
                others.push(second.subscribe(board.url()).store(true).await.unwrap());
            }
            world.cut("bob");
            sleep(pause).await;
            board.remove_observer(bob.hyperty.url()).await.unwrap();
            board.set("topic", "b").await.unwrap();
            world.heal("bob");
            let last = to_the_end(&mut of_bob).await;
            assert_eq!((last, of_bob.data()), (None, topic("a")), "{both} {pause:?}");
            for other in &mut others {
                settled(other, 1).await;
            }
        }
    }
}

/// INV-KICK-1: the node delivers to a new session whatever it listens to, where it enforces nothing; what comes before the
/// repair, in which it is told of a removal, reaches nobody who may have been removed.
#[tokio::test(start_paused = true)]
async fn nothing_that_comes_ahead_of_the_repair_reaches_who_was_removed() {
    let world = World::with_node(721, |config| NodeConfig { enforce_subscriber: Some(false), ..config });
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    // Not stored: a change is published in the call that makes it.
    let create = alice.hyperty.create(schema).name("board").data(topic("a"));
    let board = create.accept(Accept::All).await.unwrap();
    let mut of_bob = bob.observe(&board).await;
    let second = bob.runtime.deploy("second").await.unwrap();
    let mut of_second = second.subscribe(board.url()).store(true).await.unwrap();
    world.cut("bob");
    sleep(Duration::from_secs(200)).await;
    board.remove_observer(bob.hyperty.url()).await.unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    {
        let (board, reads, object) = (board.clone(), Arc::clone(&reads), board.url().clone());
        gate(alice.runtime.bus(), move |direction, message| {
            let is_repair = direction == Direction::Incoming
                && message.kind() == MessageType::Read
                && message.to() == object.as_url();
            if is_repair && reads.fetch_add(1, Ordering::Relaxed) == 0 {
                drop(board.set("topic", "b"));
                drop(board.children("notes").unwrap().add(json!({"n": 1})));
            }
            true
        });
    }
    world.heal("bob");
    settled(&mut of_second, 1).await;
    assert_eq!((to_the_end(&mut of_bob).await, of_bob.data()), (None, topic("a")));
    assert!(of_bob.children("notes").unwrap().list().is_empty());
    assert!(reads.load(Ordering::Relaxed) > 0);
    // Who stays has all of it.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(of_second.children("notes").unwrap().list().len(), 1);
    assert_eq!(of_second.data(), topic("b"));
}

/// INV-KICK-1 after restarts of the Reporter's runtime, of the observer's, and of both.
#[tokio::test(start_paused = true)]
async fn a_restart_brings_nobody_back() {
    for (seed, reporter_too, observer_too) in [(705, true, false), (706, false, true), (707, true, true)] {
        let world = World::new(seed);
        let mut alice = Party::new(&world, "alice").await;
        let mut bob = Party::new(&world, "bob").await;
        let mut board = alice.create(topic("a")).await;
        let of_bob = bob.observe(&board).await;
        // It does not hear of it: its runtime is away, and may stop before it is back.
        world.cut("bob");
        sleep(Duration::from_secs(1)).await;
        board.remove_observer(bob.hyperty.url()).await.unwrap();
        let mut copy = of_bob;
        if reporter_too {
            drop(board);
            alice = alice.crash().await;
            board = alice.reporter();
            board.accept(Accept::All);
            assert_eq!(board.observers(), []);
        }
        if observer_too {
            drop(copy);
            bob = bob.crash().await;
            copy = bob.observer();
        }
        board.set("topic", "b").await.unwrap();
        world.heal("bob");
        assert_eq!(to_the_end(&mut copy).await, None);
        assert_eq!(copy.data(), topic("a"));
        let refused = bob.hyperty.subscribe(board.url()).await.map(|_| ());
        assert!(
            matches!(&refused, Err(SubscribeError::Refused { code, .. }) if code.0 == 403),
            "{refused:?}"
        );
        let kept = stored(&alice, Role::Reporter)[0].subscriptions.clone();
        assert!(kept.len() == 1 && kept[0].removed.is_some(), "{kept:?}");
        let bob = bob.crash().await;
        assert!(bob.hyperty.resumed().observers.is_empty());
    }
}

/// Whatever the moment, who was removed while it subscribed does not observe afterwards.
#[tokio::test(start_paused = true)]
async fn a_subscription_under_way_is_removed_too() {
    for millis in 0..12 {
        let world = World::new(708);
        let alice = Party::new(&world, "alice").await;
        let bob = Party::new(&world, "bob").await;
        let board = alice.create(topic("a")).await;
        let subscribing = {
            let (hyperty, url) = (bob.hyperty.clone(), board.url().clone());
            tokio::spawn(async move { hyperty.subscribe(&url).store(true).await })
        };
        for _ in 0..millis * 3 {
            tokio::task::yield_now().await;
        }
        let removed = loop {
            match board.remove_observer(bob.hyperty.url()).await {
                Err(RemoveError::NotObserving(_)) => tokio::task::yield_now().await,
                other => break other,
            }
        };
        removed.unwrap();
        board.set("topic", "b").await.unwrap();
        match subscribing.await.unwrap() {
            Ok(mut observer) => {
                assert_eq!(to_the_end(&mut observer).await, None);
                assert_eq!(observer.data(), topic("a"));
            }
            Err(SubscribeError::Refused { code, .. }) => assert_eq!(code.0, 403),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(board.observers(), []);
        assert_eq!(bob.runtime.stats().observed, 0);
    }
}

/// INV-KICK-1: removed out of reach and invited again, it observes when it is back, and the Reporter's list says so: the
/// farewell that it had not heard does not end what it has got since.
#[tokio::test(start_paused = true)]
async fn who_is_invited_again_before_it_heard_of_its_removal_observes() {
    let world = World::new(720);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let before = Arc::new(bob.tables.snapshot());
    let observed = bob.observe(&board).await;
    world.set_link("bob", Link::Cut);
    sleep(Duration::from_secs(1)).await;
    board.remove_observer(bob.hyperty.url()).await.unwrap();
    // What it had is lost with its runtime.
    drop(observed);
    bob.runtime.abort();
    let _answers = board.invite([bob.hyperty.url().clone()]).await.unwrap();
    world.set_link("bob", Link::Up);
    let bob = Party::over(&world, "bob", before).await;
    bob.runtime.connected().await;
    let mut of_bob = bob.hyperty.subscribe(board.url()).store(true).await.unwrap();
    board.set("topic", "b").await.unwrap();
    settled(&mut of_bob, 1).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(of_bob.state(), ObserverState::Live);
    let listed: Vec<_> = board.observers().into_iter().map(|entry| (entry.url, entry.away)).collect();
    assert_eq!(listed, [(bob.hyperty.url().clone(), false)]);
}

/// Many have to hear of it when the Reporter's node is there again: some at a time, the first ahead of everything else.
#[tokio::test(start_paused = true)]
async fn many_who_were_not_told_are_reminded_in_turns_inv_kick_2() {
    const MANY: usize = 600;
    const AT_ONCE: usize = 256;
    let world = World::new(713);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let mut copies = Vec::new();
    for number in 0..MANY {
        let hyperty = bob.runtime.deploy(&format!("guest-{number}")).await.unwrap();
        let copy = hyperty.subscribe(board.url()).await.unwrap();
        copies.push((hyperty, copy));
    }
    world.set_link("alice", Link::Cut);
    sleep(Duration::from_secs(60)).await;
    for (hyperty, _) in &copies {
        board.remove_observer(hyperty.url()).await.unwrap();
    }
    let untold = |party: &Party| {
        let record = stored(party, Role::Reporter).remove(0);
        record.subscriptions.iter().filter(|one| one.untold).count()
    };
    assert_eq!(untold(&alice), MANY);

    // To whom a goodbye is under way, and to how many at most.
    let (under_way, most) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicUsize::new(0)));
    let (waiting, highest) = (Arc::clone(&under_way), Arc::clone(&most));
    let guests: BTreeSet<String> = copies.iter().map(|(hyperty, _)| hyperty.url().to_string()).collect();
    gate(alice.runtime.bus(), move |_, message| {
        let mut waiting = waiting.lock();
        match message.kind() {
            MessageType::Unsubscribe if guests.contains(message.to().as_str()) => {
                waiting.insert(message.to().clone());
                highest.fetch_max(waiting.len(), Ordering::Relaxed);
            }
            MessageType::Response => drop(waiting.remove(message.from())),
            _ => {}
        }
        true
    });
    world.set_link("alice", Link::Up);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(untold(&alice), 0, "all have heard");
    assert!(under_way.lock().is_empty());
    let most = most.load(Ordering::Relaxed);
    assert!((AT_ONCE / 2..=AT_ONCE).contains(&most), "{most} at a time");
    for (_, copy) in &mut copies {
        to_the_end(copy).await;
    }
}
