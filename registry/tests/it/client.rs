//! The runtime's client of the domain registry, joined to a registry by a bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_message_bus::{BusConfig, Listener, MessageBus};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{
    HypertyUrl, Identity, Message, MessageType, ObjectUrl, RuntimeUrl, SeededIds, StatusCode, Timestamp, Url,
};
use hyperty_registry::{
    DomainRegistry, NoRegistry, NodeRegistryClient, Query, QueryError, RegisterError, RegistrationRecord,
    RegistrationStatus, RegistryLimits, RegistryTable, RetryConfig, UpdateError,
};
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::node::{ALICE, STANDUP, runtime};

struct World {
    bus: MessageBus,
    table: Arc<RegistryTable>,
    /// Requests that reached the registry.
    requests: Arc<Mutex<Vec<(MessageType, Value)>>>,
    _node: Listener,
}

impl World {
    /// A registry that answers all requests, as those of the runtime that sends them.
    fn new() -> World {
        let table = RegistryTable::open(Arc::new(MemoryTables::new()), RegistryLimits::default()).unwrap();
        let table = Arc::new(table);
        let answering = Arc::clone(&table);
        World::with(table, move |request| {
            let from = RuntimeUrl::parse(request.from().as_str().strip_suffix("/registry").unwrap()).unwrap();
            answering.handle(request, &from, Timestamp::from_millis(0)).body
        })
    }

    fn with(
        table: Arc<RegistryTable>,
        answer: impl Fn(&Message) -> ResponseBody + Send + Sync + 'static,
    ) -> World {
        let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(1));
        let requests: Arc<Mutex<Vec<_>>> = Arc::default();
        let (answering, noting) = (bus.clone(), Arc::clone(&requests));
        let node = bus.listen(&node::registry("example.com").unwrap(), move |request| {
            let body = serde_json::from_slice(request.body().raw()).unwrap();
            noting.lock().push((request.kind(), body));
            answering.post(request.reply(answer(request)));
        });
        World { bus, table, requests, _node: node.unwrap() }
    }

    /// A registry that gives these answers, the last one for ever.
    fn saying(answers: Vec<ResponseBody>) -> World {
        let next = AtomicUsize::new(0);
        World::with(Arc::clone(&World::new().table), move |_| {
            answers[next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone()
        })
    }

    fn client(&self, name: &str) -> NodeRegistryClient {
        NodeRegistryClient::new(
            self.bus.clone(),
            &runtime(name),
            Arc::new(SeededIds::new(5)),
            RetryConfig::default(),
        )
    }

    fn bodies(&self) -> Vec<Value> {
        self.requests.lock().iter().map(|(_, body)| body.clone()).collect()
    }
}

fn record(name: &str) -> RegistrationRecord {
    RegistrationRecord::of_object(
        &ObjectUrl::parse(STANDUP).unwrap(),
        runtime(name),
        Url::parse("hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat").unwrap(),
        "standup",
        HypertyUrl::parse("hyperty://example.com/standup").unwrap(),
    )
    .with_user(Some(&Identity::of_user(ALICE)))
}

fn standup() -> Url {
    Url::parse(STANDUP).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_whole_life_of_a_registration() {
    let world = World::new();
    let (a, b) = (world.client("a"), world.client("b"));
    assert_eq!(a.read(&standup()).await, Err(QueryError::NotFound));
    assert_eq!(a.keep_alive(&standup()).await, Err(UpdateError::Unknown));
    assert_eq!(a.set_live(&record("a")).await, Err(UpdateError::Unknown));
    a.register(&record("a")).await.unwrap();
    a.keep_alive(&standup()).await.unwrap();

    let read = b.read(&standup()).await.unwrap();
    assert_eq!(
        (read.status, read.runtime, read.name.as_deref()),
        (RegistrationStatus::Live, runtime("a"), Some("standup"))
    );
    for query in [
        Query::of_user(ALICE),
        Query::of_user(ALICE).objects(),
        Query::of_name("standup"),
        Query::of_reporter(HypertyUrl::parse("hyperty://example.com/standup").unwrap()),
    ] {
        let found = b.find("example.com", &query).await.unwrap();
        assert_eq!(found.iter().map(|record| &record.url).collect::<Vec<_>>(), [&standup()], "{query:?}");
    }
    assert_eq!(b.find("example.com", &Query::of_guid("1234")).await, Err(QueryError::NotFound));

    assert!(matches!(b.register(&record("b")).await, Err(RegisterError::Conflict(_))));
    assert!(matches!(b.keep_alive(&standup()).await, Err(UpdateError::Conflict(_))));
    assert!(matches!(
        b.unregister(&standup()).await,
        Err(UpdateError::Refused { code: StatusCode::FORBIDDEN, .. })
    ));
    b.set_live(&RegistrationRecord { epoch: 1, ..record("b") }).await.unwrap();
    assert_eq!(world.table.owner(&standup()), Some((runtime("b"), 1)));

    b.unregister(&standup()).await.unwrap();
    match a.read(&standup()).await {
        Err(QueryError::Disconnected(found)) => assert_eq!(found[0].runtime, runtime("b")),
        other => panic!("{other:?}"),
    }
    b.set_live(&RegistrationRecord { epoch: 1, ..record("b") }).await.unwrap();
    b.delete(&standup()).await.unwrap();
    assert_eq!(a.read(&standup()).await, Err(QueryError::Gone));
    assert_eq!(b.register(&RegistrationRecord { epoch: 2, ..record("b") }).await, Err(RegisterError::Gone));
    assert_eq!(b.keep_alive(&standup()).await, Err(UpdateError::Gone));
}

#[tokio::test(start_paused = true)]
async fn the_messages_are_those_of_the_protocol() {
    let world = World::new();
    let a = world.client("a");
    a.register(&record("a")).await.unwrap();
    a.set_live(&record("a")).await.unwrap();
    a.keep_alive(&standup()).await.unwrap();
    a.unregister(&standup()).await.unwrap();
    a.read(&standup()).await.unwrap_err();
    a.delete(&standup()).await.unwrap();
    assert_eq!(
        world.bodies(),
        [
            json!({"value": {
                "url": STANDUP, "runtime": runtime("a"), "status": "live", "expires": 3600, "resources": [],
                "dataSchemes": ["comm"], "name": "standup", "reporter": "hyperty://example.com/standup",
                "schema": "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat", "user": ALICE,
            }}),
            json!({"resource": STANDUP, "value": {
                "status": "live", "runtime": runtime("a"), "reporter": "hyperty://example.com/standup", "user": ALICE,
            }}),
            json!({"resource": STANDUP}),
            json!({"resource": STANDUP, "value": "disconnected", "attribute": "status"}),
            json!({"resource": STANDUP}),
            json!({"resource": STANDUP}),
        ]
    );
    let kinds: Vec<_> = world.requests.lock().iter().map(|(kind, _)| *kind).collect();
    use MessageType::{Create, Delete, Read, Update};
    assert_eq!(kinds, [Create, Update, Update, Update, Read, Delete]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_get_through_is_sent_again_and_then_given_up() {
    let no_route = || ResponseBody::failure(StatusCode::NOT_FOUND, "no route");
    let backend = || ResponseBody::of(StatusCode::BACKEND_UNREACHABLE);
    let world = World::saying(vec![
        no_route(),
        backend(),
        ResponseBody::of(StatusCode::INTERNAL),
        ResponseBody::ok(),
    ]);
    world.client("a").keep_alive(&standup()).await.unwrap();
    assert_eq!(world.requests.lock().len(), 4);

    let world = World::saying(vec![no_route()]);
    let started = tokio::time::Instant::now();
    assert!(matches!(world.client("a").register(&record("a")).await, Err(RegisterError::Unreachable(_))));
    assert_eq!(world.requests.lock().len(), 5);
    // Four pauses of half to all of 100, 200, 400 and 800 ms.
    let waited = started.elapsed();
    assert!((Duration::from_millis(750)..=Duration::from_millis(1500)).contains(&waited), "{waited:?}");

    // What the registry itself refuses is not sent again.
    let world = World::saying(vec![ResponseBody::failure(StatusCode::FORBIDDEN, "no")]);
    assert!(matches!(world.client("a").read(&standup()).await, Err(QueryError::Refused { .. })));
    assert_eq!(world.requests.lock().len(), 1);

    // Nobody there at all, and nobody who could be.
    let elsewhere = Url::parse("comm://elsewhere.example/1").unwrap();
    assert!(matches!(world.client("a").read(&elsewhere).await, Err(QueryError::Unreachable(_))));
    let nowhere = Url::parse("user-guid://1234").unwrap();
    assert!(matches!(world.client("a").read(&nowhere).await, Err(QueryError::Unreachable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_registry_is_unreachable() {
    let world = World::new();
    let _silent = world.bus.listen(&node::registry("silent.example").unwrap(), |_| {}).unwrap();
    let url = Url::parse("comm://silent.example/1").unwrap();
    assert!(matches!(world.client("a").read(&url).await, Err(QueryError::Unreachable(_))));
}

#[tokio::test]
async fn without_a_node_everything_succeeds_and_nothing_is_found() {
    NoRegistry.register(&record("a")).await.unwrap();
    NoRegistry.set_live(&record("a")).await.unwrap();
    NoRegistry.keep_alive(&standup()).await.unwrap();
    assert_eq!(NoRegistry.read(&standup()).await, Err(QueryError::NotFound));
    assert_eq!(NoRegistry.find("example.com", &Query::of_name("standup")).await, Err(QueryError::NotFound));
    NoRegistry.unregister(&standup()).await.unwrap();
    NoRegistry.delete(&standup()).await.unwrap();
}
