//! A running simulation, and what can be done to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::{MessageNode, Stats};
use hyperty_model::{Clock, Timestamp};
use hyperty_runtime::Runtime;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hosts::{Crash, NodeHost, RuntimeHost};
use super::network::{LinkProfile, Notice, Wire};
use super::rng::SimRng;
use super::trace::{Direction, Line, Trace};
use crate::reference::{Invariant, Violation};

/// A running simulation. Clones are handles of the same one.
///
/// Machines are named: a node by its domain, a runtime by the last segment of its URL.
///
/// # Panics
/// Every method that takes a name panics when there is nothing of that name: a script that misspells one must not
/// pass.
#[derive(Clone)]
pub struct Sim {
    pub(super) core: Arc<Core>,
}

pub(crate) struct Core {
    pub(crate) seed: u64,
    pub(crate) begun: Instant,
    pub(crate) trace: Arc<Trace>,
    pub(super) nodes: BTreeMap<String, Arc<NodeHost>>,
    pub(super) runtimes: BTreeMap<String, Arc<RuntimeHost>>,
    pub(super) wires: BTreeMap<(String, String), Arc<Wire>>,
    pub(super) failure: Mutex<Option<Violation>>,
    pub(super) failed: Notify,
    pub(super) replay: String,
    pub(super) crashes: std::sync::atomic::AtomicU64,
}

/// Why a simulation ended early. Its `Display` form has all that is needed to look into it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was violated.
    pub violation: Violation,
    /// When, in virtual time.
    pub at: Duration,
    /// The last lines of the trace.
    pub trace: Vec<Line>,
    /// The command that does exactly the same again.
    pub replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {} after {:?}: {}", self.seed, self.at, self.violation)?;
        write!(f, "again, with the whole trace: {}", self.replay)
    }
}

impl std::error::Error for Failure {}

impl Core {
    pub(crate) fn violated(&self, violation: Violation) {
        self.trace.event(&violation.who, format!("VIOLATION {violation}"));
        self.failure.lock().get_or_insert(violation);
        self.failed.notify_one();
    }

    /// A machine does not start over what is on its disk.
    pub(crate) fn unreadable(&self, who: &str, why: &str) {
        self.violated(broken(Invariant::I8, who, format!("does not start: {why}")));
    }

    /// Code panicked: nothing may, whatever it was sent.
    pub(crate) fn panicked(&self, who: &str, text: &str) {
        self.violated(broken(Invariant::I12, who, format!("panicked: {text}")));
    }
}

fn broken(invariant: Invariant, who: &str, detail: String) -> Violation {
    Violation { invariant, object: "the system".to_owned(), who: who.to_owned(), detail }
}

impl Sim {
    pub(crate) fn of(core: &Arc<Core>) -> Sim {
        Sim { core: Arc::clone(core) }
    }

    /// The seed that everything random follows from.
    pub fn seed(&self) -> u64 {
        self.core.seed
    }

    /// Virtual time since the beginning.
    pub fn now(&self) -> Duration {
        self.core.begun.elapsed()
    }

    /// Lets virtual time go by.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Random numbers for the thing of this name.
    pub fn rng(&self, name: &str) -> SimRng {
        SimRng::new(self.core.seed, name)
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.core.trace
    }

    /// Writes a line into the trace.
    pub fn note(&self, who: &str, text: impl Into<String>) {
        self.core.trace.event(who, text.into());
    }

    /// Ends the simulation with a violation.
    pub fn violated(&self, violation: Violation) {
        self.core.violated(violation);
    }

    /// The domains, each with a node.
    pub fn domains(&self) -> Vec<String> {
        self.core.nodes.keys().cloned().collect()
    }

    /// The names of the runtimes.
    pub fn runtimes(&self) -> Vec<String> {
        self.core.runtimes.keys().cloned().collect()
    }

    /// The links, each as runtime and domain.
    pub fn links(&self) -> Vec<(String, String)> {
        self.core.wires.keys().cloned().collect()
    }

    /// The node of a domain, while it runs.
    pub fn node(&self, domain: &str) -> Option<MessageNode> {
        self.node_host(domain).node()
    }

    /// What the node of a domain counted over all its starts; sessions and routes are those of now.
    pub fn node_stats(&self, domain: &str) -> Stats {
        self.node_host(domain).totals()
    }

    /// A runtime, while it runs.
    pub fn runtime(&self, name: &str) -> Option<Runtime> {
        self.runtime_host(name).runtime()
    }

    /// How often copies in a runtime were repaired by changes, and by a whole state, over all its starts.
    pub fn repairs(&self, name: &str) -> (u64, u64) {
        self.runtime_host(name).repairs()
    }

    /// Whether a machine runs.
    pub fn is_up(&self, machine: &str) -> bool {
        match self.core.runtimes.get(machine) {
            Some(host) => host.is_up(),
            None => self.node_host(machine).node().is_some(),
        }
    }

    /// How often a machine was crashed.
    pub fn crashes(&self) -> u64 {
        self.core.crashes.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Stops a machine hard. One that is down stays so.
    pub fn crash(&self, machine: &str, how: Crash) {
        if !self.is_up(machine) {
            return;
        }
        self.note(machine, format!("crashes, {how:?}"));
        self.core.crashes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if how.notice == Notice::Silent {
            self.wires_of(machine).for_each(|wire| wire.break_all(Notice::Silent));
        }
        match self.core.runtimes.get(machine) {
            Some(host) => host.crash(how),
            None => self.node_host(machine).crash(how),
        }
    }

    /// Starts a machine over its disk. One that runs goes on.
    pub fn start(&self, machine: &str) {
        match self.core.runtimes.get(machine) {
            Some(host) => host.start(),
            None => self.node_host(machine).start(),
        }
    }

    /// What the clock of a machine says.
    pub fn clock(&self, machine: &str) -> Timestamp {
        match self.core.runtimes.get(machine) {
            Some(host) => host.clock.now(),
            None => self.node_host(machine).clock.now(),
        }
    }

    /// Sets the clock of a machine forwards, or backwards by a negative number of milliseconds.
    pub fn jump_clock(&self, machine: &str, millis: i64) {
        self.note(machine, format!("its clock jumps by {millis} ms"));
        match self.core.runtimes.get(machine) {
            Some(host) => host.clock.jump(millis),
            None => self.node_host(machine).clock.jump(millis),
        }
    }

    /// Cuts a link: its connections end, and new ones are refused, or not answered, until it is restored.
    pub fn cut(&self, runtime: &str, domain: &str, notice: Notice) {
        self.wire(runtime, domain).cut(notice);
    }

    /// Holds back what goes one way over a link, as a one-way partition does: it arrives when the link is restored
    /// and the connection still there.
    pub fn hold(&self, runtime: &str, domain: &str, direction: Direction) {
        self.wire(runtime, domain).hold(direction);
    }

    /// Ends a cut, and a partition.
    pub fn restore(&self, runtime: &str, domain: &str) {
        self.wire(runtime, domain).restore();
    }

    /// How a link behaves.
    pub fn profile(&self, runtime: &str, domain: &str) -> LinkProfile {
        self.wire(runtime, domain).profile()
    }

    /// Makes a link behave otherwise from now on.
    pub fn set_profile(&self, runtime: &str, domain: &str, profile: LinkProfile) {
        self.wire(runtime, domain).set_profile(profile);
    }

    /// Ends all faults: links are whole and good, all machines run.
    pub fn heal(&self) {
        self.note("all", "healed");
        for wire in self.core.wires.values() {
            wire.restore();
            if wire.profile() != LinkProfile::default() {
                wire.set_profile(LinkProfile::default());
            }
        }
        self.core.nodes.values().for_each(|host| host.start());
        self.core.runtimes.values().for_each(|host| host.start());
    }

    fn wires_of<'a>(&'a self, machine: &'a str) -> impl Iterator<Item = &'a Arc<Wire>> {
        let of = move |(runtime, domain): &(String, String)| runtime == machine || domain == machine;
        self.core.wires.iter().filter(move |(ends, _)| of(ends)).map(|(_, wire)| wire)
    }

    fn wire(&self, runtime: &str, domain: &str) -> &Arc<Wire> {
        let wire = self.core.wires.get(&(runtime.to_owned(), domain.to_owned()));
        wire.unwrap_or_else(|| panic!("there is no link between {runtime} and {domain}"))
    }

    fn node_host(&self, domain: &str) -> &Arc<NodeHost> {
        self.core.nodes.get(domain).unwrap_or_else(|| panic!("there is no node and no runtime {domain}"))
    }

    fn runtime_host(&self, name: &str) -> &Arc<RuntimeHost> {
        self.core.runtimes.get(name).unwrap_or_else(|| panic!("there is no runtime {name}"))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim(seed {} at {:?})", self.core.seed, self.now())
    }
}
