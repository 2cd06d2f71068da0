//! What waits for a connection, and what survives one: protocol M15, INV-EXT-4.

use crate::support::{CountingConnector, FakeNode, Side, fake_node, numbers, url};
use hyperty_message_bus::{Protostub, SendError};
use hyperty_model::queue::QueueLimits;
use hyperty_model::{Message, MessageType};
use hyperty_protostub::{Connector, StubConfig};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const PEER: &str = "hyperty://example.com/2";

fn small(count: usize) -> impl FnOnce(&mut StubConfig) {
    move |config| config.queue = QueueLimits { count, ..QueueLimits::default() }
}

#[tokio::test(start_paused = true)]
async fn updates_that_find_the_queue_full_replace_older_ones_of_their_object() {
    let (mut node, connector) = fake_node(64);
    let side = Side::with(connector, small(4));
    side.send(MessageType::Read, PEER, 100).unwrap();
    side.send(MessageType::Update, "comm://example.com/b/changes", 200).unwrap();
    for number in 0..50 {
        side.send(MessageType::Update, "comm://example.com/a/changes", number).unwrap();
    }
    side.send(MessageType::Read, PEER, 101).unwrap();
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    assert_eq!(numbers(&end.drain().await), [100, 200, 49, 101]);
    assert_eq!((side.stub.counters().superseded, side.stub.counters().evicted), (49, 0));
}

#[tokio::test(start_paused = true)]
async fn children_collapse_one_by_one() {
    let (mut node, connector) = fake_node(64);
    let side = Side::with(connector, small(3));
    let (from, to) = (url("hyperty://example.com/1"), url("comm://example.com/a/children/notes"));
    for number in 0..30_u64 {
        let child = format!("hyperty://example.com/1#{}", number % 3);
        let body = json!({ "resource": child, "number": number });
        side.stub.send(side.bus.new_message(MessageType::Update, &from, &to, body)).unwrap();
    }
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    assert_eq!(numbers(&end.drain().await), [27, 28, 29]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_full_of_control_refuses_and_takes_again_when_there_is_room() {
    let (mut node, connector) = fake_node(64);
    let side = Side::with(connector, small(3));
    for number in 0..3 {
        side.send(MessageType::Read, PEER, number).unwrap();
    }
    assert_eq!(side.send(MessageType::Read, PEER, 3), Err(SendError::Full));
    assert_eq!(side.send(MessageType::Update, "comm://example.com/a/changes", 4), Err(SendError::Full));
    assert_eq!(side.stub.queued(), 3);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    assert_eq!(numbers(&end.drain().await), [0, 1, 2]);
    side.send(MessageType::Read, PEER, 5).unwrap();
    assert_eq!(numbers(&end.drain().await), [5]);
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_at_once_is_flushed_once() {
    let connector = Arc::new(CountingConnector::default());
    let side = Side::new(connector.clone());
    side.stub.live().await.unwrap();
    let before = connector.flushes.load(Ordering::Relaxed);
    for number in 0..1_000 {
        side.send(MessageType::Read, PEER, number).unwrap();
    }
    while connector.frames.load(Ordering::Relaxed) < 1_001 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(connector.flushes.load(Ordering::Relaxed) - before, 1);
}

/// Sends `count` messages while the node breaks each connection after reading as many frames as `cuts` says.
async fn through_breaks(
    mut node: FakeNode,
    connector: Arc<dyn Connector>,
    count: u64,
    cuts: Vec<usize>,
) -> Vec<u64> {
    let side = Side::new(connector);
    let mut found = Vec::new();
    for number in 0..count {
        side.send(MessageType::Read, PEER, number).unwrap();
    }
    for cut in cuts {
        let mut end = node.accept().await;
        let opening = end.next().await;
        end.answer(&opening, json!({ "code": 200, "runtimeToken": "t" })).await;
        for _ in 0..cut.min(side.stub.queued()) {
            found.push(end.next().await);
        }
    }
    let mut end = node.accept().await;
    let opening = end.next().await;
    end.answer(&opening, json!({ "code": 200, "runtimeToken": "t" })).await;
    while numbers(&found).last() != Some(&(count - 1)) {
        found.push(end.next().await);
    }
    numbers(&found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_break_loses_only_what_the_connection_had_taken(
        capacity in 1..6_usize, count in 10..60_u64, cuts in proptest::collection::vec(0..12_usize, 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let breaks = cuts.len();
        // Enough that the last message is still to come after the last break.
        prop_assume!(cuts.iter().sum::<usize>() + (breaks + 1) * (capacity + 1) < usize::try_from(count).unwrap());
        let (node, connector) = fake_node(capacity);
        let found = runtime.block_on(through_breaks(node, connector, count, cuts));
        prop_assert!(found.is_sorted_by(|a, b| a < b), "in order, none twice: {found:?}");
        let lost = usize::try_from(count).unwrap() - found.len();
        prop_assert!(lost <= breaks * capacity, "{lost} lost in {breaks} breaks of {capacity}");
    }
}

#[test]
fn a_message_is_encoded_once_and_its_bytes_are_shared() {
    let message = Message::new(1, MessageType::Read, url(PEER), url(PEER), json!({ "a": 1 }));
    let clone = message.clone();
    assert_eq!(message.wire().as_ptr(), clone.wire().as_ptr());
}
