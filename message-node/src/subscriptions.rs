//! The routing table of published addresses: URL → the sessions that listen, in the order they came.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::outbox::Outbox;
use crate::session::Session;

/// One session on one address.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) session: Arc<Session>,
    /// The session's, at hand: delivery looks at nothing else.
    pub(crate) outbox: Arc<Outbox>,
    /// The session's number.
    pub(crate) number: u64,
    /// For route `O`: the epoch at which the registry named this session's runtime when it took the route.
    pub(crate) epoch: u64,
    /// For route `O`: whether everybody may listen to the object (protocol 10.4).
    pub(crate) public: AtomicBool,
    /// Cleared under the session's outbox lock, so that nothing follows the 200 to an `unsubscribe` (INV-MN-3).
    pub(crate) active: AtomicBool,
}

/// The listeners of one address; taken out of the table before anything is delivered.
pub(crate) type Listeners = Arc<Vec<Arc<Listener>>>;

/// URL → listeners. Look-ups lock one shard for reading, just long enough to take the list.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_url: DashMap<Arc<str>, Listeners, RandomState>,
}

impl Subscriptions {
    /// Who listens to the address `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Listeners> {
        self.by_url.view(key, |_, listeners| Arc::clone(listeners))
    }

    /// The first session that listens: for addresses that only one may have, the one.
    pub(crate) fn first(&self, key: &str) -> Option<Arc<Listener>> {
        self.by_url.view(key, |_, listeners| listeners.first().cloned()).flatten()
    }

    /// Adds a session. The caller has made sure that it is not listening yet.
    pub(crate) fn add(&self, key: Arc<str>, session: &Arc<Session>, epoch: u64) {
        let listener = Arc::new(Listener {
            session: Arc::clone(session),
            outbox: Arc::clone(&session.outbox),
            number: session.number,
            epoch,
            public: AtomicBool::new(false),
            active: AtomicBool::new(true),
        });
        // A list that nobody is delivering to is extended in place; else deliveries under way keep the old one.
        let mut entry = self.by_url.entry(key).or_insert_with(|| Arc::new(Vec::with_capacity(1)));
        Arc::make_mut(entry.value_mut()).push(listener);
    }

    /// Removes a session; deliveries to it under this address have ended when this returns.
    pub(crate) fn remove(&self, key: &str, session: &Session) {
        let mut removed = None;
        self.by_url.remove_if_mut(key, |_, listeners| {
            if let Some(at) = listeners.iter().position(|listener| listener.number == session.number) {
                removed = Some(Arc::make_mut(listeners).remove(at));
            }
            listeners.is_empty()
        });
        if let Some(listener) = removed {
            session.outbox.silence(&listener.active);
        }
    }

    /// How many addresses have listeners.
    pub(crate) fn len(&self) -> usize {
        self.by_url.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.by_url.clear();
    }
}
