//! Children between two observations of one object: nobody told what became of them (5.9, M18).

use std::sync::Arc;

use hyperty_model::message::{DeleteBody, ResponseBody, UnsubscribeBody};
use hyperty_model::object::{ChildId, ChildValue};
use hyperty_model::{MessageType, StatusCode};
use hyperty_syncher::{ChildError, ChildrenHandle};
use serde_json::json;

use crate::children::{NAME, changed_by, channel, created_by, hyperty, id_of, watching};
use crate::manager::{Manager, object, quiet, snapshot};

/// INV-CHD-7: what was lost between two observations is not there in the second one, and its id is not used again.
#[tokio::test(start_paused = true)]
async fn a_child_that_was_lost_between_two_observations_is_gone() {
    let manager = Manager::new();
    let (bob, observer, children) = watching(&manager, "bob").await;
    for number in 1..=2 {
        let adding = tokio::spawn(children.add(json!({"text": number})));
        let create = manager.expect(MessageType::Create).await;
        manager.answer(&create, ResponseBody::ok());
        adding.await.unwrap().unwrap();
    }
    // The Board outlives the observation with what is unanswered.
    let third = children.add(json!({"text": 3}));
    let _ = manager.expect(MessageType::Create).await;
    let body = UnsubscribeBody { resource: Some(object()), ..UnsubscribeBody::default() };
    let kept = children.clone();
    let removal =
        manager.bus.new_message(MessageType::Unsubscribe, hyperty("alice").as_url(), &bob.url, body);
    manager.bus.post(removal);
    assert_eq!(third.await.unwrap_err(), ChildError::Closed);
    let ending = manager.expect(MessageType::Unsubscribe).await;
    manager.answer(&ending, ResponseBody::ok());
    drop(observer);

    let again = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    let mut value = snapshot(0, json!({}));
    value["childrenObjects"] = json!({ NAME: { "hyperty://example.com/bob#1": {
        "value": ChildValue::new(ChildId::of(&hyperty("bob"), 1), hyperty("bob"), json!({"text": 1})),
    } } });
    manager.answer(&request, ResponseBody::ok().with_value(value));
    let observer = again.await.unwrap().unwrap();
    let children = observer.children(NAME).unwrap();
    let ids = |children: &ChildrenHandle| {
        children.mine().iter().map(|child| child.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&children), ["hyperty://example.com/bob#1"]);
    assert_eq!(ids(&kept), ids(&children), "another handle of the same children");
    let _fourth = children.add(json!({"text": 4}));
    assert_eq!(id_of(&manager.expect(MessageType::Create).await), "hyperty://example.com/bob#4");
}

/// The observation ends; the Board outlives it with a handle of the children, and what was known of them with it.
async fn leave(manager: &Arc<Manager>, observer: hyperty_syncher::Observer) {
    let leaving = tokio::spawn(async move { observer.unsubscribe().await });
    let ending = manager.expect(MessageType::Unsubscribe).await;
    manager.answer(&ending, ResponseBody::ok());
    leaving.await.unwrap().unwrap();
}

/// 5.9: only observers write children; what was written while a subscription waits or is refused would never be answered.
#[tokio::test(start_paused = true)]
async fn a_refused_subscription_opens_no_children() {
    let manager = Manager::new();
    let (bob, observer, children) = watching(&manager, "bob").await;
    leave(&manager, observer).await;
    let again = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    assert_eq!(children.add(json!({"text": "early"})).await.unwrap_err(), ChildError::Closed);
    manager.answer(&request, ResponseBody::of(StatusCode::FORBIDDEN));
    assert!(again.await.unwrap().is_err());
    assert_eq!(children.add(json!({"text": "late"})).await.unwrap_err(), ChildError::Closed);
    assert!(children.list().is_empty());
}

/// M18: what nobody but this hyperty has, its own or others', is not there in the next observation: neither a version, nor
/// a child, nor a deletion.
#[tokio::test(start_paused = true)]
async fn of_children_a_new_observation_has_what_its_first_snapshot_says() {
    let manager = Manager::new();
    let (bob, observer, children) = watching(&manager, "bob").await;
    let adding = tokio::spawn(children.add(json!({"text": "mine"})));
    manager.answer(&manager.expect(MessageType::Create).await, ResponseBody::ok());
    let mine = adding.await.unwrap().unwrap();
    let setting = tokio::spawn(mine.set("text", "lost"));
    manager.answer(&manager.expect(MessageType::Update).await, ResponseBody::ok());
    setting.await.unwrap().unwrap();
    for number in 1..=3 {
        let theirs = created_by("carol", number, json!({"text": "theirs"}));
        manager.publish(&channel(), MessageType::Create, hyperty("carol").as_url(), theirs);
    }
    let lost = changed_by("carol", 1, 1, "lost");
    manager.publish(&channel(), MessageType::Update, hyperty("carol").as_url(), lost);
    let deletion =
        DeleteBody { resource: Some(ChildId::of(&hyperty("carol"), 3).to_string()), ..DeleteBody::default() };
    manager.publish(&channel(), MessageType::Delete, hyperty("carol").as_url(), deletion);
    quiet().await;
    let seen = |children: &ChildrenHandle| -> Vec<(String, u64)> {
        let list = children.list().into_iter();
        list.map(|child| (child.id.trim_start_matches("hyperty://example.com/").to_owned(), child.version))
            .collect()
    };
    let [bobs, first, second] = ["bob#1", "carol#1", "carol#2"].map(str::to_owned);
    assert_eq!(seen(&children), [(bobs.clone(), 1), (first.clone(), 1), (second, 0)]);
    leave(&manager, observer).await;

    let mut value = snapshot(0, json!({}));
    let told = [("bob", 1, "mine"), ("carol", 1, "theirs"), ("carol", 3, "theirs")];
    let told = told.map(|(who, number, text)| {
        let id = ChildId::of(&hyperty(who), number);
        (id.to_string(), json!({"value": ChildValue::new(id, hyperty(who), json!({"text": text}))}))
    });
    value["childrenObjects"] = json!({ NAME: serde_json::Map::from_iter(told) });
    let again = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    manager.answer(&request, ResponseBody::ok().with_value(value));
    let observer = again.await.unwrap().unwrap();
    let children = observer.children(NAME).unwrap();
    assert_eq!(seen(&children), [(bobs, 0), (first, 0), ("carol#3".to_owned(), 0)]);
    assert_eq!(mine.data(), json!({"text": "mine"}));
}
