//! Going on after a restart (5.10).

use hyperty_model::message::{
    Control, ControlBody, CreateObject, DeleteBody, DeposedBody, ResponseBody, SubscribeBody,
    UnsubscribeBody, UpdateBody, UpdateKind,
};
use hyperty_model::object::ChildId;
use hyperty_model::{Body, HypertyUrl, Message, MessageType, StatusCode};
use hyperty_syncher::{ChildOp, CloseReason, ObserverEvent, ObserverState, ResumeError, Resumed};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::children::{NAME, created_by, hyperty, watching};
use crate::manager::{Hyperty, Manager, change, name, object, quiet, schema, snapshot};

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

/// What tells of the removal is there before the application sees what it ends.
#[tokio::test(start_paused = true)]
async fn an_observer_that_is_removed_while_it_resumes_hears_of_it() {
    for by_manager in [false, true] {
        let manager = Manager::new();
        let bob = manager.hyperty("bob");
        let resuming = resume(&bob);
        let (create, subscribe) = both(&manager).await;
        manager.open_observer(&bob.url, &[]);
        manager.answer(&create, nothing());
        manager.answer(&subscribe, ResponseBody::ok().with_value(json!([snapshot(7, json!({}))])));
        let reason = by_manager.then(|| "removed".to_owned());
        let body = UnsubscribeBody { resource: Some(object()), reason, ..UnsubscribeBody::default() };
        let from = if by_manager { manager.url() } else { hyperty("alice").into() };
        let said = manager.bus.new_message(MessageType::Unsubscribe, &from, &bob.url, body);
        let answer = manager.bus.request(said).await;
        assert_eq!(answer.code(), StatusCode::OK);
        let mut observer = resuming.await.unwrap().unwrap().observers.remove(0);
        let closed = ObserverEvent::Closed { reason: CloseReason::Removed };
        assert_eq!(observer.next_event().await, Some(closed), "{by_manager}");
        assert!(bob.syncher.observers().is_empty());
    }
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

/// The answers of the Sync Manager and what it passes on are taken in by different tasks.
#[tokio::test(start_paused = true)]
async fn what_arrives_before_an_older_answer_is_taken_over_stays() {
    let manager = Manager::new();
    let (bob, mut observer, children) = watching(&manager, "bob").await;
    let arrives = |number| {
        let child = created_by("carol", number, json!({}));
        manager.publish(
            &object().children(&name(NAME)),
            MessageType::Create,
            hyperty("carol").as_url(),
            child,
        );
    };
    let whole = || with_names(snapshot(0, json!({})));

    let resuming = resume(&bob);
    let (create, subscribe) = both(&manager).await;
    arrives(1);
    manager.answer(&create, nothing());
    manager.answer(&subscribe, ResponseBody::ok().with_value(json!([whole()])));
    arrives(2);
    resuming.await.unwrap().unwrap();
    assert_eq!(children.list().len(), 2);

    // So it is with one more subscription.
    let subscribing = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
    let request = manager.expect(MessageType::Subscribe).await;
    arrives(3);
    manager.answer(&request, ResponseBody::ok().with_value(whole()));
    subscribing.await.unwrap().unwrap();
    for _ in 0..3 {
        assert!(
            matches!(observer.next_event().await, Some(ObserverEvent::Child(event)) if event.op == ChildOp::Create)
        );
    }
    // What was there before an answer without it is gone.
    let ids: Vec<_> = children.list().into_iter().map(|child| child.id).collect();
    assert_eq!(ids, [ChildId::of(&hyperty("carol"), 3).to_string()]);
}

/// An answer that was given before an object ended does not bring it back.
#[tokio::test(start_paused = true)]
async fn what_ends_before_an_older_answer_is_taken_over_has_ended() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let _reporter = manager.reporter(&alice, json!({}), &[]).await;
    let resuming = resume(&alice);
    let (create, subscribe) = both(&manager).await;
    let deposed = DeposedBody {
        resource: object(),
        epoch: 1,
        reporter: Some(hyperty("tablet")),
        runtime: None,
        unpublished: None,
    };
    let told = |hyperty: &HypertyUrl, kind, body: Body| {
        manager.bus.post(manager.bus.new_message(kind, &manager.url(), hyperty, body));
    };
    manager.answer(&create, ResponseBody::ok().with_value(json!([snapshot(0, json!({}))])));
    manager.answer(&subscribe, nothing());
    told(&alice.url, MessageType::Event, deposed.clone().into());
    resuming.await.unwrap().unwrap();
    quiet().await;
    assert!(alice.syncher.reporters().is_empty());

    // What it has taken over since is its own.
    let resuming = resume(&alice);
    let (create, subscribe) = both(&manager).await;
    told(&alice.url, MessageType::Event, deposed.into());
    let mut whole = snapshot(2, json!({}));
    whole["epoch"] = json!(2);
    manager.answer(&create, ResponseBody::ok().with_value(json!([whole])));
    manager.answer(&subscribe, nothing());
    resuming.await.unwrap().unwrap();
    quiet().await;
    assert_eq!(alice.syncher.reporters().len(), 1);
}

/// An object that was this hyperty's, was given away, and comes back while nobody waits for it.
#[tokio::test(start_paused = true)]
async fn what_comes_back_is_kept_although_it_was_here_before() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    for epoch in [0, 2] {
        let asked = match epoch {
            0 => None,
            _ => {
                let body = ControlBody { method: Control::Resume, resource: object(), params: Vec::new() };
                let told = manager.bus.new_message(MessageType::Execute, &manager.url(), &alice.url, body);
                Some(tokio::spawn(manager.bus.request(told)))
            }
        };
        let resuming = asked.is_none().then(|| resume(&alice));
        let (create, subscribe) = both(&manager).await;
        let mut whole = snapshot(epoch, json!({}));
        whole["epoch"] = json!(epoch);
        manager.answer(&create, ResponseBody::ok().with_value(json!([whole])));
        manager.answer(&subscribe, nothing());
        if let Some(resuming) = resuming {
            drop(resuming.await.unwrap().unwrap());
        }
        quiet().await;
        let reporters = alice.syncher.reporters();
        assert_eq!(reporters.iter().map(|it| it.position().epoch).collect::<Vec<_>>(), [epoch]);
        let body = DeposedBody {
            resource: object(),
            epoch: epoch + 1,
            reporter: Some(hyperty("tablet")),
            runtime: None,
            unpublished: None,
        };
        manager.bus.post(manager.bus.new_message(MessageType::Event, &manager.url(), &alice.url, body));
        quiet().await;
        assert!(alice.syncher.reporters().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_observation_that_ends_before_an_older_answer_is_taken_over_has_ended() {
    for by_deletion in [false, true] {
        let manager = Manager::new();
        let (bob, _observer, _) = watching(&manager, "bob").await;
        let resuming = resume(&bob);
        let (create, subscribe) = both(&manager).await;
        manager.answer(&create, nothing());
        manager.answer(&subscribe, ResponseBody::ok().with_value(json!([snapshot(7, json!({}))])));
        if by_deletion {
            let gone = DeleteBody { resource: Some(object().to_string()), ..DeleteBody::default() };
            manager.publish(&object().changes(), MessageType::Delete, &object().subscription(), gone);
        } else {
            let body = UnsubscribeBody { resource: Some(object()), ..UnsubscribeBody::default() };
            let alice = hyperty("alice");
            let said = manager.bus.new_message(MessageType::Unsubscribe, alice.as_url(), &bob.url, body);
            assert_eq!(manager.bus.request(said).await.code(), StatusCode::OK);
        }
        resuming.await.unwrap().unwrap();
        quiet().await;
        assert!(bob.syncher.observers().is_empty(), "{by_deletion}");
    }
}

/// The answer to a resume may have been given before the hyperty left, and come behind that: it begins nothing anew, and
/// what has begun again since has nothing of it (protocol 5.6, 5.10.2).
#[tokio::test(start_paused = true)]
async fn an_observation_that_is_ended_while_it_is_resumed_has_ended() {
    for again in [false, true] {
        let manager = Manager::new();
        let (bob, observer, _children) = watching(&manager, "bob").await;
        let resuming = resume(&bob);
        let (create, subscribe) = both(&manager).await;
        let leaving = tokio::spawn(async move { observer.unsubscribe().await });
        let ending = manager.expect(MessageType::Unsubscribe).await;
        manager.answer(&ending, ResponseBody::ok());
        leaving.await.unwrap().unwrap();
        let anew = match again {
            true => Some(manager.observer(&bob, snapshot(8, json!({})), &[NAME]).await),
            false => None,
        };
        let mut older = with_names(snapshot(7, json!({})));
        let child = created_by("bob", 1, json!({}));
        older["childrenObjects"] = json!({NAME: { child.resource.clone(): {"value": child.value} }});
        manager.answer(&create, nothing());
        manager.answer(&subscribe, ResponseBody::ok().with_value(json!([older])));
        assert!(resuming.await.unwrap().unwrap().observers.is_empty());
        quiet().await;
        assert_eq!(bob.syncher.observers().len(), usize::from(again));
        if let Some(observer) = anew {
            assert!(observer.children(NAME).unwrap().list().is_empty());
        } else {
            // Whoever it was begun for wants it no more.
            manager.expect(MessageType::Unsubscribe).await;
        }
    }
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
