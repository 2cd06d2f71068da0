//! A connection to a message node that is fed arbitrary frames, before or after it opened a session, beside a session
//! that behaves (I12).
//!
//! The first byte says whether the session is opened first; then follows one frame a line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::message::Limits;
use hyperty_model::{ManualClock, Message, SeededIds, Timestamp, Url};
use hyperty_storage::MemoryTables;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::peer::{Peer, code};

const OBJECT: &str = "comm://example.com/victims";
const REGISTRY: &str = "domain://registry.example.com";
const MSG_NODE: &str = "domain://msg-node.example.com/sm";
/// Frames of one input: a fuzzer's inputs are short anyway.
const FRAMES_MAX: usize = 64;

/// Feeds the frames.
pub fn work(data: &[u8]) {
    block_on(async { drop(fed(data).await) });
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    block_on(async { judged(data).await });
}

pub(super) fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without drivers").block_on(future);
}

/// A node, somebody who behaves, and somebody who does not.
struct Scene {
    node: MessageNode,
    driver: tokio::task::AbortHandle,
    victim: Peer,
    to_node: mpsc::Sender<Bytes>,
    from_node: mpsc::Receiver<Bytes>,
    /// What the node held before the frames.
    before: Held,
}

#[derive(Debug, PartialEq, Eq)]
struct Held {
    sessions: usize,
    routes: usize,
    bound: usize,
}

impl Held {
    fn of(node: &MessageNode) -> Held {
        let stats = node.stats();
        Held { sessions: stats.sessions, routes: stats.routes, bound: stats.bound }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.node.stop();
        self.driver.abort();
    }
}

async fn fed(data: &[u8]) -> Scene {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
    let ids = Arc::new(SeededIds::new(1));
    let tables = Arc::new(MemoryTables::new());
    let (node, driver) =
        MessageNode::new(NodeConfig::new("example.com"), tables, clock, ids).expect("a node starts");
    let driver = tokio::spawn(driver.run()).abort_handle();
    let mut victim = Peer::open(&node, "victim").await;
    let sm = victim.sm();
    let routes = json!({"resources": [OBJECT, format!("{OBJECT}/subscription")]});
    let answer = victim.request("subscribe", &sm, MSG_NODE, routes).await;
    assert_eq!(code(&answer), 200, "{answer}");
    let record = json!({"value": {
        "url": OBJECT, "schema": "https://example.com/.well-known/dataschema/S", "name": "victims",
        "reporter": "hyperty://example.com/victims", "user": "user://example.com/victim",
    }});
    let registry = format!("{}/registry", victim.runtime);
    let answer = victim.request("create", &registry, REGISTRY, record).await;
    assert_eq!(code(&answer), 200, "{answer}");
    let before = Held::of(&node);

    let (to_node, mut from_node) = node.channel().expect("a place at the node");
    let (open, frames) = data.split_first().map_or((false, data), |(first, rest)| (first % 2 == 1, rest));
    if open {
        let message = json!({
            "id": 1, "type": "open", "from": "hyperty-runtime://example.com/stranger", "to": "mn:/session",
        });
        to_node.send(Bytes::from(message.to_string())).await.expect("an open connection");
        from_node.recv().await.expect("an answer to open");
    }
    for frame in frames.split(|byte| *byte == b'\n').take(FRAMES_MAX) {
        if to_node.send(Bytes::copy_from_slice(frame)).await.is_err() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    Scene { node, driver, victim, to_node, from_node, before }
}

async fn judged(data: &[u8]) {
    let mut scene = fed(data).await;
    let (mut answers, mut open) = (BTreeMap::<String, usize>::new(), true);
    while open {
        match scene.from_node.try_recv() {
            Ok(frame) => {
                let messages = Message::from_frame(frame.clone(), &Limits::default());
                let messages = messages.unwrap_or_else(|error| panic!("the node says {frame:?}: {error}"));
                for message in messages {
                    *answers.entry(message.kind().as_str().to_owned()).or_default() += 1;
                }
            }
            Err(_) => open = false,
        }
    }
    let others = scene.node.stats().opened > 1;
    if !others {
        assert_eq!(Held::of(&scene.node), scene.before, "without a session something changed: {answers:?}");
    }
    heard(&mut scene.victim).await;
    serves(&mut scene.victim, others).await;

    // Whoever is gone, with grace, leaves nothing.
    let (gone, _) = mpsc::channel(1);
    drop(std::mem::replace(&mut scene.to_node, gone));
    scene.from_node.close();
    tokio::time::sleep(Duration::from_secs(90)).await;
    scene.victim.drain().await;
    assert_eq!(Held::of(&scene.node), scene.before, "what is left of a session that has ended");
    serves(&mut scene.victim, others).await;
}

/// Nothing comes to the victim in the victim's own name, nor in the node's that was not asked.
async fn heard(victim: &mut Peer) {
    let own = Url::parse(&victim.runtime).expect("it is an address");
    let object = Url::parse(OBJECT).expect("it is an address");
    for message in victim.drain().await {
        let from = message["from"].as_str().and_then(|from| Url::parse(from).ok());
        let from = from.unwrap_or_else(|| panic!("it hears from nobody: {message}"));
        assert!(!from.is_at_or_below(&own), "INV-MN-5: {message}");
        assert!(from != object, "INV-MN-5: {message}");
        assert!(from.scheme() != "domain", "the node said what nobody asked: {message}");
    }
}

/// The node still answers whoever behaves.
async fn serves(victim: &mut Peer, others: bool) {
    let registry = format!("{}/registry", victim.runtime);
    let id = victim.send("read", &registry, REGISTRY, json!({"resource": OBJECT})).await;
    let of_node = |message: &Value| message["id"] == id && message["from"] == REGISTRY;
    let answer = victim.until(of_node).await;
    // Another owner may come with a higher epoch, and may delete what is then its own.
    let expected: &[u64] = if others { &[200, 408, 410] } else { &[200] };
    assert!(expected.contains(&code(&answer)), "{answer}");
}
