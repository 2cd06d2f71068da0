//! A machine with a message node.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_message_node::{MessageNode, NodeConfig, ROUTES_PER_SESSION_MAX, Stats};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Crash, ids, watched};
use crate::sim::clock::MachineClock;
use crate::sim::disk::{Disk, Ordered};
use crate::sim::handle::Core;
use crate::sim::network::{self, Notice};

/// Changes the settings of a node before it starts.
pub(crate) type Configure = Arc<dyn Fn(NodeConfig) -> NodeConfig + Send + Sync>;

pub(crate) struct NodeHost {
    pub(crate) core: std::sync::Weak<Core>,
    pub(crate) domain: String,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<MachineClock>,
    pub(crate) configure: Configure,
    pub(crate) state: Mutex<State>,
    /// The machine has power again. A `watch` would wake those who wait in an order of its own.
    pub(crate) powered: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    running: Option<Running>,
    starts: u64,
    /// Without power nobody even refuses a connection.
    dark: bool,
    /// Of the nodes that were.
    past: Stats,
}

struct Running {
    node: MessageNode,
    tasks: JoinSet<()>,
}

impl NodeHost {
    pub(crate) fn start(&self) {
        let Some(core) = self.core.upgrade() else { return };
        let mut state = self.state.lock();
        if state.running.is_some() {
            return;
        }
        state.starts += 1;
        core.trace.event(&self.domain, format!("start {}", state.starts));
        let opened = self.disk.open().and_then(|(tables, syncing)| {
            let (tables, syncing) = Ordered::over(tables, syncing);
            // As where sessions are admitted by token: conforming runtimes do not notice.
            let mut config = NodeConfig { enforce_subscriber: Some(true), ..NodeConfig::new(&self.domain) };
            config.limits.routes_per_session = ROUTES_PER_SESSION_MAX;
            let config = (self.configure)(config);
            let (clock, ids) = (Arc::clone(&self.clock), ids(core.seed, &self.domain, state.starts));
            let made = MessageNode::new(config, tables, clock, ids);
            made.map(|made| (made, syncing)).map_err(|error| error.to_string())
        });
        match opened {
            Ok(((node, driver), syncing)) => {
                let mut tasks = JoinSet::new();
                tasks.spawn(syncing);
                tasks.spawn(self.watched(driver.run()));
                state.running = Some(Running { node, tasks });
                state.dark = false;
                drop(state);
                self.powered.notify_waiters();
            }
            Err(why) => core.unreadable(&self.domain, &why),
        }
    }

    fn watched(&self, task: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
        let (core, who) = (self.core.clone(), self.domain.clone());
        Box::pin(watched(task, move |text| {
            if let Some(core) = core.upgrade() {
                core.panicked(&who, &text);
            }
        }))
    }

    /// Stops hard; the connections are the caller's.
    pub(crate) fn crash(&self, how: Crash) {
        let Some(running) = self.stop() else { return };
        self.state.lock().dark = how.notice == Notice::Silent;
        self.disk.crash(how.torn);
        drop(running);
    }

    fn stop(&self) -> Option<Running> {
        let mut state = self.state.lock();
        let mut running = state.running.take()?;
        let stats = running.node.stats();
        let past = &mut state.past;
        past.received += stats.received;
        past.delivered += stats.delivered;
        past.conflated += stats.conflated;
        past.refused += stats.refused;
        // In the order in which they began; the stop alone would wake them in any.
        running.tasks.abort_all();
        running.node.stop();
        Some(running)
    }

    pub(crate) fn node(&self) -> Option<MessageNode> {
        self.state.lock().running.as_ref().map(|running| running.node.clone())
    }

    /// What was counted over all its starts.
    pub(crate) fn totals(&self) -> Stats {
        let now = self.node().map(|node| node.stats()).unwrap_or_default();
        let past = self.state.lock().past;
        Stats {
            received: past.received + now.received,
            delivered: past.delivered + now.delivered,
            conflated: past.conflated + now.conflated,
            refused: past.refused + now.refused,
            ..now
        }
    }

    /// Waits while the machine is without power.
    pub(crate) async fn powered(&self) {
        loop {
            // Before the look, so that a start in between is not missed.
            let powered = self.powered.notified();
            if !self.state.lock().dark {
                return;
            }
            powered.await;
        }
    }

    /// Serves a connection.
    pub(crate) fn accept(&self, connection: &Arc<network::Connection>) -> Result<(), String> {
        let mut state = self.state.lock();
        let running = state.running.as_mut().ok_or("nobody listens")?;
        let link = running.node.attach().map_err(|error| error.to_string())?;
        let timers = running.node.config().timers;
        while running.tasks.try_join_next().is_some() {}
        let serving = network::serve(link, Arc::clone(connection), timers);
        running.tasks.spawn(self.watched(serving));
        Ok(())
    }
}
