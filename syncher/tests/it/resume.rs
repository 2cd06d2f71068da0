//! Going on after a restart (5.10).

use hyperty_model::message::{CreateObject, ResponseBody, SubscribeBody, UpdateBody, UpdateKind};
use hyperty_model::{Message, MessageType, StatusCode};
use hyperty_syncher::{ObserverState, ResumeError, Resumed};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::children::{created_by, hyperty};
use crate::manager::{Hyperty, Manager, change, name, object, schema, snapshot};

fn resume(hyperty: &Hyperty) -> JoinHandle<Result<Resumed, ResumeError>> {
    let syncher = hyperty.syncher.clone();
    tokio::spawn(async move { syncher.resume().await })
}

/// Both requests, whichever comes first.
async fn both(manager: &Manager) -> (Message, Message) {
    let (first, second) = (manager.next().await, manager.next().await);
    if first.kind() == MessageType::Create { (first, second) } else { (second, first) }
}

fn nothing() -> ResponseBody {
    ResponseBody::failure(StatusCode::NOT_FOUND, "not found")
}

fn with_names(mut whole: Value) -> Value {
    whole["childrenResources"] = json!(["messages"]);
    whole
}

#[tokio::test(start_paused = true)]
async fn nothing_to_resume_is_no_failure() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let resuming = resume(&alice);
    let (create, subscribe) = both(&manager).await;
    let body = create.decode::<CreateObject>().unwrap();
    // No criteria: those of this hyperty.
    assert!(body.resume && body.identity.is_none() && body.schema.is_none());
    assert!(subscribe.decode::<SubscribeBody>().unwrap().resume);
    manager.answer(&create, nothing());
    manager.answer(&subscribe, nothing());
    let resumed = resuming.await.unwrap().unwrap();
    assert!(resumed.reporters.is_empty() && resumed.observers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reporter_goes_on_at_its_version_with_its_children() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let resuming = resume(&alice);
    let (create, subscribe) = both(&manager).await;
    manager.open_reporter(&alice.url, &["messages"]);
    let (told, mut status) = tokio::sync::mpsc::unbounded_channel();
    let told = move |message: &Message| drop(told.send(message.clone()));
    let _status = manager.bus.listen(&object().status(), told).unwrap();
    let mut whole = with_names(snapshot(41, json!({"n": 41})));
    let child = created_by("alice", 9, json!({"text": "mine"}));
    whole["childrenObjects"] = json!({"messages": { child.resource.clone(): {"value": child.value} }});
    manager.answer(&create, ResponseBody::ok().with_value(json!([whole, {"url": "broken"}])));
    manager.answer(&subscribe, nothing());
    // Before the application sees it.
    let channel = object().children(&name("messages"));
    let child = created_by("bob", 1, json!({}));
    manager.publish(&channel, MessageType::Create, hyperty("bob").as_url(), child);

    drop(resuming.await.unwrap().unwrap());
    // Kept although nobody held it.
    let reporter = alice.syncher.reporters().remove(0);
    assert_eq!((reporter.version(), reporter.data()), (41, json!({"n": 41})));
    let live = status.recv().await.unwrap().decode::<UpdateBody>().unwrap();
    assert_eq!(live.kind, UpdateKind::Status(json!("live")));

    let children = reporter.children("messages").unwrap();
    assert_eq!((children.list().len(), children.mine()[0].data()), (2, json!({"text": "mine"})));
    // INV-DOM-5: numbers, not texts, are compared.
    drop(children.add(json!({})));
    assert!(children.mine().iter().any(|child| child.id() == "hyperty://example.com/alice#10"));
    manager.expect(MessageType::Create).await;
    drop(reporter.set("n", 42));
    let update = manager.expect(MessageType::Update).await;
    assert_eq!(update.decode::<UpdateBody>().unwrap().version, Some(42));
}

#[tokio::test(start_paused = true)]
async fn an_observer_goes_on_with_what_arrived_meanwhile() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let resuming = resume(&bob);
    let (create, subscribe) = both(&manager).await;
    manager.open_observer(&bob.url, &["messages"]);
    manager.answer(&create, nothing());
    let mut whole = with_names(snapshot(7, json!({"n": 7})));
    whole["status"] = json!("disconnected");
    manager.answer(&subscribe, ResponseBody::ok().with_value(json!([whole])));
    // Before the application sees it.
    manager.release(change(8, "n", json!(8)));
    manager.release(change(9, "n", json!(9)));
    drop(resuming.await.unwrap().unwrap());

    let mut observer = bob.syncher.observers().remove(0);
    assert_eq!((observer.state(), observer.data()), (ObserverState::Disconnected, json!({"n": 9})));
    manager.status("live");
    manager.release(change(10, "n", json!(10)));
    // Everything since the resumption can be read, also by who comes late; and by each who asks.
    for mut observer in [bob.syncher.observers().remove(0), bob.syncher.observers().remove(0)] {
        assert_eq!(observer.next().await.unwrap().version, 10);
    }
    assert_eq!(observer.next().await.unwrap().version, 10);
    assert_eq!(observer.state(), ObserverState::Live);
}

/// INV-RES-3.
#[tokio::test(start_paused = true)]
async fn resuming_twice_gives_the_same_objects() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    for round in 0..2 {
        let resuming = resume(&alice);
        let (create, subscribe) = both(&manager).await;
        if round == 0 {
            manager.open_reporter(&alice.url, &[]);
        }
        manager.answer(&create, ResponseBody::ok().with_value(json!([snapshot(3, json!({"n": 3}))])));
        manager.answer(&subscribe, nothing());
        let resumed = resuming.await.unwrap().unwrap();
        assert_eq!(resumed.reporters[0].version(), 3 + round);
        drop(resumed.reporters[0].set("n", 4));
        let update = manager.expect(MessageType::Update).await;
        manager.settle(&update, ResponseBody::ok());
        assert_eq!(alice.syncher.reporters().len(), 1);
    }
    assert_eq!(alice.syncher.reporters()[0].version(), 5);
}

#[tokio::test(start_paused = true)]
async fn one_side_that_fails_does_not_keep_back_the_other() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let resuming = resume(&alice);
    let (create, subscribe) = both(&manager).await;
    manager.open_reporter(&alice.url, &[]);
    manager.answer(&create, ResponseBody::ok().with_value(json!([snapshot(3, json!({}))])));
    manager.answer(&subscribe, ResponseBody::failure(StatusCode::INTERNAL, "disk"));
    let error = resuming.await.unwrap().unwrap_err();
    assert!(matches!(error, ResumeError::Refused { code: StatusCode::INTERNAL, .. }));
    assert_eq!(alice.syncher.reporters().len(), 1);
    assert_eq!(alice.syncher.resume().await.unwrap_err(), ResumeError::Timeout);
}

#[tokio::test(start_paused = true)]
async fn reading_needs_no_subscription() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let read = |manager: &std::sync::Arc<Manager>, answer: ResponseBody| {
        let (manager, syncher) = (manager.clone(), bob.syncher.clone());
        async move {
            let reading = tokio::spawn(async move { syncher.read(&object()).await });
            manager.answer(&manager.expect(MessageType::Read).await, answer);
            reading.await.unwrap()
        }
    };
    let whole = read(&manager, ResponseBody::ok().with_value(snapshot(5, json!({"n": 5})))).await.unwrap();
    assert_eq!((whole.version, whole.data, whole.metadata.schema), (5, json!({"n": 5}), schema()));
    let refused = read(&manager, ResponseBody::failure(StatusCode::UNAUTHORIZED, "unauthorized")).await;
    assert!(matches!(
        refused,
        Err(hyperty_syncher::ReadError::Refused { code: StatusCode::UNAUTHORIZED, .. })
    ));
    assert!(matches!(
        read(&manager, ResponseBody::ok()).await,
        Err(hyperty_syncher::ReadError::Malformed(_))
    ));
    assert_eq!(bob.syncher.read(&object()).await.unwrap_err(), hyperty_syncher::ReadError::Timeout);
}
