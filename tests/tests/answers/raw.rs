//! INV-MSG-1 for messages of anybody's make: every kind of request to every address that answers, well-formed, with
//! each member missing or of another type, about something unknown, and too long. Each is answered finally, once and in
//! its time, and the stream beside it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::peer::{Peer, SESSION, code};
use hyperty_conformance::world::World;
use hyperty_message_bus::{Direction, Interceptor, MiniBus, Verdict};
use hyperty_model::message::{MESSAGE_BYTES_MAX, ResponseBody};
use hyperty_model::{Body, HypertyUrl, Message, MessageType};
use hyperty_syncher::{Observer, Reporter};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The longest wait of the protocol (a deletion), and some.
const PATIENCE: Duration = Duration::from_secs(31);

const MN: &str = "domain://msg-node.example.com/sm";
const ALLOCATION: &str = "domain://msg-node.example.com/address-allocation";
const REGISTRY: &str = "domain://registry.example.com";
const CATALOGUE: &str = "domain://catalogue.example.com";
const BACKUP: &str = "domain://msg-node.example.com/backup";
const UNKNOWN: &str = "comm://example.com/none";

/// All kinds of messages that ask for an answer.
const KINDS: [&str; 8] =
    ["create", "read", "update", "delete", "subscribe", "unsubscribe", "execute", "forward"];

/// A request and its body as it should be.
struct Row {
    kind: &'static str,
    to: String,
    body: Value,
    /// The codes of which one is the answer to it as it is.
    good: &'static [u64],
}

fn row(kind: &'static str, to: &str, good: &'static [u64], body: Value) -> Row {
    Row { kind, to: to.to_owned(), body, good }
}

/// Every kind of request with nothing in it.
fn empty(to: &str) -> Vec<Row> {
    KINDS.into_iter().map(|kind| row(kind, to, &[], json!({}))).collect()
}

/// The places of all members, those within members included.
fn members(body: &Value, above: &str, found: &mut Vec<String>) {
    for (key, value) in body.as_object().into_iter().flatten() {
        let place = format!("{above}/{key}");
        members(value, &place, found);
        found.push(place);
    }
}

fn wrong(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Null => json!(7),
        Value::Number(_) | Value::Bool(_) => json!({"a": "b"}),
        Value::Array(_) => json!("no list"),
        Value::Object(_) => json!([1]),
    }
}

/// The body as it is, and everything that can be wrong with it.
fn variations(body: &Value) -> Vec<(String, Value)> {
    let mut all = vec![("as it should be".to_owned(), body.clone())];
    let mut places = Vec::new();
    members(body, "", &mut places);
    for place in places {
        let (above, key) = place.rsplit_once('/').expect("a place begins with a slash");
        let mut missing = body.clone();
        missing.pointer_mut(above).and_then(Value::as_object_mut).expect("it is there").remove(key);
        all.push((format!("without {place}"), missing));
        let mut other = body.clone();
        let value = other.pointer_mut(&place).expect("it is there");
        *value = wrong(value);
        all.push((format!("{place} of another type"), other));
        if ["resource", "resources"].contains(&key) {
            let mut unknown = body.clone();
            let value = unknown.pointer_mut(&place).expect("it is there");
            *value = if value.is_array() { json!([UNKNOWN]) } else { json!(UNKNOWN) };
            all.push((format!("{place} unknown"), unknown));
        }
    }
    for other in [json!("text"), json!(7), json!(true), Value::Null, json!([]), json!([{}])] {
        all.push((format!("a body that is {other}"), other));
    }
    let mut long = body.clone();
    long["filler"] = json!("x".repeat(MESSAGE_BYTES_MAX));
    all.push(("too long".to_owned(), long));
    all
}

/// A stream from Alice to Bob.
struct Scene {
    world: World,
    alice: Party,
    board: Reporter,
    copy: Observer,
    schema: String,
    _bob: Party,
}

impl Scene {
    async fn new(seed: u64) -> Scene {
        let world = World::new(seed);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let board = alice.create(json!({"topic": "a"})).await;
        let copy = bob.observe(&board).await;
        let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap().to_string();
        Scene { world, alice, board, copy, schema, _bob: bob }
    }

    /// The stream has gone on, and nothing else has changed it.
    async fn undisturbed(&mut self, after: &str) {
        let version = self.board.version() + 1;
        self.board.set("n", version).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!((self.board.version(), self.copy.version()), (version, version), "after {after}");
        assert_eq!(self.copy.data(), self.board.data(), "after {after}");
        assert!(self.board.children("notes").unwrap().list().is_empty(), "after {after}");
    }
}

/// Where somebody answers in a runtime, and an address where nobody does.
fn services_of(party: &Party) -> Vec<String> {
    let runtime = party.runtime.url();
    let of_runtime = ["sm", "registry", "address-allocation", "subscriptions", "nobody"];
    let own = party.hyperty.url().to_string();
    of_runtime.iter().map(|name| format!("{runtime}/{name}")).chain([runtime.to_string(), own]).collect()
}

/// What the answers to the variations of a row must be: one for each, and a good one for the first.
fn judge(row: &Row, what: &str, answers: &[u64]) {
    let Row { kind, to, .. } = row;
    assert_eq!(answers.len(), 1, "final answers to {kind} to {to}, {what}: {answers:?}");
    if what == "as it should be" && !row.good.is_empty() {
        assert!(row.good.contains(&answers[0]), "{kind} to {to}, {what}: {answers:?}");
    }
}

/// Sends all variations of a row through a session, and judges the answers.
async fn through_session(peer: &mut Peer, from: &str, row: &Row) -> usize {
    let mut sent = BTreeMap::new();
    for (what, body) in variations(&row.body) {
        let id = peer.send(row.kind, from, &row.to, body).await;
        sent.insert(id, (what, Vec::new()));
    }
    let id = peer.send_without_body(row.kind, from, &row.to).await;
    sent.insert(id, ("without a body".to_owned(), Vec::new()));
    let until = Instant::now() + PATIENCE;
    while let Some(message) = peer.next_before(until).await {
        let id = message["id"].as_u64().or_else(|| message["id"].as_str()?.parse().ok());
        if message["type"] != "response" || code(&message) < 200 {
            continue;
        }
        let asked = id.and_then(|id| sent.get_mut(&id));
        asked.unwrap_or_else(|| panic!("nobody asked for {message}")).1.push(code(&message));
    }
    for (what, answers) in sent.values() {
        judge(row, what, answers);
    }
    sent.len()
}

/// The services of a node, and an object of a runtime behind it.
#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table: one row for each request")]
async fn everything_that_a_session_asks_is_answered_once_inv_msg_1() {
    let mut scene = Scene::new(60).await;
    let (object, schema) = (scene.board.url().to_string(), scene.schema.clone());
    let mut eve = Peer::open(&scene.world.node().unwrap(), "eve").await;
    let (sm, runtime) = (eve.sm(), eve.runtime.clone());
    let me = "hyperty://example.com/eve";
    let allocated =
        eve.request("create", &sm, ALLOCATION, json!({"scheme": "comm", "value": {"number": 1}})).await;
    let mine = allocated["body"]["value"]["allocated"][0].as_str().unwrap().to_owned();
    let record = json!({
        "url": mine, "schema": schema, "name": "x", "reporter": me, "user": "user://example.com/eve",
        "runtime": runtime, "resources": ["chat"], "dataSchemes": ["comm"], "status": "live", "expires": 3600,
    });
    let subscription = format!("{object}/subscription");
    let subscriber =
        json!({"source": me, "subscriber": me, "identity": {"userProfile": {"userURL": "user://a/b"}}});
    let user = json!({"userProfile": {"userURL": "user://example.com/eve"}});
    let mut rows = vec![
        row(
            "subscribe",
            MN,
            &[200],
            json!({"resources": [format!("{mine}/subscription")], "source": runtime}),
        ),
        row(
            "unsubscribe",
            MN,
            &[200],
            json!({"resources": [format!("{mine}/subscription")], "source": runtime}),
        ),
        row(
            "create",
            ALLOCATION,
            &[200],
            json!({"scheme": "comm", "value": {"number": 1, "allocationKey": "k"}}),
        ),
        row("create", REGISTRY, &[200], json!({"value": record})),
        row(
            "create",
            BACKUP,
            &[200],
            json!({
                "resource": mine, "role": "reporter", "user": user, "epoch": 0, "version": 0, "text": "{}",
                "bytes": 2, "part": 1, "parts": 1,
            }),
        ),
        row("read", BACKUP, &[200], json!({"resource": mine, "role": "reporter", "user": user, "part": 1})),
        row("read", BACKUP, &[200], json!({"role": "reporter", "user": user})),
        row("delete", BACKUP, &[200], json!({"resource": mine, "role": "reporter", "user": user})),
        row("read", REGISTRY, &[200], json!({"resource": mine, "criteria": {"resources": ["chat"]}})),
        row("read", REGISTRY, &[200, 404], json!({"resource": "/hyperty/user/user://example.com/eve"})),
        row("update", REGISTRY, &[200], json!({"resource": mine, "value": "live"})),
        row("update", REGISTRY, &[200], json!({"resource": mine, "value": {"status": "disconnected"}})),
        row("delete", REGISTRY, &[200], json!({"resource": mine})),
        row("delete", ALLOCATION, &[200], json!({"resource": mine, "childrenResources": [mine]})),
        row(
            "create",
            CATALOGUE,
            &[200],
            json!({
                "resource": "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Eve",
                "value": {"title": "Eve", "type": "object", "properties": {"a": {"type": "string"}}},
            }),
        ),
        row("read", CATALOGUE, &[200], json!({"resource": schema})),
        row("read", &object, &[200], json!({"source": me, "parts": true})),
        row("read", &object, &[], json!({"criteria": {"since": {"epoch": 0, "version": 0}}})),
        row("subscribe", &subscription, &[], subscriber.clone()),
        row("unsubscribe", &subscription, &[], subscriber),
        row("execute", &object, &[], json!({"method": "rename", "params": ["b"]})),
        row("read", UNKNOWN, &[404], json!({"resource": UNKNOWN})),
        row("subscribe", &format!("{UNKNOWN}/subscription"), &[404], json!({"source": me})),
    ];
    for to in [MN, ALLOCATION, REGISTRY, CATALOGUE, BACKUP, &object, &subscription, UNKNOWN] {
        rows.extend(empty(to));
    }
    for to in services_of(&scene.alice) {
        rows.extend(empty(&to));
    }
    let mut cells = 0;
    for row in &rows {
        cells += through_session(&mut eve, &sm, row).await;
        scene.undisturbed(&format!("{} to {}", row.kind, row.to)).await;
    }
    println!("{cells} messages");
}

/// A session is asked for by connections that have none yet, each by one of its own.
#[tokio::test(start_paused = true)]
async fn everything_that_asks_for_a_session_is_answered_once_inv_msg_1() {
    let mut scene = Scene::new(61).await;
    let node = scene.world.node().unwrap();
    let mut number = 0;
    for kind in ["open", "re-open", "update"] {
        let row = row(kind, SESSION, if kind == "open" { &[200] } else { &[] }, json!({"accessToken": "t"}));
        for (what, body) in variations(&row.body) {
            number += 1;
            let mut peer = Peer::connect(&node, &format!("visitor-{number}"));
            let from = peer.runtime.clone();
            peer.send(kind, &from, SESSION, body).await;
            let (until, mut answers) = (Instant::now() + PATIENCE, Vec::new());
            while let Some(message) = peer.next_before(until).await {
                answers.push(code(&message));
            }
            // Who is nobody yet and says too much is sent away.
            if !(answers.is_empty() && what == "too long" && Instant::now() < until) {
                judge(&row, &what, &answers);
            }
        }
        scene.undisturbed(kind).await;
    }
}

/// Counts the final answers to one hyperty in its runtime.
struct Count {
    me: HypertyUrl,
    answers: Mutex<BTreeMap<String, Vec<u64>>>,
}

impl Interceptor for Count {
    fn inspect(&self, message: Message, _: Direction) -> Verdict {
        let is_mine = message.kind() == MessageType::Response && message.to() == self.me.as_url();
        if is_mine && !message.code().is_provisional() {
            self.answers.lock().entry(message.id().to_string()).or_default().push(message.code().0.into());
        }
        Verdict::Pass(message)
    }
}

/// A hyperty asks the Sync Manager of its runtime, and objects in it and elsewhere.
#[tokio::test(start_paused = true)]
async fn everything_that_a_hyperty_asks_is_answered_once_inv_msg_1() {
    let mut scene = Scene::new(62).await;
    let (object, schema) = (scene.board.url().to_string(), scene.schema.clone());
    let me = HypertyUrl::parse("hyperty://example.com/eve").unwrap();
    let bus = scene.alice.runtime.bus().clone();
    let count = Arc::new(Count { me: me.clone(), answers: Mutex::default() });
    bus.add_interceptor(Arc::clone(&count) as _);
    let minibus = MiniBus::new(&bus, me.clone()).unwrap();
    let sm = scene.alice.runtime.url().sync_manager().to_string();
    let value =
        json!({"name": "x", "schema": schema, "reporter": me, "data": {"topic": "b"}, "authorise": [me]});
    let subscription = format!("{object}/subscription");
    let subscriber = json!({"source": me, "subscriber": me});
    let mut rows = vec![
        row("create", &sm, &[200], json!({"resume": false, "schema": schema, "value": value, "store": true})),
        row(
            "create",
            &sm,
            &[],
            json!({"resume": true, "criteria": {"resources": [object], "schema": schema}}),
        ),
        row("create", &sm, &[], json!({"resource": object, "invitations": ["hyperty://example.com/x"]})),
        row("subscribe", &sm, &[200], json!({"resource": object, "schema": schema, "store": true})),
        row("subscribe", &sm, &[], json!({"resume": true, "criteria": {"resources": [object]}})),
        row("read", &sm, &[], json!({"resource": object})),
        row("execute", &sm, &[], json!({"method": "sync", "params": [object]})),
        row("unsubscribe", &sm, &[200], json!({"resource": object, "source": me})),
        row("delete", &sm, &[403], json!({"resource": object})),
        row("update", &sm, &[], json!({"resource": object, "version": 1, "attribute": "n", "value": 1})),
        row("forward", &sm, &[], json!({"type": "subscribe", "from": me, "to": object})),
        row("read", &object, &[200], json!({"source": me})),
        row("subscribe", &subscription, &[], subscriber.clone()),
        row("unsubscribe", &subscription, &[], subscriber),
        row("execute", &object, &[], json!({"method": "rename", "params": ["b"]})),
    ];
    for to in [&object, &subscription, UNKNOWN, BACKUP] {
        rows.extend(empty(to));
    }
    for to in services_of(&scene.alice) {
        rows.extend(empty(&to));
    }
    let mut cells = 0;
    for row in &rows {
        let mut asked = Vec::new();
        for (what, body) in variations(&row.body) {
            let kind = MessageType::parse(row.kind).unwrap();
            let message = minibus.new_message(kind, me.as_url(), &row.to.parse().unwrap(), Body::of(body));
            let id = message.id().to_string();
            let waiting = minibus.request(message).timeout(PATIENCE);
            let asking = tokio::spawn(async move {
                let (begun, answer) = (Instant::now(), waiting.await);
                (begun.elapsed(), answer.decode::<ResponseBody>().map(|body| u64::from(body.code.0)))
            });
            asked.push((what, id, asking));
        }
        sleep(PATIENCE).await;
        for (what, id, asking) in asked {
            let (took, code) = asking.await.unwrap();
            let mut answers = count.answers.lock().remove(&id).unwrap_or_default();
            // The bus itself answers what it cannot deliver; that passes no interceptor.
            if answers.is_empty() && took < PATIENCE {
                answers.extend(code);
            }
            judge(row, &what, &answers);
            cells += 1;
        }
        scene.undisturbed(&format!("{} to {}", row.kind, row.to)).await;
    }
    println!("{cells} messages");
}
