use std::sync::{Arc, Weak};

use futures_core::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::core::Core;
use crate::decisions::Decisions;

/// Work that waits for somebody, such as the repair of a copy.
pub(crate) type Job = BoxFuture<'static, ()>;

/// The part of a [`Syncher`](crate::Syncher) that waits: it repairs copies, refuses what nobody decides in time, and
/// ends subscriptions to deleted objects.
///
/// Whoever makes a Syncher runs this until the hyperty goes. When it is dropped, running or not, the Syncher stops:
/// what is in flight fails, observations end, and nothing can be created or subscribed any more.
#[must_use = "a Syncher without its driver repairs nothing"]
pub struct SyncherDriver {
    /// Without a bound of its own: each object has at most one repair and one ending on the way.
    jobs: mpsc::UnboundedReceiver<Job>,
    decisions: Arc<Decisions>,
    invited: Arc<Decisions>,
    delegated: Arc<Decisions>,
    core: Weak<Core>,
}

impl SyncherDriver {
    pub(crate) fn new(core: &Arc<Core>, jobs: mpsc::UnboundedReceiver<Job>) -> SyncherDriver {
        SyncherDriver {
            jobs,
            decisions: Arc::clone(&core.decisions),
            invited: Arc::clone(&core.notifications.invited),
            delegated: Arc::clone(&core.notifications.delegated),
            core: Arc::downgrade(core),
        }
    }

    /// Runs until every handle of the Syncher and of its objects is dropped.
    pub async fn run(mut self) {
        let (decisions, invited) = (Arc::clone(&self.decisions), Arc::clone(&self.invited));
        let delegated = Arc::clone(&self.delegated);
        let (expire, expire_invited) = (decisions.expire(), invited.expire());
        let expire_delegated = delegated.expire();
        tokio::pin!(expire, expire_invited, expire_delegated);
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                job = self.jobs.recv() => match job {
                    Some(job) => drop(running.spawn(job)),
                    None => break,
                },
                Some(_) = running.join_next() => {}
                () = &mut expire => {}
                () = &mut expire_invited => {}
                () = &mut expire_delegated => {}
            }
        }
    }
}

impl Drop for SyncherDriver {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.stop();
        }
    }
}

impl std::fmt::Debug for SyncherDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncherDriver").finish_non_exhaustive()
    }
}
