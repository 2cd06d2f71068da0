//! The backup of a message node that is asked for arbitrary things by the devices of two users (protocol 5.19), beside a
//! model of what it may keep; and records as the texts that are kept there.
//!
//! Each line is a request: who asks (`p` and `t`, the phone and the tablet of one user, or `e`, another's), what for (`c`
//! to keep, `r` to read, `d` to remove, anything else for what no backup does), and the body, an object. Beside that the
//! whole input is read as a record.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::message::{BackupBody, BackupEntry, BackupSide};
use hyperty_model::{Identity, ManualClock, ObjectUrl, Position, RuntimeUrl, SeededIds, Timestamp, Url};
use hyperty_storage::{MemoryTables, ObjectRecord};
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::block_on;
use crate::peer::{Peer, code};

const BACKUP: &str = "domain://msg-node.example.com/backup";
const REGISTRY: &str = "domain://registry.example.com";
/// Requests of one input: a fuzzer's inputs are short anyway.
const REQUESTS_MAX: usize = 64;
/// The devices, and what each of them reports.
const DEVICES: [(&str, Option<&str>); 3] =
    [("phone", Some("comm://example.com/hers")), ("tablet", None), ("eve", Some("comm://example.com/eves"))];

/// Asks.
pub fn work(data: &[u8]) {
    block_on(async {
        let mut scene = Scene::new(&Arc::default()).await;
        for request in requests(data) {
            scene.ask(&request).await;
        }
    });
    let _ = ObjectRecord::from_portable(&String::from_utf8_lossy(data));
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    block_on(async { judged(data).await });
    let Ok(record) = ObjectRecord::from_portable(&String::from_utf8_lossy(data)) else { return };
    assert!(record.broken, "what happened after it was written is not in it");
    let text = record.to_portable();
    let again = ObjectRecord::from_portable(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(again.to_portable(), text, "a record is another once it was kept");
}

async fn judged(data: &[u8]) {
    let tables = Arc::new(MemoryTables::new());
    let mut kept = Kept::default();
    let mut scene = Scene::new(&tables).await;
    for request in requests(data) {
        let answer = scene.ask(&request).await;
        kept.judge(&request, &answer);
        kept.is_all_of(&scene.node);
    }
    // Whoever behaves is served, whatever was asked before.
    let last = Request {
        device: 0,
        kind: "create",
        body: json!({"resource": "comm://example.com/anything", "role": "observer",
            "user": "user://example.com/alice", "epoch": u64::MAX, "version": u64::MAX, "text": "the last"}),
    };
    let answer = scene.ask(&last).await;
    assert_eq!(code(&answer), 200, "{answer}");
    kept.judge(&last, &answer);
    for peer in &mut scene.devices {
        let unasked = peer.drain().await;
        assert!(unasked.is_empty(), "INV-MSG-1: more than one answer: {unasked:?}");
    }
    // What was acknowledged is there after a restart (INV-BAK-5).
    drop(scene);
    let scene = Scene::new(&tables).await;
    kept.is_all_of(&scene.node);
}

struct Request {
    device: usize,
    kind: &'static str,
    body: Value,
}

fn requests(data: &[u8]) -> Vec<Request> {
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let (device, rest) = line.split_first()?;
        let (kind, body) = rest.split_first()?;
        let device = match device {
            b'p' => 0,
            b't' => 1,
            b'e' => 2,
            _ => return None,
        };
        let kind = match kind {
            b'c' => "create",
            b'r' => "read",
            b'd' => "delete",
            _ => "update",
        };
        let body = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object)?;
        Some(Request { device, kind, body })
    });
    lines.take(REQUESTS_MAX).collect()
}

struct Scene {
    node: MessageNode,
    driver: tokio::task::AbortHandle,
    devices: Vec<Peer>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.node.stop();
        self.driver.abort();
    }
}

impl Scene {
    /// A node over what is in the tables, with a session of each device.
    async fn new(tables: &Arc<MemoryTables>) -> Scene {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let (config, ids) = (NodeConfig::new("example.com"), Arc::new(SeededIds::new(1)));
        let (node, driver) =
            MessageNode::new(config, Arc::clone(tables) as _, clock, ids).expect("a node starts");
        let driver = tokio::spawn(driver.run()).abort_handle();
        let mut devices = Vec::new();
        for (name, object) in DEVICES {
            let mut peer = Peer::open(&node, name).await;
            if let Some(object) = object {
                let record = json!({"value": {
                    "url": object, "schema": "https://example.com/.well-known/dataschema/S", "name": name,
                    "reporter": format!("hyperty://example.com/{name}"), "user": format!("user://example.com/{name}"),
                }});
                let from = format!("{}/registry", peer.runtime);
                let answer = peer.request("create", &from, REGISTRY, record).await;
                assert_eq!(code(&answer), 200, "{answer}");
            }
            devices.push(peer);
        }
        Scene { node, driver, devices }
    }

    /// The answer: there is one (INV-MSG-1).
    async fn ask(&mut self, request: &Request) -> Value {
        let peer = &mut self.devices[request.device];
        let from = format!("{}/backup", peer.runtime);
        peer.request(request.kind, &from, BACKUP, request.body.clone()).await
    }
}

/// What a record is one of.
type Key = (BackupSide, ObjectUrl, Option<(RuntimeUrl, String)>);

struct Record {
    user: Identity,
    runtime: RuntimeUrl,
    position: Position,
    text: String,
}

/// What the node has promised to keep.
#[derive(Default)]
struct Kept {
    records: BTreeMap<Key, Record>,
    /// Heads of what comes in parts, and the parts, by who sends them and the name.
    under_way: BTreeMap<(usize, String), (BackupBody, BTreeMap<u64, String>)>,
}

impl Kept {
    fn judge(&mut self, request: &Request, answer: &Value) {
        let told = &answer["body"];
        if code(answer) != 200 {
            assert!(code(answer) >= 400, "{answer}");
            assert!(told["text"].is_null() && told["value"].is_null(), "a refusal tells something: {answer}");
            return;
        }
        let body = serde_json::from_value::<BackupBody>(request.body.clone());
        let body = body.unwrap_or_else(|error| panic!("{} is taken: {error}", request.body));
        match request.kind {
            "create" => self.created(request, body, told),
            "delete" => self.deleted(request, &body),
            "read" if body.resource.is_some() => self.fetched(request, &body, told),
            "read" => self.listed(&body, told),
            other => panic!("{other} is granted: {answer}"),
        }
    }

    fn created(&mut self, request: &Request, body: BackupBody, told: &Value) {
        let (transfer, part) = (body.transfer.clone().unwrap_or_default(), body.part.unwrap_or(1));
        let whole = part == 1 && body.parts.unwrap_or(1) == 1;
        let piece = body.text.clone().expect("a record has a text");
        let (head, text) = if whole {
            (body, piece)
        } else {
            let named = (request.device, transfer);
            if part == 1 {
                self.under_way.insert(named.clone(), (body, BTreeMap::new()));
            }
            let (_, parts) = self.under_way.get_mut(&named).expect("a part of what was begun");
            parts.insert(part, piece);
            if told["kept"].is_null() {
                return;
            }
            let (head, parts) = self.under_way.remove(&named).expect("it was begun");
            assert_eq!(head.parts, Some(parts.len() as u64), "kept before it was whole");
            (head, parts.into_values().collect())
        };
        assert!(head.bytes.is_none_or(|bytes| bytes == text.len() as u64), "{head:?} has another length");
        let runtime = runtime(request.device);
        let (object, user) = (head.resource.clone().expect("a resource"), head.user.clone().expect("a user"));
        let position = head.position.expect("a position");
        if head.role == BackupSide::Reporter {
            let own = DEVICES[request.device].1.and_then(|own| ObjectUrl::parse(own).ok());
            let reports = own.as_ref() == Some(&object);
            assert!(reports, "INV-BAK-3: {object} is saved by {runtime}");
        }
        let key = key(head.role, &object, &runtime, &user);
        if let Some(before) = self.records.get(&key) {
            assert!(before.position <= position, "INV-BAK-4: {position} after {}", before.position);
            let same_owner = before.runtime == runtime || before.position.epoch < position.epoch;
            assert!(same_owner, "INV-BAK-4: a second owner in one epoch");
        }
        self.records.insert(key, Record { user, runtime, position, text });
    }

    fn deleted(&mut self, request: &Request, body: &BackupBody) {
        let (by, key) = (runtime(request.device), named(request, body));
        let Some(record) = self.records.remove(&key) else { return };
        let user = body.user.as_ref().expect("a user");
        assert!(record.user.same_user(user), "INV-BAK-3: removed for another user");
        let later = body.position.is_some_and(|position| position.epoch > record.position.epoch);
        let own = record.runtime == by || later;
        assert!(own || body.role == BackupSide::Observer, "removed by who has not gone on with it");
    }

    fn fetched(&self, request: &Request, body: &BackupBody, told: &Value) {
        let record = self.records.get(&named(request, body)).expect("a record that is kept");
        let user = body.user.as_ref().expect("a user");
        assert!(record.user.same_user(user), "INV-BAK-3: read for another user");
        // Inputs are shorter than a part is at most.
        assert_eq!((told["text"].as_str(), told["part"].as_u64()), (Some(record.text.as_str()), Some(1)));
        assert_eq!(
            (told["parts"].as_u64(), told["bytes"].as_u64()),
            (Some(1), Some(record.text.len() as u64))
        );
    }

    fn listed(&self, body: &BackupBody, told: &Value) {
        let user = body.user.as_ref().expect("a user");
        let entries = Vec::<BackupEntry>::deserialize(&told["value"]).expect("a list");
        for entry in &entries {
            let same = |(key, record): &(&Key, &Record)| {
                (key.0, &key.1, &record.runtime) == (body.role, &entry.resource, &entry.runtime)
                    && (record.position, record.text.len() as u64) == (entry.position, entry.bytes)
                    && record.user.same_user(user)
            };
            assert!(self.records.iter().any(|record| same(&record)), "INV-BAK-3: {entry:?} is listed");
        }
        let own = |(key, record): &(&Key, &Record)| {
            key.0 == body.role && account(&record.user) == account(user) && record.user.same_user(user)
        };
        let all = self.records.iter().filter(own).count();
        assert!(body.after.is_some() || entries.len() >= all, "{} of {all} are listed", entries.len());
    }

    fn is_all_of(&self, node: &MessageNode) {
        let bytes: usize = self.records.values().map(|record| record.text.len()).sum();
        let stats = node.stats();
        assert_eq!((stats.backups, stats.backup_bytes), (self.records.len(), bytes as u64), "what is kept");
    }
}

fn runtime(device: usize) -> RuntimeUrl {
    let url = format!("hyperty-runtime://example.com/{}", DEVICES[device].0);
    RuntimeUrl::parse(&url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// The record that a request names.
fn named(request: &Request, body: &BackupBody) -> Key {
    let of = body.runtime.clone().unwrap_or_else(|| runtime(request.device));
    let (object, user) = (body.resource.as_ref().expect("a resource"), body.user.as_ref().expect("a user"));
    key(body.role, object, &of, user)
}

/// Of an object there is one record, whoever reports it; of observations one for each runtime and user.
fn key(role: BackupSide, object: &ObjectUrl, runtime: &RuntimeUrl, user: &Identity) -> Key {
    (role, object.clone(), (role == BackupSide::Observer).then(|| (runtime.clone(), account(user))))
}

/// The GUID, else the URL.
fn account(user: &Identity) -> String {
    let url = |text: &str| Url::parse(text).map_or_else(|_| text.to_owned(), |url| url.key().to_owned());
    user.guid().map_or_else(|| user.user().map(url).unwrap_or_default(), |guid| format!("guid {guid}"))
}
