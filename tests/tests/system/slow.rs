//! Who does not read delays nobody (protocol 5.4, 10.3).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_model::queue::QUEUE_COUNT_MAX;
use hyperty_model::{ManualClock, SeededIds, Timestamp};
use hyperty_protostub::{ChannelConnector, ConnectError};
use hyperty_runtime::Runtime;
use hyperty_syncher::{EVENTS_MAX, ObserverEvent};
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::support::{Party, settled, until};

#[tokio::test(start_paused = true)]
async fn an_observer_that_reads_nothing_delays_nobody_and_is_resynced_inv_upd_3() {
    let last = 3 * u64::try_from(EVENTS_MAX).unwrap();
    let world = World::new(65);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let board = alice.create(json!({"n": 0})).await;
    let (mut idle, mut busy) = (bob.observe(&board).await, carol.observe(&board).await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let mut idle_here = neighbour.subscribe(board.url()).await.unwrap();
    let started = Instant::now();
    for version in 1..=last {
        board.set("n", version).await.unwrap();
        until(&mut busy, version).await;
    }
    // In paused time nothing but a wait takes any.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    for idle in [&mut idle, &mut idle_here] {
        // The copy is as far as the others'; only the events were not read.
        assert_eq!((idle.version(), idle.data()), (last, json!({"n": last})));
        let mut read = Vec::new();
        while let Ok(event) = timeout(Duration::from_secs(1), idle.next_event()).await {
            read.push(event.unwrap());
        }
        let resync = ObserverEvent::Resync { epoch: 0, version: last, data: Arc::new(json!({"n": last})) };
        assert!(read.len() <= EVENTS_MAX, "{}", read.len());
        assert!(read.contains(&resync), "{read:?}");
    }
    // From here on they are told of each change again.
    board.set("n", 0).await.unwrap();
    for idle in [&mut idle, &mut idle_here] {
        assert_eq!(until(idle, last + 1).await.len(), 1);
    }
}

/// A runtime that is connected and does not read what is sent to it.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_read_delays_nobody_and_is_repaired_inv_upd_3() {
    let last = u64::try_from(QUEUE_COUNT_MAX).unwrap() + 1_000;
    let world = World::new(70);
    let (alice, carol) = (Party::new(&world, "alice").await, Party::new(&world, "carol").await);
    let (reading, stalled) = watch::channel(true);
    let node = world.node().unwrap();
    let connector = ChannelConnector::new(move || {
        let channel = node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()))?;
        Ok(stallable(channel, stalled.clone()))
    });
    let clock = ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
    let runtime = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/stalled"))
        .message_node_via(DOMAIN, Arc::new(connector))
        .clock(Arc::new(clock))
        .ids(Arc::new(SeededIds::new(70)))
        .start()
        .await
        .unwrap();
    let board = alice.create(json!({"n": 0})).await;
    let hyperty = runtime.deploy("app").await.unwrap();
    let (mut slow, mut quick) = (hyperty.subscribe(board.url()).await.unwrap(), carol.observe(&board).await);
    reading.send_replace(false);
    let started = Instant::now();
    for version in 1..=last {
        board.set("n", version).await.unwrap();
        until(&mut quick, version).await;
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let stats = world.node().unwrap().stats();
    // What its queue does not hold has collapsed; nothing else was dropped, and the session is not given up.
    assert!(stats.conflated > 0, "{stats:?}");
    assert_eq!(stats.overflowed, 0);
    assert!(slow.version() < last / 2);
    reading.send_replace(true);
    settled(&mut slow, last).await;
    assert_eq!(slow.data(), json!({"n": last}));
}

/// What goes to the client passes only while it reads.
fn stallable(
    node: (Frames, Receiver<Bytes>),
    mut reading: watch::Receiver<bool>,
) -> (Frames, Receiver<Bytes>) {
    let (to_node, mut from_node) = node;
    let (to_client, received) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(frame) = from_node.recv().await {
            let stopped = reading.wait_for(|reading| *reading).await.is_err();
            if stopped || to_client.send(frame).await.is_err() {
                return;
            }
        }
    });
    (to_node, received)
}

type Frames = mpsc::Sender<Bytes>;
