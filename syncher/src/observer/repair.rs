//! Making up for what was missed (protocol 3.4, 10.1, M7): one question at a time, to the Sync Manager of this runtime.

use std::sync::{Arc, Weak};
use std::task::Waker;

use hyperty_model::replica::Need;
use hyperty_model::{ObjectUrl, Position};

use super::end::End;
use super::shared::ObserverShared;
use crate::CloseReason;
use crate::core::Core;
use crate::exchange::{Backoff, NotRepaired, Repair};

/// What is asked for: what came after a position, or everything.
type Wanted = Option<Position>;

impl ObserverShared {
    /// Lets the driver ask for what is missing, if something is and it is not at it.
    pub(super) fn repair(&self) {
        {
            let mut state = self.state.lock();
            if state.repairing || self.wanted(&state).is_none() {
                return;
            }
            state.repairing = true;
        }
        self.core.run_later(make_up(Arc::clone(&self.core), self.url.clone(), Weak::clone(&self.itself)));
    }

    fn wanted(&self, state: &super::shared::State) -> Option<Wanted> {
        if state.end.is_some() || state.copy.metadata().is_none() {
            return None;
        }
        match state.copy.need() {
            _ if state.read_whole => Some(None),
            Some(Need::Since(position)) => Some(Some(position)),
            Some(Need::Snapshot) => Some(None),
            None => None,
        }
    }

    /// Where the copy stands, if what came after that is all it lacks.
    pub(super) fn stands_at(&self) -> Option<Position> {
        let state = self.state.lock();
        let sound = !state.read_whole && state.copy.need() != Some(Need::Snapshot);
        state.copy.metadata().filter(|_| sound).map(|_| state.copy.position())
    }

    /// What to ask for now; without anything the repair has ended, in the same step.
    fn next_wanted(&self) -> Option<Wanted> {
        let mut state = self.state.lock();
        let wanted = self.wanted(&state);
        state.repairing = wanted.is_some();
        wanted
    }

    /// Asks once for what may have been missed.
    pub(crate) async fn catch_up(&self) {
        let _asking = self.board.ask();
        if let Ok(repair) = self.core.read(&self.url, self.stands_at()).await {
            self.take_over(repair);
        }
    }

    pub(super) fn take_over(&self, repair: Repair) {
        match repair {
            Repair::Changes { to, changes, children } => {
                let waiters = self.state.lock().tell(|copy, tell| copy.on_changes(to, changes, tell));
                waiters.into_iter().for_each(Waker::wake);
                if let Some(children) = children {
                    self.board.extend(children, |heard| self.on_heard(heard));
                }
            }
            Repair::Whole(snapshot, names) => {
                self.state.lock().read_whole = false;
                self.install(*snapshot, &names);
            }
        }
        self.mended();
    }
}

/// Asks until nothing is missing, the object is gone, or nobody holds it any more.
async fn make_up(core: Arc<Core>, url: ObjectUrl, weak: Weak<ObserverShared>) {
    let mut backoff = Backoff::new(&core);
    loop {
        let next = weak.upgrade().and_then(|it| it.next_wanted().map(|wanted| (wanted, it.board.ask())));
        let Some((wanted, asking)) = next else { return };
        let answer = core.read(&url, wanted).await;
        let Some(observer) = weak.upgrade() else { return };
        match answer {
            Ok(repair) => {
                observer.take_over(repair);
                drop(asking);
                if observer.next_wanted().is_none() {
                    return;
                }
            }
            Err(NotRepaired::Later) => {}
            Err(NotRepaired::Gone) => return observer.deleted(),
            // The subscription itself is no longer known to the Reporter's side: make it anew.
            Err(NotRepaired::Refused(..)) => {
                drop(observer);
                if let Some((code, reason)) = renew(&weak).await {
                    if let Some(observer) = weak.upgrade() {
                        observer.end(End::Closed(CloseReason::Refused { code, reason }));
                    }
                    return;
                }
                backoff.pause().await;
                continue;
            }
        }
        drop(observer);
        backoff.pause().await;
    }
}

/// Subscribes again; says why not if it was refused.
async fn renew(weak: &Weak<ObserverShared>) -> Option<(hyperty_model::StatusCode, String)> {
    use super::subscribe::{Options, SubscribeError, subscribe};
    let observer = weak.upgrade()?;
    let options = Options::default();
    match subscribe(&observer, &options).await {
        Err(SubscribeError::Refused { code, reason }) => Some((code, reason)),
        _ => None,
    }
}
