//! The one long-lived task of a Sync Manager: starts procedures, releases what became durable, keeps deadlines.

use futures_core::future::BoxFuture;
use hyperty_model::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::manager::SyncManager;
use crate::timers::Due;

/// Runs a Sync Manager. Dropping it, or the future of [`SyncManagerDriver::run`], ends every procedure at once.
pub struct SyncManagerDriver {
    manager: SyncManager,
    requests: mpsc::Receiver<Message>,
    jobs: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
}

impl SyncManagerDriver {
    pub(crate) fn new(
        manager: &SyncManager,
        requests: mpsc::Receiver<Message>,
        jobs: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
    ) -> SyncManagerDriver {
        SyncManagerDriver { manager: manager.clone(), requests, jobs }
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        // Dropped last: procedures that end with the driver see that nothing comes in any more.
        let mut procedures = JoinSet::new();
        // What no request waits for. It may wait for a node that is away, for every object, and keeps no request waiting.
        let mut followups = JoinSet::new();
        let SyncManagerDriver { manager, mut requests, mut jobs } = self;
        let mut progress = manager.shared.progress.clone();
        let mut store_gone = false;
        let procedures_max = manager.config().procedures_max;
        loop {
            tokio::select! {
                biased;
                changed = progress.changed(), if !store_gone => {
                    store_gone = changed.is_err();
                    manager.release_committed();
                    manager.send_all_kept();
                }
                Some(_) = procedures.join_next(), if !procedures.is_empty() => {}
                Some(_) = followups.join_next(), if !followups.is_empty() => {}
                due = manager.shared.timers.next() => {
                    for (kind, object) in due {
                        let manager = manager.clone();
                        match kind {
                            Due::Beat => {
                                followups.spawn(async move { manager.beat(&object) });
                            }
                            Due::Away => manager.drop_away(&object),
                            Due::Children => manager.send_children_again(&object),
                            Due::Invitations => manager.send_invitations(&object),
                            Due::Offers => manager.expire_offers(&object),
                            Due::Silence => manager.check_silence(&object),
                            Due::Gift => manager.forget_gift(&object),
                            Due::RollCall => {
                                followups.spawn(async move { manager.call_roll(&object).await });
                            }
                            Due::Leave => {
                                followups.spawn(async move { manager.tell_leaves(&object).await });
                            }
                            Due::Backup => {
                                followups.spawn(async move { manager.back_up(&object).await });
                            }
                            Due::Repair => {
                                let span = tracing::debug_span!("repair", %object);
                                followups.spawn(async move { manager.repair(&object).await }.instrument(span));
                            }
                        }
                    }
                }
                Some(job) = jobs.recv() => {
                    followups.spawn(job);
                }
                Some(message) = requests.recv(), if procedures.len() < procedures_max => {
                    let manager = manager.clone();
                    // Addresses only: nothing of what objects hold goes into logs.
                    let span = tracing::debug_span!(
                        "procedure", kind = %message.kind(), from = %message.from(), to = %message.to(), id = %message.id()
                    );
                    procedures.spawn(async move { manager.dispatch(message).await }.instrument(span));
                }
            }
        }
    }
}
