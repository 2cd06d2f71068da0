//! Who stands between a correct node and its clients, and may change, drop, double and redirect what is said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use hyperty_message_node::admission::IssuerKey;
use hyperty_message_node::{NodeConfig, ROUTES_PER_SESSION};
use hyperty_model::Timestamp;
use hyperty_protostub::{ChannelConnector, ConnectError, Connection, Connector, Incoming, Outgoing};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::protocol::client::SESSION;
use crate::protocol::client::code;
use crate::protocol::node::{InProcessNode, NodeUnderTest};
use crate::protocol::{Capabilities, UnderTest};

/// Longest message of a node with a fault, and what it declares.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// One thing that goes wrong. What is not overridden is passed on as it is.
pub trait Fault: Send {
    /// A client's message on its way to the node.
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        ways.to_node(link, message);
    }

    /// A message of the node on its way to a client.
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        ways.to_client(link, message);
    }

    /// Something that is no message on its way to the node; `true` lets it pass.
    fn noise(&mut self, _link: u64, _ways: &mut Ways<'_>) -> bool {
        true
    }
}

/// What was seen to be said, by connection. Not all of it was granted.
#[derive(Debug, Default)]
pub struct Known {
    /// The runtime of each open session.
    pub runtimes: BTreeMap<u64, String>,
    /// The tokens of runtimes.
    pub tokens: BTreeMap<String, String>,
    /// What each runtime subscribed, and did not unsubscribe.
    pub listening: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    /// The open connection whose runtime an address is, or is a component of.
    pub fn owner(&self, address: &str) -> Option<u64> {
        self.runtimes.iter().find(|(_, runtime)| is_at_or_below(address, runtime)).map(|(&link, _)| link)
    }

    /// The open connections whose runtimes subscribed an address.
    pub fn listeners(&self, address: &str) -> Vec<u64> {
        let listens = |runtime: &String| self.listening.get(runtime).is_some_and(|all| all.contains(address));
        self.runtimes.iter().filter(|(_, runtime)| listens(runtime)).map(|(&link, _)| link).collect()
    }

    fn hear(&mut self, link: u64, message: &Value) {
        let from = text(message, "from");
        let Some(runtime) = self.runtimes.get(&link).cloned() else {
            // Before its session is open; whether it is granted is told by the answer.
            if matches!(text(message, "type"), "open" | "re-open") {
                let runtime = if text(message, "type") == "open" { from } else { parent(from) };
                self.tokens.entry(format!("link {link}")).or_default().replace_range(.., runtime);
            }
            return;
        };
        let urls = message["body"]["resources"].as_array().into_iter().flatten().filter_map(Value::as_str);
        match text(message, "type") {
            "subscribe" if text(message, "to").ends_with("/sm") => {
                self.listening.entry(runtime).or_default().extend(urls.map(str::to_owned));
            }
            "unsubscribe" => {
                let listening = self.listening.entry(runtime).or_default();
                urls.for_each(|url| {
                    listening.remove(url);
                });
            }
            _ => {}
        }
    }

    fn hear_answer(&mut self, link: u64, message: &Value) {
        if text(message, "from") != SESSION || code(message) != 200 {
            return;
        }
        let Some(runtime) = self.tokens.get(&format!("link {link}")).cloned() else { return };
        if let Some(token) = message["body"]["runtimeToken"].as_str() {
            self.tokens.insert(runtime.clone(), token.to_owned());
            self.listening.remove(&runtime);
        }
        self.runtimes.insert(link, runtime);
    }
}

/// Where a fault sends what.
pub struct Ways<'a> {
    /// What was seen so far.
    pub known: &'a Known,
    waiting: &'a BTreeMap<u64, Arc<AtomicUsize>>,
    out: Vec<(bool, u64, Option<Value>)>,
}

impl Ways<'_> {
    /// To the node, over this connection.
    pub fn to_node(&mut self, link: u64, message: Value) {
        self.out.push((true, link, Some(message)));
    }

    /// To the client of this connection.
    pub fn to_client(&mut self, link: u64, message: Value) {
        self.out.push((false, link, Some(message)));
    }

    /// Answers a client in place of the node.
    pub fn answer(&mut self, link: u64, request: &Value, body: Value) {
        let (id, from, to) = (&request["id"], &request["to"], &request["from"]);
        let answer = serde_json::json!({"id": id, "type": "response", "from": from, "to": to, "body": body});
        self.to_client(link, answer);
    }

    /// Ends a connection, on the client's side.
    pub fn cut(&mut self, link: u64) {
        self.out.push((false, link, None));
    }

    /// How many messages wait for a client that does not read.
    pub fn waiting(&self, link: u64) -> usize {
        self.waiting.get(&link).map_or(0, |waiting| waiting.load(Ordering::Relaxed))
    }
}

/// A member that is a text; empty if it is none.
pub(super) fn text<'a>(message: &'a Value, member: &str) -> &'a str {
    message[member].as_str().unwrap_or_default()
}

/// An address without its last segment.
pub(super) fn parent(address: &str) -> &str {
    address.rsplit_once('/').map_or(address, |(parent, _)| parent)
}

pub(super) fn is_at_or_below(address: &str, runtime: &str) -> bool {
    address.strip_prefix(runtime).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A correct node behind a fault.
pub struct FaultyNode {
    inner: InProcessNode,
    hub: Arc<Mutex<Hub>>,
    declared_grace: Duration,
    forgets: bool,
}

struct Hub {
    fault: Box<dyn Fault>,
    known: Known,
    next_link: u64,
    links: HashMap<u64, Ends>,
    waiting: BTreeMap<u64, Arc<AtomicUsize>>,
}

/// Where the two sides of a connection are written to. Not bounded: a fault loses only what it means to lose.
struct Ends {
    node: mpsc::UnboundedSender<Bytes>,
    client: Option<mpsc::UnboundedSender<Bytes>>,
}

impl FaultyNode {
    /// A node with these settings and this fault.
    pub fn new(config: NodeConfig, seed: u64, fault: Box<dyn Fault>) -> FaultyNode {
        let known = Known::default();
        let hub = Hub { fault, known, next_link: 0, links: HashMap::new(), waiting: BTreeMap::new() };
        let inner = InProcessNode::with(config, seed);
        FaultyNode {
            inner,
            hub: Arc::new(Mutex::new(hub)),
            declared_grace: Duration::from_secs(60),
            forgets: false,
        }
    }

    /// Its sessions are opened by token.
    #[must_use]
    pub fn guarded(self) -> FaultyNode {
        FaultyNode { inner: self.inner.guarded(), ..self }
    }

    /// It forgets everything when it is restarted.
    #[must_use]
    pub fn forgetful(self) -> FaultyNode {
        FaultyNode { forgets: true, ..self }
    }

    async fn attach(&self) -> Result<Connection, ConnectError> {
        let Connection { mut outgoing, mut incoming, .. } = self.inner.connect().await?;
        let (to_node, mut for_node) = mpsc::unbounded_channel();
        let (to_client, mut for_client) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let link = self.hub.lock().add(Ends { node: to_node, client: Some(to_client) }, Arc::clone(&waiting));
        let (client_out, mut from_client) = mpsc::channel::<Bytes>(64);
        let (client_in, client_takes) = mpsc::channel::<Bytes>(64);
        let hub = Arc::clone(&self.hub);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    frame = from_client.recv() => match frame {
                        Some(frame) => hub.lock().pass(link, frame, true),
                        None => break,
                    },
                    frame = incoming.next() => match frame {
                        Some(Ok(Incoming::Frame(frame))) => hub.lock().pass(link, frame, false),
                        Some(Ok(Incoming::Alive)) => {}
                        Some(Err(_)) | None => break,
                    },
                    Some(frame) = for_node.recv() => {
                        if outgoing.send(Outgoing::Frame(frame)).await.is_err() {
                            break;
                        }
                    }
                }
            }
            hub.lock().remove(link);
        });
        tokio::spawn(async move {
            while let Some(frame) = for_client.recv().await {
                if client_in.send(frame).await.is_err() {
                    return;
                }
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        });
        let ends = Mutex::new(Some((client_out, client_takes)));
        let once = || ends.lock().take().ok_or_else(|| ConnectError::Unreachable("taken".to_owned()));
        ChannelConnector::new(once).connect().await
    }
}

impl Hub {
    fn add(&mut self, ends: Ends, waiting: Arc<AtomicUsize>) -> u64 {
        self.next_link += 1;
        self.links.insert(self.next_link, ends);
        self.waiting.insert(self.next_link, waiting);
        self.next_link
    }

    fn remove(&mut self, link: u64) {
        self.links.remove(&link);
        self.waiting.remove(&link);
        self.known.runtimes.remove(&link);
    }

    /// What a fault passes on unchanged goes on as the same bytes: two readers may read them differently.
    fn pass(&mut self, link: u64, frame: Bytes, to_node: bool) {
        let parsed = serde_json::from_slice::<Value>(&frame).ok().filter(Value::is_object);
        if let Some(message) = &parsed {
            let heard = if to_node { Known::hear } else { Known::hear_answer };
            heard(&mut self.known, link, message);
        }
        let mut ways = Ways { known: &self.known, waiting: &self.waiting, out: Vec::new() };
        match &parsed {
            Some(message) if to_node => self.fault.to_node(link, message.clone(), &mut ways),
            Some(message) => self.fault.to_client(link, message.clone(), &mut ways),
            None if !to_node || self.fault.noise(link, &mut ways) => {
                let out = ways.out;
                self.write(to_node, link, frame);
                return self.write_all(out, None);
            }
            None => {}
        }
        let out = ways.out;
        self.write_all(out, parsed.map(|message| (message, frame)));
    }

    fn write_all(&mut self, out: Vec<(bool, u64, Option<Value>)>, original: Option<(Value, Bytes)>) {
        for (to_node, link, message) in out {
            match message {
                None => {
                    if let Some(ends) = self.links.get_mut(&link) {
                        ends.client = None;
                    }
                }
                Some(message) => {
                    let same = original.as_ref().filter(|(parsed, _)| *parsed == message);
                    let frame =
                        same.map_or_else(|| Bytes::from(message.to_string()), |(_, frame)| frame.clone());
                    self.write(to_node, link, frame);
                }
            }
        }
    }

    fn write(&mut self, to_node: bool, link: u64, frame: Bytes) {
        let Some(ends) = self.links.get(&link) else { return };
        // A side that is gone takes nothing: that is what it means to be gone.
        if to_node {
            let _ = ends.node.send(frame);
        } else if let Some(client) = &ends.client
            && client.send(frame).is_ok()
            && let Some(waiting) = self.waiting.get(&link)
        {
            waiting.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl UnderTest for FaultyNode {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

impl NodeUnderTest for FaultyNode {
    fn domain(&self) -> &str {
        self.inner.domain()
    }

    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        Box::pin(self.attach())
    }

    fn routes_max(&self) -> Option<usize> {
        Some(ROUTES_PER_SESSION)
    }

    fn grace(&self) -> Duration {
        self.declared_grace
    }

    fn message_bytes_max(&self) -> Option<usize> {
        Some(MESSAGE_BYTES_MAX)
    }

    fn issuer(&self) -> Option<&IssuerKey> {
        self.inner.issuer()
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn restart(&self) -> BoxFuture<'_, Result<(), String>> {
        self.hub.lock().known = Known::default();
        if self.forgets {
            self.inner.forget();
        }
        self.inner.restart()
    }
}
