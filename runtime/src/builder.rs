use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperty_address_allocation::{LocalAllocator, NodeAllocator};
use hyperty_message_bus::{BusConfig, DomainRoutes, MessageBus, Protostub};
use hyperty_model::{Clock, Ids, RuntimeUrl, SystemClock, SystemIds};
use hyperty_policy::rules::RuleFileError;
use hyperty_policy::{Permissive, Policy, PolicyFile};
use hyperty_protostub::{Connector, SessionStub, StubConfig};
use hyperty_registry::{Catalogue, NodeRegistryClient, Registrations, RetryConfig, RuntimeRegistry};
use hyperty_storage::{Durability, DurableTables, MemoryTables, ObjectStore, OpenError, Tables};
use hyperty_sync_manager::{Backup, NodeBackup, Parts, SyncManager, SyncManagerConfig};

#[cfg(feature = "websocket")]
use crate::access::NodeAccess;
use crate::allocation::ByDomain;
use crate::error::StartError;
use crate::identity::OwnIdentities;
use crate::replay::RoutesThenRegistrations;
use crate::rules::in_force;
use crate::runtime::{Inner, Runtime};
use crate::schemas::KeptCatalogue;
use crate::searches::Searches;
use crate::subscriptions::{self, Subscriptions};
use crate::tasks::Tasks;

/// Chooses the parts of a runtime. Everything has a default: a store in memory, no message node, a policy that
/// leaves every decision to the application.
#[must_use = "a builder does nothing before `start`"]
pub struct RuntimeBuilder {
    url: String,
    tables: Option<Arc<dyn Tables>>,
    nodes: Vec<(String, Arc<dyn Connector>)>,
    policy: Arc<dyn Policy>,
    rules: Option<PolicyFile>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    sync_manager: SyncManagerConfig,
    bus: BusConfig,
    sessions: Vec<AdjustSession>,
    backup: Option<BackupAt>,
    backed_up: BackedUp,
}

/// Which stored objects and observations are backed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackedUp {
    /// Those created or subscribed with `backup(true)`.
    #[default]
    WhenAsked,
    /// All that are stored and have a user, unless they were created or subscribed with `backup(false)`.
    AllStored,
}

/// Where stored objects are kept a second time.
enum BackupAt {
    /// At the message nodes of their domains.
    Nodes,
    /// Wherever somebody else says.
    Elsewhere(Arc<dyn Backup>),
}

impl BackupAt {
    fn of(self, bus: &MessageBus, runtime: &RuntimeUrl) -> Result<Arc<dyn Backup>, StartError> {
        match self {
            BackupAt::Nodes => Ok(Arc::new(NodeBackup::new(bus.clone(), runtime)?)),
            BackupAt::Elsewhere(backup) => Ok(backup),
        }
    }
}

/// Changes the settings of the sessions with message nodes.
type AdjustSession = Box<dyn Fn(&mut StubConfig) + Send + Sync>;

impl RuntimeBuilder {
    pub(crate) fn new(url: &str) -> RuntimeBuilder {
        RuntimeBuilder {
            url: url.to_owned(),
            tables: None,
            nodes: Vec::new(),
            policy: Arc::new(Permissive),
            rules: None,
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            sync_manager: SyncManagerConfig::default(),
            bus: BusConfig::default(),
            sessions: Vec::new(),
            backup: None,
            backed_up: BackedUp::WhenAsked,
        }
    }

    /// Keeps objects created or subscribed with `store(true)`, and the addresses of hyperties, in these tables.
    pub fn storage(self, tables: impl Tables + 'static) -> RuntimeBuilder {
        self.shared_storage(Arc::new(tables))
    }

    /// The same with tables that others hold too.
    pub fn shared_storage(self, tables: Arc<dyn Tables>) -> RuntimeBuilder {
        RuntimeBuilder { tables: Some(tables), ..self }
    }

    /// Keeps the same in the file `path`, which is made if need be; `durability` says what a crash may cost.
    ///
    /// # Errors
    /// [`OpenError`] says why the file cannot be used, and what to do.
    pub fn storage_at(
        self,
        path: impl AsRef<Path>,
        durability: Durability,
    ) -> Result<RuntimeBuilder, OpenError> {
        Ok(self.storage(DurableTables::open_with(path, durability)?))
    }

    /// Connects to the message node of a domain by WebSocket, for instance
    /// `("example.com", "ws://127.0.0.1:9090/ws")`. Objects of that domain can then be observed from other runtimes.
    #[cfg(feature = "websocket")]
    pub fn message_node(self, domain: &str, url: &str) -> RuntimeBuilder {
        self.message_node_via(domain, Arc::new(hyperty_protostub::WebSocketConnector::new(url)))
    }

    /// The same with what the node asks for, and whom to believe that it is the node.
    ///
    /// ```
    /// use hyperty_runtime::{FixedToken, NodeAccess, Runtime};
    /// let access = NodeAccess::new().token(FixedToken::new("…"));
    /// let builder = Runtime::builder("hyperty-runtime://example.com/alice-laptop");
    /// let builder = builder.message_node_with("example.com", "wss://node.example.com/ws", access);
    /// ```
    #[cfg(feature = "websocket")]
    pub fn message_node_with(self, domain: &str, url: &str, access: NodeAccess) -> RuntimeBuilder {
        let mut connector = hyperty_protostub::WebSocketConnector::new(url);
        if let Some(tls) = access.tls {
            connector = connector.tls(tls);
        }
        let of_domain = domain.to_owned();
        let builder = self.message_node_via(domain, Arc::new(connector));
        builder.sessions(move |stub| {
            if stub.domain == of_domain {
                stub.token = access.token.clone();
            }
        })
    }

    /// Connects to the message node of a domain by a transport of your own.
    pub fn message_node_via(mut self, domain: &str, connector: Arc<dyn Connector>) -> RuntimeBuilder {
        self.nodes.push((domain.to_owned(), connector));
        self
    }

    /// Who may create, subscribe, read; the default leaves it to the application.
    pub fn policy(self, policy: impl Policy + 'static) -> RuntimeBuilder {
        RuntimeBuilder { policy: Arc::new(policy), rules: None, ..self }
    }

    /// The same by [rules](hyperty_policy::rules) in a file, or with the feature `cedar` by policies in a file that ends
    /// with `.cedar`. It is looked at again every two seconds: what is sound is in force from then on; about anything
    /// else an error is logged, and what was before stays.
    ///
    /// # Errors
    /// [`RuleFileError`] when it cannot be taken now.
    pub fn policy_file(self, path: impl Into<PathBuf>) -> Result<RuntimeBuilder, RuleFileError> {
        Ok(RuntimeBuilder { rules: Some(PolicyFile::open(path)?), ..self })
    }

    /// Keeps stored objects and observations a second time at the message nodes of their domains, from where the user's
    /// other devices can go on with them ([`Syncher::resume_by`](hyperty_syncher::Syncher::resume_by)): those that are
    /// created or subscribed with `backup(true)`, or all of them, unless they say otherwise.
    ///
    /// ```
    /// use hyperty_runtime::{BackedUp, Runtime};
    /// let builder = Runtime::builder("hyperty-runtime://example.com/alice-laptop").backup(BackedUp::WhenAsked);
    /// ```
    pub fn backup(self, which: BackedUp) -> RuntimeBuilder {
        self.with_backup(which, BackupAt::Nodes)
    }

    /// The same with a backup of your own.
    pub fn backup_at(self, which: BackedUp, backup: Arc<dyn Backup>) -> RuntimeBuilder {
        self.with_backup(which, BackupAt::Elsewhere(backup))
    }

    fn with_backup(mut self, which: BackedUp, at: BackupAt) -> RuntimeBuilder {
        self.backup = Some(at);
        self.backed_up = which;
        self
    }

    /// Another clock, for tests and simulations.
    pub fn clock(self, clock: Arc<dyn Clock>) -> RuntimeBuilder {
        RuntimeBuilder { clock, ..self }
    }

    /// Another source of randomness, for tests and simulations.
    pub fn ids(self, ids: Arc<dyn Ids>) -> RuntimeBuilder {
        RuntimeBuilder { ids, ..self }
    }

    /// Other times and limits of the Sync Manager.
    pub fn sync_manager(self, config: SyncManagerConfig) -> RuntimeBuilder {
        RuntimeBuilder { sync_manager: config, ..self }
    }

    /// Other times and limits of the message bus.
    pub fn bus(self, config: BusConfig) -> RuntimeBuilder {
        RuntimeBuilder { bus: config, ..self }
    }

    /// Other times and limits of the sessions with message nodes: `adjust` is called for each with the defaults. What
    /// concerns the connection itself is set where its connector is made ([`RuntimeBuilder::message_node_via`]).
    pub fn sessions(mut self, adjust: impl Fn(&mut StubConfig) + Send + Sync + 'static) -> RuntimeBuilder {
        self.sessions.push(Box::new(adjust));
        self
    }

    /// Wires the parts and starts their tasks on the present tokio runtime. Does not wait for message nodes: the
    /// sessions open as soon as the nodes can be reached, and whatever needs them waits.
    ///
    /// # Errors
    /// [`StartError`] for malformed addresses, and when the store cannot be read.
    pub async fn start(self) -> Result<Runtime, StartError> {
        let url = RuntimeUrl::parse(&self.url)?;
        let RuntimeBuilder { clock, ids, policy, rules, .. } = self;
        let (policy, watching) = in_force(policy, rules, &clock)?;
        let bus_config = BusConfig { runtime: Some(url.clone()), ..self.bus };
        let bus = MessageBus::new(bus_config, &*ids);
        let tables = self.tables.unwrap_or_else(|| Arc::new(MemoryTables::new()));
        let registry = RuntimeRegistry::new(url.clone());
        bus.set_resolver(Arc::new(registry.clone()));
        bus.add_interceptor(Arc::new(OwnIdentities::new(registry.clone())));
        let routes = DomainRoutes::new(bus.clone(), url.clone());
        let client = NodeRegistryClient::new(bus.clone(), &url, Arc::clone(&ids), RetryConfig::default());
        let registrations = Registrations::new(Arc::new(client), bus.clone(), &url);
        let catalogue = Catalogue::new(bus.clone(), &url)?;
        let catalogue = Arc::new(KeptCatalogue::new(catalogue, Arc::clone(&tables)));
        let node_allocator = Arc::new(NodeAllocator::new(bus.clone(), url.clone()));
        let allocator = ByDomain {
            registry: registry.clone(),
            node: Arc::clone(&node_allocator),
            local: LocalAllocator::new(Arc::clone(&ids)),
        };
        let policy_timeout = self.sync_manager.policy_timeout;
        let searches = Searches::start(&bus, &registry, &policy, policy_timeout);
        let backup = self.backup.map(|at| at.of(&bus, &url)).transpose()?;
        let mut sync_manager = self.sync_manager;
        sync_manager.backup_by_default |= self.backed_up == BackedUp::AllStored;
        let (manager, driver) = SyncManager::new(Parts {
            runtime: url.clone(),
            bus: bus.clone(),
            routes: routes.clone(),
            storage: Arc::new(ObjectStore::new(Arc::clone(&tables))),
            allocator: Arc::new(allocator),
            registry: registry.clone(),
            registrations: registrations.clone(),
            catalogue: Arc::clone(&catalogue) as _,
            backup,
            policy,
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
            config: sync_manager,
        })?;

        let mut inner = Inner {
            url,
            bus,
            tables,
            registry,
            registrations,
            catalogue,
            node_allocator,
            clock,
            ids,
            stubs: Vec::new(),
            manager,
            listeners: Vec::new(),
            tasks: Tasks::new(),
            deployed: Default::default(),
            deploying: Default::default(),
            reached: Default::default(),
            routes,
        };
        inner.connect(self.nodes, &self.sessions)?;
        inner.tasks.spawn(driver.run());
        inner.tasks.spawn(searches.run());
        if let Some(watching) = watching {
            inner.tasks.spawn(watching);
        }
        inner.serve_subscriptions()?;
        inner.keep_registered();
        Ok(Runtime::from_inner(inner))
    }
}

impl Inner {
    /// Begins a session with each node, and lets the bus reach the domain through it.
    fn connect(
        &mut self,
        nodes: Vec<(String, Arc<dyn Connector>)>,
        adjust: &[AdjustSession],
    ) -> Result<(), StartError> {
        for (domain, connector) in nodes {
            let replay = RoutesThenRegistrations {
                routes: self.routes.clone(),
                registrations: self.registrations.clone(),
            };
            let mut config = StubConfig::new(self.url.clone(), &domain, &*self.ids)?;
            adjust.iter().for_each(|adjust| adjust(&mut config));
            let (stub, session) = SessionStub::new(
                config,
                connector,
                self.bus.clone(),
                Arc::new(replay),
                Arc::clone(&self.ids),
            );
            let as_stub: Arc<dyn Protostub> = Arc::clone(&stub) as _;
            self.listeners.push(self.manager.follow_stub(&as_stub)?);
            self.registry.add_stub_for_domain(&domain, Arc::clone(&as_stub))?;
            self.bus.add_stub(as_stub);
            self.stubs.push(stub);
            self.tasks.spawn(session.run());
        }
        Ok(())
    }
    /// What hyperties subscribe to beside objects (protocol 5.14).
    fn serve_subscriptions(&self) -> Result<(), StartError> {
        let address = subscriptions::address(&self.url)?;
        let subscriptions = Subscriptions::start(&address, &self.bus, &self.registry, &self.routes)?;
        self.tasks.spawn(subscriptions.run());
        Ok(())
    }

    /// Keeps what is registered alive, for as long as the runtime lives.
    fn keep_registered(&self) {
        let registrations = self.registrations.clone();
        self.tasks.spawn(async move { registrations.drive().await });
    }
}
