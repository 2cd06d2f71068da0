//! What arrives for an observed object, on the thread of whoever sends it.

use std::sync::Arc;
use std::task::Waker;

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Message, MessageType};
use tokio::time::Instant;

use super::shared::{Cut, ObserverShared};
use crate::events::Queued;
use crate::lag::versions_between;

impl ObserverShared {
    /// Takes in a message for one of the object's addresses.
    pub(crate) fn receive(&self, message: &Message) {
        if message.to() == &self.changes {
            return self.on_stream(message);
        }
        match message.to().split_derived() {
            Some((_, Some(hyperty_model::DerivedTail::Children(_)))) => {
                self.board.on_message(message, |heard| self.on_heard(heard));
            }
            Some((_, Some(hyperty_model::DerivedTail::Status))) => self.on_status(message),
            _ => {}
        }
    }

    pub(super) fn on_stream(&self, message: &Message) {
        match message.kind() {
            MessageType::Update if message.from() == self.url.as_url() => {
                match message.decode::<UpdateBody>() {
                    Ok(update) => self.on_update(&update),
                    Err(error) => {
                        tracing::warn!(?message, %error, "an update that cannot be read");
                        self.state.lock().read_whole = true;
                        self.repair();
                    }
                }
            }
            // Only the owner's Sync Manager deletes (INV-DEL-4).
            MessageType::Delete if *message.from() == self.url.subscription() => self.deleted(),
            _ => {}
        }
    }

    fn on_update(&self, update: &Arc<UpdateBody>) {
        let (waiters, behind, cut, claim) = {
            let mut state = self.state.lock();
            if state.end.is_some() {
                return;
            }
            state.heard = Instant::now();
            let waiters = state.tell(|copy, tell| copy.on_update(update, tell));
            let claim = state.copy.claim(update);
            (waiters, state.copy.need().is_some(), state.cut.is_some(), claim)
        };
        waiters.into_iter().for_each(Waker::wake);
        if let Some(claim) = claim {
            self.verify(claim);
        }
        if behind {
            self.repair();
        } else if cut {
            self.mended();
        }
    }

    /// The Sync Manager says that the Reporter cannot be reached, or is reached again.
    fn on_status(&self, message: &Message) {
        let Ok(update) = message.decode::<UpdateBody>() else { return };
        let UpdateKind::Status(word) = &update.kind else { return };
        match word.as_str() {
            Some("disconnected") => self.cut(),
            Some("live") => self.mend(),
            _ => {}
        }
    }

    /// The Reporter cannot be reached.
    pub(super) fn cut(&self) {
        let waiters = {
            let mut state = self.state.lock();
            if state.end.is_some() {
                return;
            }
            match &mut state.cut {
                // Lost again before all was made up for: that is still one interruption.
                Some(cut) => {
                    cut.mending = false;
                    return;
                }
                None => state.cut = Some(Cut { at: state.copy.position(), mending: false }),
            }
            state.tell(|copy, tell| tell(Queued::Disconnected(copy.position())))
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// The Reporter is reached again. The application is told when nothing is missing any more.
    fn mend(&self) {
        if let Some(cut) = &mut self.state.lock().cut {
            cut.mending = true;
        }
        self.mended();
    }

    /// Tells that all that was missed is made up for, if that is so and was not told.
    pub(super) fn mended(&self) {
        let waiters = {
            let mut state = self.state.lock();
            let Some(cut) = state.cut.filter(|cut| cut.mending) else { return };
            let waiting = state.read_whole || state.copy.metadata().is_none();
            if state.end.is_some() || waiting || state.copy.need().is_some() {
                return;
            }
            state.cut = None;
            let missed = versions_between(cut.at, state.copy.position());
            state.tell(|_, tell| tell(Queued::Resumed(missed)))
        };
        waiters.into_iter().for_each(Waker::wake);
    }
}
