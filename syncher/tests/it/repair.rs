//! Making up for what was missed (3.4, 10.1, M7).

use std::time::Duration;

use hyperty_model::message::{ReadBody, ResponseBody, UpdateBody};
use hyperty_model::{Message, MessageType, Position, StatusCode};
use hyperty_syncher::{CloseReason, Observer, ObserverEvent, ObserverState};
use serde_json::json;

use crate::children::{created_by, hyperty};
use crate::manager::{Hyperty, Manager, change, name, object, provisional, quiet, snapshot};

async fn at_version_one(manager: &std::sync::Arc<Manager>) -> (Hyperty, Observer) {
    let bob = manager.hyperty("bob");
    let observer = manager.observer(&bob, snapshot(1, json!({"n": 1})), &["messages"]).await;
    (bob, observer)
}

fn since(read: &Message) -> Option<Position> {
    read.decode::<ReadBody>().unwrap().criteria.as_ref().and_then(|criteria| criteria.since)
}

fn changes(to: u64, changes: Vec<UpdateBody>) -> ResponseBody {
    ResponseBody { recovered: Some(true), version: Some(to), changes: Some(changes), ..ResponseBody::ok() }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_made_up_for_by_the_missing_changes() {
    let manager = Manager::new();
    let (_bob, mut observer) = at_version_one(&manager).await;
    manager.release(change(4, "n", json!(4)));
    manager.release(change(5, "n", json!(5)));
    assert_eq!(observer.data(), json!({"n": 1}));
    let read = manager.expect(MessageType::Read).await;
    assert_eq!((read.to(), since(&read)), (&manager.url(), Some(Position::new(0, 1))));
    assert_eq!(read.decode::<ReadBody>().unwrap().resource, Some(object()));
    // One question at a time, whatever else arrives.
    manager.release(change(6, "n", json!(6)));
    quiet().await;
    assert!(manager.rest().await.is_empty());
    manager.answer(
        &read,
        changes(4, vec![change(2, "n", json!(2)), change(3, "m", json!(3)), change(4, "n", json!(4))]),
    );
    for version in 2..=6 {
        assert_eq!(observer.next().await.unwrap().version, version);
    }
    assert_eq!(observer.data(), json!({"n": 6, "m": 3}));
    assert!(manager.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_made_up_for_by_a_snapshot_which_is_told() {
    let manager = Manager::new();
    let (_bob, mut observer) = at_version_one(&manager).await;
    manager.release(change(3, "n", json!(3)));
    let read = manager.expect(MessageType::Read).await;
    manager.release(change(4, "m", json!(4)));
    let whole = ResponseBody { recovered: Some(false), ..ResponseBody::ok() };
    manager.answer(&read, whole.with_value(snapshot(3, json!({"n": 3}))));
    assert_eq!(
        observer.next_event().await,
        Some(ObserverEvent::Resync { epoch: 0, version: 3, data: json!({"n": 3}).into() })
    );
    assert_eq!(observer.next().await.unwrap().version, 4);
    assert_eq!(observer.data(), json!({"n": 3, "m": 4}));
}

/// 10.2: the loss of the last change is seen by a beat; one that tells nothing new asks nothing.
#[tokio::test(start_paused = true)]
async fn a_beat_ahead_of_the_copy_makes_it_ask() {
    let manager = Manager::new();
    let (_bob, observer) = at_version_one(&manager).await;
    manager.release(UpdateBody::beat(Position::new(0, 1), None));
    quiet().await;
    assert!(manager.rest().await.is_empty());
    manager.release(UpdateBody::beat(Position::new(0, 2), None));
    let read = manager.expect(MessageType::Read).await;
    assert_eq!(since(&read), Some(Position::new(0, 1)));
    manager.answer(&read, changes(2, vec![change(2, "n", json!(2))]));
    quiet().await;
    assert_eq!(observer.data(), json!({"n": 2}));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_healed_by_a_snapshot() {
    let manager = Manager::new();
    let (_bob, mut observer) = at_version_one(&manager).await;
    manager.release(change(2, "x.y", json!(2)));
    manager.release(change(3, "n", json!(3)));
    assert_eq!((observer.data(), observer.version()), (json!({"n": 1}), 1));
    let read = manager.expect(MessageType::Read).await;
    assert_eq!(since(&read), None);
    manager.answer(&read, ResponseBody::ok().with_value(snapshot(2, json!({"n": 1, "x": {"y": 2}}))));
    let Some(ObserverEvent::Resync { version: 2, .. }) = observer.next_event().await else { panic!() };
    assert_eq!(observer.next().await.unwrap().version, 3);
    assert_eq!(observer.data(), json!({"n": 3, "x": {"y": 2}}));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_or_refused_repair_is_tried_again_with_growing_pauses() {
    let manager = Manager::new();
    let (_bob, observer) = at_version_one(&manager).await;
    manager.release(change(3, "n", json!(3)));
    manager.expect(MessageType::Read).await;
    let mut asked = tokio::time::Instant::now();
    let no_route = ResponseBody::failure(StatusCode::NOT_FOUND, "no way").with_reason("no-route");
    let failures = [None, Some(no_route), Some(ResponseBody::failure(StatusCode::INTERNAL, "broken"))];
    for (failure, pause) in failures.into_iter().zip([3_100, 200, 400]) {
        let again = manager.expect(MessageType::Read).await;
        assert_eq!(asked.elapsed(), Duration::from_millis(pause));
        asked = tokio::time::Instant::now();
        match failure {
            Some(failure) => manager.answer(&again, failure),
            // The first went unanswered; this one is answered below.
            None => manager.answer(&again, ResponseBody::failure(StatusCode::TIMEOUT, "no answer")),
        }
    }
    let last = manager.expect(MessageType::Read).await;
    assert_eq!(asked.elapsed(), Duration::from_millis(800));
    manager.answer(&last, changes(3, vec![change(2, "m", json!(2)), change(3, "n", json!(3))]));
    quiet().await;
    assert_eq!((observer.data(), observer.state()), (json!({"n": 3, "m": 2}), ObserverState::Live));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_ends_the_observation() {
    let manager = Manager::new();
    let (_bob, mut observer) = at_version_one(&manager).await;
    manager.release(change(3, "n", json!(3)));
    let read = manager.expect(MessageType::Read).await;
    manager.answer(&read, ResponseBody::failure(StatusCode::GONE, "deleted"));
    assert_eq!(observer.next_event().await, Some(ObserverEvent::Deleted));
    manager.expect(MessageType::Unsubscribe).await;
}

/// 3.4: after 401 or 403 the subscription is made anew; if that is refused, it is over.
#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_no_longer_known_is_renewed_or_over() {
    let manager = Manager::new();
    let (_bob, mut observer) = at_version_one(&manager).await;
    manager.release(change(3, "n", json!(3)));
    let unauthorized = || ResponseBody::failure(StatusCode::UNAUTHORIZED, "unauthorized");
    manager.answer(&manager.expect(MessageType::Read).await, unauthorized());
    let renewal = manager.expect(MessageType::Subscribe).await;
    manager.answer(&renewal, provisional(&["messages"]));
    manager.answer(&renewal, ResponseBody::ok().with_value(snapshot(3, json!({"n": 3}))));
    assert_eq!(observer.next().await.unwrap().version, 3);

    manager.release(change(5, "n", json!(5)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    manager.answer(&manager.expect(MessageType::Read).await, unauthorized());
    let renewal = manager.expect(MessageType::Subscribe).await;
    manager.answer(&renewal, ResponseBody::failure(StatusCode::FORBIDDEN, "not any more"));
    let reason = CloseReason::Refused { code: StatusCode::FORBIDDEN, reason: "not any more".to_owned() };
    assert_eq!(observer.next_event().await, Some(ObserverEvent::Closed { reason }));
}

/// 5.9.3: an update of a child whose creation was missed. The data did not change, so no resync is told.
#[tokio::test(start_paused = true)]
async fn missed_children_are_read_with_the_whole_object_and_told_one_by_one() {
    let manager = Manager::new();
    let (_bob, mut observer) = at_version_one(&manager).await;
    let update = UpdateBody {
        resource: Some("hyperty://example.com/carol#1".to_owned()),
        ..change(1, "text", json!("x"))
    };
    let channel = object().children(&name("messages"));
    manager.publish(&channel, MessageType::Update, hyperty("carol").as_url(), update);
    let read = manager.expect(MessageType::Read).await;
    assert_eq!(since(&read), None);
    let mut whole = snapshot(1, json!({"n": 1}));
    let child = created_by("carol", 1, json!({"text": "x"}));
    whole["childrenObjects"] = json!({"messages": { child.resource.clone(): {"value": child.value} }});
    manager.answer(&read, ResponseBody::ok().with_value(whole));
    let Some(ObserverEvent::Child(event)) = observer.next_event().await else { panic!() };
    assert_eq!(event.data, json!({"text": "x"}));
    assert_eq!(observer.children("messages").unwrap().list().len(), 1);

    // Children may also come with the missing changes.
    manager.release(change(3, "n", json!(3)));
    let read = manager.expect(MessageType::Read).await;
    let child = created_by("dave", 1, json!({}));
    let mut answer = changes(3, vec![change(2, "n", json!(2)), change(3, "n", json!(3))]);
    let children = json!({"messages": { child.resource.clone(): {"value": child.value} }});
    answer.extra.insert("childrenObjects".to_owned(), children);
    manager.answer(&read, answer);
    assert_eq!((observer.next().await.unwrap().version, observer.next().await.unwrap().version), (2, 3));
    let Some(ObserverEvent::Child(event)) = observer.next_event().await else { panic!() };
    assert_eq!(event.reporter, hyperty("dave"));
    assert_eq!(observer.children("messages").unwrap().list().len(), 2);
}

/// M21: names that only the final answer tells are listened to, and the object is read once more.
#[tokio::test(start_paused = true)]
async fn names_learnt_late_are_listened_to_and_repaired_once() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let subscription = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    manager.open_observer(&bob.url, &["messages"]);
    manager.answer(&request, provisional(&[]));
    let body = ResponseBody { children_resources: Some(vec!["messages".to_owned()]), ..ResponseBody::ok() };
    manager.answer(&request, body.with_value(snapshot(0, json!({}))));
    let observer = subscription.await.unwrap().unwrap();
    let read = manager.expect(MessageType::Read).await;
    manager.answer(&read, ResponseBody::ok().with_value(snapshot(0, json!({}))));
    quiet().await;
    let channel = object().children(&name("messages"));
    let child = created_by("carol", 1, json!({}));
    manager.publish(&channel, MessageType::Create, hyperty("carol").as_url(), child);
    assert_eq!(observer.children("messages").unwrap().list().len(), 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(manager.rest().await.is_empty());
}
