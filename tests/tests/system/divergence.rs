//! A copy that is wrong although nothing is missing (protocol 10.2): beats carry a digest of the data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::{Direction, Interceptor, MessageBus, Verdict};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Message, MessageType};
use hyperty_syncher::{Observer, ObserverEvent};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::spy::{Spy, json_body};
use crate::support::{Party, topic, until};

/// Changes what comes in through a stub.
struct Fault<F>(F);

impl<F: Fn(&Message) -> Option<Value> + Send + Sync> Interceptor for Fault<F> {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let instead = (direction == Direction::Incoming).then(|| (self.0)(&message)).flatten();
        Verdict::Pass(match instead {
            Some(body) => message.with_body(body),
            None => message,
        })
    }
}

fn fault(bus: &MessageBus, f: impl Fn(&Message) -> Option<Value> + Send + Sync + 'static) {
    bus.add_interceptor(Arc::new(Fault(f)));
}

fn is_beat(message: &Message) -> bool {
    message.kind() == MessageType::Update
        && message
            .decode::<UpdateBody>()
            .is_ok_and(|body| matches!(body.kind, UpdateKind::Position { digest: Some(_), .. }))
}

/// Reads events until a whole state comes, which it must within some seconds: the first beat follows a change by one.
async fn resync(observer: &mut Observer) -> (u64, Value) {
    let waiting = async {
        loop {
            if let ObserverEvent::Resync { version, data, .. } = observer.next_event().await.unwrap() {
                return (version, Value::clone(&data));
            }
        }
    };
    timeout(Duration::from_secs(5), waiting).await.expect("found at the next beat")
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_altered_on_the_way_is_found_at_the_next_beat_inv_ext_3() {
    let world = World::new(301);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    let other = bob.runtime.deploy("other").await.unwrap();
    let mut second = other.subscribe(board.url()).await.unwrap();
    fault(bob.runtime.bus(), |message| {
        let mut body = (message.kind() == MessageType::Update).then(|| json_body(message))?;
        (body["value"] == "b").then(|| {
            body["value"] = json!("x");
            body
        })
    });
    board.set("topic", "b").await.unwrap();
    for copy in [&mut copy, &mut second] {
        until(copy, 1).await;
        assert_eq!(copy.data(), topic("x"), "the fault went in");
    }
    for copy in [&mut copy, &mut second] {
        assert_eq!(resync(copy).await, (1, topic("b")));
    }
    let stats = bob.runtime.stats();
    assert_eq!((stats.divergences, stats.repairs_by_snapshot), (1, 1));
    // It goes on from the right state, and later beats find nothing.
    board.set("n", 1).await.unwrap();
    for copy in [&mut copy, &mut second] {
        assert_eq!(until(copy, 2).await.len(), 1);
        assert_eq!(copy.data(), json!({"topic": "b", "n": 1}));
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(bob.runtime.stats().divergences, 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_was_altered_on_the_way_is_found_inv_ext_3() {
    let world = World::new(302);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let first = AtomicBool::new(true);
    fault(bob.runtime.bus(), move |message| {
        let mut body = (message.kind() == MessageType::Response).then(|| json_body(message))?;
        body.pointer("/value/data/topic")?;
        first.swap(false, Ordering::Relaxed).then(|| {
            body["value"]["data"]["topic"] = json!("x");
            body
        })
    });
    let mut copy = bob.observe(&board).await;
    assert_eq!(copy.data(), topic("x"), "the fault went in");
    assert_eq!(resync(&mut copy).await, (0, topic("a")));
    assert_eq!(copy.data(), topic("a"));
    assert_eq!(bob.runtime.stats().divergences, 1);
}

/// A peer that makes digests in another way costs one whole state, not one for each beat.
#[tokio::test(start_paused = true)]
async fn digests_made_in_another_way_are_ignored_after_one_repair() {
    let world = World::new(303);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    fault(bob.runtime.bus(), |message| {
        is_beat(message).then(|| {
            let mut body = json_body(message);
            body["digest"] = json!("0123456789abcdef");
            body
        })
    });
    let mut copy = bob.observe(&board).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let stats = bob.runtime.stats();
    assert_eq!((stats.divergences, stats.repairs_by_snapshot), (1, 1));
    board.set("topic", "b").await.unwrap();
    let events = until(&mut copy, 1).await;
    assert!(matches!(&events[..], [ObserverEvent::Change(_)]), "nothing was told of it: {events:?}");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(bob.runtime.stats().divergences, 1);
}

#[tokio::test(start_paused = true)]
async fn beats_of_large_objects_carry_no_digest() {
    let world = World::new(304);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let spy = Spy::on(bob.runtime.bus());
    let _copy = bob.observe(&board).await;
    let beats = || {
        let beats = spy.incoming(|message| message.kind() == MessageType::Update);
        let told = beats.iter().filter(|message| json_body(message)["attributeType"] == "position");
        told.map(|message| json_body(message)["digest"].is_string()).collect::<Vec<_>>()
    };
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!beats().is_empty() && beats().iter().all(|digest| *digest), "{:?}", beats());
    board.set("topic", "x".repeat(hyperty_model::digest::DIGEST_BYTES_MAX)).await.unwrap();
    spy.clear();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!beats().is_empty() && !beats().iter().any(|digest| *digest), "{:?}", beats());
}
