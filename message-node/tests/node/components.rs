//! Allocation, registry and catalogue behind the node, and what they have to do with sessions (M12, M13, M22).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_message_node::NodeConfig;
use hyperty_storage::{Batch, MemoryTables, Progress, StorageError, Tables, Ticket};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::support::{CATALOGUE, Client, DOMAIN, MN, MNA, REG, assert_refused, code, node, start};

const O: &str = "comm://example.com/1";
const EVENTS: &str = "comm://example.com/1/registration";

async fn register(client: &mut Client, object: &str) -> Value {
    let value = json!({
        "url": object, "runtime": client.runtime, "status": "live", "resources": ["chat"], "dataSchemes": ["comm"],
        "schema": "hyperty-catalogue://example.com/.well-known/dataschema/X", "name": "x", "expires": 600,
        "reporter": "hyperty://example.com/r", "user": "user://example.com/u", "guid": "user-guid://u",
    });
    let from = format!("{}/registry", client.runtime);
    client.request("create", &from, REG, json!({"value": value})).await
}

async fn update(client: &mut Client, body: Value) -> Value {
    let from = format!("{}/registry", client.runtime);
    client.request("update", &from, REG, body).await
}

fn events(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|event| {
            assert_eq!((&event["from"], &event["to"]), (&json!(REG), &json!(EVENTS)));
            assert_eq!((&event["type"], &event["body"]["attribute"]), (&json!("update"), &json!("status")));
            event["body"]["value"].as_str().unwrap()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn status_events_are_published_once_per_change_inv_reg_2() {
    let node = node();
    let mut owner = Client::open(&node, "owner").await;
    let mut watcher = Client::open(&node, "watcher").await;
    watcher.subscribe(&[EVENTS]).await;
    assert_eq!(code(&register(&mut owner, O).await), 200);
    assert_eq!(code(&update(&mut owner, json!({"resource": O})).await), 200);
    assert_eq!(events(&watcher.drain().await), ["live"]);
    let gone = json!({"resource": O, "value": "disconnected", "attribute": "status"});
    assert_eq!(code(&update(&mut owner, gone.clone()).await), 200);
    assert_eq!(code(&update(&mut owner, gone).await), 200);
    assert_eq!(events(&watcher.drain().await), ["disconnected"]);
    assert_eq!(code(&update(&mut owner, json!({"resource": O, "value": {"status": "live"}})).await), 200);
    assert_eq!(events(&watcher.drain().await), ["live"]);
    // Nobody keeps it alive: it expires, by the driver.
    sleep(Duration::from_secs(602)).await;
    assert_eq!(events(&watcher.drain().await), ["disconnected"]);
}

#[tokio::test(start_paused = true)]
async fn registrations_are_disconnected_with_the_session_m13() {
    let node = node();
    let mut watcher = Client::open(&node, "watcher").await;
    watcher.subscribe(&[EVENTS]).await;
    for graceful in [true, false] {
        let mut owner = Client::open(&node, "owner").await;
        assert_eq!(code(&register(&mut owner, O).await), 200);
        assert_eq!(events(&watcher.drain().await), ["live"]);
        if graceful {
            let from = owner.runtime.clone();
            owner.send("close", &from, "mn:/session", Value::Null).await;
            owner.closed().await;
        } else {
            owner.lose().await;
            sleep(Duration::from_secs(59)).await;
            watcher.quiet().await;
            sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(events(&watcher.drain().await), ["disconnected"], "graceful: {graceful}");
    }
}

#[tokio::test(start_paused = true)]
async fn registrations_outlive_the_node_if_their_runtimes_come_back() {
    let tables: Arc<dyn Tables> = Arc::new(MemoryTables::new());
    let node = start(NodeConfig::new(DOMAIN), Arc::clone(&tables));
    for (name, object) in [("stays", O), ("leaves", "comm://example.com/2")] {
        assert_eq!(code(&register(&mut Client::open(&node, name).await, object).await), 200);
    }
    let node = start(NodeConfig::new(DOMAIN), tables);
    let mut stays = Client::open(&node, "stays").await;
    sleep(Duration::from_secs(61)).await;
    let from = stays.sm();
    assert_eq!(code(&stays.request("read", &from, REG, json!({"resource": O})).await), 200);
    let other = json!({"resource": "comm://example.com/2"});
    assert_eq!(code(&stays.request("read", &from, REG, other).await), 408);
}

/// Only a deletion ends an object; what is merely away is answered no-route (M12).
#[tokio::test(start_paused = true)]
async fn a_deleted_object_is_answered_410_m12() {
    let node = node();
    let mut owner = Client::open(&node, "owner").await;
    let mut reader = Client::open(&node, "reader").await;
    register(&mut owner, O).await;
    let sm = reader.sm();
    assert_refused(&reader.request("read", &sm, O, json!({})).await, 404, "no-route", O);
    assert_eq!(
        code(&update(&mut owner, json!({"resource": O, "value": "deleted", "attribute": "status"})).await),
        200
    );
    assert_refused(&reader.request("read", &sm, O, json!({})).await, 410, "deleted", O);
    let subscription = format!("{O}/subscription");
    assert_eq!(code(&reader.request("subscribe", &sm, &subscription, json!({})).await), 410);
    assert_eq!(code(&reader.request("unsubscribe", &sm, &subscription, json!({})).await), 404);
    // Whoever holds the route is asked first.
    owner.subscribe(&[O]).await;
    reader.send("read", &sm, O, json!({})).await;
    assert_eq!(owner.recv().await["to"], O);
}

#[tokio::test(start_paused = true)]
async fn schemas_are_kept_and_never_replaced_m22() {
    let node = node();
    let mut one = Client::open(&node, "one").await;
    let mut two = Client::open(&node, "two").await;
    let url = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/X";
    let (from, read) = (one.sm(), json!({"resource": url}));
    assert_eq!(code(&one.request("read", &from, CATALOGUE, read.clone()).await), 404);
    let schema = json!({"type": "object", "properties": {"scheme": {"constant": "comm"}}});
    let create = json!({"resource": url, "value": schema});
    assert_eq!(code(&one.request("create", &from, CATALOGUE, create.clone()).await), 200);
    assert_eq!(code(&one.request("create", &from, CATALOGUE, create).await), 200);
    let from = two.sm();
    let got = two.request("read", &from, CATALOGUE, read).await;
    assert_eq!(got["body"]["value"], schema);
    let other = json!({"resource": url, "value": {"type": "object"}});
    assert_eq!(code(&two.request("create", &from, CATALOGUE, other).await), 409);
}

#[tokio::test(start_paused = true)]
async fn older_allocation_addresses_are_served() {
    let node = node();
    let mut client = Client::open(&node, "client").await;
    let sm = client.sm();
    for (path, scheme) in
        [("hyperty-address-allocation", "hyperty"), ("object-address-allocation", "resource")]
    {
        let to = format!("domain://msg-node.example.com/{path}");
        let answer = client.request("create", &sm, &to, json!({"value": {"number": 2}})).await;
        assert_eq!((code(&answer), answer["from"].as_str()), (200, Some(to.as_str())));
        let first = answer["body"]["value"]["allocated"][0].as_str().unwrap();
        assert!(first.starts_with(&format!("{scheme}://example.com/")), "{first}");
    }
    for number in [json!(0), json!(1001), json!(1.5), json!("x")] {
        let body = json!({"scheme": "comm", "value": {"number": number}});
        assert_eq!(code(&client.request("create", &sm, MNA, body).await), 400);
    }
}

/// A store whose batches become durable when the test says so.
pub(crate) struct SlowTables {
    inner: MemoryTables,
    progress: watch::Sender<Progress>,
}

impl SlowTables {
    pub(crate) fn new() -> Arc<SlowTables> {
        Arc::new(SlowTables { inner: MemoryTables::new(), progress: watch::Sender::new(Progress::default()) })
    }

    /// Everything committed so far is on disk.
    pub(crate) fn catch_up(&self) {
        let durable = self.inner.progress().borrow().durable;
        self.progress.send_modify(|progress| progress.durable = durable);
    }

    pub(crate) fn fail(&self) {
        self.progress.send_modify(|progress| progress.failed = Some(StorageError::Closed));
    }
}

impl Tables for SlowTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.inner.scan(table, prefix)
    }
    fn commit(&self, batch: Batch) -> Ticket {
        self.inner.commit(batch)
    }
    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
    fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn what_must_be_stored_is_answered_when_it_is() {
    let tables = SlowTables::new();
    let node = start(NodeConfig::new(DOMAIN), Arc::clone(&tables) as Arc<dyn Tables>);
    let mut client = Client::open(&node, "client").await;
    client.subscribe(&[EVENTS]).await;
    let sm = client.sm();
    let body = json!({"scheme": "comm", "value": {"number": 1}});
    let first = client.send("create", &sm, MNA, body.clone()).await;
    let record = json!({"value": {
        "url": O, "runtime": client.runtime, "status": "live", "resources": [], "dataSchemes": [], "name": "x",
        "schema": "hyperty-catalogue://example.com/X", "reporter": "hyperty://example.com/r", "expires": 600,
        "user": "user://example.com/u", "guid": "user-guid://u",
    }});
    let second = client.send("create", &sm, REG, record).await;
    client.quiet().await;
    // The reader is not held up meanwhile.
    assert_eq!(code(&client.request("read", &sm, "hyperty://example.com/none", json!({})).await), 404);
    tables.catch_up();
    let answers = client.drain().await;
    assert_eq!(
        answers[..2].iter().map(|answer| answer["id"].as_u64().unwrap()).collect::<Vec<_>>(),
        [first, second]
    );
    assert_eq!(answers[..2].iter().map(code).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(events(&answers[2..]), ["live"]);

    client.send("create", &sm, MNA, body).await;
    client.quiet().await;
    tables.fail();
    let answer = client.recv().await;
    assert_eq!(code(&answer), 500);
    assert_eq!((&answer["body"]["source"], &answer["from"]), (&json!(MN), &json!(MNA)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_keep_up_is_said_so() {
    let tables = SlowTables::new();
    let mut config = NodeConfig::new(DOMAIN);
    config.limits.pending_answers = 2;
    let node = start(config, Arc::clone(&tables) as Arc<dyn Tables>);
    let mut client = Client::open(&node, "client").await;
    let sm = client.sm();
    let body = json!({"scheme": "comm", "value": {"number": 1}});
    for _ in 0..2 {
        client.send("create", &sm, MNA, body.clone()).await;
    }
    let refused = client.request("create", &sm, MNA, body).await;
    assert_refused(&refused, 500, "limit", MNA);
    tables.catch_up();
    assert_eq!(client.drain().await.iter().map(code).collect::<Vec<_>>(), [200, 200]);
}
