//! What a case is, and what it is given.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Pace, Patience, Trace};

/// What an implementation may have or not. A case that needs what is not declared is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Node: address allocation (protocol 5.12).
    Allocation,
    /// Node: the domain registry (5.13).
    Registry,
    /// Node: status events of the registry, on `<url>/registration` (5.13.5).
    StatusEvents,
    /// Node: the schema catalogue (M22).
    Catalogue,
    /// Node: records of objects are kept for the devices of their users (5.19).
    Backup,
    /// Node: a lost session keeps its routes and what is sent to it, and is re-opened with its token (5.15).
    Grace,
    /// Node: only who holds or allocated an object publishes its changes (5.14).
    EnforcePublisher,
    /// Node: the route `O` belongs to one session, and can be transferred (M17).
    ExclusiveRoutes,
    /// Node: the end of a session is told to the owners of the streams it listened to, and to the registry (M13).
    SessionEnded,
    /// Node: its own errors say so, with reason and source (M12).
    Reasons,
    /// Node: a queue that is full keeps the newest update of each object (M15).
    Conflation,
    /// Node: the longest message is known; the suite may send a longer one.
    Limits,
    /// Node: nobody listens to an object before its owner accepted that (10.4).
    EnforceSubscriber,
    /// Node: sessions are opened by token, and speak for the token's user; the suite has an issuer that the node
    /// believes (5.15.1).
    Admission,
    /// The suite can stop the implementation and start it again over what it had stored.
    Restart,
    /// Runtime: it stops like a crash, and starts again over what was durable.
    Crash,
    /// Runtime: objects and subscriptions can be stored.
    Store,
    /// Runtime: objects have children (5.9).
    Children,
    /// Runtime: repair since a position (10.1).
    Since,
    /// Runtime: answers larger than a message are given and taken in parts (10.5).
    Parts,
    /// Runtime: positions are announced (10.2).
    Beats,
    /// Runtime: beats carry a digest of the data (10.2).
    Digest,
    /// Runtime: the suite plays its whole domain, so that services of the node can be made to fail.
    Scripted,
    /// Runtime: it can be told of which user a hyperty is that the suite plays, and vouches for that.
    Users,
    /// Runtime: its hyperties listen outside of data objects through `<RuntimeURL>/subscriptions` (5.14).
    Subscriptions,
}

impl Capability {
    /// All there are.
    pub const ALL: [Capability; 25] = [
        Capability::Allocation,
        Capability::Registry,
        Capability::StatusEvents,
        Capability::Catalogue,
        Capability::Backup,
        Capability::Grace,
        Capability::EnforcePublisher,
        Capability::ExclusiveRoutes,
        Capability::SessionEnded,
        Capability::Reasons,
        Capability::Conflation,
        Capability::Limits,
        Capability::EnforceSubscriber,
        Capability::Admission,
        Capability::Restart,
        Capability::Crash,
        Capability::Store,
        Capability::Children,
        Capability::Since,
        Capability::Parts,
        Capability::Beats,
        Capability::Digest,
        Capability::Scripted,
        Capability::Users,
        Capability::Subscriptions,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Allocation => "allocation",
            Capability::Registry => "registry",
            Capability::StatusEvents => "status-events",
            Capability::Catalogue => "catalogue",
            Capability::Backup => "backup",
            Capability::Grace => "grace",
            Capability::EnforcePublisher => "enforce-publisher",
            Capability::ExclusiveRoutes => "exclusive-routes",
            Capability::SessionEnded => "session-ended",
            Capability::Reasons => "reasons",
            Capability::Conflation => "conflation",
            Capability::Limits => "limits",
            Capability::EnforceSubscriber => "enforce-subscriber",
            Capability::Admission => "admission",
            Capability::Restart => "restart",
            Capability::Crash => "crash",
            Capability::Store => "store",
            Capability::Children => "children",
            Capability::Since => "since",
            Capability::Parts => "parts",
            Capability::Beats => "beats",
            Capability::Digest => "digest",
            Capability::Scripted => "scripted",
            Capability::Users => "users",
            Capability::Subscriptions => "subscriptions",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(name: &str) -> Result<Capability, String> {
        let known = || Capability::ALL.map(Capability::name).join(", ");
        let found = Capability::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| format!("unknown capability {name:?}; there are {}", known()))
    }
}

/// What an implementation declares.
pub type Capabilities = BTreeSet<Capability>;

/// Anything that cases are run against.
pub trait UnderTest: Send + Sync {
    /// What it has; cases that need more are skipped.
    fn capabilities(&self) -> Capabilities;
}

/// That something is not as the protocol demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The rule that is broken.
    pub invariant: &'static str,
    /// What was expected, and what came.
    pub detail: String,
}

impl Failure {
    /// That `invariant` does not hold.
    pub fn new(invariant: &'static str, detail: impl Into<String>) -> Failure {
        Failure { invariant, detail: detail.into() }
    }
}

/// Why a case ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A rule is broken.
    Fail(Failure),
    /// It cannot be checked here, and why.
    Skip(String),
    /// Nothing came in time, the connection is gone, or the like: the first invariant of the case does not hold.
    Broken(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Fail(failure)
    }
}

/// How a case ends. `Ok` is passed.
pub type Verdict<T = ()> = Result<T, Stop>;

/// One thing that is checked, against implementations of the kind `S` (`dyn NodeUnderTest` and the like).
pub struct Case<S: ?Sized> {
    /// The first invariant and a name: `INV-MN-1/published-once`.
    pub id: &'static str,
    /// The rules that it checks, the main one first.
    pub invariants: &'static [&'static str],
    /// What the implementation has to declare.
    pub needs: &'static [Capability],
    /// Does it.
    pub run: fn(Stage<S>) -> BoxFuture<'static, Verdict>,
}

impl<S: ?Sized> Clone for Case<S> {
    fn clone(&self) -> Case<S> {
        *self
    }
}

impl<S: ?Sized> Copy for Case<S> {}

/// What a case is given.
pub struct Stage<S: ?Sized> {
    /// The implementation under test.
    pub subject: Arc<S>,
    /// Where everything said is written.
    pub trace: Trace,
    /// For what is random in the case.
    pub seed: u64,
    /// A text that no other case and no other run has; part of every name a case makes up.
    pub nonce: String,
    /// How long to wait for what, at least: [`Stage::waits`] says how long.
    pub patience: Patience,
    /// What this run has measured of it so far.
    pub pace: Pace,
    /// How many random sequences a case runs that does such.
    pub sequences: u32,
}

impl<S: ?Sized> Clone for Stage<S> {
    fn clone(&self) -> Stage<S> {
        Stage {
            subject: Arc::clone(&self.subject),
            trace: self.trace.clone(),
            seed: self.seed,
            nonce: self.nonce.clone(),
            patience: self.patience,
            pace: self.pace.clone(),
            sequences: self.sequences,
        }
    }
}

impl<S: ?Sized> Stage<S> {
    /// Lets time pass that the protocol demands to pass.
    ///
    /// # Errors
    /// Skips the case if that is longer than this run may wait.
    pub async fn wait(&self, time: Duration, what: &str) -> Verdict {
        if time > self.patience.longest_wait {
            return Err(Stop::Skip(format!("{what} takes {time:?}, longer than this run may wait")));
        }
        self.trace.note(format_args!("{time:?} pass: {what}"));
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// How long to wait for what, as slow as messages and their answers were lately in this run.
    pub fn waits(&self) -> Patience {
        self.patience.following(self.pace.round_trip())
    }

    /// The same stage for another sequence of the same case, with names of its own.
    #[must_use]
    pub fn again(&self, number: u32) -> Stage<S> {
        Stage { nonce: format!("{}-{number}", self.nonce), ..self.clone() }
    }
}
