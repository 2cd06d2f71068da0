//! What an operator may set, and the limits with their reasons.

use std::time::Duration;

use hyperty_address_allocation::AllocationLimits;
use hyperty_model::message::Limits;
use hyperty_model::queue::{QUEUE_BYTES_MAX, QueueLimits};
use hyperty_registry::RegistryLimits;

use crate::components::backup::BackupLimits;
use crate::rate::AttachRate;

use crate::admission::AdmissionConfig;
use crate::discovery::Discovery;

/// Most sessions, live and graced. Fifty thousand runtimes fit twice; each costs some kilobytes.
pub const SESSIONS_MAX: usize = 100_000;

/// Most connections, with a session or not yet: every session may be on its way to a new connection.
pub const LINKS_MAX: usize = 2 * SESSIONS_MAX;

/// Most connections that have no session yet: a fleet that comes back at once, for the moment that each needs. More are
/// refused before anything of them is read.
pub const UNADMITTED_LINKS_MAX: usize = 10_000;

/// Most routes of one session, if nothing else is set or its token says otherwise: some sixty objects of four addresses
/// each. A route costs about 200 bytes, and who subscribes what nobody publishes costs that for nothing.
pub const ROUTES_PER_SESSION: usize = 256;

/// Most routes of one session, whatever its token says: a gateway with 25,000 objects of four addresses each.
pub const ROUTES_PER_SESSION_MAX: usize = 100_000;

/// Most sessions of one user, where sessions are admitted by token: the devices of a person and the processes of a
/// service.
pub const SESSIONS_PER_USER: usize = 256;

/// Most messages kept for a session that lost its connection (protocol 5.15).
pub const GRACED_COUNT_MAX: usize = 256;

/// Most answers that wait for the store. More means that the disk does not keep up: the requests are refused.
pub const PENDING_ANSWERS_MAX: usize = 65_536;

/// How long routes of a lost connection are kept (T_GRACE, protocol 0.2).
pub const GRACE: Duration = Duration::from_secs(60);

/// How often an open connection is pinged: below the 30 s after which common proxies cut idle sockets.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long a connection may be silent, answers to pings included: two pings and some slack.
pub const IDLE_MAX: Duration = Duration::from_secs(50);

/// How long a connection may stay without a session.
pub const OPEN_WAIT: Duration = Duration::from_secs(10);

/// How long what is under way may take when the node is stopped: longer than a disk or a healthy client needs, and
/// both waits together below the 30 s after which common supervisors kill.
pub const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// How connections may be asked how the node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AdminPages {
    /// `/metrics` and `/status` are served beside `/ws`, to callers on the same machine only.
    #[default]
    ThisMachine,
    /// They are not served here.
    Elsewhere,
}

/// What a message node may hold at most.
#[derive(Debug, Clone, Copy)]
pub struct NodeLimits {
    /// Size and depth of a message; deeper or longer ones are answered 400.
    pub message: Limits,
    /// Sessions, live and graced.
    pub sessions: usize,
    /// Connections, with or without a session.
    pub links: usize,
    /// Connections without a session.
    pub unadmitted_links: usize,
    /// Sessions of one user, where they are admitted by token.
    pub sessions_per_user: usize,
    /// Connections of one address in a second.
    pub attach: AttachRate,
    /// Routes of one session: addresses it subscribed or bound by use. A token may say another number.
    pub routes_per_session: usize,
    /// What may wait for one connection (Q_OUT, protocol M15).
    pub queue: QueueLimits,
    /// What may wait for a session without a connection.
    pub graced: QueueLimits,
    /// Answers that wait for the store.
    pub pending_answers: usize,
    /// What the domain registry keeps.
    pub registry: RegistryLimits,
    /// Which addresses are given out.
    pub allocations: AllocationLimits,
    /// What is kept for the devices of users.
    pub backup: BackupLimits,
}

impl Default for NodeLimits {
    fn default() -> NodeLimits {
        NodeLimits {
            message: Limits::default(),
            sessions: SESSIONS_MAX,
            links: LINKS_MAX,
            unadmitted_links: UNADMITTED_LINKS_MAX,
            sessions_per_user: SESSIONS_PER_USER,
            attach: AttachRate::default(),
            routes_per_session: ROUTES_PER_SESSION,
            queue: QueueLimits::default(),
            graced: QueueLimits { count: GRACED_COUNT_MAX, bytes: QUEUE_BYTES_MAX },
            pending_answers: PENDING_ANSWERS_MAX,
            registry: RegistryLimits::default(),
            allocations: AllocationLimits::default(),
            backup: BackupLimits::default(),
        }
    }
}

/// How long a message node waits.
#[derive(Debug, Clone, Copy)]
pub struct NodeTimers {
    /// For a lost connection to come back.
    pub grace: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// For any sign of life of a connection.
    pub idle: Duration,
    /// For a new connection to open a session; less if sessions need a token
    /// ([`TokenAdmission::wait`](crate::admission::TokenAdmission::wait)).
    pub open: Duration,
    /// For what is under way, when the node is stopped in order: once until it is on disk and answered, and once
    /// until the connections have taken it.
    pub drain: Duration,
}

impl Default for NodeTimers {
    fn default() -> NodeTimers {
        NodeTimers { grace: GRACE, ping: PING_INTERVAL, idle: IDLE_MAX, open: OPEN_WAIT, drain: DRAIN_WAIT }
    }
}

/// Settings of a [`MessageNode`](crate::MessageNode).
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The domain this node serves, for instance `example.com`.
    pub domain: String,
    /// What it holds at most.
    pub limits: NodeLimits,
    /// How long it waits.
    pub timers: NodeTimers,
    /// Who may open a session.
    pub admission: AdmissionConfig,
    /// Whether only the session that holds or allocated an object may publish its changes (protocol 5.14).
    pub enforce_publisher: bool,
    /// Whether only sessions whose runtime the owner of an object has accepted listen to its stream (protocol 10.4).
    /// Not given: where sessions are admitted by token; whoever may just open one could listen in any name.
    pub enforce_subscriber: Option<bool>,
    /// What searches at the registry find.
    pub discovery: Discovery,
    /// Whether records of objects are kept here for the devices of their users (protocol 5.19).
    pub backup: bool,
    /// Where `/metrics` and `/status` are; `/healthz` and `/readyz` are always served.
    pub admin: AdminPages,
}

impl NodeConfig {
    /// The defaults, for a domain.
    pub fn new(domain: &str) -> NodeConfig {
        NodeConfig {
            domain: domain.to_owned(),
            limits: NodeLimits::default(),
            timers: NodeTimers::default(),
            admission: AdmissionConfig::default(),
            enforce_publisher: true,
            enforce_subscriber: None,
            discovery: Discovery::default(),
            backup: true,
            admin: AdminPages::default(),
        }
    }

    /// Whether who listens to the stream of an object has to be accepted by its owner.
    pub fn enforces_subscriber(&self) -> bool {
        let by_token = matches!(self.admission, AdmissionConfig::Tokens(_));
        self.enforce_subscriber.unwrap_or(by_token)
    }
}
