//! The registries of this workspace: a node's table alone, and a whole node, each through the client of a runtime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{BusConfig, Listener, MessageBus, Replay};
use hyperty_model::url::node;
use hyperty_model::{Clock, Message, MessageType, SeededIds, Url};
use hyperty_registry::{
    DomainRegistry, NodeRegistryClient, RegistrationStatus, RegistryLimits, RegistryTable, RetryConfig,
};
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Capabilities, Domain, URLS, runtime_url};
use crate::suites::attached::{Attached, Client, DOMAIN, TokioClock};

/// Short, so that a suite sees entries forgotten.
const KEPT: Duration = Duration::from_secs(230);

/// The number of who watches; far from those of the runtimes.
const WATCHER: usize = 1_000;

type Events = Arc<Mutex<Vec<(Url, RegistrationStatus)>>>;

/// A node's table, asked through a bus of each runtime.
pub struct TableDomain {
    table: Arc<Mutex<Arc<RegistryTable>>>,
    tables: Arc<MemoryTables>,
    clock: Arc<TokioClock>,
    events: Events,
    clients: Mutex<BTreeMap<usize, (NodeRegistryClient, Listener)>>,
}

impl TableDomain {
    /// An empty table. Must be called within a tokio runtime whose time is paused.
    #[expect(clippy::new_without_default, reason = "it reads tokio's clock")]
    pub fn new() -> TableDomain {
        let tables = Arc::new(MemoryTables::new());
        TableDomain {
            table: Arc::new(Mutex::new(open(&tables))),
            tables,
            clock: Arc::new(TokioClock::new()),
            events: Events::default(),
            clients: Mutex::default(),
        }
    }

    fn client(&self, runtime: usize) -> (NodeRegistryClient, Listener) {
        let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(runtime as u64));
        let (answering, table) = (bus.clone(), Arc::clone(&self.table));
        let (clock, events) = (Arc::clone(&self.clock), Arc::clone(&self.events));
        let at = node::registry(DOMAIN).expect("the domain is a domain");
        let listener = bus.listen(&at, move |request| {
            let table = Arc::clone(&table.lock());
            let answer = table.handle(request, &runtime_url(runtime), clock.now());
            events.lock().extend(answer.events.into_iter().map(|event| (event.url, event.status)));
            answering.post(request.reply(answer.body));
        });
        let ids = Arc::new(SeededIds::new(runtime as u64));
        let client = NodeRegistryClient::new(bus, &runtime_url(runtime), ids, RetryConfig::default());
        (client, listener.expect("it is the only listener"))
    }
}

fn open(tables: &Arc<MemoryTables>) -> Arc<RegistryTable> {
    let limits = RegistryLimits { kept: KEPT, ..RegistryLimits::default() };
    Arc::new(RegistryTable::open(Arc::clone(tables) as _, limits).expect("it was written by its like"))
}

impl Domain for TableDomain {
    fn capabilities(&self) -> Capabilities {
        Capabilities { events: true, sessions: true, restarts: true, kept: Some(KEPT) }
    }

    fn registry(&self, runtime: usize) -> Arc<dyn DomainRegistry> {
        let mut clients = self.clients.lock();
        let (client, _) = clients.entry(runtime).or_insert_with(|| self.client(runtime));
        Arc::new(client.clone())
    }

    fn events(&self) -> BoxFuture<'_, Vec<(Url, RegistrationStatus)>> {
        let (late, _) = self.table.lock().expire(self.clock.now());
        let mut events = std::mem::take(&mut *self.events.lock());
        events.extend(late.into_iter().map(|event| (event.url, event.status)));
        Box::pin(std::future::ready(events))
    }

    fn end_session(&self, runtime: usize) -> BoxFuture<'_, ()> {
        let (events, _) = self.table.lock().session_ended(&runtime_url(runtime), self.clock.now());
        self.events.lock().extend(events.into_iter().map(|event| (event.url, event.status)));
        Box::pin(std::future::ready(()))
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        *self.table.lock() = open(&self.tables);
        Box::pin(std::future::ready(()))
    }
}

/// A whole node, runtimes in session with it, and one that watches.
pub struct NodeDomain {
    attached: Attached,
    clients: Mutex<BTreeMap<usize, NodeRegistryClient>>,
    events: Events,
    watcher: Client,
    _listeners: Vec<Listener>,
}

impl NodeDomain {
    /// A fresh node. Must be called within a tokio runtime whose time is paused.
    #[expect(clippy::new_without_default, reason = "it starts tasks")]
    pub fn new() -> NodeDomain {
        let attached = Attached::new();
        let watcher = attached.attach(WATCHER, Arc::new(Watches));
        let events = Events::default();
        let listen = |text: &str| {
            let url = Url::parse(text).expect("the suite's own addresses are valid");
            let (noted, at) = (Arc::clone(&events), url.join("registration").expect("it is short enough"));
            let listener = watcher.bus.listen(&at, move |message| {
                let body = message.decode::<Value>().unwrap_or_default();
                let status = body["value"].as_str().and_then(RegistrationStatus::parse);
                if let Some(status) = status.filter(|_| message.kind() == MessageType::Update) {
                    noted.lock().push((url.clone(), status));
                }
            });
            listener.expect("it is the only listener")
        };
        let listeners = URLS.iter().map(|text| listen(text)).collect();
        NodeDomain { attached, clients: Mutex::default(), events, watcher, _listeners: listeners }
    }
}

/// What whoever watches tells each fresh session.
struct Watches;

impl Replay for Watches {
    fn replay(&self, domain: &str) -> Vec<Message> {
        let resources: Vec<String> = URLS.iter().map(|url| format!("{url}/registration")).collect();
        let to = node::subscription_manager(domain).expect("the domain is a domain");
        let from = runtime_url(WATCHER).sync_manager();
        vec![Message::new(1_u64, MessageType::Subscribe, from, to, json!({ "resources": resources }))]
    }
}

impl Domain for NodeDomain {
    fn capabilities(&self) -> Capabilities {
        // What a node keeps for a day it keeps too long to be waited for.
        Capabilities { events: true, sessions: true, restarts: true, kept: None }
    }

    fn registry(&self, runtime: usize) -> Arc<dyn DomainRegistry> {
        let mut clients = self.clients.lock();
        let client = clients.entry(runtime).or_insert_with(|| {
            let bus = self.attached.client(runtime).bus;
            NodeRegistryClient::new(bus, &runtime_url(runtime), self.attached.ids(), RetryConfig::default())
        });
        Arc::new(client.clone())
    }

    fn events(&self) -> BoxFuture<'_, Vec<(Url, RegistrationStatus)>> {
        Box::pin(async {
            self.watcher.live().await;
            settle().await;
            std::mem::take(&mut *self.events.lock())
        })
    }

    fn end_session(&self, runtime: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A runtime that never spoke has a session all the same.
            self.attached.client(runtime).live().await;
            self.clients.lock().remove(&runtime);
            self.attached.end_session(runtime).await;
            settle().await;
        })
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.attached.restart().await;
            self.watcher.live().await;
            settle().await;
        })
    }
}

/// Lets everything that is ready run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
