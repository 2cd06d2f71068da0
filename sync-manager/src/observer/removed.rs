//! The Reporter removes an observer of this runtime (protocol 5.7 step 2, 10.4): it is served no longer, whether it
//! cooperates or not.
//!
//! The Reporter's `unsubscribe` goes to the hyperty, and is seen here as it passes, ahead of whatever comes after it on
//! the same path.

use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::message::{ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, Message, MessageType, Url};

use super::object::State;
use crate::answer::Refusal;
use crate::manager::{SyncManager, WeakManager};
use crate::reporter::removed_refusal;

/// Looks for what Reporters elsewhere say to observers here.
pub(crate) struct RemovalWatch(pub(crate) WeakManager);

impl Interceptor for RemovalWatch {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        if direction == Direction::Incoming
            && message.kind() == MessageType::Unsubscribe
            && let Some(manager) = self.0.upgrade()
            && let Ok(hyperty) = HypertyUrl::try_from(message.to().clone())
        {
            manager.on_removal(&hyperty, &message);
            if !manager.shared.parts.registry.has_hyperty(&hyperty) && manager.is_observing(&message) {
                // It is not deployed now, so nobody else will answer.
                manager.bus().post(message.reply(ResponseBody::ok()));
                return Verdict::Drop;
            }
        }
        Verdict::Pass(message)
    }
}

impl SyncManager {
    /// Ends what is served to one observer, if it is the Reporter who says so (INV-KICK-3).
    fn on_removal(&self, hyperty: &HypertyUrl, message: &Message) {
        let Ok(body) = message.decode::<UnsubscribeBody>() else { return };
        let Some(object) = body.resource.as_ref().and_then(|url| self.observed(url)) else { return };
        let observer = {
            let mut state = object.lock();
            state.call_off(hyperty, message.from());
            let reporter = state.metadata.as_ref().map(|metadata| metadata.reporter.as_url());
            if reporter != Some(message.from()) {
                tracing::debug!(object = %object.url, from = %message.from(), "only the Reporter removes observers");
                return;
            }
            let observer = state.observers.remove(hyperty);
            if observer.as_ref().is_some_and(|observer| observer.resumable) {
                self.save_or_forget(&object, &state);
            }
            observer
        };
        if let Some(observer) = observer {
            tracing::info!(object = %object.url, %hyperty, "the Reporter removed an observer");
            drop(observer.forwards);
            let manager = self.clone();
            self.later(Box::pin(async move { manager.end_if_unused(&object).await }));
        }
    }

    /// Whether the object that a message names is observed here, and reported by its sender.
    fn is_observing(&self, message: &Message) -> bool {
        let body = message.decode::<UnsubscribeBody>().ok();
        let object = body.and_then(|body| self.observed(body.resource.as_ref()?));
        object.is_some_and(|object| {
            let state = object.lock();
            state.metadata.as_ref().is_some_and(|metadata| metadata.reporter.as_url() == message.from())
        })
    }
}

/// A subscription whose answer is awaited: its hyperty can be removed before it is served.
pub(crate) struct JoiningHere {
    pub(crate) number: u64,
    pub(crate) hyperty: HypertyUrl,
    /// Who called it off: the Reporter, or somebody who says so before the Reporter is known.
    pub(crate) called_off_by: Option<Url>,
}

impl State {
    /// Those who wait for their answer are not served when it comes.
    fn call_off(&mut self, hyperty: &HypertyUrl, by: &Url) {
        let metadata = self.metadata.as_ref();
        if metadata.is_some_and(|metadata| metadata.reporter.as_url() != by) {
            return;
        }
        for joining in self.joining.iter_mut().filter(|joining| joining.hyperty == *hyperty) {
            joining.called_off_by = Some(by.clone());
        }
    }

    /// Whether the Reporter has removed a hyperty since it asked.
    ///
    /// # Errors
    /// 403, reason `removed`.
    pub(crate) fn check_not_called_off(&self, number: u64) -> Result<(), Refusal> {
        let joining = self.joining.iter().find(|joining| joining.number == number);
        let by = joining.and_then(|joining| joining.called_off_by.as_ref());
        let reporter = self.metadata.as_ref().map(|metadata| metadata.reporter.as_url());
        match by.is_some() && by == reporter {
            true => Err(removed_refusal()),
            false => Ok(()),
        }
    }
}
