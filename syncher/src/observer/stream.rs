//! What arrives for an observed object, on the thread of whoever sends it.

use std::sync::Arc;
use std::task::Waker;

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Message, MessageType};

use super::shared::ObserverShared;
use crate::events::Queued;

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
        let (waiters, behind) = {
            let mut state = self.state.lock();
            if state.end.is_some() {
                return;
            }
            let waiters = state.tell(|copy, tell| copy.on_update(update, tell));
            (waiters, state.copy.need().is_some())
        };
        waiters.into_iter().for_each(Waker::wake);
        if behind {
            self.repair();
        }
    }

    /// The Sync Manager says that the Reporter cannot be reached, or is reached again.
    fn on_status(&self, message: &Message) {
        let Ok(update) = message.decode::<UpdateBody>() else { return };
        let UpdateKind::Status(word) = &update.kind else { return };
        match word.as_str() {
            Some("disconnected") => self.set_disconnected(true),
            Some("live") => self.set_disconnected(false),
            _ => {}
        }
    }

    pub(super) fn set_disconnected(&self, disconnected: bool) {
        let waiters = {
            let mut state = self.state.lock();
            if state.end.is_some() || std::mem::replace(&mut state.disconnected, disconnected) == disconnected
            {
                return;
            }
            let event = if disconnected { Queued::Disconnected } else { Queued::Resumed };
            state.tell(|_, tell| tell(event))
        };
        waiters.into_iter().for_each(Waker::wake);
    }
}
