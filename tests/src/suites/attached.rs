//! A message node in this process and runtimes attached to it, each no more than a bus with a stub: what a client of
//! a domain's services needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{BusConfig, MessageBus, Protostub, Replay, Retry, Route, RouteResolver};
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{Clock, Ids, Message, RuntimeUrl, SeededIds, Timestamp, Url};
use hyperty_protostub::{ChannelConnector, ConnectError, SessionStub, StubConfig};
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The domain of everything.
pub(crate) const DOMAIN: &str = "example.com";

/// The URL of a runtime.
pub fn runtime_url(number: usize) -> RuntimeUrl {
    let text = format!("hyperty-runtime://{DOMAIN}/runtime-{number}");
    RuntimeUrl::parse(&text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

/// Wall time that follows tokio's, paused or not.
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> TokioClock {
        TokioClock(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000) + self.0.elapsed()
    }
}

/// The node and who is attached.
pub(crate) struct Attached {
    node: Arc<Mutex<Option<Running>>>,
    tables: Arc<MemoryTables>,
    clock: Arc<dyn Clock>,
    runtimes: Mutex<BTreeMap<usize, Client>>,
    starts: AtomicU64,
}

struct Running {
    node: MessageNode,
    driver: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.stop();
        self.driver.abort();
    }
}

/// A runtime: nothing but a bus and a stub.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) bus: MessageBus,
    stub: Arc<SessionStub>,
}

impl Client {
    /// Waits until it is in session with the node.
    pub(crate) async fn live(&self) {
        self.stub.live().await.expect("nobody closes it");
    }
}

/// Everything that is not here is at the node.
struct ToTheNode(Arc<dyn Protostub>);

impl RouteResolver for ToTheNode {
    fn resolve(&self, _: &Url) -> Route {
        Route::Stub(Arc::clone(&self.0))
    }
}

struct Nothing;

impl Replay for Nothing {
    fn replay(&self, _: &str) -> Vec<Message> {
        Vec::new()
    }
}

impl Attached {
    /// A running node; nobody is attached. Must be called within a tokio runtime.
    pub(crate) fn new() -> Attached {
        let attached = Attached {
            node: Arc::default(),
            tables: Arc::new(MemoryTables::new()),
            clock: Arc::new(TokioClock::new()),
            runtimes: Mutex::default(),
            starts: AtomicU64::new(1),
        };
        attached.start();
        attached
    }

    /// Randomness that nobody else has.
    pub(crate) fn ids(&self) -> Arc<dyn Ids> {
        Arc::new(SeededIds::new(self.starts.fetch_add(1, Ordering::Relaxed)))
    }

    fn start(&self) {
        let (node, driver) = MessageNode::new(
            NodeConfig::new(DOMAIN),
            Arc::clone(&self.tables) as _,
            Arc::clone(&self.clock),
            self.ids(),
        )
        .expect("a node starts over the tables of its predecessor");
        let driver = tokio::spawn(driver.run()).abort_handle();
        *self.node.lock() = Some(Running { node, driver });
    }

    /// Stops the node like a crash and starts it again over what it had stored; returns when everybody is back.
    pub(crate) fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let former = self.node.lock().take();
            drop(former);
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.start();
            let clients: Vec<Client> = self.runtimes.lock().values().cloned().collect();
            for client in clients {
                client.live().await;
            }
        })
    }

    /// The bus of a runtime, attached if it is not yet.
    pub(crate) fn client(&self, number: usize) -> Client {
        let mut runtimes = self.runtimes.lock();
        runtimes.entry(number).or_insert_with(|| self.attach(number, Arc::new(Nothing))).clone()
    }

    /// Attaches a runtime that tells each fresh session something.
    pub(crate) fn attach(&self, number: usize, replay: Arc<dyn Replay>) -> Client {
        let ids = self.ids();
        let bus =
            MessageBus::new(BusConfig { runtime: Some(runtime_url(number)), ..BusConfig::default() }, &*ids);
        let node = Arc::clone(&self.node);
        let connector = ChannelConnector::new(move || {
            let away = || ConnectError::Unreachable("no node".to_owned());
            let node = node.lock().as_ref().map(|running| running.node.clone()).ok_or_else(away)?;
            node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()))
        });
        let mut config = StubConfig::new(runtime_url(number), DOMAIN, &*ids).expect("the domain is a domain");
        // A node that was started again is found at once.
        config.retry =
            Retry { first: Duration::from_millis(2), max: Duration::from_millis(20), ..config.retry };
        let (stub, driver) = SessionStub::new(config, Arc::new(connector), bus.clone(), replay, ids);
        bus.add_stub(stub.clone());
        bus.set_resolver(Arc::new(ToTheNode(stub.clone())));
        tokio::spawn(driver.run());
        Client { bus, stub }
    }

    /// Ends the session of a runtime for good; when it is next asked for, it opens another.
    pub(crate) fn end_session(&self, number: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let client = self.runtimes.lock().remove(&number);
            if let Some(client) = client {
                client.stub.close().await;
            }
        })
    }
}
