//! A small world in one process: a message node and any number of runtimes, under paused time. Connections are
//! cut and healed, nodes and runtimes stop like a crash and start again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyperty_message_node::{MessageNode, NodeConfig, ROUTES_PER_SESSION_MAX};
use hyperty_model::{Clock, Ids, ManualClock, SeededIds, Timestamp};
use hyperty_protostub::{ChannelConnector, ConnectError};
use hyperty_runtime::{Runtime, RuntimeBuilder};
use hyperty_storage::{MemoryTables, Tables};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// The domain of everything in a [`World`].
pub const DOMAIN: &str = "example.com";

/// One node, many runtimes. Clones are handles of the same world.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    node: Mutex<Option<RunningNode>>,
    node_tables: Mutex<Arc<MemoryTables>>,
    links: Mutex<BTreeMap<String, watch::Sender<Link>>>,
    traffic: Mutex<BTreeMap<String, Arc<Meter>>>,
    clock: Arc<ManualClock>,
    seed: u64,
    starts: AtomicU64,
    configure: Configure,
}

type Configure = Box<dyn Fn(NodeConfig) -> NodeConfig + Send + Sync>;

/// How a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// What is sent arrives.
    #[default]
    Up,
    /// There is none: it ended, and what was under way is lost.
    Cut,
    /// Half open: what is sent is lost, and nobody is told. A connection that lost something is reset when the link
    /// is up again.
    Silent,
    /// Nobody reads at the other end: what is sent waits in queues.
    Stalled,
}

struct RunningNode {
    node: MessageNode,
    driver: AbortHandle,
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        self.node.stop();
        self.driver.abort();
    }
}

impl World {
    /// A world with a running node. Whatever is random in it follows from the seed.
    pub fn new(seed: u64) -> World {
        World::with_node(seed, |config| config)
    }

    /// The same with other settings of the node, each time it starts.
    pub fn with_node(
        seed: u64,
        configure: impl Fn(NodeConfig) -> NodeConfig + Send + Sync + 'static,
    ) -> World {
        let world = World {
            inner: Arc::new(Inner {
                node: Mutex::new(None),
                node_tables: Mutex::new(Arc::new(MemoryTables::new())),
                links: Mutex::new(BTreeMap::new()),
                traffic: Mutex::new(BTreeMap::new()),
                clock: Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000))),
                seed,
                starts: AtomicU64::new(0),
                configure: Box::new(configure),
            }),
        };
        world.start_node();
        world
    }

    fn ids(&self) -> Arc<dyn Ids> {
        let start = self.inner.starts.fetch_add(1, Ordering::Relaxed);
        Arc::new(SeededIds::new(self.inner.seed ^ start.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Starts the node over what it had stored.
    ///
    /// # Panics
    /// When its tables cannot be read.
    pub fn start_node(&self) {
        let tables = Arc::new(self.inner.node_tables.lock().snapshot());
        *self.inner.node_tables.lock() = Arc::clone(&tables);
        let clock = Arc::clone(&self.inner.clock) as Arc<dyn Clock>;
        // As where sessions are admitted by token: conforming runtimes do not notice.
        let mut config = NodeConfig { enforce_subscriber: Some(true), ..NodeConfig::new(DOMAIN) };
        config.limits.routes_per_session = ROUTES_PER_SESSION_MAX;
        let config = (self.inner.configure)(config);
        let (node, driver) = MessageNode::new(config, tables, clock, self.ids()).expect("a node starts");
        let driver = tokio::spawn(driver.run()).abort_handle();
        *self.inner.node.lock() = Some(RunningNode { node, driver });
    }

    /// Stops the node like a crash: every connection is lost, sessions and routes are forgotten.
    pub fn stop_node(&self) {
        *self.inner.node.lock() = None;
    }

    /// Stops the node in order: what is under way is answered, and what waits is sent.
    pub async fn drain_node(&self) {
        if let Some(node) = self.node() {
            node.drain(hyperty_message_node::DRAIN_WAIT).await;
        }
        self.stop_node();
    }

    /// Lets so much wall time pass at once: what is kept for days expires, and nobody waits that long.
    pub async fn pass(&self, time: Duration) {
        self.inner.clock.advance(time);
        // Whoever looks at the clock now and then does so twice.
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    /// The node, while it runs.
    pub fn node(&self) -> Option<MessageNode> {
        self.inner.node.lock().as_ref().map(|running| running.node.clone())
    }

    /// Starts a runtime `hyperty-runtime://example.com/<name>` over these tables.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn runtime<T: Tables + 'static>(&self, name: &str, tables: &Arc<T>) -> Runtime {
        self.runtime_with(name, tables, |builder| builder).await
    }

    /// The same with parts of one's own choice.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn runtime_with<T: Tables + 'static>(
        &self,
        name: &str,
        tables: &Arc<T>,
        choose: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> Runtime {
        let connected = self.link(name).subscribe();
        let inner = Arc::downgrade(&self.inner);
        let meter = self.meter(name);
        let connector = ChannelConnector::new(move || {
            let away = || ConnectError::Unreachable("no connection".to_owned());
            let inner = inner.upgrade().ok_or_else(away)?;
            let node = inner.node.lock().as_ref().map(|running| running.node.clone()).ok_or_else(away)?;
            if *connected.borrow() == Link::Cut {
                return Err(away());
            }
            let through = node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()))?;
            Ok(wire(through, connected.clone(), &meter))
        });
        let builder = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/{name}"))
            .shared_storage(Arc::clone(tables) as _)
            .message_node_via(DOMAIN, Arc::new(connector))
            .clock(Arc::clone(&self.inner.clock) as Arc<dyn Clock>)
            .ids(self.ids());
        choose(builder).start().await.expect("a runtime starts")
    }

    fn link(&self, name: &str) -> watch::Sender<Link> {
        self.inner.links.lock().entry(name.to_owned()).or_default().clone()
    }

    fn meter(&self, name: &str) -> Arc<Meter> {
        Arc::clone(self.inner.traffic.lock().entry(name.to_owned()).or_default())
    }

    /// What has crossed the connections of a runtime so far, in both directions.
    pub fn traffic(&self, name: &str) -> Traffic {
        let meter = self.meter(name);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            frames_sent: read(&meter.sent.frames),
            bytes_sent: read(&meter.sent.bytes),
            frames_received: read(&meter.received.frames),
            bytes_received: read(&meter.received.bytes),
        }
    }

    /// Cuts the connection of a runtime; what is under way is lost.
    pub fn cut(&self, name: &str) {
        self.set_link(name, Link::Cut);
    }

    /// Lets a runtime connect again.
    pub fn heal(&self, name: &str) {
        self.set_link(name, Link::Up);
    }

    /// How the connection of a runtime does.
    pub fn link_of(&self, name: &str) -> Link {
        *self.link(name).borrow()
    }

    /// Lets the connection of a runtime do from now on as it is told.
    pub fn set_link(&self, name: &str, link: Link) {
        self.link(name).send_replace(link);
    }
}

/// Frames and bytes that crossed the connections of one runtime since the world began; without what a transport adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the runtime to the node.
    pub frames_sent: u64,
    /// The bytes of these.
    pub bytes_sent: u64,
    /// From the node to the runtime.
    pub frames_received: u64,
    /// The bytes of these.
    pub bytes_received: u64,
}

impl Traffic {
    /// The bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.bytes_sent + self.bytes_received
    }

    /// What was added since an earlier reading.
    #[must_use]
    pub fn since(&self, before: Traffic) -> Traffic {
        Traffic {
            frames_sent: self.frames_sent - before.frames_sent,
            bytes_sent: self.bytes_sent - before.bytes_sent,
            frames_received: self.frames_received - before.frames_received,
            bytes_received: self.bytes_received - before.bytes_received,
        }
    }
}

#[derive(Default)]
struct Meter {
    sent: Count,
    received: Count,
}

#[derive(Default)]
struct Count {
    frames: AtomicU64,
    bytes: AtomicU64,
}

/// A connection that does as its link does.
fn wire(
    node: (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>),
    link: watch::Receiver<Link>,
    meter: &Arc<Meter>,
) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    let (to_node, from_node) = node;
    let (from_client_tx, from_client) = mpsc::channel(64);
    let (to_client, to_client_rx) = mpsc::channel(64);
    let meter = Arc::clone(meter);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = carry(from_client, to_node, link.clone(), &meter.sent) => {}
            () = carry(from_node, to_client, link, &meter.received) => {}
        }
    });
    (from_client_tx, to_client_rx)
}

/// Carries frames one way, until the connection is to end.
async fn carry(
    mut from: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Bytes>,
    mut link: watch::Receiver<Link>,
    count: &Count,
) {
    let mut lost = false;
    loop {
        let now = *link.borrow_and_update();
        if now == Link::Cut || (now == Link::Up && lost) {
            return;
        }
        tokio::select! {
            biased;
            changed = link.changed() => if changed.is_err() { return },
            frame = from.recv(), if now != Link::Stalled => {
                let Some(frame) = frame else { return };
                count.frames.fetch_add(1, Ordering::Relaxed);
                count.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
                match now {
                    Link::Silent => lost = true,
                    _ => if to.send(frame).await.is_err() { return },
                }
            }
        }
    }
}
