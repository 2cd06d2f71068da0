//! A run of everything at once: Reporters and Observers that do all they can, faults of all kinds, and a judge of
//! every step.
//!
//! Machines start, applications work while faults happen, everything is mended, and all must [converge
//! in time](CONVERGED_WITHIN). Then everybody leaves, objects are deleted, and nothing may be left of it all.

mod action;
mod children;
mod delegate;
mod hostile;
mod invite;
mod judge;
mod large;
mod observer;
mod party;
mod procedures;
mod remove;
mod reporter;
mod sweep;
mod take_over;

pub use self::procedures::{Procedure, UnknownProcedure, Weights};
pub use self::sweep::Sweep;

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::Url;
use tokio::time::{sleep, timeout};

use self::judge::{Judge, Phase};
use self::party::Role;
use super::faults::{Fault, Schedule};
use super::{Failure, FileDisk, Line, MemoryDisk, RuntimeSpec, Sim, SimBuilder, SimRng};
use crate::party::SCHEMA;
use crate::reference::{Baseline, Invariant, Violation};

/// Once faults have stopped, all copies are equal within this time (I11): half-open connections are noticed within a
/// minute, a session that is lost for good within another, and the longest wait of a repair that failed follows.
pub const CONVERGED_WITHIN: Duration = Duration::from_secs(180);

/// Once all have left, nothing is left of them after this time (I10): graces and the life of a deleted object's
/// address are over.
pub const FORGOTTEN_WITHIN: Duration = Duration::from_secs(120);

/// How long machines have to find each other before anything goes wrong.
const BOOTED_WITHIN: Duration = Duration::from_secs(30);

/// How long everything stays quiet before resources are counted.
const QUIET: Duration = Duration::from_secs(5);

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
}

impl Mixed {
    /// Five runtimes at one node, two minutes of all faults; every sixteenth seed has files on its disks.
    pub fn new(seed: u64) -> Mixed {
        Mixed {
            seed,
            runtimes: 5,
            domains: 1,
            troubled: Duration::from_secs(120),
            faults: Fault::ALL.to_vec(),
            weights: Weights::default(),
            files: seed.is_multiple_of(16),
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
        let minutes = self.troubled.as_secs_f64() / 60.0;
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(",") };
        format!(
            "hyperty simulate --seed {seed} --runtimes {runtimes} --nodes {domains} --minutes {minutes} \
             --faults {faults} --procedures {weights} --disks {disks} --trace"
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
        for domain in &domains {
            builder = builder.node(domain, |mut config| {
                config.limits.message.bytes = hostile::FRAME_BYTES_MAX;
                config
            });
        }
        let boards = BOARDS_MAX.min(self.runtimes.saturating_sub(1)).max(1);
        let runtimes = self.runtimes.max(2);
        for at in 0..runtimes {
            builder = builder.runtime(self.spec(at, boards, &domains, &judge));
        }
        let parties = runtimes * boards;
        let (seed, files) = (self.seed, self.files);
        let builder = builder.replay(self.command()).disks(move |machine| match files {
            true => Arc::new(FileDisk::new(SYNC, SimRng::new(seed, machine).number())),
            false => Arc::new(MemoryDisk::new(SYNC)),
        });
        let run = Run { judge, parties, boards, mixed: self.clone() };
        builder.run(async |sim| run.script(sim).await)
    }

    /// One runtime: it reports an object at first or none, and observes all others. The last one has a stranger as well.
    fn spec(&self, at: usize, boards: usize, domains: &[String], judge: &Arc<Judge>) -> RuntimeSpec {
        let home = &domains[at % domains.len()];
        let mut spec = RuntimeSpec::new(&name(at), home).schema(SCHEMA);
        for domain in domains.iter().filter(|domain| *domain != home) {
            spec = spec.link(domain);
        }
        let hosts = (0..self.runtimes.max(2)).filter(|at| !is_guest(*at));
        let allowed: Vec<Url> = hosts.map(|at| user(&name(at), &domains[at % domains.len()])).collect();
        for number in 0..boards {
            let role = Role {
                judge: Arc::clone(judge),
                board: format!("board-{number}"),
                creates: number == at,
                guest: is_guest(at),
                allowed: allowed.clone(),
                weights: self.weights,
            };
            let code = {
                let role = role.clone();
                move |hyperty, seat| party::take_part(hyperty, seat, role.clone())
            };
            let (seed, runtime) = (self.seed, name(at));
            spec = spec.hyperty_named(move |start| take_over::name_at(seed, start, &runtime, &role), code);
        }
        if at + 1 == self.runtimes {
            let judge = Arc::clone(judge);
            let code = move |hyperty, seat| observer::stranger(hyperty, seat, Arc::clone(&judge));
            spec = spec.hyperty("stranger", code).user("stranger");
        }
        spec
    }
}

struct Run {
    judge: Arc<Judge>,
    mixed: Mixed,
    parties: usize,
    boards: usize,
}

impl Run {
    async fn script(self, sim: Sim) -> Result<Summary, Violation> {
        let judge = &self.judge;
        self.booted(&sim).await?;
        let before = holdings(&sim);
        judge.enter(Phase::Work);
        self.trouble(&sim).await;
        sim.heal();
        judge.enter(Phase::Settle);
        let settled = async {
            while judge.unsettled(self.parties).is_some() {
                sleep(reporter::LOOK).await;
            }
        };
        if timeout(CONVERGED_WITHIN, settled).await.is_err() {
            let missing = || self.late("some were never heard of");
            return Err(judge.unsettled(self.parties).flatten().unwrap_or_else(missing));
        }
        for (phase, parties) in [(Phase::Leave, self.parties - self.boards), (Phase::Delete, self.parties)] {
            judge.enter(phase);
            let left = async {
                while judge.done() < parties as u64 {
                    sleep(reporter::LOOK).await;
                }
            };
            timeout(FORGOTTEN_WITHIN, left).await.map_err(|_| self.late("not everybody could leave"))?;
        }
        sleep(FORGOTTEN_WITHIN).await;
        before.holds("all", &holdings(&sim))?;
        Ok(self.summary(&sim))
    }

    async fn booted(&self, sim: &Sim) -> Result<(), Violation> {
        let connected = async {
            for name in sim.runtimes() {
                while sim.runtime(&name).is_none() {
                    sleep(Duration::from_millis(10)).await;
                }
                if let Some(runtime) = sim.runtime(&name) {
                    runtime.connected().await;
                }
            }
        };
        timeout(BOOTED_WITHIN, connected).await.map_err(|_| self.late("not everybody was connected"))?;
        sleep(QUIET).await;
        Ok(())
    }

    async fn trouble(&self, sim: &Sim) {
        let schedule = Schedule::of(&self.mixed.faults);
        let over = sleep(self.mixed.troubled);
        let hostile = async {
            if self.mixed.faults.contains(&Fault::Hostile) {
                hostile::visit(sim, &self.judge).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = over => {}
            () = schedule.run(sim) => {}
            () = hostile => {}
        }
    }

    fn late(&self, detail: &str) -> Violation {
        Violation {
            invariant: Invariant::I11,
            object: "the system".to_owned(),
            who: "all".to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn summary(&self, sim: &Sim) -> Summary {
        let mut summary = Summary {
            simulated: sim.now(),
            hash: sim.trace().hash(),
            lines: sim.trace().lines(),
            deliveries: self.judge.deliveries(),
            crashes: sim.crashes(),
            invited: self.judge.deeds(Procedure::Invite),
            revoked: self.judge.deeds(Procedure::Revoke),
            removed: self.judge.deeds(Procedure::Remove),
            actions: self.judge.deeds(Procedure::Action),
            delegated: self.judge.deeds(Procedure::Delegate),
            taken_over: self.judge.deeds(Procedure::TakeOver),
            large: self.judge.deeds(Procedure::Large),
            ..Summary::default()
        };
        for domain in sim.domains() {
            let stats = sim.node_stats(&domain);
            summary.messages += stats.received;
            summary.conflations += stats.conflated;
        }
        for name in sim.runtimes() {
            let (by_changes, by_snapshot) = sim.repairs(&name);
            summary.repairs_by_changes += by_changes;
            summary.repairs_by_snapshot += by_snapshot;
        }
        summary
    }
}

/// What the system holds at this moment.
fn holdings(sim: &Sim) -> Baseline {
    let mut counts =
        vec![("tasks".to_owned(), tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64)];
    for domain in sim.domains() {
        let stats = sim.node_stats(&domain);
        counts.push((format!("sessions at {domain}"), stats.sessions as u64));
        counts.push((format!("routes at {domain}"), stats.routes as u64));
    }
    for name in sim.runtimes() {
        let stats = sim.runtime(&name).map(|runtime| runtime.stats()).unwrap_or_default();
        counts.push((format!("objects reported by {name}"), stats.reported as u64));
        counts.push((format!("objects observed by {name}"), stats.observed as u64));
    }
    Baseline::new(counts)
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
