//! Schemas of a runtime and of its node, joined by a bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hyperty_message_bus::{BusConfig, Listener, MessageBus};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Body, Message, MessageType, SeededIds, StatusCode, Url};
use hyperty_registry::{
    Catalogue, CatalogueError, CatalogueLimits, CatalogueTable, FETCHED_SCHEMAS_MAX, SCHEMA_BYTES_MAX,
    SchemaCatalogue,
};
use hyperty_storage::{Batch, MemoryTables, StorageError, Tables};
use serde_json::{Value, json};

use crate::node::runtime;

struct World {
    bus: MessageBus,
    tables: Arc<MemoryTables>,
    table: Arc<CatalogueTable>,
    requests: Arc<AtomicUsize>,
    _node: Listener,
}

impl World {
    fn new() -> World {
        World::with(CatalogueLimits::default())
    }

    /// A catalogue that answers a millisecond later.
    fn with(limits: CatalogueLimits) -> World {
        let tables = Arc::new(MemoryTables::new());
        let table = Arc::new(CatalogueTable::open("example.com", tables.clone(), limits).unwrap());
        let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(1));
        let requests = Arc::new(AtomicUsize::new(0));
        let (answering, counting, node_bus) = (Arc::clone(&table), Arc::clone(&requests), bus.clone());
        let node = bus.listen(&node::catalogue("example.com").unwrap(), move |request| {
            counting.fetch_add(1, Ordering::SeqCst);
            let (bus, reply) = (node_bus.clone(), request.reply(answering.handle(request).0));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                bus.post(reply);
            });
        });
        World { bus, tables, table, requests, _node: node.unwrap() }
    }

    fn catalogue(&self, name: &str) -> Catalogue {
        Catalogue::new(self.bus.clone(), &runtime(name)).unwrap()
    }

    fn send(&self, kind: MessageType, body: Value) -> ResponseBody {
        let to = node::catalogue("example.com").unwrap();
        let message = Message::new(1, kind, runtime("a").as_url().clone(), to, Body::of(body));
        self.table.handle(&message).0
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn url(name: &str) -> Url {
    Url::parse(&format!("hyperty-catalogue://catalogue.example.com/.well-known/dataschema/{name}")).unwrap()
}

fn chat() -> Value {
    json!({
        "type": "object",
        "required": ["scheme", "topic"],
        "properties": {
            "scheme": {"constant": "chat"},
            "children": {"constant": ["messages"]},
            "topic": {"type": "string"},
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_published_schema_is_found_by_another_runtime() {
    let world = World::new();
    let (a, b) = (world.catalogue("a"), world.catalogue("b"));
    assert_eq!(b.get(&url("Chat")).await.unwrap_err(), CatalogueError::NotFound(url("Chat")));
    a.add(url("Chat"), chat()).unwrap();
    assert_eq!(a.get(&url("Chat")).await.unwrap().scheme, "chat");
    a.publish(&url("Chat")).await.unwrap();
    let found = b.get(&url("Chat")).await.unwrap();
    assert_eq!((found.scheme.as_str(), found.children[0].name.as_str()), ("chat", "messages"));
    assert_eq!(found.document, chat());
    assert!(found.validate(&json!({"topic": 1})).is_err());

    // Once is enough, for reading and for publishing.
    let requests = world.requests();
    b.get(&url("Chat")).await.unwrap();
    b.publish(&url("Chat")).await.unwrap();
    a.publish(&url("Chat")).await.unwrap();
    assert_eq!(world.requests(), requests);
}

#[tokio::test(start_paused = true)]
async fn another_content_under_the_same_url_is_a_conflict() {
    let world = World::new();
    let (a, b) = (world.catalogue("a"), world.catalogue("b"));
    a.add(url("Chat"), chat()).unwrap();
    a.add(url("Chat"), chat()).unwrap();
    assert_eq!(
        a.add(url("Chat"), json!({"type": "object"})).unwrap_err(),
        CatalogueError::Conflict(url("Chat"))
    );
    a.publish(&url("Chat")).await.unwrap();
    b.add(url("Chat"), json!({"type": "object"})).unwrap();
    assert_eq!(b.publish(&url("Chat")).await, Err(CatalogueError::Conflict(url("Chat"))));
    // The same content from elsewhere is none.
    let c = world.catalogue("c");
    c.add(url("Chat"), chat()).unwrap();
    c.publish(&url("Chat")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn schemas_are_looked_for_by_url_then_by_name_then_in_the_built_in_table() {
    let world = World::new();
    let catalogue = world.catalogue("a");
    let exact = catalogue.add(url("Chat"), chat()).unwrap();
    let other = Url::parse("https://elsewhere.example/.well-known/dataschema/Chat").unwrap();
    assert_eq!(catalogue.get(&other).await.unwrap().url, exact.url);
    // Case counts.
    let lower = catalogue.get(&url("chat")).await;
    assert_eq!(lower.unwrap_err(), CatalogueError::NotFound(url("chat")));

    let requests = world.requests();
    let built_in = catalogue.get(&url("Communication")).await.unwrap();
    assert_eq!((built_in.scheme.as_str(), built_in.children[0].name.as_str()), ("comm", "resources"));
    built_in.validate(&json!({"anything": [1, 2]})).unwrap();
    assert!(built_in.validate(&json!("no object")).is_err());
    catalogue.publish(&url("Communication")).await.unwrap();
    assert_eq!(world.requests(), requests);

    // One of our own comes first.
    let own = json!({"type": "object", "properties": {"scheme": {"constant": "talk"}}});
    catalogue.add(url("Communication"), own).unwrap();
    assert_eq!(catalogue.get(&url("Communication")).await.unwrap().scheme, "talk");
}

#[tokio::test(start_paused = true)]
async fn callers_that_want_the_same_schema_share_one_request() {
    let world = World::new();
    assert_eq!(
        world.send(MessageType::Create, json!({"resource": url("Chat"), "value": chat()})).code,
        StatusCode::OK
    );
    let catalogue = world.catalogue("a");
    let wanted = url("Chat");
    let found = join_all((0..100).map(|_| catalogue.get(&wanted))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(world.requests(), 1);
    // A failure too, and the next call tries again.
    let wanted = url("None");
    let found = join_all((0..100).map(|_| catalogue.get(&wanted))).await;
    assert!(found.iter().all(Result::is_err));
    assert_eq!(world.requests(), 2);
    catalogue.get(&wanted).await.unwrap_err();
    assert_eq!(world.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_leaves_the_request_to_the_next() {
    let world = World::new();
    world.send(MessageType::Create, json!({"resource": url("Chat"), "value": chat()}));
    let (catalogue, wanted) = (world.catalogue("a"), url("Chat"));
    let impatient = tokio::time::timeout(Duration::from_micros(1), catalogue.get(&wanted));
    let (gave_up, got) = tokio::join!(impatient, catalogue.get(&wanted));
    assert!(gave_up.is_err());
    assert_eq!(got.unwrap().scheme, "chat");
}

#[tokio::test(start_paused = true)]
async fn fetched_schemas_are_kept_in_bounded_number() {
    let world = World::new();
    let catalogue = world.catalogue("a");
    for n in 0..=FETCHED_SCHEMAS_MAX {
        let wanted = url(&format!("Schema{n}"));
        world.send(MessageType::Create, json!({"resource": wanted, "value": chat()}));
        catalogue.get(&wanted).await.unwrap();
    }
    let requests = world.requests();
    catalogue.get(&url("Schema1")).await.unwrap();
    assert_eq!(world.requests(), requests);
    catalogue.get(&url("Schema0")).await.unwrap();
    assert_eq!(world.requests(), requests + 1);
}

#[tokio::test(start_paused = true)]
async fn failures_say_what_they_are() {
    let world = World::new();
    let catalogue = world.catalogue("a");
    for wanted in ["https://elsewhere.example/dataschema/Chat", "user-guid://1/Chat"] {
        let error = catalogue.get(&Url::parse(wanted).unwrap()).await.unwrap_err();
        assert!(matches!(error, CatalogueError::Unreachable { .. }), "{wanted}: {error}");
    }
    assert_eq!(catalogue.publish(&url("None")).await, Err(CatalogueError::NotFound(url("None"))));
    for document in
        [json!("no schema"), json!({"type": "strange"}), json!({"$ref": "https://elsewhere.example/x"})]
    {
        let error = catalogue.add(url("Bad"), document.clone()).unwrap_err();
        assert!(matches!(error, CatalogueError::Invalid { .. }), "{document}: {error}");
    }
    // What a catalogue hands out may be bad as well.
    let document = json!({"properties": {"scheme": {"constant": "chat"}, "a": {"$ref": "#/nowhere"}}});
    assert_eq!(
        world.send(MessageType::Create, json!({"resource": url("Bad"), "value": document})).code,
        StatusCode::OK
    );
    assert!(matches!(catalogue.get(&url("Bad")).await, Err(CatalogueError::Invalid { .. })));

    let elsewhere = Url::parse("https://elsewhere.example/dataschema/Chat").unwrap();
    catalogue.add(elsewhere.clone(), chat()).unwrap();
    assert!(matches!(catalogue.publish(&elsewhere).await, Err(CatalogueError::Unreachable { .. })));
}

#[test]
fn the_node_refuses_what_is_no_schema_of_its_domain() {
    let world = World::new();
    let large = json!({"description": "x".repeat(SCHEMA_BYTES_MAX)});
    for (kind, body, code) in [
        (MessageType::Create, json!({"value": chat()}), StatusCode::BAD_REQUEST),
        (MessageType::Create, json!({"resource": "no URL", "value": chat()}), StatusCode::BAD_REQUEST),
        (
            MessageType::Create,
            json!({"resource": "comm://example.com/1", "value": chat()}),
            StatusCode::BAD_REQUEST,
        ),
        (MessageType::Create, json!({"resource": url("Chat")}), StatusCode::BAD_REQUEST),
        (MessageType::Create, json!({"resource": url("Chat"), "value": "text"}), StatusCode::BAD_REQUEST),
        (MessageType::Create, json!({"resource": url("Chat"), "value": large}), StatusCode::FORBIDDEN),
        (
            MessageType::Create,
            json!({"resource": "https://other.example/x", "value": chat()}),
            StatusCode::FORBIDDEN,
        ),
        (MessageType::Delete, json!({"resource": url("Chat")}), StatusCode::BAD_REQUEST),
        (MessageType::Read, json!({}), StatusCode::BAD_REQUEST),
        (MessageType::Read, json!({"resource": url("Chat")}), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.send(kind, body.clone()).code, code, "{kind} {}", body["resource"]);
    }
    assert!(world.table.is_empty());
}

#[test]
fn the_node_keeps_schemas_over_a_restart_and_within_its_limits() {
    let world = World::with(CatalogueLimits { schemas: 2, bytes: 1_000 });
    let create = |name: &str, document: Value| {
        world.send(MessageType::Create, json!({"resource": url(name), "value": document})).code
    };
    let large = json!({"description": "x".repeat(900)});
    assert_eq!(create("A", chat()), StatusCode::OK);
    assert_eq!(create("A", chat()), StatusCode::OK);
    assert_eq!(create("B", large), StatusCode::FORBIDDEN);
    assert_eq!(create("B", json!({})), StatusCode::OK);
    assert_eq!(create("C", json!({})), StatusCode::FORBIDDEN);
    assert_eq!(create("A", json!({})), StatusCode::CONFLICT);

    let limits = CatalogueLimits { schemas: 3, bytes: 1_000 };
    let reopened = CatalogueTable::open("example.com", world.tables.clone(), limits).unwrap();
    assert_eq!(reopened.len(), 2);
    let read = Message::new(
        1,
        MessageType::Read,
        runtime("a").as_url().clone(),
        node::catalogue("example.com").unwrap(),
        Body::of(json!({"resource": url("A")})),
    );
    assert_eq!(reopened.handle(&read).0.value, Some(chat()));

    world.tables.commit(Batch::new().put("catalogue/v1", b"no URL", "{}"));
    let opened = CatalogueTable::open("example.com", world.tables.clone(), limits);
    assert!(matches!(opened.unwrap_err(), StorageError::Corrupt { .. }));
}
