//! The session of a stub with a scripted node: protocol 5.15, M11, M14.

use std::time::Duration;

use crate::support::{Side, fake_node, numbers, url};
use hyperty_message_bus::{Protostub, SendError, StubStatus};
use hyperty_model::{MessageType, StatusCode};
use hyperty_protostub::{ConnectError, SessionError, StubClosed};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

const PEER: &str = "hyperty://example.com/2";

#[tokio::test(start_paused = true)]
async fn a_session_opens_and_carries_messages_both_ways_inv_ses_3() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let got = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&got);
    let _listener =
        side.bus.listen(&url("hyperty://example.com/1"), move |message| log.lock().push(message.clone()));
    let mut end = node.accept().await;
    let open = end.next().await;
    end.drain().await;
    assert_eq!(side.stub.status(), StubStatus::InProgress, "no live without a 200");
    assert_eq!(*side.events.lock(), [StubStatus::Created, StubStatus::InProgress]);
    end.answer(&open, json!({ "code": 200, "runtimeToken": "t1" })).await;
    side.stub.live().await.unwrap();

    side.send(MessageType::Read, PEER, 1).unwrap();
    assert_eq!(numbers(&[end.next().await]), [1]);
    end.send(json!({ "id": 5, "type": "update", "from": PEER, "to": "hyperty://example.com/1", "body": { "auth": true } }))
        .await;
    end.drain().await;
    let messages = got.lock().clone();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].hops(), [side.stub.url().clone()]);
    assert_eq!(*side.events.lock(), [StubStatus::Created, StubStatus::InProgress, StubStatus::Live]);
    assert_eq!((side.stub.counters().sent, side.stub.counters().received), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_session_hears_its_routes_before_what_waited() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    side.routes.urls.lock().push(url("comm://example.com/1/changes"));
    for number in 1..=3 {
        side.send(MessageType::Read, PEER, number).unwrap();
    }
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    let sent = end.drain().await;
    assert_eq!(sent[0]["type"], "subscribe");
    assert_eq!(numbers(&sent[1..]), [1, 2, 3]);
    assert_eq!(sent.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_reopened_by_its_token_without_replay_inv_ses_1() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    side.routes.urls.lock().push(url("comm://example.com/1/changes"));
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    let subscribe = end.next().await;
    end.answer(&subscribe, json!({ "code": 200 })).await;
    end.drain().await;
    drop(end);

    let mut end = node.accept().await;
    assert_eq!(side.stub.status(), StubStatus::InProgress);
    assert_eq!(side.stub.last_error(), Some(SessionError::Lost(hyperty_protostub::TransportError::Closed)));
    side.send(MessageType::Read, PEER, 1).unwrap();
    // The node goes on where the session left off, perhaps before it answers.
    end.send(json!({ "id": 1, "type": "event", "from": PEER, "to": "hyperty://example.com/1" })).await;
    end.answer_reopen("t1", 200).await;
    let sent = end.drain().await;
    assert_eq!((sent.len(), numbers(&sent)), (1, vec![1]));
    assert_eq!(side.stub.counters().received, 2);
    assert_eq!(side.stub.last_error(), None);
    let first = [StubStatus::Created, StubStatus::InProgress, StubStatus::Live];
    let again = [StubStatus::Disconnected, StubStatus::InProgress, StubStatus::Live];
    assert_eq!(*side.events.lock(), [first, again].concat());
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_leads_to_a_fresh_session_that_is_told_everything_inv_ses_1_and_2() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    side.stub.live().await.unwrap();
    drop(end);
    side.routes.urls.lock().push(url("comm://example.com/1/changes"));
    let mut end = node.accept().await;
    side.send(MessageType::Read, PEER, 1).unwrap();
    end.answer_reopen("t1", 500).await;
    end.accept_open("t2").await;
    let sent = end.drain().await;
    assert_eq!(sent[0]["type"], "subscribe");
    assert_eq!(numbers(&sent[1..]), [1]);
    end.answer(&sent[0], json!({ "code": 200 })).await;
    end.drain().await;
    drop(end);
    let mut end = node.accept().await;
    end.answer_reopen("t2", 200).await;
    side.stub.live().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_lost_before_its_routes_were_confirmed_is_not_reopened() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    side.routes.urls.lock().push(url("comm://example.com/1/changes"));
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    assert_eq!(end.next().await["type"], "subscribe");
    drop(end);
    let mut end = node.accept().await;
    end.accept_open("t2").await;
    assert_eq!(end.next().await["type"], "subscribe");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_tokens_is_reopened_by_the_bare_url() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    let open = end.next().await;
    end.answer(&open, json!({ "code": "200" })).await;
    side.stub.live().await.unwrap();
    drop(end);
    let reopen = node.accept().await.next().await;
    assert_eq!((&reopen["type"], &reopen["from"]), (&json!("re-open"), &json!(crate::support::RUNTIME)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_open_is_told_and_tried_again_ever_more_slowly() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut last = Instant::now();
    for attempt in 0..12_u32 {
        let mut end = node.accept().await;
        let waited = last.elapsed();
        if attempt > 0 {
            let whole = (Duration::from_millis(100) * 2_u32.pow(attempt - 1)).min(Duration::from_secs(5));
            assert!(
                waited >= whole / 2 && waited <= whole + Duration::from_millis(2),
                "{attempt}: {waited:?}"
            );
        }
        let open = end.next().await;
        end.answer(&open, json!({ "code": 409, "desc": "another session is live" })).await;
        end.drain().await;
        last = Instant::now();
        assert_eq!(side.stub.status(), StubStatus::Failed);
        let description = "another session is live".to_owned();
        let refused = SessionError::Refused { code: StatusCode::CONFLICT, description };
        assert_eq!(side.stub.last_error(), Some(refused));
    }
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    side.stub.live().await.unwrap();
    assert_eq!(side.stub.last_error(), None);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_node_and_a_silent_one_are_tried_again() {
    let (mut node, connector) = fake_node(16);
    let refused = ConnectError::Unreachable("connection refused".into());
    *node.down.lock() = Some(refused.clone());
    let side = Side::new(connector);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(side.stub.last_error(), Some(SessionError::Connect(refused)));
    *node.down.lock() = None;
    let mut end = node.accept().await;
    end.next().await;
    let asked = Instant::now();
    let mut next = node.accept().await;
    assert!(asked.elapsed() >= hyperty_protostub::ANSWER_TIMEOUT);
    assert_eq!(side.stub.last_error(), Some(SessionError::NoAnswer));
    next.accept_open("t1").await;
    side.stub.live().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_dropped_and_the_session_stays() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    for frame in ["", "{", "[]", r#"{"id":1}"#, "\u{0}"] {
        end.to_runtime.send(bytes::Bytes::from(frame)).await.unwrap();
    }
    end.to_runtime.send(bytes::Bytes::from_static(b"\xff\xfe")).await.unwrap();
    end.drain().await;
    assert_eq!((side.stub.status(), side.stub.counters().malformed), (StubStatus::Live, 6));
    side.send(MessageType::Read, PEER, 1).unwrap();
    assert_eq!(numbers(&end.drain().await), [1]);
}

/// Whoever asks with something that is no message is told so, wherever the header stands.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_no_message_is_answered_inv_msg_1() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    let rest = format!(r#""from":"{PEER}","id":7,"to":"hyperty-runtime://example.com/r/sm""#);
    for body in ["7", r#""text""#, "null", "[]", r#"{"source":1,"source":2}"#, r#"{"a":01}"#] {
        for (kind, answers) in [("create", 1), ("response", 0), ("event", 0)] {
            let frame = format!(r#"{{"body":{body},{rest},"type":"{kind}"}}"#);
            end.to_runtime.send(bytes::Bytes::from(frame)).await.unwrap();
            let sent = end.drain().await;
            assert_eq!(sent.len(), answers, "to a {kind} with {body}: {sent:?}");
            for answer in sent {
                assert_eq!(answer["id"], 7);
                assert_eq!((&answer["to"], &answer["body"]["code"]), (&json!(PEER), &json!(400)));
            }
        }
    }
    assert_eq!(side.stub.counters().malformed, 18);
}

#[tokio::test(start_paused = true)]
async fn nothing_passes_the_same_stub_twice_inv_msg_4() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    side.stub.live().await.unwrap();
    let message = side.bus.new_message(MessageType::Read, &url(PEER), &url(PEER), json!({}));
    side.stub.send(message.clone().with_hop(side.stub.url().clone())).unwrap();
    let far =
        (0..hyperty_model::message::HOPS_MAX).map(|n| url(&format!("hyperty-runtime://example.com/{n}")));
    side.stub.send(far.fold(message, |message, hop| message.with_hop(hop))).unwrap();
    assert!(end.drain().await.is_empty());
    assert_eq!(side.stub.counters().looped, 2);

    let heard = Arc::new(Mutex::new(0));
    let count = Arc::clone(&heard);
    let _listener = side.bus.listen(&url(PEER), move |_| *count.lock() += 1).unwrap();
    let via = side.stub.url().as_str();
    end.send(json!({ "id": 1, "type": "update", "from": PEER, "to": PEER, "body": { "via": [via] } })).await;
    end.drain().await;
    assert_eq!(*heard.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_came_from_elsewhere_tells_its_way() {
    let (mut node, connector) = fake_node(16);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    let other = "hyperty-runtime://example.org/protostub/1";
    let message = side.bus.new_message(MessageType::Read, &url(PEER), &url(PEER), json!({ "number": 1 }));
    side.stub.send(message.clone()).unwrap();
    side.stub.send(message.with_hop(url(other))).unwrap();
    let sent = end.drain().await;
    assert_eq!(sent[0]["body"], json!({ "number": 1 }));
    assert_eq!(sent[1]["body"], json!({ "number": 1, "via": [other] }));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_connection_takes_is_refused_and_disturbs_nothing() {
    let (mut node, connector) = fake_node(16);
    let side = Side::with(connector, |config| config.frames.bytes = 1_000);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    let long = json!({ "text": "x".repeat(1_000) });
    let message = side.bus.new_message(MessageType::Read, &url(PEER), &url(PEER), long);
    assert!(side.stub.send(message).is_err());
    side.send(MessageType::Read, PEER, 1).unwrap();
    assert_eq!(numbers(&end.drain().await), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_close_sends_what_waits_then_says_goodbye() {
    let (mut node, connector) = fake_node(1);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    side.stub.live().await.unwrap();
    for number in 0..50 {
        side.send(MessageType::Read, PEER, number).unwrap();
    }
    let reader = tokio::spawn(async move {
        let mut found = Vec::new();
        while let Some(frame) = end.from_runtime.recv().await {
            found.push(serde_json::from_slice(&frame).unwrap());
        }
        found
    });
    side.stub.close().await;
    let found: Vec<serde_json::Value> = reader.await.unwrap();
    assert_eq!(numbers(&found), (0..50).collect::<Vec<_>>());
    let close = found.last().unwrap();
    assert_eq!((&close["type"], &close["to"]), (&json!("close"), &json!("mn:/session")));
    assert_eq!(close["from"], format!("{}/t1", crate::support::RUNTIME));
    assert_eq!(side.send(MessageType::Read, PEER, 51), Err(SendError::Closed));
    assert_eq!(side.stub.status(), StubStatus::Disconnected);
    assert_eq!(side.events.lock().last(), Some(&StubStatus::Disconnected));
    assert_eq!(side.stub.live().await, Err(StubClosed));
    side.driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_in_time_whatever_the_node_does() {
    // Never accepts a connection's frames.
    let (mut node, connector) = fake_node(1);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    side.stub.live().await.unwrap();
    for number in 0..50 {
        side.send(MessageType::Read, PEER, number).unwrap();
    }
    let limit = hyperty_protostub::CLOSE_TIMEOUT + Duration::from_millis(10);
    timeout(limit, side.stub.close()).await.expect("a stuck node is not waited for");
    drop(end);

    // Is not there at all.
    let (node, connector) = fake_node(1);
    *node.down.lock() = Some(ConnectError::TimedOut);
    let side = Side::new(connector);
    tokio::time::sleep(Duration::from_secs(1)).await;
    timeout(Duration::from_millis(10), side.stub.close()).await.expect("there is nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn a_stub_ends_with_its_driver_and_a_driver_with_its_stub() {
    let (mut node, connector) = fake_node(1);
    let side = Side::new(connector);
    let mut end = node.accept().await;
    end.accept_open("t1").await;
    side.stub.live().await.unwrap();
    side.driver.abort();
    assert!(side.driver.await.unwrap_err().is_cancelled());
    assert_eq!(side.stub.live().await, Err(StubClosed));
    assert_eq!(side.stub.status(), StubStatus::Disconnected);
    side.stub.close().await;

    let (_node, connector) = fake_node(1);
    let side = Side::new(connector);
    side.bus.remove_stub(side.stub.url());
    drop(side.stub);
    side.driver.await.unwrap();
}
