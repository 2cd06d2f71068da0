//! Choosing the parts of a simulation, and running it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyperty_message_node::NodeConfig;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::MachineClock;
use super::disk::{Disk, MemoryDisk};
use super::handle::{Core, Failure, Sim};
use super::hosts::{NodeHost, RuntimeHost, RuntimeSpec};
use super::network::{LinkProfile, Wire};
use super::trace::{Line, Listener, Trace};
use crate::reference::Violation;

/// How long a sync of a disk takes if nothing else is chosen: a good disk under some load.
const SYNC_LATENCY: Duration = Duration::from_millis(2);

type MakeDisk = Box<dyn Fn(&str) -> Arc<dyn Disk>>;
type Configure = Arc<dyn Fn(NodeConfig) -> NodeConfig + Send + Sync>;

/// Chooses the parts of a simulation.
#[must_use = "nothing is simulated before `run`"]
pub struct SimBuilder {
    seed: u64,
    nodes: BTreeMap<String, Configure>,
    runtimes: Vec<RuntimeSpec>,
    link: LinkProfile,
    make_disk: MakeDisk,
    listener: Option<Listener>,
    replay: Option<String>,
}

impl Sim {
    /// Starts to choose the parts. Whatever is random follows from the seed.
    pub fn builder(seed: u64) -> SimBuilder {
        SimBuilder {
            seed,
            nodes: BTreeMap::new(),
            runtimes: Vec::new(),
            link: LinkProfile::default(),
            make_disk: Box::new(|_| Arc::new(MemoryDisk::new(SYNC_LATENCY))),
            listener: None,
            replay: None,
        }
    }
}

impl SimBuilder {
    /// A message node for a domain. The domain of every link has one, with default settings if not given here.
    pub fn node(
        mut self,
        domain: &str,
        configure: impl Fn(NodeConfig) -> NodeConfig + Send + Sync + 'static,
    ) -> SimBuilder {
        self.nodes.insert(domain.to_owned(), Arc::new(configure));
        self
    }

    /// A runtime with its links and programs.
    pub fn runtime(mut self, spec: RuntimeSpec) -> SimBuilder {
        self.runtimes.push(spec);
        self
    }

    /// How links behave at first.
    pub fn link(self, profile: LinkProfile) -> SimBuilder {
        SimBuilder { link: profile, ..self }
    }

    /// The disks of the machines, by their names; in memory, with a sync of 2 ms, if not given.
    pub fn disks(self, make: impl Fn(&str) -> Arc<dyn Disk> + 'static) -> SimBuilder {
        SimBuilder { make_disk: Box::new(make), ..self }
    }

    /// Is told every line of the trace as it happens.
    pub fn trace_to(self, listener: impl FnMut(&Line) + Send + 'static) -> SimBuilder {
        SimBuilder { listener: Some(Box::new(listener)), ..self }
    }

    /// What a failure names as the command to do the same again.
    pub fn replay(self, command: impl Into<String>) -> SimBuilder {
        SimBuilder { replay: Some(command.into()), ..self }
    }

    /// Runs the simulation: starts all machines, then `script`, at whose end it is over. The thread must not run a
    /// tokio runtime already: the simulation is one of its own, with one thread and virtual time.
    ///
    /// # Errors
    /// [`Failure`] for the first violation, whoever noticed it.
    ///
    /// # Panics
    /// When the system gives no event queue to the runtime.
    pub fn run<T, F: Future<Output = Result<T, Violation>>>(
        self,
        script: impl FnOnce(Sim) -> F,
    ) -> Result<T, Box<Failure>> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let executor = executor.expect("a runtime without I/O needs nothing of the system");
        executor.block_on(async {
            let sim = self.build();
            let core = Arc::clone(&sim.core);
            core.nodes.values().for_each(|host| host.start());
            core.runtimes.values().for_each(|host| host.start());
            let result = tokio::select! {
                biased;
                () = core.failed.notified() => None,
                result = script(sim) => Some(result),
            };
            let violation = core.failure.lock().take();
            let violation = match (violation, result) {
                (None, Some(Ok(result))) => return Ok(result),
                (None, Some(Err(violation))) => violation,
                // Nobody wakes this without having left one.
                (violation, _) => violation.expect("a violation was left"),
            };
            Err(Box::new(Failure {
                seed: core.seed,
                violation,
                at: core.begun.elapsed(),
                trace: core.trace.recent(),
                replay: core.replay.clone(),
            }))
        })
    }

    fn build(self) -> Sim {
        let SimBuilder { seed, mut nodes, runtimes, link, make_disk, listener, replay } = self;
        let begun = Instant::now();
        let trace = Arc::new(Trace::new(begun, listener));
        for domain in runtimes.iter().flat_map(|spec| &spec.domains) {
            nodes.entry(domain.clone()).or_insert_with(|| Arc::new(|config| config));
        }
        let clock = || Arc::new(MachineClock::new(begun));
        let core = Arc::new_cyclic(|core: &std::sync::Weak<Core>| {
            let hosts: BTreeMap<String, Arc<NodeHost>> = nodes
                .into_iter()
                .map(|(domain, configure)| {
                    let host = NodeHost {
                        core: core.clone(),
                        disk: make_disk(&domain),
                        clock: clock(),
                        configure,
                        state: Mutex::default(),
                        powered: Notify::new(),
                        domain: domain.clone(),
                    };
                    (domain, Arc::new(host))
                })
                .collect();
            let mut wires = BTreeMap::new();
            let mut started = BTreeMap::new();
            for spec in runtimes {
                let connect = |domain: &String| {
                    let wire = Wire::new(&format!("{}/{domain}", spec.name), link.clone(), seed, &trace);
                    wires.insert((spec.name.clone(), domain.clone()), Arc::clone(&wire));
                    (wire, Arc::clone(&hosts[domain]))
                };
                let wired = spec.domains.iter().map(connect).collect();
                let name = spec.name.clone();
                let (disk, core) = (make_disk(&name), core.clone());
                let host =
                    RuntimeHost { core, spec, wires: wired, disk, clock: clock(), state: Mutex::default() };
                started.insert(name, Arc::new(host));
            }
            Core {
                seed,
                begun,
                trace,
                nodes: hosts,
                runtimes: started,
                wires,
                failure: Mutex::default(),
                failed: Notify::new(),
                replay: replay.unwrap_or_else(|| format!("the same test with seed {seed}")),
                crashes: AtomicU64::new(0),
            }
        });
        Sim::of(&core)
    }
}
