//! A run of everything at once: Reporters and Observers that do all they can, faults of all kinds, and a judge of
//! every step.
//!
//! Machines start, applications work while faults happen, everything is mended, and all must [converge
//! in time](CONVERGED_WITHIN). Then everybody leaves, objects are deleted, and nothing may be left of it all.

mod action;
mod admission;
mod children;
mod delegate;
mod hostile;
mod invite;
mod judge;
mod large;
mod observer;
mod other_device;
mod party;
mod procedures;
mod remove;
mod reporter;
mod run;
mod sweep;
mod take_over;

pub use self::procedures::{Procedure, UnknownProcedure, Weights};
pub use self::sweep::Sweep;

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::Url;
use hyperty_runtime::BackedUp;

use self::admission::Issuer;
use self::judge::Judge;
use self::other_device::Twin;
use self::party::Role;
use self::run::Run;
use super::faults::Fault;
use super::{Failure, FileDisk, Line, MemoryDisk, RuntimeSpec, Sim, SimBuilder, SimRng};
use crate::party::SCHEMA;

/// Once faults have stopped, all copies are equal within this time (I11): half-open connections are noticed within a
/// minute, a session that is lost for good within another, and the longest wait of a repair that failed follows.
pub const CONVERGED_WITHIN: Duration = Duration::from_secs(180);

/// Once all have left, nothing is left of them after this time (I10): graces and the life of a deleted object's
/// address are over.
pub const FORGOTTEN_WITHIN: Duration = Duration::from_secs(120);

/// How long a sync takes: a good disk under some load.
const SYNC: Duration = Duration::from_millis(2);

/// Objects in one run, each with a Reporter of its own.
const BOARDS_MAX: usize = 2;

/// A mixed run.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// What everything follows from.
    pub seed: u64,
    /// How many runtimes; at least two.
    pub runtimes: usize,
    /// How many domains, each with a node. Every runtime has a link to each.
    pub domains: usize,
    /// How long things go wrong.
    pub troubled: Duration,
    /// What may go wrong.
    pub faults: Vec<Fault>,
    /// What is done beside writing, and how often.
    pub weights: Weights,
    /// Whether disks hold files of durable tables, whose pages are torn; in memory if not.
    pub files: bool,
    /// Whether nodes admit by token only, and tokens are short-lived.
    pub tokens: bool,
}

/// What was done in a run that violated nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Virtual time, from the first start to the end.
    pub simulated: Duration,
    /// The hash of the trace.
    pub hash: u64,
    /// Lines of the trace.
    pub lines: u64,
    /// Frames that nodes took in.
    pub messages: u64,
    /// Changes, children and whole states that applications were told of.
    pub deliveries: u64,
    /// Copies that were brought up to date by the changes they had missed.
    pub repairs_by_changes: u64,
    /// Copies that were replaced by a whole state.
    pub repairs_by_snapshot: u64,
    /// Updates that made room for newer ones in the queues of nodes.
    pub conflations: u64,
    /// Machines that were stopped hard.
    pub crashes: u64,
    /// Invitations and announcements.
    pub invited: u64,
    /// Invitations that were taken back.
    pub revoked: u64,
    /// Observers that were removed.
    pub removed: u64,
    /// Actions that were asked for and performed.
    pub actions: u64,
    /// Objects that their Reporters gave to others.
    pub delegated: u64,
    /// Objects that other hyperties of their user took over.
    pub taken_over: u64,
    /// Objects that grew beyond a message.
    pub large: u64,
    /// Objects that another device, with an empty store, went on with.
    pub other_devices: u64,
    /// Tokens that were issued.
    pub tokens: u64,
}

impl Mixed {
    /// Five runtimes at one node, two minutes of all faults; every sixteenth seed has files on its disks, every fifth
    /// tokens for its sessions.
    pub fn new(seed: u64) -> Mixed {
        Mixed {
            seed,
            runtimes: 5,
            domains: 1,
            troubled: Duration::from_secs(120),
            faults: Fault::ALL.to_vec(),
            weights: Weights::default(),
            files: seed.is_multiple_of(16),
            tokens: seed.is_multiple_of(5),
        }
    }

    /// Smaller ones of different sizes, of which many are run: three to five runtimes, up to 70 seconds of all faults.
    pub fn small(seed: u64) -> Mixed {
        let runtimes = 3 + (seed % 3) as usize;
        let troubled = Duration::from_secs(25 + 15 * (seed % 4));
        Mixed { runtimes, troubled, ..Mixed::new(seed) }
    }

    /// The command that runs it again, with its whole trace.
    pub fn command(&self) -> String {
        let faults: Vec<&str> = self.faults.iter().map(|fault| fault.name()).collect();
        let Mixed { seed, runtimes, domains, weights, .. } = self;
        let disks = if self.files { "files" } else { "memory" };
        let admission = if self.tokens { "token" } else { "open" };
        let minutes = self.troubled.as_secs_f64() / 60.0;
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(",") };
        format!(
            "hyperty simulate --seed {seed} --runtimes {runtimes} --nodes {domains} --minutes {minutes} \
             --faults {faults} --procedures {weights} --disks {disks} --admission {admission} --trace"
        )
    }

    /// Runs it. See [`SimBuilder::run`].
    ///
    /// # Errors
    /// The first violation.
    pub fn run(&self) -> Result<Summary, Box<Failure>> {
        self.run_in(Sim::builder(self.seed))
    }

    /// The same, and every line of the trace is told as it happens.
    ///
    /// # Errors
    /// The first violation.
    pub fn run_traced(&self, listener: impl FnMut(&Line) + Send + 'static) -> Result<Summary, Box<Failure>> {
        self.run_in(Sim::builder(self.seed).trace_to(listener))
    }

    fn run_in(&self, mut builder: SimBuilder) -> Result<Summary, Box<Failure>> {
        let judge = Judge::new();
        let domains: Vec<String> = (0..self.domains.max(1)).map(domain).collect();
        let issuer = self.tokens.then(Arc::<Issuer>::default);
        let (tokens, twins) = (self.tokens, self.twins().is_some());
        for domain in &domains {
            builder = builder.node(domain, move |mut config| {
                config.limits.message.bytes = hostile::FRAME_BYTES_MAX;
                if twins {
                    config.timers.grace = other_device::GRACE;
                }
                if tokens { Issuer::guard(config) } else { config }
            });
        }
        let boards = BOARDS_MAX.min(self.runtimes.saturating_sub(1)).max(1);
        let runtimes = self.runtimes.max(2);
        for at in 0..runtimes {
            builder = builder.runtime(self.spec(at, boards, &domains, (&judge, issuer.as_ref())));
        }
        let parties = runtimes * boards;
        let (seed, files) = (self.seed, self.files);
        let builder = builder.replay(self.command()).disks(move |machine| match files {
            true => Arc::new(FileDisk::new(SYNC, SimRng::new(seed, machine).number())),
            false => Arc::new(MemoryDisk::new(SYNC)),
        });
        let run = Run { judge, parties, boards, mixed: self.clone(), issuer };
        builder.run(async |sim| run.script(sim).await)
    }

    /// The first runtime and the last, if they are two devices of one user: those of every second seed with runtimes
    /// enough for others to look on.
    fn twins(&self) -> Option<[usize; 2]> {
        let last = self.runtimes.max(2) - 1;
        let at_one_domain = last.is_multiple_of(self.domains.max(1));
        let wanted = self.weights.of(Procedure::OtherDevice) > 0 && self.seed.is_multiple_of(2);
        (wanted && at_one_domain && last > 2).then_some([0, last])
    }

    /// The name of the user of a runtime.
    fn user_of(&self, at: usize) -> String {
        match self.twins() {
            Some([first, second]) if at == second => name(first),
            _ => name(at),
        }
    }

    /// What the program of a runtime is told of one object.
    fn role(&self, at: usize, board: usize, domains: &[String], judge: &Arc<Judge>) -> Role {
        let hosts = (0..self.runtimes.max(2)).filter(|at| !is_guest(*at));
        let home = |at: usize| domains[at % domains.len()].clone();
        let twins = self.twins();
        let other = twins.and_then(|[a, b]| match at {
            _ if at == a => Some(b),
            _ if at == b => Some(a),
            _ => None,
        });
        Role {
            judge: Arc::clone(judge),
            board: format!("board-{board}"),
            creates: board == at,
            guest: is_guest(at),
            allowed: hosts.map(|at| user(&self.user_of(at), &home(at))).collect(),
            weights: self.weights,
            twin: other.map(|other| Twin {
                user: user(&self.user_of(at), &home(at)).to_string(),
                runtime: name(other),
                domain: home(other),
            }),
            twins: twins.into_iter().flatten().map(name).collect(),
        }
    }

    /// One runtime: it reports an object at first or none, and observes all others. The last one has a stranger as well,
    /// if sessions are anybody's.
    fn spec(
        &self,
        at: usize,
        boards: usize,
        domains: &[String],
        (judge, issuer): (&Arc<Judge>, Option<&Arc<Issuer>>),
    ) -> RuntimeSpec {
        let home = &domains[at % domains.len()];
        let mut spec = RuntimeSpec::new(&name(at), home).schema(SCHEMA);
        for domain in domains.iter().filter(|domain| *domain != home) {
            spec = spec.link(domain);
        }
        let (backup, issuer) = (self.twins().is_some(), issuer.cloned());
        let (whose, all) = (user(&self.user_of(at), home).to_string(), domains.to_vec());
        spec = spec.setup(move |builder| {
            let builder = if backup { builder.backup(BackedUp::AllStored) } else { builder };
            match &issuer {
                Some(issuer) => issuer.admit(builder, &whose, &all),
                None => builder,
            }
        });
        for number in 0..boards {
            let role = self.role(at, number, domains, judge);
            let code = {
                let role = role.clone();
                move |hyperty, seat| party::take_part(hyperty, seat, role.clone())
            };
            let (seed, runtime) = (self.seed, name(at));
            spec = spec.hyperty_named(move |start| take_over::name_at(seed, start, &runtime, &role), code);
            spec = spec.user(&self.user_of(at));
        }
        if at + 1 == self.runtimes && !self.tokens {
            let judge = Arc::clone(judge);
            let code = move |hyperty, seat| observer::stranger(hyperty, seat, Arc::clone(&judge));
            spec = spec.hyperty("stranger", code).user("stranger");
        }
        spec
    }
}

fn domain(at: usize) -> String {
    if at == 0 { "example.com".to_owned() } else { format!("example-{at}.org") }
}

fn name(at: usize) -> String {
    const NAMES: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
    NAMES.get(at).map_or_else(|| format!("runtime-{at}"), |name| (*name).to_owned())
}

/// Whether the user of this runtime observes by invitation only.
fn is_guest(at: usize) -> bool {
    at == 2
}

fn user(name: &str, domain: &str) -> Url {
    Url::parse(&format!("user://{domain}/{name}")).expect("a name and a domain make a user")
}
