//! Half-open connections: nothing arrives, nothing fails.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{PingConnector, PingEnd, Side, answer_to};
use bytes::Bytes;
use hyperty_message_bus::{Protostub, StubStatus};
use hyperty_model::MessageType;
use hyperty_protostub::{Incoming, Outgoing, STUCK_INTERVALS_MAX, SessionError};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(10);

async fn open(end: &mut PingEnd) {
    let Some(Outgoing::Frame(frame)) = end.from_runtime.recv().await else { panic!("a frame first") };
    let open: Value = serde_json::from_slice(&frame).unwrap();
    end.to_runtime.send(Incoming::Frame(Bytes::from(answer_to(&open)))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_pings_is_alive_and_a_silent_one_is_lost() {
    let (sender, mut connections) = mpsc::unbounded_channel();
    let side = Side::new(Arc::new(PingConnector(sender, INTERVAL)));
    let mut end = connections.recv().await.unwrap();
    open(&mut end).await;
    side.stub.live().await.unwrap();

    let start = Instant::now();
    for _ in 0..30 {
        assert_eq!(end.from_runtime.recv().await, Some(Outgoing::Ping));
        end.to_runtime.send(Incoming::Alive).await.unwrap();
    }
    assert_eq!(side.stub.status(), StubStatus::Live);
    assert!(start.elapsed() >= INTERVAL * 30, "a ping is asked for by silence only");

    let silent_since = Instant::now();
    let mut next = connections.recv().await.unwrap();
    let silence = silent_since.elapsed();
    assert!(silence >= INTERVAL * 3 && silence <= INTERVAL * 4 + Duration::from_secs(1), "{silence:?}");
    assert_eq!(side.stub.last_error(), Some(SessionError::Silent));
    open(&mut next).await;
    side.stub.live().await.unwrap();
}

/// The other half of a connection may be dead: the node speaks, and nothing reaches it.
#[tokio::test(start_paused = true)]
async fn a_node_that_speaks_and_takes_nothing_is_lost() {
    let (sender, mut connections) = mpsc::unbounded_channel();
    let side = Side::new(Arc::new(PingConnector(sender, INTERVAL)));
    let mut end = connections.recv().await.unwrap();
    open(&mut end).await;
    side.stub.live().await.unwrap();
    // As long as it takes one message now and then, it is slow and no more.
    for number in 0..1_000 {
        side.send(MessageType::Read, "hyperty://example.com/2", number).unwrap();
    }
    let speak = |to: mpsc::Sender<Incoming>| async move {
        while to.send(Incoming::Alive).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    let speaking = tokio::spawn(speak(end.to_runtime.clone()));
    for _ in 0..20 {
        tokio::time::sleep(INTERVAL * STUCK_INTERVALS_MAX - Duration::from_secs(1)).await;
        assert!(end.from_runtime.recv().await.is_some());
        assert_eq!(side.stub.status(), StubStatus::Live);
    }
    let since = Instant::now();
    let mut next = connections.recv().await.unwrap();
    let stuck = since.elapsed();
    assert!(stuck <= INTERVAL * (STUCK_INTERVALS_MAX + 1) + Duration::from_secs(1), "{stuck:?}");
    assert_eq!(side.stub.last_error(), Some(SessionError::Stuck));
    speaking.await.unwrap();
    open(&mut next).await;
    side.stub.live().await.unwrap();
    let mut rest = 0;
    while rest < 1_000 - 64 - 20 - 1 {
        let Some(Outgoing::Frame(_)) = next.from_runtime.recv().await else { continue };
        rest += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn any_frame_is_a_sign_of_life() {
    let (sender, mut connections) = mpsc::unbounded_channel();
    let side = Side::new(Arc::new(PingConnector(sender, INTERVAL)));
    let mut end = connections.recv().await.unwrap();
    open(&mut end).await;
    side.stub.live().await.unwrap();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let update = json!({ "id": 1, "type": "event", "from": "hyperty://a/1", "to": "hyperty://a/2" });
        end.to_runtime.send(Incoming::Frame(Bytes::from(update.to_string()))).await.unwrap();
    }
    assert_eq!(side.stub.status(), StubStatus::Live);
    assert!(end.from_runtime.try_recv().is_err(), "nobody had to be asked");
}
