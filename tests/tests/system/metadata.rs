//! Metadata is changed as the data is: nothing of a change is seen before it is kept, and nothing is left of one that
//! is not (M2, INV-DOM-7). The Syncher makes no such changes: the Reporter here speaks for itself.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::protocol::runtime::{TakeFrame, attach};
use hyperty_conformance::world::World;
use hyperty_model::{ObjectUrl, Snapshot};
use hyperty_runtime::Runtime;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::held::Held;

const A_WHILE: Duration = Duration::from_secs(1);

const AUTHOR: &str = "hyperty://example.com/author";

/// A Reporter without a Syncher.
struct Author {
    runtime: Runtime,
    post: TakeFrame,
    heard: Arc<Mutex<Vec<Value>>>,
    asked: u64,
}

impl Author {
    async fn at(world: &World, tables: &Arc<Held>) -> Author {
        let runtime = world.runtime("alice", tables).await;
        runtime.schema(SCHEMA).unwrap();
        let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
        let hears = Arc::clone(&heard);
        let receive = move |frame: bytes::Bytes| hears.lock().push(serde_json::from_slice(&frame).unwrap());
        let post = attach(runtime.bus(), AUTHOR, Box::new(receive)).unwrap();
        Author { runtime, post, heard, asked: 0 }
    }

    fn send(&mut self, kind: &str, from: &str, to: &str, body: Value) -> u64 {
        self.asked += 1;
        let message = json!({"id": self.asked, "type": kind, "from": from, "to": to, "body": body});
        (self.post)(message.to_string().into());
        self.asked
    }

    fn answer(&self, id: u64) -> Option<Value> {
        let heard = self.heard.lock();
        let of = |message: &&Value| message["type"] == "response" && message["id"] == id;
        heard.iter().find(of).map(|answer| answer["body"].clone())
    }

    fn code(&self, id: u64) -> Option<u64> {
        self.answer(id).and_then(|body| body["code"].as_u64())
    }

    async fn ask(&mut self, body: Value) -> Value {
        let to = format!("{}/sm", self.runtime.url());
        let id = self.send("create", AUTHOR, &to, body);
        sleep(A_WHILE).await;
        self.answer(id).expect("an answer in time")
    }

    async fn create(&mut self) -> ObjectUrl {
        let schema = self.runtime.schema(SCHEMA).unwrap();
        let value = json!({
            "name": "board", "schema": schema, "reporter": AUTHOR, "data": {"topic": "a"},
            "authorise": ["hyperty://example.com/*"],
        });
        let created =
            self.ask(json!({"resume": false, "store": true, "schema": schema, "value": value})).await;
        assert_eq!(created["code"], 200, "{created}");
        created["resource"].as_str().unwrap().parse().unwrap()
    }

    fn change(&mut self, object: &ObjectUrl, version: u64, mut body: Value) -> u64 {
        (body["version"], body["receipt"]) = (json!(version), json!(true));
        body["lastModified"] = json!(format!("2030-01-01T00:00:00.{version:03}Z"));
        self.send("update", object.as_str(), &format!("{object}/changes"), body)
    }

    fn set(&mut self, object: &ObjectUrl, version: u64, attribute: &str, value: Value) -> u64 {
        let body = json!({"attribute": attribute, "attributeType": "metadata", "value": value});
        self.change(object, version, body)
    }
}

fn seen(snapshot: &Snapshot) -> (u64, &str, bool) {
    (snapshot.version, &snapshot.metadata.name, snapshot.metadata.public_observation)
}

#[tokio::test(start_paused = true)]
async fn metadata_is_not_seen_before_it_is_kept_inv_dom_7() {
    let world = World::new(760);
    let tables = Arc::new(Held::new());
    let mut author = Author::at(&world, &tables).await;
    let object = author.create().await;
    let bob = Party::new(&world, "bob").await;
    let copy = bob.hyperty.subscribe(&object).await.unwrap();

    tables.hold();
    let renamed = author.set(&object, 1, "name", json!("renamed"));
    let opened = author.set(&object, 2, "publicObservation", json!(true));
    let changed = author.change(&object, 3, json!({"attribute": "topic", "value": "b"}));
    sleep(A_WHILE).await;
    assert_eq!(author.code(renamed), None, "answered before it is kept");
    let read = bob.hyperty.read(&object).await.unwrap();
    assert_eq!(seen(&read), (0, "board", false), "read before it is kept");
    let carol = Party::new(&world, "carol").await;
    let late = carol.hyperty.subscribe(&object).await.unwrap();
    assert_eq!((late.metadata().name.as_str(), late.version()), ("board", 0), "told before it is kept");
    tables.let_go();
    sleep(A_WHILE).await;
    assert_eq!([renamed, opened, changed].map(|id| author.code(id)), [Some(200); 3]);
    for observer in [&copy, &late] {
        assert_eq!((observer.version(), observer.metadata().name.as_str()), (3, "renamed"));
    }
    let read = bob.hyperty.read(&object).await.unwrap();
    assert_eq!(seen(&read), (3, "renamed", true));
    assert_eq!(read.metadata.last_modified.to_string(), "2030-01-01T00:00:00.003Z");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_metadata_that_is_not_kept_m2() {
    let world = World::new(761);
    let tables = Arc::new(Held::new());
    let mut author = Author::at(&world, &tables).await;
    let object = author.create().await;
    let bob = Party::new(&world, "bob").await;
    let copy = bob.hyperty.subscribe(&object).await.unwrap();
    let renamed = author.set(&object, 1, "name", json!("renamed"));
    // What is no metadata changes none of it, and takes no version.
    for (attribute, value) in [("created", json!("2030-01-01T00:00:00.000Z")), ("name", json!(7))] {
        let refused = author.set(&object, 2, attribute, value);
        sleep(A_WHILE).await;
        assert_eq!(author.code(refused), Some(400), "{attribute}");
    }
    assert_eq!(author.code(renamed), Some(200));

    tables.hold();
    let waiting = [("name", json!("never")), ("tags", json!(["never"])), ("publicObservation", json!(true))];
    let waiting = waiting
        .into_iter()
        .zip(2..)
        .map(|((name, value), version)| author.set(&object, version, name, value));
    let waiting: Vec<u64> = waiting.collect();
    sleep(A_WHILE).await;
    tables.fail();
    sleep(A_WHILE).await;
    assert!(waiting.iter().all(|id| author.code(*id) == Some(500)), "what is not kept is refused");
    let read = bob.hyperty.read(&object).await.unwrap();
    assert_eq!((seen(&read), &read.metadata.tags[..]), ((1, "renamed", false), &[][..]));
    assert_eq!((copy.version(), copy.metadata().name.as_str()), (1, "renamed"));
}

/// What is written meanwhile, the header by an invitation and the data since it is due, says what was taken in: a crash
/// right after it loses none of it.
#[tokio::test(start_paused = true)]
async fn metadata_outlives_a_crash_in_whatever_is_written_meanwhile_inv_res_7() {
    let world = World::new(762);
    let tables = Arc::new(Held::new());
    let mut author = Author::at(&world, &tables).await;
    let object = author.create().await;
    tables.hold();
    author.set(&object, 1, "name", json!("renamed"));
    let to = format!("{}/sm", author.runtime.url());
    author.send(
        "create",
        AUTHOR,
        &to,
        json!({"resource": object, "authorise": ["hyperty://example.org/bob"]}),
    );
    sleep(A_WHILE).await;
    for version in 2..40 {
        author.change(&object, version, json!({"attribute": "topic", "value": "x".repeat(60)}));
    }
    sleep(A_WHILE).await;
    let tables = Arc::new(tables.crashed());
    author.runtime.abort();
    let mut author = Author::at(&world, &tables).await;
    let resumed = author.ask(json!({"resume": true})).await;
    let value = &resumed["value"][0];
    assert_eq!((&value["version"], &value["name"]), (&json!(39), &json!("renamed")), "{resumed}");
    assert_eq!(value["lastModified"], "2030-01-01T00:00:00.039Z");
}
