//! The bus itself: what it holds, and how listeners, routes and stubs are added to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use hyperty_model::{Body, HypertyUrl, Ids, Message, MessageId, MessageType, SeededIds, Url};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::counters::Tally;
use crate::isolate::isolated;
use crate::listeners::{Role, Routes};
use crate::minibus::Sandbox;
use crate::requests::Requests;
use crate::watch::Watches;
use crate::{
    BusConfig, BusCounters, BusError, Interceptor, Listener, Protostub, PublishRoute, ResponseWatch,
    RouteResolver,
};

/// The message bus of a runtime. Clones are the same bus.
///
/// A message is delivered on the thread that posts it, before [`MessageBus::post`] returns; see the
/// [crate documentation](crate) for what handlers may do.
#[derive(Clone)]
pub struct MessageBus {
    inner: Arc<Inner>,
}

/// Is shown what is posted to nobody; whether it was answered.
type Unheard = Arc<dyn Fn(&Message) -> bool + Send + Sync>;

struct Inner {
    config: BusConfig,
    next_id: AtomicU64,
    ids: SeededIds,
    routes: Arc<Routes>,
    requests: Arc<Requests>,
    watches: Arc<Watches>,
    stubs: DashMap<Url, Arc<dyn Protostub>, RandomState>,
    sandboxes: DashMap<HypertyUrl, Weak<Sandbox>, RandomState>,
    interceptors: RwLock<Arc<[Arc<dyn Interceptor>]>>,
    resolver: RwLock<Option<Arc<dyn RouteResolver>>>,
    unheard: RwLock<Option<Unheard>>,
    tally: Tally,
    /// How many hyperties have gone.
    detached: watch::Sender<u64>,
}

impl MessageBus {
    /// A bus without listeners. `ids` is asked for where its message ids start, and for a seed.
    pub fn new(config: BusConfig, ids: &dyn Ids) -> MessageBus {
        let inner = Inner {
            next_id: AtomicU64::new(ids.first_message_id()),
            ids: SeededIds::new(ids.random() as u64),
            routes: Routes::new(&config),
            requests: Requests::new(config.pending_max),
            watches: Watches::new(config.pending_max),
            stubs: DashMap::with_hasher(RandomState::default()),
            sandboxes: DashMap::with_hasher(RandomState::default()),
            interceptors: RwLock::new(Arc::from([])),
            resolver: RwLock::new(None),
            unheard: RwLock::new(None),
            tally: Tally::default(),
            detached: watch::Sender::new(0),
            config,
        };
        MessageBus { inner: Arc::new(inner) }
    }

    /// The limits and timers it was made with.
    pub fn config(&self) -> &BusConfig {
        &self.inner.config
    }

    /// The next message id. One sequence for the bus and all its MiniBuses (protocol M10).
    pub fn next_id(&self) -> MessageId {
        self.inner.next_id.fetch_add(1, Ordering::Relaxed).into()
    }

    /// A new message with the next id.
    pub fn new_message(&self, kind: MessageType, from: &Url, to: &Url, body: impl Into<Body>) -> Message {
        Message::new(self.next_id(), kind, from.clone(), to.clone(), body)
    }

    /// Sets who knows where addresses are that nobody here listens on; the former one is forgotten.
    pub fn set_resolver(&self, resolver: Arc<dyn RouteResolver>) {
        let former = self.inner.resolver.write().replace(resolver);
        drop(former);
    }

    /// Calls `f` with what is for an address at which nobody here is: each update that a hyperty of this runtime posts,
    /// since nobody answers what is published, and each request that a stub brings, which may have come ahead of whoever
    /// is to be here. If `f` says that it takes the message, that goes no further, and is for `f` to answer. The former
    /// one is forgotten.
    pub fn on_unheard(&self, f: impl Fn(&Message) -> bool + Send + Sync + 'static) {
        let former = self.inner.unheard.write().replace(Arc::new(f));
        drop(former);
    }

    /// Adds an interceptor behind those there are.
    pub fn add_interceptor(&self, interceptor: Arc<dyn Interceptor>) {
        let mut interceptors = self.inner.interceptors.write();
        *interceptors = interceptors.iter().cloned().chain([interceptor]).collect();
    }

    /// Calls `f` with each message to `url`, after the listeners there are, until the handle is dropped.
    ///
    /// # Errors
    /// [`BusError::LimitReached`] and [`BusError::TooManyAddresses`].
    pub fn listen(
        &self,
        url: &Url,
        f: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<Listener, BusError> {
        self.inner.routes.add(url, Role::Listener, Arc::new(f))
    }

    /// Makes `f` the only receiver of what is posted or received for `url`, until the handle is dropped. It decides
    /// what goes on to the listeners, and when, by [`MessageBus::release`].
    ///
    /// # Errors
    /// [`BusError::AlreadySequenced`] and [`BusError::TooManyAddresses`].
    pub fn sequence(
        &self,
        url: &Url,
        f: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<Listener, BusError> {
        self.inner.routes.add(url, Role::Sequencer, Arc::new(f))
    }

    /// Hands each message to `url` to the MiniBus of a hyperty, until the handle is dropped. The route outlives the
    /// MiniBus and is then without effect.
    ///
    /// # Errors
    /// [`BusError::NotAttached`], and those of [`MessageBus::listen`].
    pub fn forward(&self, url: &Url, sandbox: &HypertyUrl) -> Result<Listener, BusError> {
        let target = self.inner.sandboxes.get(sandbox).map(|entry| Weak::clone(&entry));
        let Some(target) = target.filter(|target| target.strong_count() > 0) else {
            return Err(BusError::NotAttached(sandbox.clone()));
        };
        let hand_in = move |message: &Message| Sandbox::deliver(&target, message);
        self.inner.routes.forward(url, sandbox, Arc::new(hand_in))
    }

    /// Whether a hyperty has a MiniBus on this bus.
    pub fn is_attached(&self, hyperty: &HypertyUrl) -> bool {
        self.inner.sandboxes.get(hyperty).is_some_and(|sandbox| sandbox.strong_count() > 0)
    }

    /// Changes whenever a hyperty has gone: for whoever keeps something for hyperties.
    pub fn detachments(&self) -> watch::Receiver<u64> {
        self.inner.detached.subscribe()
    }

    /// Sends one copy of what is delivered to `url` through `stub` too, until the handle is dropped. Several routes
    /// of one pair send one copy; the last to be dropped ends it.
    pub fn publish_route(&self, url: &Url, stub: &Url) -> PublishRoute {
        self.inner.routes.publish(url, stub)
    }

    /// Shows `f` every response to the id `id` that comes to `to`, until the handle is dropped; the response goes on
    /// to the listeners. For requests to publish addresses, which may have many answers.
    pub fn watch_responses(
        &self,
        to: &Url,
        id: &MessageId,
        f: impl Fn(&Message) + Send + Sync + 'static,
    ) -> ResponseWatch {
        self.sift_responses(to, id, move |response| {
            f(response);
            true
        })
    }

    /// Shows `f` every response to the id `id` that comes to `to`, until the handle is dropped. What `f` says false of
    /// goes no further, neither to who waits for it nor to the listeners. For requests of others that have many
    /// answers, of which only one is meant for them.
    pub fn sift_responses(
        &self,
        to: &Url,
        id: &MessageId,
        f: impl Fn(&Message) -> bool + Send + Sync + 'static,
    ) -> ResponseWatch {
        self.inner.watches.add((to.clone(), id.clone()), Arc::new(f))
    }

    /// Adds a stub under its URL; one of the same URL is forgotten.
    pub fn add_stub(&self, stub: Arc<dyn Protostub>) {
        let former = self.inner.stubs.insert(stub.url().clone(), stub);
        drop(former);
    }

    /// Forgets a stub. Publish routes that name it are without effect until it is added again.
    pub fn remove_stub(&self, url: &Url) {
        let former = self.inner.stubs.remove(url);
        drop(former);
    }

    /// The stub of this URL.
    pub fn stub(&self, url: &Url) -> Option<Arc<dyn Protostub>> {
        self.inner.stubs.get(url).map(|stub| Arc::clone(&stub))
    }

    /// What the bus has dropped or refused so far, and how many requests wait.
    pub fn counters(&self) -> BusCounters {
        self.inner.tally.read(self.inner.requests.len())
    }

    pub(crate) fn routes(&self) -> &Arc<Routes> {
        &self.inner.routes
    }

    pub(crate) fn requests(&self) -> &Arc<Requests> {
        &self.inner.requests
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.inner.watches
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.inner.tally
    }

    /// Randomness for timing only, reproducible from the `ids` the bus was made with.
    pub(crate) fn ids(&self) -> &dyn Ids {
        &self.inner.ids
    }

    pub(crate) fn interceptors(&self) -> Arc<[Arc<dyn Interceptor>]> {
        Arc::clone(&self.inner.interceptors.read())
    }

    /// Whether somebody takes a message at whose address nobody here is.
    pub(crate) fn is_taken_unheard(&self, message: &Message) -> bool {
        let is_own_update = message.kind() == MessageType::Update && message.sender().is_some();
        let is_request_from_elsewhere = message.kind().is_request() && message.is_remote();
        if !(is_own_update || is_request_from_elsewhere) {
            return false;
        }
        let unheard = self.inner.unheard.read().clone();
        unheard.is_some_and(|unheard| isolated(message.to(), || unheard(message)).unwrap_or(false))
    }

    pub(crate) fn resolver(&self) -> Option<Arc<dyn RouteResolver>> {
        self.inner.resolver.read().clone()
    }

    /// Notes the MiniBus of a hyperty; false if it has one.
    pub(crate) fn attach(&self, hyperty: &HypertyUrl, sandbox: Weak<Sandbox>) -> bool {
        match self.inner.sandboxes.entry(hyperty.clone()) {
            Entry::Occupied(entry) if entry.get().strong_count() > 0 => return false,
            Entry::Occupied(mut entry) => drop(entry.insert(sandbox)),
            Entry::Vacant(entry) => drop(entry.insert(sandbox)),
        }
        true
    }

    /// Forgets the MiniBus of a hyperty, unless another has taken its place.
    pub(crate) fn detach(&self, hyperty: &HypertyUrl, sandbox: *const Sandbox) {
        self.inner.sandboxes.remove_if(hyperty, |_, known| std::ptr::eq(known.as_ptr(), sandbox));
        self.inner.detached.send_modify(|count| *count += 1);
    }
}

impl std::fmt::Debug for MessageBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageBus").field("runtime", &self.inner.config.runtime).finish_non_exhaustive()
    }
}
