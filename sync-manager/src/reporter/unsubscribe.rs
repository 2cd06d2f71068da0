//! An observer leaves, at the Reporter's side (protocol 5.6.3).

use std::sync::Arc;

use hyperty_model::message::{ForwardBody, ForwardKind, ObserversOperation, ResponseBody, UnsubscribeBody};
use hyperty_model::url::node;
use hyperty_model::{HypertyUrl, Identity, Message, ObjectUrl, RuntimeUrl, StatusCode};
use hyperty_storage::{Role, Ticket};
use tokio::time::Instant;

use super::object::Reported;
use super::subscribe::runtime_of;
use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// `unsubscribe` to `O/subscription`.
    pub(crate) async fn release_observer(
        &self,
        message: &Message,
        url: &ObjectUrl,
        body: &UnsubscribeBody,
    ) -> Result<ResponseBody, Refusal> {
        let object = self.reported(url).ok_or_else(|| Refusal::unknown(url))?;
        if message.sender().is_some_and(|sender| sender != message.from()) {
            let text = "a hyperty leaves in its own name only";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text).because("forbidden"));
        }
        if body.reason.as_deref() == Some("session-ended") && self.is_of_node(url, message) {
            let runtime = body.source.clone().and_then(|source| RuntimeUrl::try_from(source).ok());
            let runtime = runtime.ok_or_else(|| Refusal::missing("source"))?;
            self.session_ended(&object, &runtime);
            return Ok(ResponseBody::ok());
        }
        let source = body.source.clone().unwrap_or_else(|| message.from().clone());
        let hyperty = HypertyUrl::try_from(source).map_err(|_| Refusal::missing("source"))?;
        let deadline = Instant::now() + self.config().decision_timeout;
        if let Err(refusal) = self.check_leaver(&object, message, &hyperty, body.identity.as_ref()) {
            if refusal.code == StatusCode::NOT_FOUND && object.lock().options.resumable {
                // It may have left before, and the store not have kept that: a restart would bring it back after all,
                // and nobody would tell again what is answered now.
                self.durable_by(self.storage().barrier(), deadline).await?;
            }
            return Err(refusal);
        }
        object.lock().deciding.call_off(&hyperty);
        if let Some(ticket) = self.drop_observer(&object, &hyperty) {
            self.durable_by(ticket, deadline).await?;
        }
        Ok(ResponseBody::ok())
    }

    /// Whether it is the message node of an object's domain that speaks: it alone knows whose sessions have ended.
    fn is_of_node(&self, url: &ObjectUrl, message: &Message) -> bool {
        let is_node = node::subscription_manager(url.home()).is_ok_and(|node| node == *message.from());
        is_node && message.is_remote() && self.is_from_home(url, message)
    }

    /// An observer leaves by the runtime that subscribed it, or by the same user.
    fn check_leaver(
        &self,
        object: &Reported,
        message: &Message,
        hyperty: &HypertyUrl,
        identity: Option<&Identity>,
    ) -> Result<(), Refusal> {
        let state = object.lock();
        let observing = state.observers.get(hyperty).map(|entry| (&entry.runtime, &entry.identity));
        let joining = || state.joining.find(hyperty).map(|entry| (&entry.runtime, &entry.identity));
        let (runtime, user) = observing
            .or_else(joining)
            .or_else(|| state.deciding.find(hyperty))
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("{hyperty} does not observe this")))?;
        let own_runtime = runtime.is_some() && *runtime == runtime_of(message.from());
        let same_user = matches!((user, identity), (Some(stored), Some(given)) if stored.same_user(given));
        let own_name = message.from() == hyperty.as_url();
        if own_runtime || own_name || same_user {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "only the observer's own runtime or user ends its subscription",
        ))
    }

    /// Removes an observer with its routes and tells the Reporter. Gives when that is durable, if the observer had asked
    /// to be known after a restart.
    pub(crate) fn drop_observer(&self, object: &Arc<Reported>, hyperty: &HypertyUrl) -> Option<Ticket> {
        let (removed, ticket) = {
            let mut state = object.lock();
            let called_off = state.joining.call_off(hyperty);
            let removed = state.observers.remove(hyperty);
            if let Some(entry) = &removed {
                self.tell_observers(object, ObserversOperation::Remove, hyperty, entry);
            }
            let is_kept = state.options.resumable && (removed.is_some() || called_off);
            let ticket =
                is_kept.then(|| self.storage().remove_subscriber(Role::Reporter, &object.url, hyperty));
            let is_promised = called_off || removed.as_ref().is_some_and(|entry| entry.resumable);
            (removed, ticket.filter(|_| is_promised))
        };
        if let Some(entry) = removed {
            let forward = ForwardBody {
                kind: ForwardKind::Unsubscribe,
                from: hyperty.as_url().clone(),
                to: object.url.clone(),
                identity: entry.identity,
                authorised: Some(true),
                mutual: None,
            };
            self.tell_reporter(object, forward);
        }
        ticket
    }
}
