//! A small world in one process: a message node and any number of runtimes, under paused time. Connections are
//! cut and healed, nodes and runtimes stop like a crash and start again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{Clock, Ids, ManualClock, SeededIds, Timestamp};
use hyperty_protostub::{ChannelConnector, ConnectError};
use hyperty_runtime::Runtime;
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
    links: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    clock: Arc<dyn Clock>,
    seed: u64,
    starts: AtomicU64,
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
        let world = World {
            inner: Arc::new(Inner {
                node: Mutex::new(None),
                node_tables: Mutex::new(Arc::new(MemoryTables::new())),
                links: Mutex::new(BTreeMap::new()),
                clock: Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000))),
                seed,
                starts: AtomicU64::new(0),
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
        let clock = Arc::clone(&self.inner.clock);
        let (node, driver) =
            MessageNode::new(NodeConfig::new(DOMAIN), tables, clock, self.ids()).expect("a node starts");
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

    /// The node, while it runs.
    pub fn node(&self) -> Option<MessageNode> {
        self.inner.node.lock().as_ref().map(|running| running.node.clone())
    }

    /// Starts a runtime `hyperty-runtime://example.com/<name>` over these tables.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn runtime<T: Tables + 'static>(&self, name: &str, tables: &Arc<T>) -> Runtime {
        let connected = self.link(name).subscribe();
        let inner = Arc::downgrade(&self.inner);
        let connector = ChannelConnector::new(move || {
            let away = || ConnectError::Unreachable("no connection".to_owned());
            let inner = inner.upgrade().ok_or_else(away)?;
            let node = inner.node.lock().as_ref().map(|running| running.node.clone()).ok_or_else(away)?;
            if !*connected.borrow() {
                return Err(away());
            }
            let through = node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()))?;
            Ok(wire(through, connected.clone()))
        });
        Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/{name}"))
            .shared_storage(Arc::clone(tables) as _)
            .message_node_via(DOMAIN, Arc::new(connector))
            .clock(Arc::clone(&self.inner.clock))
            .ids(self.ids())
            .start()
            .await
            .expect("a runtime starts")
    }

    fn link(&self, name: &str) -> watch::Sender<bool> {
        self.inner.links.lock().entry(name.to_owned()).or_insert_with(|| watch::Sender::new(true)).clone()
    }

    /// Cuts the connection of a runtime; what is under way is lost.
    pub fn cut(&self, name: &str) {
        self.link(name).send_replace(false);
    }

    /// Lets a runtime connect again.
    pub fn heal(&self, name: &str) {
        self.link(name).send_replace(true);
    }
}

/// A connection that ends when it is cut.
fn wire(
    node: (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>),
    connected: watch::Receiver<bool>,
) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    let (to_node, from_node) = node;
    let (from_client_tx, from_client) = mpsc::channel(64);
    let (to_client, to_client_rx) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut connected = connected;
        tokio::select! {
            biased;
            _ = connected.wait_for(|connected| !connected) => {}
            () = carry(from_client, to_node) => {}
            () = carry(from_node, to_client) => {}
        }
    });
    (from_client_tx, to_client_rx)
}

async fn carry(mut from: mpsc::Receiver<Bytes>, to: mpsc::Sender<Bytes>) {
    while let Some(frame) = from.recv().await {
        if to.send(frame).await.is_err() {
            return;
        }
    }
}
