//! Who was removed and has not heard of it is told as soon as it can be (protocol 5.7, step 3).

use std::sync::Arc;

use hyperty_model::{HypertyUrl, RuntimeUrl};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::object::{Reported, State};
use super::remove::Goodbye;
use crate::manager::SyncManager;

/// Removed observers of one object that are told at one time when a node can be reached again. Each takes three requests,
/// so that this many are a small part of the requests that a runtime may have under way, and ten thousand hear of it
/// within as many exchanges as forty of these.
pub(crate) const REMIND_AT_ONCE: usize = 256;

impl SyncManager {
    /// Who of a runtime could not be told before: now, ahead of whatever else that runtime is going to be told. Call it in
    /// the step in which that is queued.
    pub(crate) fn remind_removed_of(&self, object: &Arc<Reported>, state: &State, runtime: &RuntimeUrl) {
        for who in state.removed.untold(Some(runtime)) {
            if let Some(goodbye) = self.begin_goodbye(object, state, &who) {
                self.finish_later(object, who, goodbye, None);
            }
        }
    }

    /// All that could not be told before: the first ahead of whatever else is going to be told, if it is called in the step
    /// in which that is queued; the others as these have been told. Of those who wait, one that comes by itself is
    /// [told then](SyncManager::remind_removed_of).
    pub(crate) fn remind_removed(&self, object: &Arc<Reported>, state: &mut State) {
        state.reminders += 1;
        let turn = state.reminders;
        let permits = Arc::new(Semaphore::new(REMIND_AT_ONCE));
        let mut untold = state.removed.untold(None).into_iter();
        for who in untold.by_ref().take(REMIND_AT_ONCE) {
            if let Some(goodbye) = self.begin_goodbye(object, state, &who) {
                self.finish_later(object, who, goodbye, Arc::clone(&permits).try_acquire_owned().ok());
            }
        }
        let rest: Vec<HypertyUrl> = untold.collect();
        if !rest.is_empty() {
            let (manager, object) = (self.clone(), Arc::clone(object));
            self.later(Box::pin(async move { manager.remind_rest(&object, turn, rest, permits).await }));
        }
    }

    /// One as one before it has been told. Ends when all are reminded anew, or the object is not reported here any more.
    async fn remind_rest(
        &self,
        object: &Arc<Reported>,
        turn: u64,
        rest: Vec<HypertyUrl>,
        permits: Arc<Semaphore>,
    ) {
        for who in rest {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let state = object.lock();
            if state.reminders != turn || state.check_there().is_err() {
                return;
            }
            if let Some(goodbye) = self.begin_goodbye(object, &state, &who) {
                self.finish_later(object, who, goodbye, Some(permit));
            }
        }
    }

    fn finish_later(
        &self,
        object: &Arc<Reported>,
        who: HypertyUrl,
        goodbye: Goodbye,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let (manager, object) = (self.clone(), Arc::clone(object));
        self.later(Box::pin(async move {
            manager.finish_goodbye(&object, &who, goodbye).await;
            drop(permit);
        }));
    }
}
