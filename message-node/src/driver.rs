//! What has to happen later: one future that waits for it all.

use std::sync::Arc;
use std::time::Duration;

use hyperty_storage::{Progress, StorageError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::node::Core;

/// How often registrations are looked at for expiry. An hour is their usual life, so a second is exact enough.
const REGISTRY_TICK: Duration = Duration::from_secs(1);

/// Ends graces, expires registrations, and sends the answers that wait for the store.
#[must_use = "a node without its driver forgets nothing and keeps its answers to itself"]
pub struct NodeDriver {
    core: Arc<Core>,
    progress: watch::Receiver<Progress>,
}

impl NodeDriver {
    pub(crate) fn new(core: Arc<Core>, progress: watch::Receiver<Progress>) -> NodeDriver {
        NodeDriver { core, progress }
    }

    /// Runs until the node is told to stop.
    pub async fn run(mut self) {
        let core = Arc::clone(&self.core);
        let mut stopping = std::pin::pin!(core.stopping());
        let mut store_lives = true;
        let mut registry_due = Instant::now() + REGISTRY_TICK;
        let mut absent_due = Some(Instant::now() + self.core.config.timers.grace);
        loop {
            let now = Instant::now();
            if now >= registry_due {
                self.core.expire_registrations();
                self.core.expire_uploads();
                registry_due = now + REGISTRY_TICK;
            }
            if absent_due.is_some_and(|due| now >= due) {
                self.core.disconnect_absent();
                absent_due = None;
            }
            let next = self.core.act_on_due(now).map_or(registry_due, |due| due.min(registry_due));
            let next = absent_due.map_or(next, |due| due.min(next));
            tokio::select! {
                biased;
                _ = &mut stopping => return,
                changed = self.progress.changed(), if store_lives => {
                    store_lives = changed.is_ok() && !self.store_failed();
                    self.core.send_durable();
                }
                () = self.core.wake_driver.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Whether the store has failed, which is final. Says so, for the driver asks only when there are news and until
    /// they are these.
    fn store_failed(&mut self) -> bool {
        let Some(error) = self.progress.borrow_and_update().failed.clone() else { return false };
        if error == StorageError::Closed {
            // By whoever owns it, who knows.
            tracing::debug!("the node's store was closed");
            return true;
        }
        tracing::error!(%error, "the node's store failed: it stores nothing more and is not ready; start it anew");
        true
    }
}

impl std::fmt::Debug for NodeDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeDriver").finish_non_exhaustive()
    }
}
