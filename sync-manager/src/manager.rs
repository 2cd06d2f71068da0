//! The Sync Manager itself: what it holds, and how a message finds its object.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use futures_core::future::BoxFuture;
use hyperty_address_allocation::AddressAllocator;
use hyperty_message_bus::{BusError, DomainRoutes, Listener, MessageBus, StubStatus};
use hyperty_model::{
    Clock, HypertyUrl, Ids, Message, MessageId, ObjectUrl, RuntimeUrl, StatusCode, Timestamp, Url,
};
use hyperty_policy::Policy;
use hyperty_registry::{Registrations, RuntimeRegistry, SchemaCatalogue};
use hyperty_storage::{DataObjectStorage, ObjectRecord, Progress, Role, StorageError, Ticket};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::answer::{Question, Refusal};
use crate::backup::{Backup, Mirror, Watched};
use crate::config::SyncManagerConfig;
use crate::delegation::{Gift, Taking};
use crate::driver::SyncManagerDriver;
use crate::observer::{Answered, Leaves, Observed, RemovalWatch};
use crate::parts::{Intake, Offers};
use crate::reporter::{Former, Reported};
use crate::stats::{SyncStats, Tally};
use crate::timers::Timers;

/// What a Sync Manager is made of; every part is a seam that can be replaced.
pub struct Parts {
    /// The runtime it serves; it listens on `<RuntimeURL>/sm`.
    pub runtime: RuntimeUrl,
    /// The runtime's message bus.
    pub bus: MessageBus,
    /// The runtime's routes at message nodes.
    pub routes: DomainRoutes,
    /// Where records of resumable objects are kept.
    pub storage: Arc<dyn DataObjectStorage>,
    /// Where new objects get their addresses.
    pub allocator: Arc<dyn AddressAllocator>,
    /// Who is local, and through which stub everybody else is reached.
    pub registry: RuntimeRegistry,
    /// What is registered at domain registries.
    pub registrations: Registrations,
    /// Where schemas come from.
    pub catalogue: Arc<dyn SchemaCatalogue>,
    /// Who may do what.
    pub policy: Arc<dyn Policy>,
    /// Where stored objects are kept a second time, so that their user's other devices can take them over; `None` for
    /// a runtime that has no such place.
    pub backup: Option<Arc<dyn Backup>>,
    /// Where names come from that nobody shall guess.
    pub ids: Arc<dyn Ids>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Times and limits.
    pub config: SyncManagerConfig,
}

/// Why a Sync Manager could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The bus took no listener for the manager's address; is there another manager on it?
    #[error("the bus refused the Sync Manager's listener: {0}")]
    Bus(#[from] BusError),
    /// The address of a stub leaves no room for its status; give it a shorter one.
    #[error("malformed stub address: {0}")]
    Address(#[from] hyperty_model::UrlError),
    /// The stored records could not be read; the text says what to do.
    #[error("stored objects could not be read: {0}")]
    Storage(#[from] StorageError),
}

/// The runtime's Sync Manager: the one sequencer of every data object that this runtime reports or observes.
#[derive(Clone)]
pub struct SyncManager {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) parts: Parts,
    /// `<RuntimeURL>/sm`.
    pub(crate) address: Url,
    pub(crate) reported: DashMap<ObjectUrl, Arc<Reported>, foldhash::fast::RandomState>,
    pub(crate) observed: DashMap<ObjectUrl, Arc<Observed>, foldhash::fast::RandomState>,
    /// Records of the last session that nobody has resumed yet.
    pub(crate) dormant: Mutex<Dormant>,
    /// Objects with changes that wait for the store.
    pub(crate) committing: Mutex<std::collections::BTreeMap<ObjectUrl, Arc<Reported>>>,
    /// Objects with child operations that wait for the store.
    pub(crate) keeping: Mutex<std::collections::BTreeMap<ObjectUrl, Arc<Observed>>>,
    /// Child operations that have had their answer while others may be under way.
    pub(crate) answered: Mutex<Answered>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) timers: Arc<Timers>,
    /// What is backed up, if there is where to.
    pub(crate) mirror: Option<Arc<Mirror>>,
    /// What bounds the records that are being saved.
    pub(crate) saving: tokio::sync::Semaphore,
    pub(crate) tally: Tally,
    /// Resumes run one at a time, so that a record is brought back once (INV-RES-3).
    pub(crate) resuming: tokio::sync::Mutex<()>,
    /// Objects of this runtime that were given away, until nobody can ask for them again.
    pub(crate) given: Mutex<std::collections::BTreeMap<ObjectUrl, Arc<Gift>>>,
    /// Objects that hyperties of this runtime have accepted and do not own yet.
    pub(crate) taking: Mutex<std::collections::BTreeMap<ObjectUrl, Arc<Taking>>>,
    /// Objects that were reported here.
    pub(crate) former: Mutex<Former>,
    /// Subscriptions whose answer came too late.
    pub(crate) given_up: Mutex<GivenUp>,
    /// Observers that have left without the Reporter's side confirming it. Locked last.
    pub(crate) leaves: Mutex<Leaves>,
    /// Large answers whose parts are being fetched elsewhere.
    pub(crate) offers: Offers,
    /// What bounds the large answers that are fetched here.
    pub(crate) intake: Intake,
    pub(crate) inbox: mpsc::Sender<Message>,
    /// Follow-up work of procedures. Not bounded by count: an object has at most one job of a kind.
    jobs: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    listener: Mutex<Option<Listener>>,
}

#[derive(Default)]
pub(crate) struct Dormant {
    pub(crate) reported: std::collections::BTreeMap<ObjectUrl, ObjectRecord>,
    pub(crate) observed: std::collections::BTreeMap<ObjectUrl, ObjectRecord>,
    /// Observers here that resumed before the Reporter of an object of this runtime did.
    pub(crate) early: std::collections::BTreeMap<ObjectUrl, std::collections::BTreeSet<HypertyUrl>>,
}

/// Subscriptions that were given up before they were answered, the oldest forgotten first (M9).
#[derive(Default)]
pub(crate) struct GivenUp(std::collections::VecDeque<(MessageId, ObjectUrl, HypertyUrl)>);

/// A late answer comes within seconds of the time-out, if at all; this many may be late at one time.
const GIVEN_UP_MAX: usize = 1_024;

/// How long an answer waits for what is undone at a message node: together with `peer_timeout` less than the time that
/// whoever asked waits (M9), and far more than a node takes that is there.
pub(crate) const UNDO_WAIT: Duration = Duration::from_secs(2);

impl GivenUp {
    pub(crate) fn note(&mut self, id: MessageId, object: ObjectUrl, hyperty: HypertyUrl) {
        if self.0.len() == GIVEN_UP_MAX {
            self.0.pop_front();
        }
        self.0.push_back((id, object, hyperty));
    }

    pub(crate) fn take(&mut self, id: &MessageId) -> Option<(ObjectUrl, HypertyUrl)> {
        let at = self.0.iter().position(|(noted, ..)| noted == id)?;
        self.0.remove(at).map(|(_, object, hyperty)| (object, hyperty))
    }
}

impl SyncManager {
    /// Builds a Sync Manager and the driver that must run for as long as it serves.
    ///
    /// # Errors
    /// [`StartError`] when the stored records cannot be read or the manager's address is taken.
    pub fn new(mut parts: Parts) -> Result<(SyncManager, SyncManagerDriver), StartError> {
        let timers = Arc::new(Timers::default());
        let mirror =
            parts.backup.is_some().then(|| Arc::new(Mirror::new(parts.runtime.clone(), Arc::clone(&timers))));
        if let Some(mirror) = &mirror {
            let (inner, mirror) = (parts.storage, Arc::clone(mirror));
            parts.storage = Arc::new(Watched { inner, mirror });
        }
        let by_url =
            |records: Vec<ObjectRecord>| records.into_iter().map(|r| (r.metadata.url.clone(), r)).collect();
        let dormant = Dormant {
            reported: by_url(parts.storage.load(Role::Reporter)?),
            observed: by_url(parts.storage.load(Role::Observer)?),
            early: Default::default(),
        };
        if let Some(mirror) = &mirror {
            dormant.reported.values().chain(dormant.observed.values()).for_each(|r| mirror.enter_dormant(r));
        }
        let (inbox, requests) = mpsc::channel(parts.config.inbox_max);
        let (jobs, work) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            address: parts.runtime.sync_manager(),
            reported: DashMap::default(),
            observed: DashMap::default(),
            dormant: Mutex::new(dormant),
            committing: Mutex::default(),
            keeping: Mutex::default(),
            answered: Mutex::default(),
            progress: parts.storage.progress(),
            timers,
            mirror,
            saving: tokio::sync::Semaphore::new(parts.config.backups_in_flight.max(1)),
            tally: Tally::default(),
            resuming: tokio::sync::Mutex::new(()),
            given: Mutex::default(),
            taking: Mutex::default(),
            former: Mutex::default(),
            given_up: Mutex::default(),
            leaves: Mutex::default(),
            offers: Offers::default(),
            intake: Intake::new(&parts.config),
            inbox,
            jobs,
            listener: Mutex::new(None),
            parts,
        });
        let manager = SyncManager { shared };
        manager.bus().add_interceptor(Arc::new(RemovalWatch(manager.downgrade())));
        let listener = manager.listen(&manager.shared.address.clone())?;
        *manager.shared.listener.lock() = Some(listener);
        let weak = manager.downgrade();
        manager.bus().on_unheard(move |message| weak.upgrade().is_some_and(|m| m.on_unheard(message)));
        let weak = manager.downgrade();
        manager.shared.parts.registrations.on_lost(move |url| {
            if let Some(manager) = weak.upgrade() {
                manager.registration_lost(url);
            }
        });
        manager.restore_leaves();
        manager.resume_delegations();
        let driver = SyncManagerDriver::new(&manager, requests, work);
        Ok((manager, driver))
    }

    /// The manager's own address, `<RuntimeURL>/sm`.
    pub fn address(&self) -> &Url {
        &self.shared.address
    }

    /// How many objects this runtime reports and observes.
    pub fn counts(&self) -> (usize, usize) {
        (self.shared.reported.len(), self.shared.observed.len())
    }

    /// What it has done so far, and what it holds.
    pub fn stats(&self) -> SyncStats {
        self.tally().read(self.counts(), self.gifts())
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    pub(crate) fn bus(&self) -> &MessageBus {
        &self.shared.parts.bus
    }

    pub(crate) fn config(&self) -> &SyncManagerConfig {
        &self.shared.parts.config
    }

    pub(crate) fn storage(&self) -> &dyn DataObjectStorage {
        &*self.shared.parts.storage
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.parts.clock.now()
    }

    pub(crate) fn reported(&self, object: &ObjectUrl) -> Option<Arc<Reported>> {
        self.shared.reported.get(object).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn observed(&self, object: &ObjectUrl) -> Option<Arc<Observed>> {
        self.shared.observed.get(object).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn all_reported(&self) -> Vec<Arc<Reported>> {
        let mut all: Vec<_> = self.shared.reported.iter().map(|entry| Arc::clone(&entry)).collect();
        all.sort_by(|a, b| a.url.cmp(&b.url));
        all
    }

    pub(crate) fn all_observed(&self) -> Vec<Arc<Observed>> {
        let mut all: Vec<_> = self.shared.observed.iter().map(|entry| Arc::clone(&entry)).collect();
        all.sort_by(|a, b| a.url.cmp(&b.url));
        all
    }

    pub(crate) fn reported_at(&self, domain: &str) -> impl Iterator<Item = Arc<Reported>> {
        let all = self.all_reported().into_iter();
        all.filter(move |object| object.url.home().eq_ignore_ascii_case(domain))
    }

    pub(crate) fn observed_at(&self, domain: &str) -> impl Iterator<Item = Arc<Observed>> {
        let all = self.all_observed().into_iter();
        all.filter(move |object| object.url.home().eq_ignore_ascii_case(domain))
    }

    /// The stub by which a domain's message node is reached; `None` for a runtime without one.
    pub(crate) fn stub_of(&self, domain: &str) -> Option<Url> {
        self.shared.parts.registry.stub_for_domain(domain).map(|stub| stub.url().clone())
    }

    /// Whether the message node of a domain can be reached now.
    pub(crate) fn is_live(&self, domain: &str) -> bool {
        let stub = self.shared.parts.registry.stub_for_domain(domain);
        stub.is_some_and(|stub| stub.status() == StubStatus::Live)
    }

    /// Waits until a ticket of the store is durable.
    pub(crate) async fn durable(&self, ticket: Ticket) -> Result<(), StorageError> {
        hyperty_storage::reached(self.shared.parts.storage.progress(), ticket).await
    }

    /// Waits until everything written so far is on disk, also where the store reports that earlier: for whose an object
    /// is, which no new epoch puts right if it is forgotten (M8).
    pub(crate) async fn on_disk(&self) -> Result<(), StorageError> {
        self.durable(self.storage().barrier()).await
    }

    /// Waits until a ticket of the store is durable, but not longer than whoever asked waits (M9).
    ///
    /// # Errors
    /// 500 when the store failed, 408 when it was too slow; reason `storage`.
    pub(crate) async fn durable_by(&self, ticket: Ticket, deadline: Instant) -> Result<(), Refusal> {
        match tokio::time::timeout_at(deadline, self.durable(ticket)).await {
            Ok(done) => Ok(done?),
            Err(_) => {
                let text = "the store did not keep it in time";
                Err(Refusal::new(StatusCode::TIMEOUT, text).because("storage"))
            }
        }
    }

    /// Whether a ticket of the store is durable by now.
    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        self.shared.progress.borrow().durable >= ticket
    }

    /// Has the driver run follow-up work that no request waits for.
    pub(crate) fn later(&self, job: BoxFuture<'static, ()>) {
        // Without a driver the runtime is going down, and nothing follows up any more.
        let _ = self.shared.jobs.send(job);
    }

    /// Has the driver run what undoes something at a message node, and waits for it, but not long: a node that is
    /// away must not keep whoever asked from its answer.
    pub(crate) async fn undo(&self, job: impl Future<Output = ()> + Send + 'static) {
        let (done, waiting) = tokio::sync::oneshot::channel();
        self.later(Box::pin(async move {
            job.await;
            // Nobody may be waiting any more.
            let _ = done.send(());
        }));
        let _ = tokio::time::timeout(UNDO_WAIT, waiting).await;
    }

    /// A weak handle for listeners that the bus keeps: they must not keep the manager alive.
    pub(crate) fn downgrade(&self) -> WeakManager {
        WeakManager(Arc::downgrade(&self.shared))
    }

    /// Listens on an address with the inbox of procedures.
    pub(crate) fn listen(&self, address: &Url) -> Result<Listener, BusError> {
        let manager = self.downgrade();
        self.bus().listen(address, move |message| {
            if let Some(manager) = manager.upgrade() {
                manager.enqueue(message);
            }
        })
    }

    /// Puts the sequencer of an object on one of its addresses: `handler` is the only one to get what is sent there.
    pub(crate) fn sequence<T: Send + Sync + 'static>(
        &self,
        object: &Arc<T>,
        address: &Url,
        handler: fn(&SyncManager, &Arc<T>, &Message),
    ) -> Result<Listener, BusError> {
        let (manager, object) = (self.downgrade(), Arc::downgrade(object));
        self.bus().sequence(address, move |message| {
            if let (Some(manager), Some(object)) = (manager.upgrade(), object.upgrade()) {
                handler(&manager, &object, message);
            }
        })
    }

    /// Hands a message to the driver; a full inbox refuses it at once.
    pub(crate) fn enqueue(&self, message: &Message) {
        if self.shared.inbox.try_send(message.clone()).is_err() {
            let refusal =
                Refusal::new(StatusCode::INTERNAL, "the Sync Manager is overloaded; try again later");
            Question::new(self.bus(), message.clone()).answer(refusal.because("limit"));
        }
    }
}

/// A handle that does not keep the manager alive.
#[derive(Clone)]
pub(crate) struct WeakManager(std::sync::Weak<Shared>);

impl WeakManager {
    pub(crate) fn upgrade(&self) -> Option<SyncManager> {
        self.0.upgrade().map(|shared| SyncManager { shared })
    }
}
