//! What the older implementation's Sync Manager did to Reporters and observers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyperty_conformance::world::World;
use hyperty_message_bus::MiniBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, HypertyUrl, MessageType, StatusCode};
use hyperty_policy::{Decision, Point, Policy, PolicyRequest};
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::{DataObjectStorage, ObjectStore, Role};
use hyperty_syncher::{Accept, ReadError, Reporter, ReporterEvent, SubscribeError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Party, agree, board, soon};

/// The code of a refused subscription; 200 if it is accepted.
async fn subscribed(hyperty: &Hyperty, object: &Reporter) -> u16 {
    match soon(hyperty.subscribe(object.url())).await {
        Ok(_) => 200,
        Err(SubscribeError::Refused { code, .. }) => code.0,
        Err(error) => panic!("{error}"),
    }
}

/// Rule: who is authorised at the creation is let in without a question (5.1, 5.3 step 8).
#[tokio::test(start_paused = true)]
async fn the_authorised_of_a_creation_are_forgotten_and_asked_about() {
    let world = World::new(7201);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let create = board(&alice, &alice.hyperty, Accept::Ask).authorise([bob.hyperty.url().as_url().clone()]);
    let object = create.await.unwrap();
    let mut events = object.events();
    assert_eq!(subscribed(&bob.hyperty, &object).await, 200);
    let first = soon(events.next()).await;
    assert!(matches!(&first, Some(ReporterEvent::Joined { .. })), "no question comes before it: {first:?}");
}

/// Rule: a grant for one hyperty is for exactly that URL (4.3, 5.3.8).
#[tokio::test(start_paused = true)]
async fn one_authorised_hyperty_opens_the_object_to_its_whole_domain() {
    let world = World::new(7202);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = bob.runtime.deploy("neighbour").await.unwrap();
    let create = board(&alice, &alice.hyperty, Accept::None).authorise([bob.hyperty.url().as_url().clone()]);
    let object = create.await.unwrap();
    assert_eq!(subscribed(&neighbour, &object).await, 403);
    assert_eq!(subscribed(&bob.hyperty, &object).await, 200);
    assert_eq!(subscribed(&neighbour, &object).await, 403);
}

/// Denies subscriptions and reads.
struct Denies;

impl Policy for Denies {
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        let is_denied = matches!(request.point, Point::Subscribe | Point::Read);
        Box::pin(async move {
            if is_denied { Decision::Deny("not here".to_owned()) } else { Decision::NotApplicable }
        })
    }
}

/// Rule: the decision points of 4.3.1 are the same within a runtime, and whoever is denied is told.
#[tokio::test(start_paused = true)]
async fn within_one_runtime_no_policy_is_asked() {
    let world = World::new(7203);
    let alice = Party::with(&world, "alice", |builder| builder.policy(Denies)).await;
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let object = alice.create(json!({"topic": "a"})).await;
    assert_eq!(subscribed(&neighbour, &object).await, 403);
    let refused = soon(neighbour.read(object.url())).await.map(|_| ());
    assert!(matches!(&refused, Err(ReadError::Refused { code, .. }) if code.0 == 401), "{refused:?}");
}

/// Rule: an identity is optional (3.5); nobody is accepted or refused for having none alone.
#[tokio::test(start_paused = true)]
async fn without_a_user_creations_and_subscriptions_fail() {
    let world = World::new(7204);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (creator, observer) = (alice.runtime.deploy("no-user").await.unwrap(), bob.runtime.deploy("no-user"));
    let object = board(&alice, &creator, Accept::All).await.unwrap();
    let copy = soon(observer.await.unwrap().subscribe(object.url()).store(true)).await.unwrap();
    copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    object.set("topic", "b").await.unwrap();
    agree(&copy, &object).await;
    let near = alice.runtime.deploy("near").await.unwrap();
    assert_eq!(subscribed(&near, &object).await, 200);
}

/// Rule: a resumed object has all its routes: its own, of subscriptions, and of each children name (5.10.1, A1 to A5).
#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_reporter_nobody_new_and_no_child_gets_through() {
    let world = World::new(7205);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let object = alice.create(json!({"topic": "a"})).await;
    let of_bob = bob.observe(&object).await;
    drop(object);
    // The node forgets as well, so that nothing is left of the routes of before.
    world.stop_node();
    let alice = alice.crash().await;
    world.start_node();
    alice.runtime.connected().await;
    let object = alice.reporter();
    object.accept(Accept::All);
    sleep(Duration::from_secs(60)).await;
    let of_carol = carol.observe(&object).await;
    for (copy, n) in [(&of_bob, 1), (&of_carol, 2)] {
        copy.children("notes").unwrap().add(json!({"n": n})).await.unwrap();
        object.set("topic", n.to_string()).await.unwrap();
    }
    for copy in [&of_bob, &of_carol] {
        agree(copy, &object).await;
        assert_eq!(copy.children("notes").unwrap().list().len(), 2);
    }
}

/// Rule: a resumed observer listens at the node to everything that it did before (5.10.2, B8).
#[tokio::test(start_paused = true)]
async fn after_a_restart_an_observer_gets_neither_changes_nor_children() {
    let world = World::new(7206);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"topic": "a"})).await;
    drop(bob.observe(&object).await);
    let bob = bob.crash().await;
    let copy = bob.observer();
    object.set("topic", "b").await.unwrap();
    object.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    agree(&copy, &object).await;
    copy.children("notes").unwrap().add(json!({"n": 2})).await.unwrap();
    agree(&copy, &object).await;
}

/// Rule: one of several observers in a runtime leaves for itself alone, now and after a restart (5.6, INV-UNS-3).
#[tokio::test(start_paused = true)]
async fn who_leaves_takes_its_neighbours_with_it() {
    let world = World::new(7207);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = bob.runtime.deploy("neighbour").await.unwrap();
    let object = alice.create(json!({"topic": "a"})).await;
    let copy = bob.observe(&object).await;
    let leaving = neighbour.subscribe(object.url()).store(true).await.unwrap();
    leaving.unsubscribe().await.unwrap();
    object.set("topic", "b").await.unwrap();
    agree(&copy, &object).await;
    drop((copy, leaving, neighbour));
    let bob = bob.crash().await;
    object.set("topic", "c").await.unwrap();
    agree(&bob.observer(), &object).await;
    let neighbour = bob.runtime.deploy("neighbour").await.unwrap();
    assert!(neighbour.resumed().observers.is_empty());
}

/// Rule: who is refused is no observer, not after a restart either, and nothing of it is stored (INV-SUB-3).
#[tokio::test(start_paused = true)]
async fn a_refused_subscriber_is_an_observer_after_a_restart() {
    let world = World::new(7208);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = board(&alice, &alice.hyperty, Accept::None).await.unwrap();
    assert_eq!(subscribed(&bob.hyperty, &object).await, 403);
    drop(object);
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    assert!(bob.hyperty.resumed().observers.is_empty());
    assert!(alice.reporter().observers().is_empty());
    for party in [&alice, &bob] {
        let store = ObjectStore::new(Arc::new(party.tables.snapshot()));
        assert!(store.load(Role::Observer).unwrap().is_empty());
        assert!(store.load(Role::Reporter).unwrap().iter().all(|record| record.subscriptions.is_empty()));
    }
}

/// Sends a request in the name of a hyperty of its own.
async fn ask(runtime: &Runtime, kind: MessageType, body: Value) -> u16 {
    let from = HypertyUrl::parse("hyperty://example.com/somebody").unwrap();
    let minibus = MiniBus::new(runtime.bus(), from.clone()).unwrap();
    let to = runtime.url().sync_manager();
    let message = minibus.new_message(kind, from.as_url(), &to, Body::of(body));
    let answer = minibus.request(message).timeout(Duration::from_secs(60)).await;
    answer.decode::<ResponseBody>().unwrap().code.0
}

/// Rule: only the Reporter deletes (403), and what is not there is answered too (404), as is leaving it (5.6, 5.8).
#[tokio::test(start_paused = true)]
async fn anybody_deletes_and_about_the_unknown_nothing_is_said() {
    let world = World::new(7209);
    let alice = Party::new(&world, "alice").await;
    let object = alice.create(json!({"topic": "a"})).await;
    let unknown = json!({"resource": "comm://example.com/unknown"});
    let known = json!({"resource": object.url()});
    for kind in [MessageType::Delete, MessageType::Unsubscribe] {
        assert_eq!(ask(&alice.runtime, kind, unknown.clone()).await, StatusCode::NOT_FOUND.0, "{kind:?}");
        let code = ask(&alice.runtime, kind, known.clone()).await;
        assert!(matches!(code, 403 | 404), "{kind:?}: {code}");
    }
    object.set("topic", "b").await.unwrap();
    assert_eq!(alice.hyperty.read(object.url()).await.map(|state| state.data).ok(), Some(object.data()));
}

/// Rule: an address that is asked for again is its owner's (5.1.3): 403 for others, 404 if it is unknown.
#[tokio::test(start_paused = true)]
async fn a_creation_takes_the_address_of_another_hypertys_object() {
    let world = World::new(7210);
    let alice = Party::new(&world, "alice").await;
    let object = alice.create(json!({"topic": "a"})).await;
    let schema = alice.runtime.schema(crate::support::SCHEMA).unwrap();
    for url in [object.url().to_string(), "comm://example.com/unknown".to_owned()] {
        let me = "hyperty://example.com/somebody";
        let value = json!({"name": "x", "schema": schema, "reporter": me, "data": {"topic": "stolen"}});
        let body = json!({"resume": false, "resource": url, "schema": schema, "value": value});
        let code = ask(&alice.runtime, MessageType::Create, body).await;
        assert!(matches!(code, 403 | 404), "{url}: {code}");
    }
    assert_eq!(object.data(), json!({"topic": "a"}));
    object.set("topic", "b").await.unwrap();
}

/// Rule: with an object go its routes: its own, of subscriptions, changes and children, on both sides (5.8).
#[tokio::test(start_paused = true)]
async fn the_routes_of_a_deleted_object_stay_at_the_node() {
    let world = World::new(7211);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    sleep(Duration::from_secs(5)).await;
    let routes = || world.node().unwrap().stats().routes;
    let before = routes();
    let object = alice.create(json!({"topic": "a"})).await;
    let copy = bob.observe(&object).await;
    copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    assert!(routes() > before);
    object.delete().await.unwrap();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(routes(), before);
}

/// Rule: what is stored here is resumed here, whether or not anybody else can be reached (5.10.1).
#[tokio::test(start_paused = true)]
async fn without_its_node_a_runtime_resumes_nothing() {
    let world = World::new(7212);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let object = alice.create(json!({"topic": "a"})).await;
    drop(bob.observe(&object).await);
    drop(object);
    world.stop_node();
    for party in [alice, bob] {
        let begun = Instant::now();
        let party = party.crash().await;
        assert_eq!(party.hyperty.resumed().reporters.len() + party.hyperty.resumed().observers.len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

/// Rule: a hyperty goes on with what is its own; what another one of its user had is taken over only if that is asked
/// for (5.10, INV-RES-4).
#[tokio::test(start_paused = true)]
async fn whoever_comes_back_first_has_everything_of_its_user() {
    let world = World::new(7213);
    let alice = Party::new(&world, "alice").await;
    drop(alice.create(json!({"topic": "a"})).await);
    let image = Arc::new(alice.tables.snapshot());
    alice.runtime.abort();
    let runtime = world.runtime("alice", &image).await;
    runtime.schema(crate::support::SCHEMA).unwrap();
    runtime.connected().await;
    let other = runtime.deploy("other").user("user://example.com/alice").await.unwrap();
    assert!(other.resumed().reporters.is_empty());
    let first = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    assert_eq!(first.resumed().reporters.len(), 1);
}
