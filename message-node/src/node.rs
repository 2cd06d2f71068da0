//! The node: its tables, its components, and how others reach it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_address_allocation::AllocationTable;
use hyperty_model::{Clock, Ids, Url, UrlError};
use hyperty_registry::{CatalogueLimits, CatalogueTable, RegistrationRecord, RegistryTable};
use hyperty_storage::{StorageError, Tables};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::admission::{AdmissionConfig, ForeignProvider, RuntimeOwners, install_provider};
use crate::components::Addresses;
use crate::components::backup::{BackupTable, Uploads};
use crate::config::NodeConfig;
use crate::directory::Directory;
use crate::driver::NodeDriver;
use crate::link::Link;
use crate::listening::Waiting;
use crate::metrics::Latencies;
use crate::outbox::CloseReason;
use crate::pending::PendingAnswers;
use crate::rate::Attaching;
use crate::stats::{Counters, Stats};
use crate::subscriptions::Subscriptions;

/// Why a node does not start.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The domain is no valid authority of a URL; choose one like `example.com` or `localhost`.
    #[error("domain {domain:?} cannot be served: {source}")]
    Domain {
        /// What was given.
        domain: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// Tokens cannot be verified in this process.
    #[error(transparent)]
    Tokens(#[from] ForeignProvider),
    /// What the node had stored cannot be read; the text says what to do.
    #[error("stored state cannot be read: {0}")]
    Storage(#[from] StorageError),
}

/// Why a connection is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The node has as many connections as it may; try later, or another node.
    #[error("the node has no place for more connections")]
    Full,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// This network address has made too many connections; come back when so much time has passed.
    #[error("too many connections from this address")]
    TooFast(Duration),
}

/// A message node of one domain, without any transport. Cloning it is a reference count.
///
/// Connections are attached with [`MessageNode::attach`] or, in the same process, [`MessageNode::channel`];
/// `hyperty_message_node::serve` accepts WebSockets. What has to happen later is done by the [`NodeDriver`].
#[derive(Clone)]
pub struct MessageNode(Arc<Core>);

/// What all connections share. Its procedures stand in the modules they belong to.
pub(crate) struct Core {
    pub(crate) config: NodeConfig,
    pub(crate) addresses: Addresses,
    pub(crate) directory: Directory,
    pub(crate) subscriptions: Subscriptions,
    /// Subscriptions that wait for the owner of what they are for.
    pub(crate) waiting: Waiting,
    /// Held while addresses that only one session may have change hands.
    pub(crate) claims: Mutex<()>,
    pub(crate) allocations: AllocationTable,
    pub(crate) registry: RegistryTable,
    pub(crate) catalogue: CatalogueTable,
    pub(crate) backup: BackupTable,
    pub(crate) uploads: Uploads,
    pub(crate) owners: RuntimeOwners,
    pub(crate) pending: PendingAnswers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) counters: Counters,
    pub(crate) latencies: Latencies,
    pub(crate) started: Instant,
    /// Tells the driver that something became due earlier than it knew.
    pub(crate) wake_driver: Notify,
    /// Of connections and sessions; 0 is nobody's.
    next_number: AtomicU64,
    next_message: AtomicU64,
    links: watch::Sender<usize>,
    attaching: Attaching,
    /// How many of them have no session yet.
    unadmitted: AtomicUsize,
    pub(crate) phase: watch::Sender<Phase>,
}

/// What a node is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes runtimes and serves them.
    Serving,
    /// It takes nothing in any more, and answers what is under way.
    Draining,
    /// Every connection sends what waits for it, and closes.
    Stopping(CloseReason),
}

impl MessageNode {
    /// A node over `tables`, which hold its allocations, registrations and schemas.
    ///
    /// Run the driver for as long as the node serves: it ends graces, expires registrations, and sends the answers
    /// that wait for the store.
    ///
    /// # Errors
    /// [`StartError`] for a domain that cannot be served, stored state that cannot be read, or tokens that cannot be
    /// verified.
    pub fn new(
        mut config: NodeConfig,
        tables: Arc<dyn Tables>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<(MessageNode, NodeDriver), StartError> {
        if let AdmissionConfig::Tokens(tokens) = &config.admission {
            install_provider()?;
            config.timers.open = config.timers.open.min(tokens.wait);
        }
        let domain = config.domain.clone();
        let addresses =
            Addresses::of(&domain).map_err(|source| StartError::Domain { domain: domain.clone(), source })?;
        let allocations =
            AllocationTable::open(&domain, Arc::clone(&tables), Arc::clone(&ids), config.limits.allocations)?;
        let registry = RegistryTable::open(Arc::clone(&tables), config.limits.registry)?;
        let owners = RuntimeOwners::open(Arc::clone(&tables))?;
        let catalogue = CatalogueTable::open(&domain, Arc::clone(&tables), CatalogueLimits::default())?;
        let backup = BackupTable::open(Arc::clone(&tables), config.limits.backup)?;
        let core = Arc::new(Core {
            pending: PendingAnswers::new(tables.progress(), config.limits.pending_answers),
            addresses,
            directory: Directory::default(),
            subscriptions: Subscriptions::default(),
            waiting: Waiting::default(),
            claims: Mutex::new(()),
            allocations,
            registry,
            catalogue,
            backup,
            uploads: Uploads::default(),
            owners,
            clock,
            counters: Counters::default(),
            latencies: Latencies::new(),
            started: Instant::now(),
            wake_driver: Notify::new(),
            next_number: AtomicU64::new(1),
            next_message: AtomicU64::new(ids.first_message_id()),
            links: watch::Sender::new(0),
            attaching: Attaching::default(),
            unadmitted: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Serving),
            ids,
            config,
        });
        Ok((MessageNode(Arc::clone(&core)), NodeDriver::new(core, tables.progress())))
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0
    }

    /// The domain served.
    pub fn domain(&self) -> &str {
        &self.0.config.domain
    }

    /// The settings.
    pub fn config(&self) -> &NodeConfig {
        &self.0.config
    }

    /// The address of the node's Subscription Manager, `domain://msg-node.<domain>/sm`.
    pub fn url(&self) -> &Url {
        &self.0.addresses.subscriptions
    }

    /// What its registry has of an entity, for operators and tests.
    pub fn registration(&self, url: &Url) -> Option<RegistrationRecord> {
        self.0.registry.record(url)
    }

    /// Totals since the start, and what the node holds now.
    pub fn stats(&self) -> Stats {
        let counters = &self.0.counters;
        let sessions = self.0.directory.with_sessions(|sessions| sessions.all());
        let (backups, backup_bytes) = self.0.backup.size();
        let (mut queued, mut queued_bytes) = (0, 0);
        for session in &sessions {
            let load = session.outbox.load();
            queued += load.count;
            queued_bytes += load.bytes;
        }
        Stats {
            sessions: sessions.len(),
            live: sessions.iter().filter(|session| session.is_live()).count(),
            connections: self.links(),
            routes: self.0.subscriptions.len(),
            waiting: sessions.iter().map(|session| session.routes.lock().streams.pending_len()).sum(),
            bound: self.0.directory.bound_len(),
            queued,
            queued_bytes,
            pending: self.0.pending.len(),
            opened: counters.opened.get(),
            reopened: counters.reopened.get(),
            lost: counters.lost.get(),
            ended: counters.ended.get(),
            repairs: counters.repairs.get(),
            not_admitted: counters.not_admitted.get(),
            backups,
            backup_bytes,
            backed_up: counters.backed_up.get(),
            received: counters.received.get(),
            delivered: counters.delivered.get(),
            conflated: counters.conflated.get(),
            refused: counters.refused.get(),
            unrouted: counters.unrouted.get(),
            looped: counters.looped.get(),
            overflowed: counters.overflowed.get(),
        }
    }

    /// Takes a new connection, whatever carries it.
    ///
    /// # Errors
    /// [`AttachError`] when there is no place for it.
    pub fn attach(&self) -> Result<Link, AttachError> {
        if *self.0.phase.borrow() != Phase::Serving {
            return Err(AttachError::Stopping);
        }
        if self.0.unadmitted.load(Ordering::Relaxed) >= self.0.config.limits.unadmitted_links {
            return Err(AttachError::Full);
        }
        let max = self.0.config.limits.links;
        let taken = self.0.links.send_if_modified(|links| {
            let room = *links < max;
            *links += usize::from(room);
            room
        });
        if !taken {
            return Err(AttachError::Full);
        }
        // Two that come at the same moment may both be the last one: the limit is not a matter of one.
        self.0.unadmitted.fetch_add(1, Ordering::Relaxed);
        Ok(Link::new(Arc::clone(&self.0)))
    }

    /// The same, for a connection that comes from a network address: of one address only so many are taken in a second
    /// ([`AttachRate`](crate::AttachRate)).
    ///
    /// # Errors
    /// [`AttachError`] when there is no place for it.
    pub fn attach_from(&self, address: IpAddr) -> Result<Link, AttachError> {
        let taken = self.0.attaching.take(address, self.0.config.limits.attach);
        taken.map_err(|wait| {
            self.0.counters.refused.add(1);
            AttachError::TooFast(wait)
        })?;
        self.attach()
    }

    /// How many connections there are, with a session or without.
    pub fn links(&self) -> usize {
        *self.0.links.borrow()
    }

    /// Waits until there is no connection.
    pub async fn deserted(&self) {
        // The sender cannot be gone: this node holds it.
        let _ = self.0.links.subscribe().wait_for(|links| *links == 0).await;
    }

    /// Has every connection closed and takes no more. Sessions are not ended: their runtimes come back to the
    /// node's successor, and nobody is told that they left.
    pub fn stop(&self) {
        self.enter(Phase::Stopping(CloseReason::GoingAway));
    }

    /// Stops in order: takes nothing in any more, waits until what is promised is on disk and answered, has every
    /// connection send what waits for it, and closes them with the wish that the runtimes come back
    /// ([`CloseReason::Restart`]). Takes `limit` at most for each of the two waits; `true` if nothing was left undone.
    ///
    /// The store is not closed: flush it afterwards.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.begin_drain();
        let answered = timeout(limit, self.0.settled()).await.is_ok();
        self.enter(Phase::Stopping(CloseReason::Restart));
        timeout(limit, self.deserted()).await.is_ok() && answered
    }

    /// The first step of [`MessageNode::drain`]: from now on the node takes no connection and reads nothing.
    pub fn begin_drain(&self) {
        self.enter(Phase::Draining);
    }

    /// Phases only go forward.
    fn enter(&self, phase: Phase) {
        self.0.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }
}

impl std::fmt::Debug for MessageNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageNode").field("domain", &self.domain()).finish_non_exhaustive()
    }
}

impl Core {
    /// Waits until the node takes nothing in any more.
    pub(crate) async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until connections are to close; tells with which reason.
    pub(crate) async fn stopping(&self) -> CloseReason {
        match self.reached(Phase::Stopping(CloseReason::Closed)).await {
            Phase::Stopping(reason) => reason,
            Phase::Serving | Phase::Draining => CloseReason::GoingAway,
        }
    }

    async fn reached(&self, phase: Phase) -> Phase {
        let mut phases = self.phase.subscribe();
        // The sender cannot be gone: this holds it.
        phases.wait_for(|now| *now >= phase).await.map_or(phase, |now| *now)
    }

    /// A number for a connection or a session.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// An id for a message of the node's own.
    pub(crate) fn next_message_id(&self) -> u64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }

    /// A connection has a session, or is gone before it had one.
    pub(crate) fn link_decided(&self) {
        self.unadmitted.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection is gone.
    pub(crate) fn link_gone(&self) {
        self.links.send_modify(|links| *links -= 1);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // The tables hold the sessions; sessions hold no tables. This only makes the end of queued requests prompt.
        self.subscriptions.clear();
        self.waiting.clear();
        self.directory.clear();
    }
}
