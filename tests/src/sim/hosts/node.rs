//! A machine with a message node.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_message_node::{MessageNode, NodeConfig, Stats};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Crash, ids, watched};
use crate::sim::clock::MachineClock;
use crate::sim::disk::Disk;
use crate::sim::network::{self, Notice};
use crate::sim::handle::Core;

/// Changes the settings of a node before it starts.
pub(crate) type Configure = Arc<dyn Fn(NodeConfig) -> NodeConfig + Send + Sync>;

pub(crate) struct NodeHost {
    pub(crate) core: std::sync::Weak<Core>,
    pub(crate) domain: String,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<MachineClock>,
    pub(crate) configure: Configure,
    pub(crate) state: Mutex<State>,
    /// Whether somebody answers at all: without power nobody even refuses.
    pub(crate) power: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct State {
    running: Option<Running>,
    starts: u64,
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
            let config = (self.configure)(NodeConfig::new(&self.domain));
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
                drop(state);
                self.power.send_replace(true);
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
        if how.notice == Notice::Silent {
            self.power.send_replace(false);
        }
        self.disk.crash(how.torn);
        drop(running);
    }

    fn stop(&self) -> Option<Running> {
        let mut state = self.state.lock();
        let running = state.running.take()?;
        let stats = running.node.stats();
        let past = &mut state.past;
        past.received += stats.received;
        past.delivered += stats.delivered;
        past.conflated += stats.conflated;
        past.refused += stats.refused;
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
        let mut power = self.power.subscribe();
        // The host outlives whoever waits here.
        let _ = power.wait_for(|power| *power).await;
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
