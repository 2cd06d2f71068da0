//! Subscriptions and the stream behind them (5.3, 5.4, 5.6 to 5.8).

use std::time::Duration;

use hyperty_model::change::{Change, ChangeOp, apply};
use hyperty_model::message::{
    DeleteBody, ResponseBody, SubscribeBody, UnsubscribeBody, UpdateBody, UpdateKind,
};
use hyperty_model::{MessageType, Position, StatusCode};
use hyperty_syncher::{CloseReason, ObserverEvent, ObserverState, SubscribeError, UnsubscribeError};
use serde_json::{Value, json};

use crate::children::{created_by, hyperty};
use crate::manager::{Manager, change, name, object, provisional, quiet, schema, snapshot};

#[tokio::test(start_paused = true)]
async fn every_option_is_in_the_request() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscribe = bob.syncher.subscribe(&object()).store(true).resumable(true).schema(schema());
    drop(tokio::spawn(subscribe.domain_subscription(false).into_future()));
    let request = manager.expect(MessageType::Subscribe).await;
    let body = request.decode::<SubscribeBody>().unwrap();
    assert_eq!((request.from(), request.to()), (bob.url.as_url(), &manager.url()));
    assert_eq!(body.resource.as_ref().unwrap().0, [object()]);
    assert_eq!((body.resume, body.store, body.resumable), (false, Some(true), Some(true)));
    assert_eq!((body.schema.as_ref(), body.domain_subscription), (Some(&schema()), Some(false)));
    assert_eq!(body.identity.as_ref().unwrap().user(), Some("user://example.com/bob"));
}

/// INV-SUB-1: what is released between the request and the moment its answer is seen is neither lost nor doubled.
#[tokio::test(start_paused = true)]
async fn the_snapshot_is_followed_by_every_later_change() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscription = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    manager.open_observer(&bob.url, &["messages"]);
    manager.answer(&request, provisional(&["messages"]));
    let channel = object().children(&name("messages"));
    let child = created_by("carol", 1, json!({"n": 1}));
    manager.release(change(4, "n", json!(4)));
    manager.publish(&channel, MessageType::Create, hyperty("carol").as_url(), child);
    let mut whole = snapshot(5, json!({"n": 5}));
    whole["childrenObjects"] = json!({"messages": {"hyperty://example.com/carol#1":
        {"value": {"url": "hyperty://example.com/carol#1", "reporter": hyperty("carol"), "data": {"n": 1}}}}});
    manager.release(change(5, "n", json!(5)));
    manager.answer(&request, ResponseBody::ok().with_value(whole));
    // Before the application sees the answer.
    manager.release(change(6, "n", json!(6)));
    let late = created_by("carol", 2, json!({"n": 2}));
    manager.publish(&channel, MessageType::Create, hyperty("carol").as_url(), late);
    manager.release(change(7, "m", json!(7)));

    let mut observer = subscription.await.unwrap().unwrap();
    assert_eq!((observer.data(), observer.version()), (json!({"n": 6, "m": 7}), 7));
    assert_eq!(observer.children("messages").unwrap().list().len(), 2);
    manager.release(change(8, "n", json!(8)));
    let told: Vec<(String, u64)> =
        [next(&mut observer).await, next(&mut observer).await, next(&mut observer).await]
            .map(|change| (change.path.to_string(), change.version))
            .to_vec();
    assert_eq!(told, [("n".into(), 6), ("m".into(), 7), ("n".into(), 8)]);
    assert!(manager.rest().await.is_empty());
}

async fn next(observer: &mut hyperty_syncher::Observer) -> hyperty_syncher::ChangeEvent {
    observer.next().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_leaves_nothing() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscription = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    manager.answer(&request, ResponseBody::failure(StatusCode::FORBIDDEN, "not you"));
    let (code, reason) = (StatusCode::FORBIDDEN, "not you".to_owned());
    assert_eq!(subscription.await.unwrap().unwrap_err(), SubscribeError::Refused { code, reason });
    assert!(bob.syncher.observers().is_empty());
    assert!(manager.rest().await.is_empty());
}

/// 7.3: no provisional object leaks, and a late success is ended again.
#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_answered_too_late_is_ended() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscription = bob.syncher.subscribe(&object()).timeout(Duration::from_secs(2));
    assert_eq!(subscription.await.unwrap_err(), SubscribeError::Timeout);
    let mut dropped = bob.syncher.subscribe(&object()).into_future();
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut dropped).await.is_err());
    drop(dropped);
    let requests = manager.rest().await;
    assert_eq!(requests.len(), 2);
    for request in requests {
        manager.answer(&request, ResponseBody::ok().with_value(snapshot(0, json!({}))));
        let undo = manager.expect(MessageType::Unsubscribe).await;
        assert_eq!(undo.decode::<UnsubscribeBody>().unwrap().resource, Some(object()));
    }
    assert!(bob.syncher.observers().is_empty());
}

/// A provisional answer starts the time anew.
#[tokio::test(start_paused = true)]
async fn a_provisional_answer_is_patience_gained() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscription = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    tokio::time::sleep(Duration::from_secs(14)).await;
    manager.answer(&request, provisional(&[]));
    tokio::time::sleep(Duration::from_secs(14)).await;
    manager.answer(&request, ResponseBody::ok().with_value(snapshot(3, json!({"n": 3}))));
    assert_eq!(subscription.await.unwrap().unwrap().data(), json!({"n": 3}));
}

#[tokio::test(start_paused = true)]
async fn ones_own_object_is_not_observed() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let _reporter = manager.reporter(&alice, json!({}), &[]).await;
    let error = alice.syncher.subscribe(&object()).await.unwrap_err();
    assert_eq!(error, SubscribeError::OwnObject(object()));
}

/// INV-SUB-5: the same object, and a fresh snapshot; each handle has its own place in the stream.
#[tokio::test(start_paused = true)]
async fn subscribing_again_gives_another_handle_of_the_same_copy() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut first = manager.observer(&bob, snapshot(0, json!({"n": 0})), &[]).await;
    manager.release(change(1, "n", json!(1)));
    let again = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    manager.answer(&request, ResponseBody::ok().with_value(snapshot(1, json!({"n": 1}))));
    let mut second = again.await.unwrap().unwrap();
    let mut clone = first.clone();
    manager.release(change(2, "n", json!(2)));
    for version in [1, 2] {
        assert_eq!(first.next().await.unwrap().version, version);
        assert_eq!(clone.next().await.unwrap().version, version);
    }
    assert_eq!(second.next().await.unwrap().version, 2);
    assert_eq!(bob.syncher.observers().len(), 1);
    assert!(manager.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_subscriptions_at_once_take_turns() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let both = [0, 1].map(|_| tokio::spawn(bob.syncher.subscribe(&object()).into_future()));
    let first = manager.expect(MessageType::Subscribe).await;
    quiet().await;
    assert!(manager.rest().await.is_empty());
    manager.answer(&first, ResponseBody::failure(StatusCode::NOT_FOUND, "no such object"));
    manager.open_observer(&bob.url, &[]);
    let second = manager.expect(MessageType::Subscribe).await;
    manager.answer(&second, ResponseBody::ok().with_value(snapshot(0, json!({"n": 0}))));
    let [a, b] = both;
    assert!(a.await.unwrap().is_err());
    let mut observer = b.await.unwrap().unwrap();
    manager.release(change(1, "n", json!(1)));
    assert_eq!(observer.next().await.unwrap().version, 1);
}

/// INV-UPD-2, INV-UPD-4, INV-DEL-4: what is not the Reporter's, doubles, and stale ones change nothing.
#[tokio::test(start_paused = true)]
async fn only_what_comes_from_the_object_counts_and_once() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut observer = manager.observer(&bob, snapshot(1, json!({"n": 1})), &[]).await;
    let mallory = hyperty("mallory");
    manager.publish(
        &object().changes(),
        MessageType::Update,
        mallory.as_url(),
        change(2, "n", json!("forged")),
    );
    let forged = UpdateBody { source: Some(mallory.clone().into()), ..change(2, "n", json!("forged")) };
    manager.release(forged);
    manager.publish(&object().changes(), MessageType::Delete, mallory.as_url(), DeleteBody::default());
    manager.release(change(1, "n", json!("stale")));
    for _ in 0..2 {
        manager.release(change(2, "n", json!(2)));
    }
    let renamed = UpdateKind::Metadata { attribute: "name".to_owned(), value: json!("new") };
    manager.release(UpdateBody::new(renamed).at(Position::new(0, 3)));
    let event = observer.next_event().await.unwrap();
    let ObserverEvent::Change(event) = event else { panic!("{event:?}") };
    assert_eq!((event.value(), event.version), (Some(&json!(2)), 2));
    assert_eq!(event.update().unwrap().version, Some(2));
    let event = observer.next_event().await.unwrap();
    assert!(matches!(event, ObserverEvent::Metadata { version: 3, .. }));
    assert_eq!((observer.metadata().name.as_str(), observer.version()), ("new", 3));
    assert!(manager.rest().await.is_empty());
}

/// Loss is never silent: a reader that falls behind gets the whole state, and then every later change.
#[tokio::test(start_paused = true)]
async fn what_is_not_read_in_time_is_told_as_one_resync() {
    let manager = Manager::new();
    let bob = manager.hyperty_with("bob", |config| config.limits.events_max = 4);
    let mut observer = manager.observer(&bob, snapshot(0, json!({"n": 0})), &[]).await;
    let mut fast = observer.clone();
    for version in 1..=4 {
        manager.release(change(version, "n", json!(version)));
        assert_eq!(fast.next().await.unwrap().version, version);
    }
    manager.status("disconnected");
    for version in 5..=9 {
        manager.release(change(version, "n", json!(version)));
    }
    assert_eq!(
        fast.next_event().await,
        Some(ObserverEvent::Resync { epoch: 0, version: 9, data: json!({"n": 9}).into() })
    );
    assert_eq!(fast.next_event().await, Some(ObserverEvent::Disconnected));
    manager.release(change(10, "n", json!(10)));
    // The state is that of the moment in which it is read.
    let whole = observer.next().await.unwrap();
    assert_eq!((whole.path.as_str(), whole.version), ("", 10));
    assert_eq!((whole.value(), whole.change()), (Some(&json!({"n": 10})), None));
    manager.release(change(11, "n", json!(11)));
    assert_eq!(observer.next().await.unwrap().version, 11);
}

/// Adding the changes to the snapshot always gives the object.
#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_handle_is_followed_by_what_comes_right_behind_it() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut observer = manager.observer(&bob, snapshot(0, json!({"list": []})), &["messages"]).await;
    let insert = |version: u64| {
        let op = ChangeOp::Insert(vec![json!(version)]);
        UpdateBody::change(Position::new(0, version), Change::new("list.0", op))
    };
    (1..=5).for_each(|version| manager.release(insert(version)));
    let child = created_by("carol", 1, json!({}));
    let channel = object().children(&name("messages"));
    manager.publish(&channel, MessageType::Create, hyperty("carol").as_url(), child);
    let before = observer.snapshot();
    assert_eq!((before.version, before.children.len()), (5, 1));
    (6..=8).for_each(|version| manager.release(insert(version)));
    let mut data = before.data;
    for version in 6..=8 {
        let change = observer.next().await.unwrap();
        assert_eq!(change.version, version);
        apply(&mut data, change.change().unwrap()).unwrap();
    }
    assert_eq!(data, observer.data());
}

#[tokio::test(start_paused = true)]
async fn connection_and_its_loss_are_told_once() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut observer = manager.observer(&bob, snapshot(0, json!({})), &[]).await;
    assert_eq!(observer.state(), ObserverState::Live);
    for word in ["live", "disconnected", "disconnected", "nonsense"] {
        manager.status(word);
    }
    assert_eq!(observer.state(), ObserverState::Disconnected);
    manager.release(change(1, "n", json!(1)));
    manager.status("live");
    assert_eq!(observer.next_event().await, Some(ObserverEvent::Disconnected));
    assert!(matches!(observer.next_event().await, Some(ObserverEvent::Change(_))));
    assert_eq!(observer.next_event().await, Some(ObserverEvent::Resumed { missed: 1 }));
}

/// INV-DEL-2: one event, the copy stays readable, and the subscription is cleared away without the application.
#[tokio::test(start_paused = true)]
async fn a_deleted_object_ends_with_one_event_and_one_unsubscription() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut observer = manager.observer(&bob, snapshot(0, json!({"n": 0})), &[]).await;
    let mut clone = observer.clone();
    manager.release(change(1, "n", json!(1)));
    for _ in 0..2 {
        let body = DeleteBody { resource: Some(object().to_string()), ..DeleteBody::default() };
        manager.publish(&object().changes(), MessageType::Delete, &object().subscription(), body);
    }
    for observer in [&mut observer, &mut clone] {
        assert!(matches!(observer.next_event().await, Some(ObserverEvent::Change(_))));
        assert_eq!(observer.next_event().await, Some(ObserverEvent::Deleted));
        assert_eq!((observer.next_event().await, observer.next().await.is_none()), (None, true));
    }
    assert_eq!((observer.state(), observer.data()), (ObserverState::Closed, json!({"n": 1})));
    manager.expect(MessageType::Unsubscribe).await;
    quiet().await;
    assert!(manager.rest().await.is_empty() && bob.syncher.observers().is_empty());
}

/// INV-UNS-1, INV-UNS-4.
#[tokio::test(start_paused = true)]
async fn after_unsubscribing_nothing_is_delivered() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    for (answer, expected) in [
        (Some(ResponseBody::ok()), Ok(())),
        (Some(ResponseBody::failure(StatusCode::NOT_FOUND, "not observed")), Ok(())),
        (None, Err(UnsubscribeError::Timeout)),
    ] {
        let mut observer = manager.observer(&bob, snapshot(0, json!({"n": 0})), &[]).await;
        let ending = tokio::spawn({
            let observer = observer.clone();
            async move { observer.unsubscribe().await }
        });
        let request = manager.expect(MessageType::Unsubscribe).await;
        manager.release(change(1, "n", json!(1)));
        if let Some(answer) = answer {
            manager.answer(&request, answer);
        }
        assert_eq!(ending.await.unwrap(), expected);
        let reason = CloseReason::Unsubscribed;
        assert_eq!(observer.next_event().await, Some(ObserverEvent::Closed { reason }));
        assert_eq!((observer.next_event().await, observer.data()), (None, json!({"n": 0})));
    }
}

/// INV-KICK-2, INV-KICK-3.
#[tokio::test(start_paused = true)]
async fn the_reporter_and_nobody_else_removes_an_observer() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut observer = manager.observer(&bob, snapshot(0, json!({})), &[]).await;
    let kick = |from: &str, resource: Value| {
        let message = manager.bus.new_message(
            MessageType::Unsubscribe,
            hyperty(from).as_url(),
            &bob.url,
            json!({ "resource": resource }),
        );
        manager.bus.request(message)
    };
    assert_eq!(kick("mallory", json!(object())).await.code(), StatusCode::FORBIDDEN);
    assert_eq!(kick("alice", json!("comm://example.com/other")).await.code(), StatusCode::NOT_FOUND);
    assert_eq!(kick("alice", json!(null)).await.code(), StatusCode::BAD_REQUEST);
    assert_eq!(observer.state(), ObserverState::Live);
    assert_eq!(kick("alice", json!(object())).await.code(), StatusCode::OK);
    let reason = CloseReason::Removed;
    assert_eq!(observer.next_event().await, Some(ObserverEvent::Closed { reason }));
    manager.expect(MessageType::Unsubscribe).await;
}

/// INV-MSG-1: whatever is asked of a hyperty is answered.
#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_answered() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    for kind in [MessageType::Create, MessageType::Read, MessageType::Execute, MessageType::Update] {
        let message = manager.bus.new_message(kind, hyperty("carol").as_url(), &bob.url, json!({}));
        assert_eq!(manager.bus.request(message).await.code(), StatusCode::BAD_REQUEST, "{kind}");
    }
}

/// An answer that is no object leaves no subscription behind.
#[tokio::test(start_paused = true)]
async fn what_is_accepted_and_cannot_be_taken_over_is_ended() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscribing = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    manager.answer(&request, ResponseBody::ok());
    let failed = subscribing.await.unwrap();
    assert!(matches!(&failed, Err(SubscribeError::Malformed(_))), "{failed:?}");
    manager.expect(MessageType::Unsubscribe).await;
}
