//! The end of an observation: it happens once, whatever comes together.

use std::task::Waker;

use hyperty_model::{MessageType, StatusCode, Url};

use super::shared::ObserverShared;
use crate::children::ChildError;
use crate::{CloseReason, ObserverEvent};

/// How an observation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Deleted,
    Closed(CloseReason),
}

impl End {
    pub(super) fn event(&self) -> ObserverEvent {
        match self {
            End::Deleted => ObserverEvent::Deleted,
            End::Closed(reason) => ObserverEvent::Closed { reason: reason.clone() },
        }
    }
}

impl ObserverShared {
    /// The Reporter deleted the object: what is left of the subscription is cleared away (protocol 5.8.5).
    pub(super) fn deleted(&self) {
        if self.end(End::Deleted) {
            self.unsubscribe_later();
        }
    }

    /// The Reporter removed this observer (protocol 5.7.2).
    pub(crate) fn removed(&self) {
        if self.end(End::Closed(CloseReason::Removed)) {
            self.unsubscribe_later();
        }
    }

    /// Somebody says that this observer is removed. Before the first snapshot nobody knows whether it is the Reporter:
    /// then it is noted, and true. Ahead of the answer to its subscription that is not about this one: the Sync Manager
    /// has seen it as well, and answers accordingly.
    pub(crate) fn note_removal(&self, by: &Url) -> bool {
        let mut state = self.state.lock();
        let is_early = state.end.is_none() && state.copy.metadata().is_none();
        let is_asking = state.asking.as_ref().is_some_and(|asked| self.core.minibus.awaits(asked));
        if is_early && !is_asking {
            state.removed_by = Some(by.clone());
        }
        is_early
    }

    /// The first snapshot has come: whether its Reporter has removed this observer meanwhile, which is the end then.
    pub(super) fn was_removed(&self) -> bool {
        let by = self.state.lock().removed_by.take();
        let removed = by.is_some_and(|by| self.is_reported_by(&by));
        if removed {
            self.removed();
        }
        removed
    }

    /// The Reporter's side does not serve this observer any more; there is no subscription left to end.
    pub(crate) fn refused(&self, code: StatusCode, reason: String) {
        self.end(End::Closed(CloseReason::Refused { code, reason }));
    }

    /// This hyperty has become the Reporter; its subscription ended with that.
    pub(crate) fn reporting(&self) {
        self.end(End::Closed(CloseReason::Reporting));
    }

    /// This hyperty reports the object itself from now on; its operations on children go on.
    pub(crate) fn owned(&self) {
        self.end_here(End::Closed(CloseReason::Reporting));
    }

    pub(crate) fn stop(&self) {
        self.finish(End::Closed(CloseReason::Stopped), &ChildError::Stopped);
    }

    /// Ends it; false if it had ended before.
    pub(super) fn end(&self, end: End) -> bool {
        self.finish(end, &ChildError::Closed)
    }

    fn finish(&self, end: End, children: &ChildError) -> bool {
        let ended = self.end_here(end);
        if ended {
            self.board.close(children);
        }
        ended
    }

    fn end_here(&self, end: End) -> bool {
        let (waiters, listeners) = {
            let mut state = self.state.lock();
            if state.end.is_some() {
                return false;
            }
            state.end = Some(end);
            let waiters: Vec<Waker> =
                state.cursors.iter_mut().flat_map(|cursor| cursor.events.waiters()).collect();
            (waiters, std::mem::take(&mut state.listeners))
        };
        drop(listeners);
        waiters.into_iter().for_each(Waker::wake);
        self.core.remove(&self.url, std::ptr::from_ref(self).cast());
        true
    }

    pub(super) fn unsubscribe_later(&self) {
        let request = self.core.ask(MessageType::Unsubscribe, self.core.unsubscribe_body(&self.url));
        // Whatever the answer is, there is nothing left here to clear away.
        self.core.run_later(async move { drop(request.await) });
    }
}
