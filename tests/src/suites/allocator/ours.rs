//! The domains of this workspace: without a node, the node's table alone, and a whole node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_core::future::BoxFuture;
use hyperty_address_allocation::{
    AddressAllocator, AllocateError, AllocationLimits, AllocationTable, LocalAllocator, NodeAllocator,
};
use hyperty_message_bus::{BusConfig, Listener, MessageBus};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Ids, Message, MessageType, SeededIds, Url};
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Capabilities, Domain};
use crate::suites::Time;
use crate::suites::attached::{Attached, DOMAIN, runtime_url};

/// Runtimes that make addresses of their own.
pub struct LocalDomain(Arc<dyn Ids>);

impl LocalDomain {
    /// Their randomness follows from the seed.
    pub fn new(seed: u64) -> LocalDomain {
        LocalDomain(Arc::new(SeededIds::new(seed)))
    }
}

impl Domain for LocalDomain {
    fn capabilities(&self) -> Capabilities {
        Capabilities { owners: false, restarts: false, time: Time::Paused }
    }

    fn name(&self) -> &str {
        DOMAIN
    }

    fn allocator(&self, _: usize) -> Arc<dyn AddressAllocator> {
        Arc::new(LocalAllocator::new(Arc::clone(&self.0)))
    }
}

/// A node's table, which runtimes ask directly, or through a [`NodeAllocator`] each with its pool.
pub struct TableDomain {
    table: Arc<Mutex<Arc<AllocationTable>>>,
    tables: Arc<MemoryTables>,
    starts: AtomicU64,
    pooled: bool,
    allocators: Mutex<BTreeMap<usize, (NodeAllocator, Listener)>>,
}

impl TableDomain {
    /// An empty table; `pooled` with the runtime's allocator in front of it.
    pub fn new(pooled: bool) -> TableDomain {
        let tables = Arc::new(MemoryTables::new());
        let table = Arc::new(Mutex::new(open(&tables, 1)));
        TableDomain { table, tables, starts: AtomicU64::new(1), pooled, allocators: Mutex::default() }
    }

    fn pooled(&self, runtime: usize) -> NodeAllocator {
        let mut allocators = self.allocators.lock();
        let (allocator, _) = allocators.entry(runtime).or_insert_with(|| {
            let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(runtime as u64));
            let (answering, table) = (bus.clone(), Arc::clone(&self.table));
            let at = node::address_allocation(DOMAIN).expect("the domain is a domain");
            let listener = bus.listen(&at, move |request| {
                let table = Arc::clone(&table.lock());
                answering.post(request.reply(table.handle(request, &runtime_url(runtime)).0));
            });
            (NodeAllocator::new(bus, runtime_url(runtime)), listener.expect("it is the only listener"))
        });
        allocator.clone()
    }
}

fn open(tables: &Arc<MemoryTables>, seed: u64) -> Arc<AllocationTable> {
    let ids = Arc::new(SeededIds::new(seed));
    let table = AllocationTable::open(DOMAIN, Arc::clone(tables) as _, ids, AllocationLimits::default());
    Arc::new(table.expect("it was written by its like"))
}

impl Domain for TableDomain {
    fn capabilities(&self) -> Capabilities {
        Capabilities { owners: true, restarts: true, time: Time::Paused }
    }

    fn name(&self) -> &str {
        DOMAIN
    }

    fn allocator(&self, runtime: usize) -> Arc<dyn AddressAllocator> {
        if self.pooled {
            return Arc::new(self.pooled(runtime));
        }
        Arc::new(Direct { table: Arc::clone(&self.table), runtime })
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        let start = 1 + self.starts.fetch_add(1, Ordering::Relaxed);
        *self.table.lock() = open(&self.tables, start);
        Box::pin(std::future::ready(()))
    }
}

/// Asks the table for one address at a time.
struct Direct {
    table: Arc<Mutex<Arc<AllocationTable>>>,
    runtime: usize,
}

impl Direct {
    fn ask(&self, kind: MessageType, domain: &str, body: Value) -> Result<ResponseBody, AllocateError> {
        let runtime = runtime_url(self.runtime);
        let to = node::address_allocation(DOMAIN).expect("the domain is a domain");
        let message = Message::new(1_u64, kind, runtime.address_allocation(), to, body);
        let (answer, _) = self.table.lock().handle(&message, &runtime);
        if answer.code.is_success() {
            return Ok(answer);
        }
        let (domain, reason) = (domain.to_owned(), answer.why().to_owned());
        Err(AllocateError::Refused { domain, code: answer.code, reason })
    }

    fn create(&self, domain: &str, scheme: &str) -> Result<Url, AllocateError> {
        let invalid = |reason: String| AllocateError::Invalid {
            scheme: scheme.to_owned(),
            domain: domain.to_owned(),
            reason,
        };
        if domain != DOMAIN {
            return Err(invalid("another domain".to_owned()));
        }
        let body = json!({"scheme": scheme, "value": {"number": 1}});
        let answer = self.ask(MessageType::Create, domain, body).map_err(|error| match error {
            AllocateError::Refused { code, reason, .. } if code.0 == 400 => invalid(reason),
            other => other,
        })?;
        let listed = answer.value.as_ref().and_then(|value| value["allocated"][0].as_str());
        let unusable =
            |reason: &str| AllocateError::Unusable { domain: domain.to_owned(), reason: reason.to_owned() };
        Url::parse(listed.ok_or_else(|| unusable("no address"))?)
            .map_err(|error| unusable(&error.to_string()))
    }
}

impl AddressAllocator for Direct {
    fn allocate<'a>(&'a self, domain: &'a str, scheme: &'a str) -> BoxFuture<'a, Result<Url, AllocateError>> {
        Box::pin(std::future::ready(self.create(domain, scheme)))
    }

    fn release(&self, addresses: Vec<Url>) -> BoxFuture<'_, Result<(), AllocateError>> {
        let outcome = self.ask(MessageType::Delete, DOMAIN, json!({"childrenResources": addresses}));
        Box::pin(std::future::ready(outcome.map(|_| ())))
    }
}

/// A whole node, and runtimes in session with it.
pub struct NodeDomain {
    attached: Attached,
    allocators: Mutex<BTreeMap<usize, NodeAllocator>>,
}

impl NodeDomain {
    /// A fresh node. Must be called within a tokio runtime.
    #[expect(clippy::new_without_default, reason = "it starts tasks")]
    pub fn new() -> NodeDomain {
        NodeDomain { attached: Attached::new(), allocators: Mutex::default() }
    }
}

impl Domain for NodeDomain {
    fn capabilities(&self) -> Capabilities {
        Capabilities { owners: true, restarts: true, time: Time::Paused }
    }

    fn name(&self) -> &str {
        DOMAIN
    }

    fn allocator(&self, runtime: usize) -> Arc<dyn AddressAllocator> {
        let mut allocators = self.allocators.lock();
        let allocator = allocators
            .entry(runtime)
            .or_insert_with(|| NodeAllocator::new(self.attached.client(runtime).bus, runtime_url(runtime)));
        Arc::new(allocator.clone())
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        self.attached.restart()
    }
}
