//! Which session an address of a runtime, a stub or a hyperty belongs to, and the life of sessions.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use hyperty_model::{RuntimeUrl, Url};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::session::Session;

/// First path segments of stub URLs, which are bound by their first use (protocol 1.2, M16).
const STUB_WORDS: [&str; 3] = ["protostub", "p2phandler", "p2prequester"];

/// The sessions and what is bound to them.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Runtime URLs, roots of stub URLs, hyperty URLs.
    bound: DashMap<Arc<str>, Arc<Session>, RandomState>,
    sessions: Mutex<Sessions>,
}

/// Live and graced sessions. Its lock is taken first: before that of a session's routes or outbox.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// By the key of the runtime's URL; ordered, so that overlaps are found.
    by_runtime: BTreeMap<Arc<str>, Arc<Session>>,
    /// How many there are of each user.
    by_user: BTreeMap<Url, usize>,
    /// What is due, in order of time: all waits are equally long.
    due: VecDeque<Due>,
    /// When passes are looked at, each session once; by number where two are due at once.
    expiries: BTreeMap<(Instant, u64), Arc<Session>>,
}

/// Something to look at when its time has come.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) session: Arc<Session>,
    pub(crate) what: DueKind,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DueKind {
    /// The grace after this many losses is over.
    Grace(u64),
    /// The runtime has had its time to replay the routes of its former session.
    Replay,
}

impl Directory {
    /// Runs `act` with the sessions locked.
    pub(crate) fn with_sessions<R>(&self, act: impl FnOnce(&mut Sessions) -> R) -> R {
        act(&mut self.sessions.lock())
    }

    /// The session an address is bound to, exactly.
    pub(crate) fn bound(&self, key: &str) -> Option<Arc<Session>> {
        self.bound.view(key, |_, session| Arc::clone(session))
    }

    /// The session a runtime-kind address lies in, by whole segments: `…/1` never gets what is for `…/12`.
    pub(crate) fn of_runtime(&self, url: &Url) -> Option<Arc<Session>> {
        let mut key = url.key();
        loop {
            if let Some(session) = self.bound(key) {
                return Some(session);
            }
            // The scheme's `://` is no segment border.
            key = key.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.ends_with('/'))?;
        }
    }

    /// Binds an address to a session if it is free. Returns whose it is now.
    pub(crate) fn bind(&self, key: &Arc<str>, session: &Arc<Session>) -> Arc<Session> {
        Arc::clone(self.bound.entry(Arc::clone(key)).or_insert_with(|| Arc::clone(session)).value())
    }

    /// Unbinds an address if it is this session's.
    pub(crate) fn unbind(&self, key: &str, session: &Session) {
        self.bound.remove_if(key, |_, bound| **bound == *session);
    }

    /// How many addresses are bound.
    pub(crate) fn bound_len(&self) -> usize {
        self.bound.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.with_sessions(|sessions| *sessions = Sessions::default());
        self.bound.clear();
    }
}

impl Sessions {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_runtime.len()
    }

    /// All of them, in the order of their runtimes' URLs.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.by_runtime.values().cloned().collect()
    }

    /// The session of exactly this runtime.
    pub(crate) fn get(&self, runtime: &Url) -> Option<Arc<Session>> {
        self.by_key(runtime.key())
    }

    /// The session of the runtime with this key.
    pub(crate) fn by_key(&self, key: &str) -> Option<Arc<Session>> {
        self.by_runtime.get(key).cloned()
    }

    /// Whether some other session's runtime lies above or below this one: one would get what is for the other.
    pub(crate) fn overlaps(&self, directory: &Directory, runtime: &RuntimeUrl) -> bool {
        let own = runtime.key();
        let above = directory.of_runtime(runtime).is_some_and(|session| session.runtime.key() != own);
        let first_below = format!("{own}/");
        let below =
            self.by_runtime.range::<str, _>((Bound::Included(first_below.as_str()), Bound::Unbounded)).next();
        above || below.is_some_and(|(key, _)| key.starts_with(&first_below))
    }

    /// Adds a session and binds its runtime URL.
    pub(crate) fn insert(&mut self, directory: &Directory, session: &Arc<Session>) {
        let key: Arc<str> = session.runtime.key().into();
        directory.bound.insert(Arc::clone(&key), Arc::clone(session));
        self.by_runtime.insert(key, Arc::clone(session));
        if let Some(who) = session.who() {
            *self.by_user.entry(who.user().clone()).or_default() += 1;
        }
    }

    /// How many sessions a user has.
    pub(crate) fn of_user(&self, user: &Url) -> usize {
        self.by_user.get(user).copied().unwrap_or_default()
    }

    /// Removes a session, if it is still the one of its runtime.
    pub(crate) fn remove(&mut self, directory: &Directory, session: &Session) -> bool {
        let key = session.runtime.key();
        if !self.by_runtime.get(key).is_some_and(|current| **current == *session) {
            return false;
        }
        self.by_runtime.remove(key);
        if let Some(who) = session.who()
            && let Some(count) = self.by_user.get_mut(who.user())
        {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(who.user());
            }
        }
        self.expire_at(None, session);
        directory.unbind(key, session);
        true
    }

    /// Notes that a session lost its connection, to be looked at after `grace`.
    pub(crate) fn lost(&mut self, session: &Arc<Session>, grace: Duration) {
        session.set_link(0);
        let losses = session.losses.fetch_add(1, Ordering::Relaxed) + 1;
        self.remind(session, DueKind::Grace(losses), grace);
    }

    /// Has `what` looked at after `wait`, which is the same for all.
    pub(crate) fn remind(&mut self, session: &Arc<Session>, what: DueKind, wait: Duration) {
        self.due.push_back(Due { at: Instant::now() + wait, session: Arc::clone(session), what });
    }

    /// Has the pass of a session looked at then, and no more at the time that was set before; at no time if `None`.
    pub(crate) fn expire_at(&mut self, at: Option<(Instant, &Arc<Session>)>, session: &Session) {
        let mut expiry = session.expiry.lock();
        if let Some(former) = expiry.take() {
            self.expiries.remove(&(former, session.number));
        }
        if let Some((at, session)) = at {
            *expiry = Some(at);
            self.expiries.insert((at, session.number), Arc::clone(session));
        }
    }

    /// Takes a session whose pass is to be looked at.
    pub(crate) fn pop_expiry(&mut self, now: Instant) -> Option<Arc<Session>> {
        let first = self.expiries.first_entry().filter(|entry| entry.key().0 <= now)?;
        let session = first.remove();
        *session.expiry.lock() = None;
        Some(session)
    }

    /// When the next is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = self.due.front().map(|due| due.at);
        let expiry = self.expiries.keys().next().map(|(at, _)| *at);
        due.into_iter().chain(expiry).min()
    }

    /// Takes one that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        if self.due.front()?.at > now {
            return None;
        }
        self.due.pop_front()
    }
}

/// What a runtime-kind address is bound as by its first use, if it is a stub's: its first two segments.
pub(crate) fn stub_root(url: &Url) -> Option<&str> {
    let path = url.path();
    let (word, rest) = path.split_once('/')?;
    if !STUB_WORDS.contains(&word) || rest.is_empty() {
        return None;
    }
    let beyond = rest.find('/').map_or(0, |at| rest.len() - at);
    let key = url.key();
    Some(&key[..key.len() - beyond])
}

/// Whether a session may be opened under this URL: not under one that stands for stubs, nor under a whole domain
/// (`runtime://<guid>`, without a dot, is legal).
pub(crate) fn names_a_runtime(url: &RuntimeUrl, domain: &str) -> bool {
    match url.path().split('/').next() {
        None | Some("") => !url.authority().contains('.') && !url.authority().eq_ignore_ascii_case(domain),
        Some(word) => !STUB_WORDS.contains(&word),
    }
}
