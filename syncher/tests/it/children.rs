//! Children (5.9, M18 to M20).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::message::{ChildBody, DeleteBody, ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::object::{ChildId, ChildValue};
use hyperty_model::{HypertyUrl, Message, MessageType, StatusCode, Url};
use hyperty_syncher::{ChildError, ChildOp, ChildrenHandle, DataError, ObserverEvent, ReporterEvent};
use serde_json::{Value, json};

use crate::manager::{Hyperty, Manager, name, object, quiet, snapshot};

pub(crate) const NAME: &str = "messages";

pub(crate) fn hyperty(id: &str) -> HypertyUrl {
    format!("hyperty://example.com/{id}").parse().unwrap()
}

/// What somebody else's creation of a child looks like.
pub(crate) fn created_by(who: &str, number: u64, data: Value) -> ChildBody {
    let id = ChildId::of(&hyperty(who), number);
    let resource = id.to_string();
    ChildBody { resource, value: ChildValue::new(id, hyperty(who), data), identity: None, mutual: None }
}

pub(crate) fn channel() -> Url {
    object().children(&name(NAME))
}

pub(crate) fn changed_by(who: &str, number: u64, version: u64, text: &str) -> UpdateBody {
    UpdateBody {
        version: Some(version),
        source: Some(hyperty(who).into()),
        resource: Some(ChildId::of(&hyperty(who), number).to_string()),
        ..UpdateBody::new(UpdateKind::Change(Change::new("text", ChangeOp::Set(json!(text)))))
    }
}

pub(crate) fn id_of(message: &Message) -> String {
    match message.kind() {
        MessageType::Create => message.decode::<ChildBody>().unwrap().resource.clone(),
        MessageType::Update => message.decode::<UpdateBody>().unwrap().resource.clone().unwrap(),
        MessageType::Delete => message.decode::<DeleteBody>().unwrap().resource.clone().unwrap(),
        other => panic!("{other}"),
    }
}

pub(crate) async fn watching(
    manager: &Arc<Manager>,
    id: &str,
) -> (Hyperty, hyperty_syncher::Observer, ChildrenHandle) {
    let bob = manager.hyperty(id);
    let observer = manager.observer(&bob, snapshot(0, json!({})), &[NAME]).await;
    let children = observer.children(NAME).unwrap();
    (bob, observer, children)
}

#[tokio::test(start_paused = true)]
async fn a_child_exists_at_once_and_its_operations_end_on_the_sync_managers_answer() {
    let manager = Manager::new();
    let (bob, observer, children) = watching(&manager, "bob").await;
    let error = observer.children("files").unwrap_err();
    assert_eq!((error.name.as_str(), error.known), ("files", vec![name(NAME)]));

    let adding = children.add(json!({"text": "hi"}));
    assert_eq!(children.list().len(), 1);
    let create = manager.expect(MessageType::Create).await;
    assert_eq!((create.from(), create.to()), (bob.url.as_url(), &channel()));
    let body = create.decode::<ChildBody>().unwrap();
    assert_eq!(body.resource, "hyperty://example.com/bob#1");
    assert_eq!((&body.value.parent, body.value.version), (&Some(object()), 0));
    assert_eq!(body.identity.as_ref().unwrap().user(), Some("user://example.com/bob"));

    // That another receiver got it is not the answer (M19).
    manager.bus.post(create.reply(ResponseBody::ok().with_source(hyperty("carol").into())));
    manager.bus.post(create.reply(ResponseBody::of(StatusCode::PROVISIONAL)));
    let adding = tokio::spawn(adding);
    quiet().await;
    assert!(!adding.is_finished());
    manager.settle(&create, ResponseBody::ok());
    let child = adding.await.unwrap().unwrap();
    assert_eq!((child.id(), child.data()), ("hyperty://example.com/bob#1", json!({"text": "hi"})));

    let edit = child.update(|data| {
        data["text"] = json!("hello");
        data["seen"] = json!(true);
    });
    let updates = manager.rest().await;
    let versions: Vec<_> = updates.iter().map(|m| m.decode::<UpdateBody>().unwrap().version).collect();
    assert_eq!(versions, [Some(1), Some(2)]);
    updates.iter().for_each(|update| manager.settle(update, ResponseBody::ok()));
    assert_eq!(edit.await.unwrap(), 2);
    assert_eq!(child.data(), json!({"text": "hello", "seen": true}));

    let delete = child.delete();
    assert!(children.list().is_empty());
    manager.settle(&manager.expect(MessageType::Delete).await, ResponseBody::ok());
    delete.await.unwrap();
    assert_eq!(child.set("text", "x").await, Err(ChildError::Deleted));
    // INV-CHD-5: the object itself has not changed.
    assert_eq!(observer.version(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_takes_back_the_operation_and_those_after_it() {
    let manager = Manager::new();
    let (_bob, _observer, children) = watching(&manager, "bob").await;
    let refused = || ResponseBody::failure(StatusCode::FORBIDDEN, "read only");
    let code = StatusCode::FORBIDDEN;
    let reason = "read only".to_owned();

    let adding = children.add(json!({}));
    let child = children.mine().remove(0);
    let editing = child.set("text", "x");
    let messages = manager.rest().await;
    manager.settle(&messages[0], refused());
    assert_eq!(adding.await.unwrap_err(), ChildError::Refused { code, reason: reason.clone() });
    assert_eq!(editing.await, Err(ChildError::Undone { code, reason: reason.clone() }));
    assert!(children.list().is_empty());
    // The answer to what was undone already changes nothing.
    manager.settle(&messages[1], ResponseBody::failure(StatusCode::NOT_FOUND, "no such child"));

    // INV-DOM-5: the refused id is not used again.
    let adding = children.add(json!({"n": 0}));
    let create = manager.expect(MessageType::Create).await;
    assert_eq!(id_of(&create), "hyperty://example.com/bob#2");
    manager.settle(&create, ResponseBody::ok());
    let child = adding.await.unwrap();

    let (first, second, third) = (child.set("n", 1), child.set("n", 2), child.set("n", 3));
    let messages = manager.rest().await;
    manager.settle(&messages[0], ResponseBody::ok());
    manager.settle(&messages[1], refused());
    assert_eq!(first.await, Ok(1));
    assert_eq!(second.await, Err(ChildError::Refused { code, reason: reason.clone() }));
    assert_eq!(third.await, Err(ChildError::Undone { code, reason: reason.clone() }));
    assert_eq!((child.data(), child.version()), (json!({"n": 1}), 1));

    // A deletion does not count on the changes before it.
    let (change, gone) = (child.set("n", 2), child.delete());
    let messages = manager.rest().await;
    manager.settle(&messages[0], refused());
    assert_eq!(change.await, Err(ChildError::Refused { code, reason }));
    assert!(children.list().is_empty());
    manager.settle(&messages[1], ResponseBody::ok());
    gone.await.unwrap();
}

/// M19: the call ends with an error after T_CHILD, the operation stays, and its late answer counts.
#[tokio::test(start_paused = true)]
async fn an_unanswered_operation_stays_until_it_is_answered() {
    let manager = Manager::new();
    let (bob, observer, children) = watching(&manager, "bob").await;
    let start = tokio::time::Instant::now();
    assert_eq!(children.add(json!({"n": 1})).await.unwrap_err(), ChildError::Unanswered);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(children.add(json!({"n": 2})).await.unwrap_err(), ChildError::Unanswered);
    assert_eq!(children.list().len(), 2);

    // The handles may go and come back meanwhile: no id is drawn twice, and nothing unanswered is lost.
    drop((observer, children));
    let mut messages = manager.rest().await;
    let observer = manager.observer(&bob, snapshot(0, json!({})), &[NAME]).await;
    let children = observer.children(NAME).unwrap();
    assert_eq!(children.list().len(), 2);
    drop(children.add(json!({"n": 3})));
    messages.extend(manager.rest().await);
    let ids: HashSet<String> = messages.iter().map(id_of).collect();
    assert_eq!(ids.len(), 3);

    manager.settle(&messages[0], ResponseBody::ok());
    manager.settle(&messages[1], ResponseBody::failure(StatusCode::FORBIDDEN, "no"));
    let left: Vec<Value> = children.list().into_iter().map(|child| child.data["n"].clone()).collect();
    assert_eq!(left, [json!(1), json!(3)]);
}

/// M18: what was lost on the way is sent again, so a failure that its loss caused is no answer.
#[tokio::test(start_paused = true)]
async fn a_failure_behind_a_lost_operation_is_no_answer() {
    let manager = Manager::new();
    let (_bob, _observer, children) = watching(&manager, "bob").await;
    let adding = children.add(json!({"n": 0}));
    let editing = children.mine()[0].set("n", 1);
    let messages = manager.rest().await;
    let elsewhere: Url = "hyperty-runtime://example.org/desk/sm".parse().unwrap();
    let unknown =
        ResponseBody::failure(StatusCode::NOT_FOUND, "no such child").with_source(elsewhere.clone());
    manager.bus.post(messages[1].reply(unknown));
    assert_eq!(children.list()[0].data, json!({"n": 1}));
    // Sent again, the first and then the second are accepted.
    for message in &messages {
        manager.bus.post(message.reply(ResponseBody::ok().with_source(elsewhere.clone())));
    }
    assert_eq!((adding.await.unwrap().data(), editing.await), (json!({"n": 1}), Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn operations_of_others_are_told_once_and_ones_own_never() {
    let manager = Manager::new();
    let (bob, mut observer, children) = watching(&manager, "bob").await;
    let from_carol =
        |kind, body: hyperty_model::Body| manager.publish(&channel(), kind, hyperty("carol").as_url(), body);
    // INV-CHD-3: doubles, and what is one's own.
    for _ in 0..2 {
        from_carol(MessageType::Create, created_by("carol", 1, json!({"text": "hi"})).into());
    }
    manager.publish(&channel(), MessageType::Create, bob.url.as_url(), created_by("bob", 9, json!({})));
    for _ in 0..2 {
        from_carol(MessageType::Update, changed_by("carol", 1, 1, "hello").into());
    }
    // The older form: the object as sender, the writer beside.
    manager.publish(
        &channel(),
        MessageType::Update,
        object().as_url(),
        changed_by("carol", 1, 2, "hey").into_body(),
    );
    // INV-CHD-2: not hers.
    manager.publish(
        &channel(),
        MessageType::Update,
        hyperty("dave").as_url(),
        changed_by("carol", 1, 3, "forged"),
    );
    manager.publish(
        &channel(),
        MessageType::Create,
        hyperty("dave").as_url(),
        created_by("carol", 2, json!({"text": "forged"})),
    );
    let delete =
        DeleteBody { resource: Some("hyperty://example.com/carol#1".into()), ..DeleteBody::default() };
    manager.publish(&channel(), MessageType::Delete, hyperty("dave").as_url(), delete.clone());
    assert_eq!(children.get("hyperty://example.com/carol#1").unwrap().data, json!({"text": "hey"}));
    from_carol(MessageType::Delete, delete.into());
    // 5.9.4: what is deleted stays so.
    from_carol(MessageType::Create, created_by("carol", 1, json!({"text": "again"})).into());

    let mut told = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), observer.next_event()).await {
        let ObserverEvent::Child(event) = event else { panic!("{event:?}") };
        assert_eq!((event.id.as_str(), event.name.as_str()), ("hyperty://example.com/carol#1", NAME));
        told.push((event.op, event.version, event.data["text"].as_str().unwrap().to_owned()));
    }
    let expected = [
        (ChildOp::Create, 0, "hi".to_owned()),
        (ChildOp::Update, 1, "hello".to_owned()),
        (ChildOp::Update, 2, "hey".to_owned()),
        (ChildOp::Delete, 2, "hey".to_owned()),
    ];
    assert_eq!(told, expected);
    // One's own that one does not know was lost in a hard stop: it is not told, but known again.
    let left: Vec<String> = children.list().into_iter().map(|child| child.id).collect();
    assert_eq!(left, ["hyperty://example.com/bob#9"]);
    assert!(manager.rest().await.is_empty());
}

trait IntoBody {
    fn into_body(self) -> hyperty_model::Body;
}

impl IntoBody for UpdateBody {
    fn into_body(self) -> hyperty_model::Body {
        self.into()
    }
}

#[tokio::test(start_paused = true)]
async fn the_reporter_has_children_and_hears_of_those_of_others() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[NAME]).await;
    let mut events = reporter.events();
    manager.publish(
        &channel(),
        MessageType::Create,
        hyperty("bob").as_url(),
        created_by("bob", 1, json!({"n": 1})),
    );
    let Some(ReporterEvent::Child(event)) = events.next().await else { panic!() };
    assert_eq!((event.op, event.reporter), (ChildOp::Create, hyperty("bob")));

    let children = reporter.children(NAME).unwrap();
    let adding = children.add(json!({"n": 2}));
    manager.settle(&manager.expect(MessageType::Create).await, ResponseBody::ok());
    assert_eq!(adding.await.unwrap().id(), "hyperty://example.com/alice#1");
    assert_eq!((children.list().len(), children.mine().len()), (2, 1));

    // An update of a child whose creation was missed: the object is read anew, and what was missed is told.
    manager.publish(
        &channel(),
        MessageType::Update,
        hyperty("carol").as_url(),
        changed_by("carol", 1, 1, "hi"),
    );
    let read = manager.expect(MessageType::Read).await;
    let mut whole = snapshot(0, json!({}));
    let child = |who: &str, n: u64| {
        json!({"value": {"url": format!("hyperty://example.com/{who}#{n}"),
        "reporter": hyperty(who), "version": 1, "data": {"text": "hi"}}})
    };
    whole["childrenObjects"] = json!({ NAME: {
        "hyperty://example.com/bob#1": child("bob", 1), "hyperty://example.com/carol#1": child("carol", 1),
    }});
    manager.answer(&read, ResponseBody::ok().with_value(whole));
    let mut told = Vec::new();
    for _ in 0..2 {
        let Some(ReporterEvent::Child(event)) = events.next().await else { panic!() };
        told.push((event.op, event.reporter.to_string()));
    }
    let (bob, carol) = (hyperty("bob").to_string(), hyperty("carol").to_string());
    assert_eq!(told, [(ChildOp::Update, bob), (ChildOp::Create, carol)]);
    // M18: one's own stays, although the snapshot does not know it.
    assert_eq!(children.list().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_at_once() {
    let manager = Manager::new();
    let bob = manager.hyperty_with("bob", |config| config.limits.child_operations_max = 2);
    let observer = manager.observer(&bob, snapshot(0, json!({})), &[NAME]).await;
    let children = observer.children(NAME).unwrap();
    assert!(matches!(children.add(json!(1)).await, Err(ChildError::Data(DataError::NotAnObject(_)))));
    assert!(children.list().is_empty());
    drop(children.add(json!({})));
    let child = children.mine().remove(0);
    assert!(matches!(child.set("a.b", 1).await, Err(ChildError::Apply(_))));
    assert!(matches!(child.set("a", u64::MAX).await, Err(ChildError::Data(_))));
    assert!(matches!(child.update(|data| *data = json!([])).await, Err(ChildError::Data(_))));
    drop(child.set("a", 1));
    assert_eq!(child.set("a", 2).await, Err(ChildError::TooManyInFlight(2)));
    assert_eq!(manager.rest().await.len(), 2);

    // INV-CHD-6: nothing is written on a closed object.
    let ending = tokio::spawn(async move { observer.unsubscribe().await });
    manager.answer(&manager.expect(MessageType::Unsubscribe).await, ResponseBody::ok());
    ending.await.unwrap().unwrap();
    assert_eq!(child.set("a", 3).await, Err(ChildError::Closed));
    assert_eq!(children.add(json!({})).await.unwrap_err(), ChildError::Closed);
}
