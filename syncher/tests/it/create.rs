//! Creation (5.1): what is asked, what early traffic does, and what happens when no answer comes.

use std::time::Duration;

use hyperty_model::message::{CreateObject, DeleteBody, ForwardKind, ResponseBody};
use hyperty_model::{MessageType, StatusCode};
use hyperty_syncher::{Accept, CreateError, DataError};
use serde_json::json;

use crate::manager::{Manager, created, object, quiet, schema};

#[tokio::test(start_paused = true)]
async fn every_option_is_in_the_request() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let create =
        alice.syncher.create(schema()).name("room").data(json!({"topic": "a"})).description("a room");
    let create = create.tags(["x"]).resources(["chat"]).store(true).resumable(true).public_observation(true);
    let create = create.authorise([alice.url.clone()]).domain_registration(false).domain_routing(false);
    let creation = tokio::spawn(create.into_future());
    let request = manager.expect(MessageType::Create).await;
    let body = request.decode::<CreateObject>().unwrap();
    let value = body.value.clone().unwrap();
    assert_eq!((request.from(), request.to()), (alice.url.as_url(), &manager.url()));
    assert_eq!((body.resume, body.store, body.resumable), (false, Some(true), Some(true)));
    assert_eq!((body.domain_registration, body.domain_routing), (Some(false), Some(false)));
    assert_eq!(body.schema.as_ref(), Some(&schema()));
    assert_eq!(body.authorise.0, [alice.url.as_url().clone()]);
    assert_eq!(value["data"], json!({"topic": "a"}));
    assert_eq!((&value["name"], &value["reporter"]), (&json!("room"), &json!(alice.url)));
    assert_eq!((&value["description"], &value["tags"]), (&json!("a room"), &json!(["x"])));
    assert_eq!((&value["resources"], &value["publicObservation"]), (&json!(["chat"]), &json!(true)));
    assert_eq!((&value["authorise"], &value["created"]), (&json!([alice.url]), &value["lastModified"]));

    manager.answer(&request, created(&["messages"]));
    let reporter = creation.await.unwrap().unwrap();
    assert_eq!((reporter.url(), reporter.version(), reporter.name()), (&object(), 0, "room".to_owned()));
    assert_eq!(reporter.children_names(), [crate::manager::name("messages")]);
    assert_eq!(alice.syncher.reporters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_name_is_that_of_the_schema_if_none_is_given() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    drop(tokio::spawn(alice.syncher.create(schema()).into_future()));
    let body = manager.next().await.decode::<CreateObject>().unwrap();
    assert_eq!(body.value.as_ref().unwrap()["name"], json!("Communication"));
}

#[tokio::test(start_paused = true)]
async fn failures_carry_the_code_of_the_protocol() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let not_an_object = alice.syncher.create(schema()).data(json!(7)).await;
    assert!(matches!(not_an_object, Err(CreateError::Data(DataError::NotAnObject("a number")))));
    assert!(manager.rest().await.is_empty());

    let refused = tokio::spawn(alice.syncher.create(schema()).into_future());
    let why = ResponseBody::failure(StatusCode::FORBIDDEN, "Blocked by policy");
    manager.answer(&manager.next().await, why);
    let error = refused.await.unwrap().unwrap_err();
    let reason = "Blocked by policy".to_owned();
    assert_eq!(error, CreateError::Refused { code: StatusCode::FORBIDDEN, reason });

    let malformed = tokio::spawn(alice.syncher.create(schema()).into_future());
    manager.answer(&manager.next().await, ResponseBody::ok());
    assert!(matches!(malformed.await.unwrap(), Err(CreateError::Malformed(_))));
}

/// INV-MSG-3, and nothing is left behind (7.3): what is created after all is deleted.
#[tokio::test(start_paused = true)]
async fn a_creation_that_is_answered_too_late_is_undone() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    assert!(matches!(alice.syncher.create(schema()).await, Err(CreateError::Timeout)));
    let late = manager.expect(MessageType::Create).await;
    manager.answer(&late, created(&[]));
    let delete = manager.expect(MessageType::Delete).await;
    let resource = delete.decode::<DeleteBody>().unwrap().resource.clone();
    assert_eq!(resource.as_deref(), Some(object().as_str()));
    // Once: the second answer is nobody's.
    manager.answer(&late, created(&[]));
    assert!(manager.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_is_dropped_is_undone_too() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let mut creation = alice.syncher.create(schema()).into_future();
    let waiting = tokio::time::timeout(Duration::from_millis(1), &mut creation).await;
    assert!(waiting.is_err());
    drop(creation);
    manager.answer(&manager.expect(MessageType::Create).await, created(&[]));
    manager.expect(MessageType::Delete).await;
}

/// 5.1.1: between the answer and the moment the application sees it, observers come and children are made.
#[tokio::test(start_paused = true)]
async fn what_arrives_before_the_reporter_is_there_is_kept_for_it() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let create = alice.syncher.create(schema()).accept(Accept::All).into_future();
    let creation = tokio::spawn(create);
    let request = manager.expect(MessageType::Create).await;
    manager.open_reporter(&alice.url, &["messages"]);
    let forward = {
        let (manager, reporter) = (manager.clone(), alice.url.clone());
        tokio::spawn(async move {
            manager.forward(&reporter, ForwardKind::Subscribe, "hyperty://example.com/bob", false).await
        })
    };
    quiet().await;
    let channel = object().children(&crate::manager::name("messages"));
    let bob = "hyperty://example.com/bob".parse().unwrap();
    manager.publish(
        &channel,
        MessageType::Create,
        &bob,
        crate::children::created_by("bob", 1, json!({"text": "hi"})),
    );

    manager.answer(&request, created(&["messages"]));
    let reporter = creation.await.unwrap().unwrap();
    assert_eq!(forward.await.unwrap().code, StatusCode::OK);
    assert_eq!(reporter.children("messages").unwrap().list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forward_for_an_unknown_object_is_answered_404() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let who = "hyperty://example.com/bob";
    let answer = manager.forward(&alice.url, ForwardKind::Subscribe, who, true).await;
    assert_eq!(answer.code, StatusCode::NOT_FOUND);

    // While something may appear it waits, and is answered when nothing did.
    let creation = tokio::spawn(alice.syncher.create(schema()).into_future());
    let request = manager.expect(MessageType::Create).await;
    let forward = {
        let (manager, reporter) = (manager.clone(), alice.url.clone());
        tokio::spawn(async move { manager.forward(&reporter, ForwardKind::Read, who, false).await })
    };
    quiet().await;
    assert!(!forward.is_finished());
    manager.answer(&request, ResponseBody::failure(StatusCode::INTERNAL, "no address"));
    assert!(creation.await.unwrap().is_err());
    assert_eq!(forward.await.unwrap().code, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_the_reporter() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    let mut events = reporter.events();
    let in_flight = reporter.set("n", 1);
    manager.expect(MessageType::Update).await;

    let deletion = tokio::spawn({
        let reporter = reporter.clone();
        async move { reporter.delete().await }
    });
    let request = manager.expect(MessageType::Delete).await;
    manager.answer(&request, ResponseBody::failure(StatusCode::CONFLICT, "frozen"));
    assert!(matches!(
        deletion.await.unwrap(),
        Err(hyperty_syncher::DeleteError::Refused { code: StatusCode::CONFLICT, .. })
    ));
    assert!(!reporter.is_closed());

    let deletion = tokio::spawn({
        let reporter = reporter.clone();
        async move { reporter.delete().await }
    });
    manager.answer(&manager.expect(MessageType::Delete).await, ResponseBody::ok());
    deletion.await.unwrap().unwrap();
    assert!(reporter.is_closed() && alice.syncher.reporters().is_empty());
    assert!(events.next().await.is_none());
    assert_eq!(in_flight.await, Err(hyperty_syncher::WriteError::Deleted));
    assert_eq!(reporter.set("n", 2).await, Err(hyperty_syncher::WriteError::Deleted));
}

/// It was created, and the hyperty has no room to report it: nothing is left behind.
#[tokio::test(start_paused = true)]
async fn what_is_created_and_cannot_be_reported_is_deleted() {
    let config = hyperty_message_bus::BusConfig { addresses_max: 2, ..Default::default() };
    let manager = Manager::on(config);
    let alice = manager.hyperty("alice");
    let creation = tokio::spawn(alice.syncher.create(schema()).into_future());
    let request = manager.expect(MessageType::Create).await;
    manager.answer(&request, created(&["messages"]));
    let refused = creation.await.unwrap();
    assert!(matches!(&refused, Err(CreateError::Listen(_))), "{refused:?}");
    let deletion = manager.expect(MessageType::Delete).await.decode::<DeleteBody>().unwrap();
    assert_eq!(deletion.resource, Some(object().to_string()));
}
