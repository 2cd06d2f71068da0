//! A machine with a runtime and its applications.

use std::future::Future;
use std::sync::{Arc, Weak};

use futures_core::future::BoxFuture;
use hyperty_runtime::{Hyperty, Runtime, RuntimeBuilder};
use hyperty_storage::Tables;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::program::{Program, Seat, program};
use super::{Crash, NodeHost, ids, watched};
use crate::sim::Sim;
use crate::sim::clock::MachineClock;
use crate::sim::disk::{Disk, Ordered};
use crate::sim::handle::Core;
use crate::sim::network::{SimConnector, Wire};
use crate::sim::rng::SimRng;

type Setup = Arc<dyn Fn(RuntimeBuilder) -> RuntimeBuilder + Send + Sync>;

/// A runtime that a simulation shall have: its name, its links, and the code that runs in it.
#[derive(Clone)]
pub struct RuntimeSpec {
    pub(crate) name: String,
    pub(crate) domains: Vec<String>,
    pub(crate) schemas: Vec<String>,
    pub(crate) setup: Setup,
    pub(crate) programs: Vec<Deployed>,
}

impl RuntimeSpec {
    /// The runtime `hyperty-runtime://<domain>/<name>`, linked to the node of its domain.
    pub fn new(name: &str, domain: &str) -> RuntimeSpec {
        RuntimeSpec {
            name: name.to_owned(),
            domains: vec![domain.to_owned()],
            schemas: Vec::new(),
            setup: Arc::new(|builder| builder),
            programs: Vec::new(),
        }
    }

    /// A link to the node of another domain as well.
    #[must_use]
    pub fn link(mut self, domain: &str) -> RuntimeSpec {
        self.domains.push(domain.to_owned());
        self
    }

    /// A JSON Schema that the runtime is told at each start.
    #[must_use]
    pub fn schema(mut self, document: &str) -> RuntimeSpec {
        self.schemas.push(document.to_owned());
        self
    }

    /// Settings of your own, such as a policy, applied at each start.
    #[must_use]
    pub fn setup(
        mut self,
        setup: impl Fn(RuntimeBuilder) -> RuntimeBuilder + Send + Sync + 'static,
    ) -> RuntimeSpec {
        self.setup = Arc::new(setup);
        self
    }

    /// A hyperty of this name, and its code: called at each start of the runtime, when the hyperty is deployed and
    /// what it had is resumed.
    #[must_use]
    pub fn hyperty<F>(
        self,
        name: &str,
        code: impl Fn(Hyperty, Seat) -> F + Send + Sync + 'static,
    ) -> RuntimeSpec
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name = name.to_owned();
        self.hyperty_named(move |_| name.clone(), code)
    }

    /// The same with a name that may be another at each start: another hyperty of the same user then, which has nothing
    /// of its own. `name` is told how often the runtime was started; 1 the first time.
    #[must_use]
    pub fn hyperty_named<F>(
        mut self,
        name: impl Fn(u64) -> String + Send + Sync + 'static,
        code: impl Fn(Hyperty, Seat) -> F + Send + Sync + 'static,
    ) -> RuntimeSpec
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.programs.push(Deployed { name: Arc::new(name), user: self.name.clone(), code: program(code) });
        self
    }

    /// The user behind the hyperty given last, `user://<domain>/<user>`; named like the runtime if not given.
    #[must_use]
    pub fn user(mut self, user: &str) -> RuntimeSpec {
        if let Some(last) = self.programs.last_mut() {
            last.user = user.to_owned();
        }
        self
    }
}

/// A hyperty with its code.
#[derive(Clone)]
pub(crate) struct Deployed {
    name: Arc<dyn Fn(u64) -> String + Send + Sync>,
    user: String,
    code: Program,
}

pub(crate) struct RuntimeHost {
    pub(crate) core: Weak<Core>,
    pub(crate) spec: RuntimeSpec,
    pub(crate) wires: Vec<(Arc<Wire>, Arc<NodeHost>)>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<MachineClock>,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    running: Option<Running>,
    starts: u64,
    /// Repairs by changes and by a snapshot, of the runtimes that were.
    repaired: (u64, u64),
}

struct Running {
    /// Known as soon as it is built.
    runtime: Option<Runtime>,
    tasks: JoinSet<()>,
}

impl RuntimeHost {
    pub(crate) fn start(self: &Arc<Self>) {
        let Some(core) = self.core.upgrade() else { return };
        let mut state = self.state.lock();
        if state.running.is_some() {
            return;
        }
        state.starts += 1;
        core.trace.event(&self.spec.name, format!("start {}", state.starts));
        match self.disk.open() {
            Ok((tables, syncing)) => {
                let (tables, syncing) = Ordered::over(tables, syncing);
                let mut tasks = JoinSet::new();
                tasks.spawn(syncing);
                let booting = Arc::clone(self).boot(tables, state.starts);
                tasks.spawn(self.watched(booting));
                state.running = Some(Running { runtime: None, tasks });
            }
            Err(why) => core.unreadable(&self.spec.name, &why),
        }
    }

    fn watched(&self, task: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
        let (core, who) = (self.core.clone(), self.spec.name.clone());
        Box::pin(watched(task, move |text| {
            if let Some(core) = core.upgrade() {
                core.panicked(&who, &text);
            }
        }))
    }

    async fn boot(self: Arc<Self>, tables: Arc<dyn Tables>, start: u64) {
        if let Err(why) = self.try_boot(tables, start).await
            && let Some(core) = self.core.upgrade()
        {
            core.unreadable(&self.spec.name, &why);
        }
    }

    async fn try_boot(self: &Arc<Self>, tables: Arc<dyn Tables>, start: u64) -> Result<(), String> {
        let Some(core) = self.core.upgrade() else { return Ok(()) };
        let (spec, seed) = (&self.spec, core.seed);
        let url = format!("hyperty-runtime://{}/{}", spec.domains[0], spec.name);
        let mut builder = (spec.setup)(Runtime::builder(&url))
            .shared_storage(tables)
            .clock(Arc::clone(&self.clock) as _)
            .ids(ids(seed, &spec.name, start));
        for (domain, (wire, node)) in spec.domains.iter().zip(&self.wires) {
            let connector = SimConnector { wire: Arc::clone(wire), node: Arc::clone(node) };
            builder = builder.message_node_via(domain, Arc::new(connector));
        }
        let runtime = builder.start().await.map_err(|error| error.to_string())?;
        if let Some(running) = &mut self.state.lock().running {
            running.runtime = Some(runtime.clone());
        }
        for schema in &spec.schemas {
            runtime.schema(schema).map_err(|error| error.to_string())?;
        }
        for Deployed { name, user, code } in &spec.programs {
            let (name, user) = (name(start), format!("user://{}/{user}", spec.domains[0]));
            let hyperty = runtime.deploy(&name).user(&user).await.map_err(|error| error.to_string())?;
            let seat = Seat {
                sim: Sim::of(&core),
                runtime: runtime.clone(),
                name: spec.name.clone(),
                start,
                rng: Arc::new(SimRng::new(seed ^ start, &format!("{}/{name}", spec.name))),
            };
            let task = self.watched(code(hyperty, seat));
            if let Some(running) = &mut self.state.lock().running {
                running.tasks.spawn(task);
            }
        }
        Ok(())
    }

    /// Stops hard; the connections are the caller's.
    pub(crate) fn crash(&self, how: Crash) {
        let repaired = self.repairs();
        let mut state = self.state.lock();
        let Some(running) = state.running.take() else { return };
        state.repaired = repaired;
        drop(state);
        // Before the runtime closes its store: what waits to be written is the crash's.
        self.disk.crash(how.torn);
        if let Some(runtime) = &running.runtime {
            runtime.abort();
        }
    }

    /// The runtime, while it runs.
    pub(crate) fn runtime(&self) -> Option<Runtime> {
        self.state.lock().running.as_ref().and_then(|running| running.runtime.clone())
    }

    /// Repairs by changes and by a snapshot, over all its starts.
    pub(crate) fn repairs(&self) -> (u64, u64) {
        let now = self.runtime().map(|runtime| runtime.stats()).unwrap_or_default();
        let (by_changes, by_snapshot) = self.state.lock().repaired;
        (by_changes + now.repairs_by_changes, by_snapshot + now.repairs_by_snapshot)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().running.is_some()
    }
}
