//! The Reporter removes an observer of this runtime (protocol 5.7 step 2, 10.4): it is served no longer, whether it
//! cooperates or not.
//!
//! Two messages say so: the Reporter's own to the hyperty, and its Sync Manager's to this one. Both are seen here as they
//! enter the bus, ahead of whatever comes after them on the same path.

use std::sync::Arc;

use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::message::{ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, Message, MessageType, StatusCode, Url};

use super::object::{Observed, State};
use crate::answer::Refusal;
use crate::manager::{SyncManager, WeakManager};
use crate::reporter::{REMOVED, removed_refusal};

/// Looks for what is said elsewhere about observers here.
pub(crate) struct RemovalWatch(pub(crate) WeakManager);

impl Interceptor for RemovalWatch {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        if direction == Direction::Incoming
            && message.kind() == MessageType::Unsubscribe
            && let Some(manager) = self.0.upgrade()
            && manager.on_removal(&message)
        {
            return Verdict::Drop;
        }
        Verdict::Pass(message)
    }
}

impl SyncManager {
    /// Ends what is served to one observer, if it is the Reporter's side who says so (INV-KICK-3). True if the message
    /// was for this Sync Manager alone, and is answered.
    fn on_removal(&self, message: &Message) -> bool {
        let Ok(body) = message.decode::<UnsubscribeBody>() else { return false };
        let Some(url) = &body.resource else { return false };
        let object = self.observed(url);
        if let Ok(hyperty) = HypertyUrl::try_from(message.to().clone()) {
            let Some(object) = object else { return false };
            return self.removed_by_reporter(&object, &hyperty, message);
        }
        let is_removal = message.to() == self.address() && body.reason.as_deref() == Some(REMOVED);
        let who = body.source.clone().and_then(|source| HypertyUrl::try_from(source).ok());
        let (true, Some(who)) = (is_removal, who) else { return false };
        let answer = match object {
            Some(object) if *message.from() == url.subscription() && self.is_from_home(url, message) => {
                self.removed_by_manager(&object, &who, message.from());
                ResponseBody::ok()
            }
            Some(_) => {
                ResponseBody::failure(StatusCode::FORBIDDEN, "only the Reporter's side removes observers")
            }
            None => ResponseBody::failure(StatusCode::NOT_FOUND, "not observed here"),
        };
        self.bus().post(message.reply(answer));
        true
    }

    /// The Reporter says so to the hyperty, which answers if it is there and not served. One that is served hears it from
    /// here: its copy may be behind ours, and tell of another Reporter yet.
    fn removed_by_reporter(&self, object: &Arc<Observed>, who: &HypertyUrl, message: &Message) -> bool {
        let reporter = {
            let mut state = object.lock();
            state.call_off(who, message.from());
            state.metadata.as_ref().map(|metadata| metadata.reporter.as_url().clone())
        };
        if reporter.as_ref() != Some(message.from()) {
            tracing::debug!(object = %object.url, from = %message.from(), "only the Reporter removes observers");
            return false;
        }
        let was_served = self.serve_no_longer(object, who);
        let is_here = self.shared.parts.registry.has_hyperty(who);
        if was_served && is_here {
            self.tell_removed(object, who);
        }
        let is_answered = was_served || !is_here;
        if is_answered {
            self.bus().post(message.reply(ResponseBody::ok()));
        }
        is_answered
    }

    /// The Reporter's Sync Manager says so: the hyperty is told in turn.
    fn removed_by_manager(&self, object: &Arc<Observed>, who: &HypertyUrl, from: &Url) {
        object.lock().call_off(who, from);
        if self.serve_no_longer(object, who) {
            self.tell_removed(object, who);
        }
    }

    fn tell_removed(&self, object: &Observed, who: &HypertyUrl) {
        let body = UnsubscribeBody {
            resource: Some(object.url.clone()),
            reason: Some(REMOVED.to_owned()),
            ..UnsubscribeBody::default()
        };
        let message = self.bus().new_message(MessageType::Unsubscribe, self.address(), who, body);
        self.bus().post(message);
    }

    /// False if it was not served.
    fn serve_no_longer(&self, object: &Arc<Observed>, who: &HypertyUrl) -> bool {
        let observer = {
            let mut state = object.lock();
            let observer = state.observers.remove(who);
            if observer.as_ref().is_some_and(|observer| observer.resumable) {
                self.save_or_forget(object, &state);
            }
            observer
        };
        let Some(observer) = observer else { return false };
        tracing::info!(object = %object.url, %who, "the Reporter removed an observer");
        drop(observer.forwards);
        let (manager, object) = (self.clone(), Arc::clone(object));
        self.later(Box::pin(async move { manager.end_if_unused(&object).await }));
        true
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
        if self.metadata.is_some() && !self.is_reporter_side(by) {
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
        match by.is_some_and(|by| self.is_reporter_side(by)) {
            true => Err(removed_refusal()),
            false => Ok(()),
        }
    }

    /// Whether an address is the Reporter's, or that of its side.
    fn is_reporter_side(&self, address: &Url) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| {
            metadata.reporter.as_url() == address || metadata.url.subscription() == *address
        })
    }
}
