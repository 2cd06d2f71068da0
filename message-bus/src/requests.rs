//! The table of requests that wait for a response: no clock and no I/O, deadlines belong to whoever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, MessageId, MessageType, Url, UrlKind};
use parking_lot::Mutex;

use crate::isolate::{Handler, isolated};

/// Requests by where their response goes and by id: an address keeps apart the ids that others have drawn.
pub(crate) struct Requests {
    pending: DashMap<(Url, MessageId), Arc<Pending>, RandomState>,
    count: AtomicUsize,
    max: usize,
}

/// One request that waits.
pub(crate) struct Pending {
    key: (Url, MessageId),
    asked: Url,
    on_provisional: Option<Handler>,
    news: Mutex<News>,
}

#[derive(Default)]
struct News {
    answer: Option<Message>,
    progressed: bool,
    waker: Option<Waker>,
}

/// What a waiting caller learns.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The final response. It is told once.
    Final(Message),
    /// A provisional response came: the deadline starts anew.
    Restart,
}

/// Why a request cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many wait.
    Full(usize),
    /// One with the same id and sender waits: their responses could not be told apart.
    Duplicate,
}

impl Requests {
    pub(crate) fn new(max: usize) -> Arc<Requests> {
        let pending = DashMap::with_hasher(RandomState::default());
        Arc::new(Requests { pending, count: AtomicUsize::new(0), max })
    }

    /// Notes that `request` waits.
    pub(crate) fn insert(
        &self,
        request: &Message,
        on_provisional: Option<Handler>,
    ) -> Result<Arc<Pending>, Refusal> {
        let key = (request.from().clone(), request.id().clone());
        let asked = request.to().clone();
        let pending = Arc::new(Pending { key: key.clone(), asked, on_provisional, news: Mutex::default() });
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full(self.max));
        }
        match self.pending.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&pending));
                Ok(pending)
            }
            Entry::Occupied(_) => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                Err(Refusal::Duplicate)
            }
        }
    }

    /// Hands a response to the request it answers; false if it answers none that waits.
    pub(crate) fn take(&self, response: &Message) -> bool {
        if response.kind() != MessageType::Response || self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let key = (response.to().clone(), response.id().clone());
        let Some(pending) = self.pending.get(&key).map(|entry| Arc::clone(&entry)) else { return false };
        if !answers(response, &pending.asked) {
            return false;
        }
        if response.code().is_provisional() {
            if let Some(f) = &pending.on_provisional {
                isolated(response.to(), || f(response));
            }
            pending.restart();
            return true;
        }
        // Whoever takes the entry out has the one final response; another one finds nothing (INV-MSG-1).
        let first = self.remove(&pending);
        if first {
            pending.finish(response.clone());
        }
        first
    }

    /// Takes a request out; false if it was answered or taken out before.
    pub(crate) fn remove(&self, pending: &Arc<Pending>) -> bool {
        let removed = self.pending.remove_if(&pending.key, |_, found| Arc::ptr_eq(found, pending));
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed.is_some()
    }

    /// Whether a request of this sender and id waits for its response.
    pub(crate) fn awaits(&self, from: &Url, id: &MessageId) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.pending.contains_key(&(from.clone(), id.clone()))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Pending {
    /// What has happened since the last call; registers the caller to be woken if nothing has.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Progress> {
        let mut news = self.news.lock();
        if let Some(answer) = news.answer.take() {
            return Poll::Ready(Progress::Final(answer));
        }
        if std::mem::take(&mut news.progressed) {
            return Poll::Ready(Progress::Restart);
        }
        if !news.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            news.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn restart(&self) {
        self.tell(|news| news.progressed = true);
    }

    fn finish(&self, answer: Message) {
        self.tell(|news| news.answer = Some(answer));
    }

    fn tell(&self, change: impl FnOnce(&mut News)) {
        let waker = {
            let mut news = self.news.lock();
            change(&mut news);
            news.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Whether `response` may answer a request that went to `asked` (protocol 2.5): it comes from there, from an address
/// of the same entity, or names it as its source.
fn answers(response: &Message, asked: &Url) -> bool {
    if related(response.from(), asked) {
        return true;
    }
    let source = response.decode::<ResponseBody>().ok().and_then(|body| body.source.clone());
    source.is_some_and(|source| related(&source, asked))
}

/// Whether two URLs are the same, or one is a derived URL or a component of the other.
fn related(a: &Url, b: &Url) -> bool {
    if a == b {
        return true;
    }
    if a.kind() != UrlKind::Object || b.kind() != UrlKind::Object {
        return a.is_at_or_below(b) || b.is_at_or_below(a);
    }
    // `comm://d/x/y` is an object of its own, not a part of `comm://d/x`.
    match (a.split_derived(), b.split_derived()) {
        (Some((a, tail_a)), Some((b, tail_b))) => a == b && (tail_a.is_none() || tail_b.is_none()),
        _ => false,
    }
}
