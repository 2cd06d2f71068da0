use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{Clock, Identity, RuntimeUrl, SystemClock};

/// What a [`Syncher`](crate::Syncher) needs to know of where it runs, and its timers and limits.
///
/// ```
/// use hyperty_syncher::{SyncherConfig, Timeouts};
/// let config = SyncherConfig {
///     timeouts: Timeouts { decision: std::time::Duration::from_secs(2), ..Timeouts::default() },
///     ..SyncherConfig::new("hyperty-runtime://example.com/laptop".parse().unwrap())
/// };
/// assert_eq!(config.limits.in_flight_max, 65_536);
/// ```
#[derive(Clone)]
pub struct SyncherConfig {
    /// The runtime; its Sync Manager is spoken to.
    pub runtime: RuntimeUrl,
    /// The user behind the hyperty.
    pub identity: Option<Identity>,
    /// Where times of creation and change come from.
    pub clock: Arc<dyn Clock>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much is kept.
    pub limits: Limits,
}

impl SyncherConfig {
    /// The defaults, with the machine's clock and without a user.
    pub fn new(runtime: RuntimeUrl) -> SyncherConfig {
        SyncherConfig {
            runtime,
            identity: None,
            clock: Arc::new(SystemClock),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for SyncherConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyncherConfig { runtime, identity, timeouts, limits, .. } = self;
        f.debug_struct("SyncherConfig")
            .field("runtime", runtime)
            .field("identity", identity)
            .field("timeouts", timeouts)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// How long a [`Syncher`](crate::Syncher) waits (protocol 0.2, M9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For the answer to a creation, subscription, read or resume; a provisional answer starts it anew.
    pub response: Duration,
    /// For the answer to a deletion, which first collects the observers' acknowledgements.
    pub delete: Duration,
    /// For the answer to an operation on a child. The operation itself is kept until it is answered.
    pub child: Duration,
    /// For the application's decision on a subscription or read; then it is refused.
    pub decision: Duration,
    /// For the application's decision on an invitation; then nobody decided. People decide, so it is days.
    pub invitation: Duration,
    /// For the application's decision on an object that is offered to it; then it is declined. Less than an offer
    /// stands.
    pub delegation: Duration,
    /// For the answer to a read that repairs a copy.
    pub repair: Duration,
    /// Before the second try of a repair; doubled up to `repair_backoff_max`.
    pub repair_backoff: Duration,
    /// Between the later tries of a repair.
    pub repair_backoff_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            response: Duration::from_secs(15),
            // Five seconds of acknowledgements, then what is undone at the message node, with its retries.
            delete: Duration::from_secs(30),
            child: Duration::from_secs(3),
            // The Sync Manager gives up on the application after 9 s, and its peer after 12 s.
            decision: Duration::from_secs(6),
            invitation: Duration::from_secs(7 * 24 * 3600),
            delegation: Duration::from_secs(45),
            repair: Duration::from_secs(3),
            repair_backoff: Duration::from_millis(100),
            repair_backoff_max: Duration::from_secs(5),
        }
    }
}

/// How much a [`Syncher`](crate::Syncher) keeps at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Changes of one object that are not committed yet. One more is refused with
    /// [`WriteError::TooManyInFlight`](crate::WriteError::TooManyInFlight).
    pub in_flight_max: usize,
    /// Events that one reader has not read; then the whole state takes their place.
    pub events_max: usize,
    /// Subscriptions and reads that wait for the application; one more is refused at once.
    pub decisions_max: usize,
    /// Notifications of one kind, such as invitations, that are not answered; one more is refused at once, and comes
    /// again later.
    pub notifications_max: usize,
    /// Actions that observers of one object asked for and that no application has taken; one more is refused at once.
    pub requests_max: usize,
    /// Operations on the children of one object that are not answered yet.
    pub child_operations_max: usize,
    /// Messages that are kept for one object while its subscription, creation or repair is under way.
    pub buffered_max: usize,
}

/// Some seconds of the fastest durable store; an entry takes little more than the value it replaced.
pub const IN_FLIGHT_MAX: usize = 65_536;

/// A second of a lively object; events share their content with the message they came by.
pub const EVENTS_MAX: usize = 1_024;

/// More than a person can answer in the seconds there are, few enough to list.
pub const DECISIONS_MAX: usize = 4_096;

/// More than a person reads in days; each holds the metadata of an object.
pub const NOTIFICATIONS_MAX: usize = 256;
/// Far more than an application that reads them has waiting; the seconds they have do for as many.
pub const REQUESTS_MAX: usize = 1_024;

/// Hours of a person's notes while offline.
pub const CHILD_OPERATIONS_MAX: usize = 4_096;

/// What arrives during one round trip; beyond it the copy is repaired once more.
pub const BUFFERED_MAX: usize = 1_024;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            in_flight_max: IN_FLIGHT_MAX,
            events_max: EVENTS_MAX,
            decisions_max: DECISIONS_MAX,
            notifications_max: NOTIFICATIONS_MAX,
            requests_max: REQUESTS_MAX,
            child_operations_max: CHILD_OPERATIONS_MAX,
            buffered_max: BUFFERED_MAX,
        }
    }
}
