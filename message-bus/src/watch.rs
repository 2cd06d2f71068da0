//! Fan-in: requests to publish addresses may get many responses with one id (protocol 2.5).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use hyperty_model::{Message, MessageId, Url};

/// Is shown a response; whether it goes on.
pub(crate) type Watcher = Arc<dyn Fn(&Message) -> bool + Send + Sync>;

type Key = (Url, MessageId);

/// Who wants to see the responses to which id.
pub(crate) struct Watches {
    watched: DashMap<Key, Vec<(u64, Watcher)>, RandomState>,
    count: AtomicUsize,
    next_id: AtomicU64,
    max: usize,
}

impl Watches {
    pub(crate) fn new(max: usize) -> Arc<Watches> {
        Arc::new(Watches {
            watched: DashMap::with_hasher(RandomState::default()),
            count: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            max,
        })
    }

    pub(crate) fn add(self: &Arc<Watches>, key: Key, watcher: Watcher) -> ResponseWatch {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            tracing::error!(to = %key.0, max = self.max, "too many watches of responses: this one sees none");
            return ResponseWatch { table: Weak::new(), key, id };
        }
        self.watched.entry(key.clone()).or_default().push((id, watcher));
        ResponseWatch { table: Arc::downgrade(self), key, id }
    }

    /// Who watches the responses that this is one of.
    pub(crate) fn of(&self, response: &Message) -> Vec<Watcher> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let key = (response.to().clone(), response.id().clone());
        let watchers =
            self.watched.get(&key).map(|watches| watches.iter().map(|(_, one)| Arc::clone(one)).collect());
        watchers.unwrap_or_default()
    }

    fn remove(&self, key: &Key, id: u64) {
        let removed = self.watched.get_mut(key).and_then(|mut watches| {
            let at = watches.iter().position(|(known, _)| *known == id)?;
            Some(watches.remove(at))
        });
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.watched.remove_if(key, |_, watches| watches.is_empty());
        }
    }
}

/// Sees every response to one id until this is dropped ([`MessageBus::watch_responses`],
/// [`MessageBus::sift_responses`]).
///
/// [`MessageBus::watch_responses`]: crate::MessageBus::watch_responses
/// [`MessageBus::sift_responses`]: crate::MessageBus::sift_responses
#[derive(Debug)]
#[must_use = "a watch ends when its handle is dropped"]
pub struct ResponseWatch {
    table: Weak<Watches>,
    key: Key,
    id: u64,
}

impl Drop for ResponseWatch {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.remove(&self.key, self.id);
        }
    }
}
