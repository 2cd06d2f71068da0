//! Runtimes of this project under test: as it is, and one assembled from its crates by hand.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyperty_address_allocation::NodeAllocator;
use hyperty_message_bus::{BusConfig, DomainRoutes, Listener, MessageBus, Protostub, Replay};
use hyperty_model::{
    Clock, HypertyUrl, Identity, Ids, ManualClock, Message, RuntimeUrl, SeededIds, Timestamp,
};
use hyperty_policy::{Permissive, Policy};
use hyperty_protostub::{FixedToken, SessionStub, StubConfig, TokenSource};
use hyperty_registry::{Catalogue, NodeRegistryClient, Registrations, RetryConfig, RuntimeRegistry};
use hyperty_runtime::Runtime;
use hyperty_storage::{MemoryTables, ObjectStore, Tables};
use hyperty_sync_manager::{Parts, SyncManager, SyncManagerConfig};
use tokio::task::JoinSet;

use super::disk::{Disk, DiskTables};
use super::under_test::{Ending, MakeRuntime, RuntimeUnderTest, Start, TakeFrame, attach};

/// An arbitrary moment at which every runtime under test starts.
const BEGINNING: u64 = 1_700_000_000_000;

/// `hyperty-runtime` as applications use it.
#[derive(Debug, Default)]
pub struct HypertyRuntime;

struct Ours {
    start: Start,
    tables: Arc<MemoryTables>,
    runtime: Runtime,
    starts: u64,
}

impl Ours {
    async fn run(start: &Start, tables: &Arc<MemoryTables>, nth: u64) -> Result<Runtime, String> {
        let token = start.token.clone();
        Runtime::builder(&start.runtime)
            .sessions(move |stub| stub.token = token_source(token.as_deref()))
            .shared_storage(Arc::clone(tables) as Arc<dyn Tables>)
            .message_node_via(&start.domain, Arc::clone(&start.node))
            .clock(clock())
            .ids(ids(start, nth))
            .start()
            .await
            .map_err(|error| error.to_string())
    }
}

fn token_source(token: Option<&str>) -> Option<Arc<dyn TokenSource>> {
    token.map(|token| Arc::new(FixedToken::new(token)) as Arc<dyn TokenSource>)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(BEGINNING)))
}

fn ids(start: &Start, nth: u64) -> Arc<dyn Ids> {
    Arc::new(SeededIds::of_part(start.seed, nth))
}

impl MakeRuntime for HypertyRuntime {
    fn name(&self) -> &str {
        "hyperty-runtime"
    }

    fn start(&self, start: Start) -> BoxFuture<'_, Result<Box<dyn RuntimeUnderTest>, String>> {
        Box::pin(async move {
            let tables = Arc::new(MemoryTables::new());
            let runtime = Ours::run(&start, &tables, 0).await?;
            Ok(Box::new(Ours { start, tables, runtime, starts: 0 }) as Box<dyn RuntimeUnderTest>)
        })
    }
}

impl RuntimeUnderTest for Ours {
    fn attach(&self, hyperty: &str, receive: TakeFrame) -> Result<TakeFrame, String> {
        attach(self.runtime.bus(), hyperty, receive)
    }

    fn restart(&mut self, ending: Ending) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if ending == Ending::Clean {
                self.runtime.shutdown().await.map_err(|error| error.to_string())?;
            }
            let kept = self.tables.snapshot();
            self.runtime.abort();
            self.starts += 1;
            self.tables = Arc::new(kept);
            self.runtime = Ours::run(&self.start, &self.tables, self.starts).await?;
            Ok(())
        })
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.runtime.abort();
    }
}

/// A runtime put together from the crates without `hyperty-runtime`, over a disk that takes its time.
pub struct AssembledRuntime {
    /// What it is called in a report.
    pub name: &'static str,
    /// What its disk says of itself.
    pub disk: Disk,
    /// Who may do what.
    pub policy: Arc<dyn Policy>,
    /// Times and limits of its Sync Manager.
    pub sync_manager: SyncManagerConfig,
}

impl Default for AssembledRuntime {
    fn default() -> AssembledRuntime {
        AssembledRuntime {
            name: "assembled",
            disk: Disk::Honest,
            policy: Arc::new(Permissive),
            sync_manager: SyncManagerConfig::default(),
        }
    }
}

struct Assembled {
    start: Start,
    disk: Disk,
    policy: Arc<dyn Policy>,
    config: SyncManagerConfig,
    house: House,
    starts: u64,
}

/// The parts, and the tasks that drive them.
struct House {
    bus: MessageBus,
    tables: Arc<DiskTables>,
    registry: RuntimeRegistry,
    stub: Arc<SessionStub>,
    _manager: SyncManager,
    _listener: Listener,
    _tasks: JoinSet<()>,
}

struct Told {
    routes: DomainRoutes,
    registrations: Registrations,
}

impl Replay for Told {
    fn replay(&self, domain: &str) -> Vec<Message> {
        let mut messages = self.routes.replay(domain);
        messages.extend(self.registrations.replay(domain));
        messages
    }
}

impl House {
    fn build(
        start: &Start,
        tables: DiskTables,
        policy: Arc<dyn Policy>,
        config: SyncManagerConfig,
        ids: Arc<dyn Ids>,
    ) -> Result<House, Box<dyn std::error::Error + Send + Sync>> {
        let url = RuntimeUrl::parse(&start.runtime)?;
        let tables = Arc::new(tables);
        let bus = MessageBus::new(BusConfig { runtime: Some(url.clone()), ..BusConfig::default() }, &*ids);
        let registry = RuntimeRegistry::new(url.clone());
        bus.set_resolver(Arc::new(registry.clone()));
        let routes = DomainRoutes::new(bus.clone(), url.clone());
        let client = NodeRegistryClient::new(bus.clone(), &url, Arc::clone(&ids), RetryConfig::default());
        let registrations = Registrations::new(Arc::new(client), bus.clone(), &url);
        let (manager, driver) = SyncManager::new(Parts {
            runtime: url.clone(),
            bus: bus.clone(),
            routes: routes.clone(),
            storage: Arc::new(ObjectStore::new(Arc::clone(&tables) as Arc<dyn Tables>)),
            allocator: Arc::new(NodeAllocator::new(bus.clone(), url.clone())),
            registry: registry.clone(),
            registrations: registrations.clone(),
            catalogue: Arc::new(Catalogue::new(bus.clone(), &url)?),
            backup: None,
            policy,
            ids: Arc::clone(&ids),
            clock: clock(),
            config,
        })?;
        let told = Told { routes, registrations: registrations.clone() };
        let mut stub_config = StubConfig::new(url, &start.domain, &*ids)?;
        stub_config.token = token_source(start.token.as_deref());
        let (stub, session) =
            SessionStub::new(stub_config, Arc::clone(&start.node), bus.clone(), Arc::new(told), ids);
        let as_stub: Arc<dyn Protostub> = Arc::clone(&stub) as _;
        let listener = manager.follow_stub(&as_stub)?;
        registry.add_stub_for_domain(&start.domain, Arc::clone(&as_stub))?;
        bus.add_stub(as_stub);
        let mut tasks = JoinSet::new();
        tasks.spawn(session.run());
        tasks.spawn(driver.run());
        tasks.spawn(async move { registrations.drive().await });
        Ok(House { bus, tables, registry, stub, _manager: manager, _listener: listener, _tasks: tasks })
    }
}

impl MakeRuntime for AssembledRuntime {
    fn name(&self) -> &str {
        self.name
    }

    fn vouches(&self) -> bool {
        true
    }

    fn listens(&self) -> bool {
        false
    }

    fn start(&self, start: Start) -> BoxFuture<'_, Result<Box<dyn RuntimeUnderTest>, String>> {
        Box::pin(async move {
            let tables = DiskTables::over(self.disk, &MemoryTables::new());
            let (policy, config) = (Arc::clone(&self.policy), self.sync_manager.clone());
            let house = House::build(&start, tables, Arc::clone(&policy), config.clone(), ids(&start, 0))
                .map_err(|error| error.to_string())?;
            let assembled = Assembled { start, disk: self.disk, policy, config, house, starts: 0 };
            Ok(Box::new(assembled) as Box<dyn RuntimeUnderTest>)
        })
    }
}

impl RuntimeUnderTest for Assembled {
    fn attach(&self, hyperty: &str, receive: TakeFrame) -> Result<TakeFrame, String> {
        attach(&self.house.bus, hyperty, receive)
    }

    fn vouch(&self, hyperty: &str, user: &str) -> Result<(), String> {
        let hyperty = HypertyUrl::parse(hyperty).map_err(|error| error.to_string())?;
        let known = self.house.registry.add_hyperty(&hyperty, Some(Identity::of_user(user)));
        known.map_err(|error| error.to_string())
    }

    fn restart(&mut self, ending: Ending) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if ending == Ending::Clean {
                self.house.stub.close().await;
            }
            let tables = &self.house.tables;
            let kept = if ending == Ending::Clean { tables.flushed() } else { tables.platter() };
            tables.close();
            self.starts += 1;
            let (policy, config) = (Arc::clone(&self.policy), self.config.clone());
            let (tables, ids) = (DiskTables::over(self.disk, &kept), ids(&self.start, self.starts));
            self.house =
                House::build(&self.start, tables, policy, config, ids).map_err(|error| error.to_string())?;
            Ok(())
        })
    }
}
