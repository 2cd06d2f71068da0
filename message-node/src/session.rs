//! One runtime's session: what it owns, and where its messages wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use hyperty_model::{ObjectUrl, RuntimeUrl, Url};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admission::{Pass, Who};
use crate::outbox::Outbox;
use crate::streams::Streams;

/// A set of addresses by their key.
pub(crate) type KeySet = HashSet<Arc<str>, RandomState>;

/// The secret that lets a runtime come back to its session: 128 random bits (protocol 5.15).
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(random: u128) -> Token {
        Token(format!("{random:032x}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration how much was right.
    pub(crate) fn matches(&self, given: &str) -> bool {
        let (mine, given) = (self.0.as_bytes(), given.as_bytes());
        mine.len() == given.len() && mine.iter().zip(given).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

/// Never shown.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A session, from `open` until it is closed, replaced, or its grace is over.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) runtime: RuntimeUrl,
    pub(crate) token: Token,
    pub(crate) outbox: Arc<Outbox>,
    /// The connection that serves it; 0 while there is none.
    link: AtomicU64,
    /// How often it lost its connection: tells a grace from a later one.
    pub(crate) losses: AtomicU64,
    pub(crate) routes: Mutex<Routes>,
    /// The user who was admitted; `None` if nobody is asked who it is.
    who: Option<Arc<Who>>,
    /// What admitted the user, last.
    pass: Mutex<Option<Arc<Pass>>>,
    /// When the pass is looked at next: the session's place in [`Sessions`](crate::directory::Sessions), under its lock.
    pub(crate) expiry: Mutex<Option<Instant>>,
}

/// What a session owns in the routing tables, so that its end finds it without a search.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// The session is over: nothing may be added.
    pub(crate) ended: bool,
    /// Addresses in the subscription table.
    pub(crate) listening: KeySet,
    /// What of the subscribed waits for an owner, and who has accepted this session.
    pub(crate) streams: Streams,
    /// Addresses in the directory, its own runtime URL apart.
    pub(crate) bound: KeySet,
    /// Objects that the session before this one of the same runtime listened to; see [`Session::forsaken`].
    pub(crate) inherited: Vec<ObjectUrl>,
}

impl Routes {
    pub(crate) fn len(&self) -> usize {
        self.listening.len() + self.bound.len()
    }
}

impl Session {
    pub(crate) fn new(
        number: u64,
        runtime: RuntimeUrl,
        token: Token,
        outbox: Arc<Outbox>,
        link: u64,
        pass: Option<Arc<Pass>>,
    ) -> Session {
        Session {
            number,
            runtime,
            token,
            outbox,
            link: AtomicU64::new(link),
            losses: AtomicU64::new(0),
            routes: Mutex::default(),
            who: pass.as_ref().map(|pass| Arc::clone(pass.who())),
            pass: Mutex::new(pass),
            expiry: Mutex::default(),
        }
    }

    /// The user who was admitted, if sessions are somebody's here.
    pub(crate) fn who(&self) -> Option<&Arc<Who>> {
        self.who.as_ref()
    }

    /// What admitted the user; `None` if nobody is asked for a token.
    pub(crate) fn pass(&self) -> Option<Arc<Pass>> {
        self.pass.lock().clone()
    }

    /// Goes on with a new pass of the same user.
    pub(crate) fn renew(&self, pass: Arc<Pass>) {
        *self.pass.lock() = Some(pass);
    }

    /// Whether the session may speak as a hyperty, as far as its token says.
    pub(crate) fn may_be(&self, hyperty: &Url) -> bool {
        self.pass.lock().as_ref().is_none_or(|pass| pass.covers_hyperty(hyperty))
    }

    /// Whether the connection `link` serves this session.
    pub(crate) fn is_served_by(&self, link: u64) -> bool {
        self.link.load(Ordering::Acquire) == link
    }

    /// Whether any connection serves this session.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_served_by(0)
    }

    /// Notes which connection serves it. Only under the directory's lock.
    pub(crate) fn set_link(&self, link: u64) {
        self.link.store(link, Ordering::Release);
    }

    /// Inherited objects that were not subscribed anew. A runtime that came back with a fresh `open` replays its
    /// routes; what it does not mention it no longer observes, and the owners are told so (M13).
    pub(crate) fn forsaken(&self) -> Vec<ObjectUrl> {
        let mut routes = self.routes.lock();
        let inherited = std::mem::take(&mut routes.inherited);
        inherited.into_iter().filter(|object| !routes.listening.contains(object.changes().key())).collect()
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Session) -> bool {
        self.number == other.number
    }
}
