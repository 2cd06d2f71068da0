//! The Reporter removes an observer (protocol 5.7, 10.4): cut off in one step, kept, told.
//!
//! 1. [`SyncManager::cut_off`]: permission, place and routes end together, in the sequencer that releases changes.
//! 2. That is durable before the Reporter is answered: a restart brings nobody back.
//! 3. [`SyncManager::say_goodbye`]: the observer, its runtime and the message node are told. Who cannot be reached is told
//!    before it is told anything else of the object ([`super::remind`]).

use std::sync::Arc;

use hyperty_message_bus::Request;
use hyperty_model::message::{
    ForwardBody, ForwardKind, ObserversOperation, ResponseBody, RoutesBody, UnsubscribeBody,
};
use hyperty_model::url::node;
use hyperty_model::{HypertyUrl, Message, MessageType, RuntimeUrl, StatusCode, Timestamp};
use hyperty_storage::{Role, Ticket};
use tokio::time::Instant;

use super::object::{ObserverEntry, Reported, State};
use super::removed::Gone;
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// The `reason` of every refusal of one that was removed.
pub(crate) const REMOVED: &str = "removed";

/// What was said to one that was removed, and to the node, and was not answered yet.
pub(super) struct Goodbye {
    /// The removal it is about.
    at: Timestamp,
    /// It is of this runtime: one that is not deployed observes nothing that it would have to be told of.
    is_here: bool,
    telling: Request,
    telling_manager: Option<Request>,
    cutting: Option<Request>,
}

impl SyncManager {
    /// `unsubscribe` to the Sync Manager by the Reporter, with somebody else as `source`.
    pub(crate) async fn remove_observer(
        &self,
        by: &HypertyUrl,
        body: &UnsubscribeBody,
    ) -> Result<ResponseBody, Refusal> {
        let url = body.resource.as_ref().ok_or_else(|| Refusal::missing("resource"))?;
        let who = body.source.clone().and_then(|source| HypertyUrl::try_from(source).ok());
        let who = who.ok_or_else(|| Refusal::bad_request("source is not a hyperty"))?;
        // Of an object that is reported elsewhere, or nowhere, nobody here is the Reporter.
        let object = self.reported(url).ok_or_else(not_the_reporter)?;
        let deadline = Instant::now() + self.config().decision_timeout;
        let ticket = self.cut_off(&object, by, &who)?;
        if let Some(ticket) = ticket {
            self.durable_by(ticket, deadline).await?;
        }
        let (manager, away) = (self.clone(), self.is_out_of_reach(&object, &who));
        let telling = async move { manager.say_goodbye(&object, &who).await };
        match away {
            // Nothing could be waited for but a time-out.
            true => self.later(Box::pin(telling)),
            false => self.undo(telling).await,
        }
        Ok(ResponseBody { resource: Some(url.to_string()), ..ResponseBody::ok() })
    }

    /// Step 1. From here on nothing of the object reaches it from this runtime. Repeated it is the same.
    fn cut_off(
        &self,
        object: &Arc<Reported>,
        by: &HypertyUrl,
        who: &HypertyUrl,
    ) -> Result<Option<Ticket>, Refusal> {
        let (observer, ticket) = {
            let mut state = object.lock();
            if state.metadata.reporter != *by {
                return Err(not_the_reporter());
            }
            state.check_there()?;
            let joining = state.joining.find(who).and_then(|joining| joining.runtime.clone());
            let is_known = state.observers.contains_key(who)
                || state.joining.find(who).is_some()
                || state.deciding.contains(who)
                || state.removed.contains(who);
            if !is_known {
                let text = format!("{who} does not observe this");
                return Err(Refusal::new(StatusCode::NOT_FOUND, text));
            }
            state.joining.call_off(who);
            let observer = state.observers.remove(who);
            let before = state.removed.get(who).and_then(|gone| gone.runtime.clone());
            let runtime = observer.as_ref().and_then(|entry| entry.runtime.clone()).or(joining).or(before);
            let ticket = self.keep_removed(object, &mut state, who, runtime);
            if let Some(observer) = &observer {
                self.tell_observers(object, ObserversOperation::Remove, who, observer);
            }
            tracing::info!(object = %object.url, %who, observers = state.observers.len(), "an observer is removed");
            (observer, ticket)
        };
        if let Some(ObserverEntry { identity, .. }) = observer {
            let forward = ForwardBody {
                kind: ForwardKind::Unsubscribe,
                from: who.as_url().clone(),
                to: object.url.clone(),
                identity,
                authorised: Some(true),
                mutual: None,
            };
            self.tell_reporter(object, forward);
        }
        Ok(ticket)
    }

    /// Notes that one is removed, here and in the store; the grant it had ends. Gives when that is durable.
    fn keep_removed(
        &self,
        object: &Reported,
        state: &mut State,
        who: &HypertyUrl,
        runtime: Option<RuntimeUrl>,
    ) -> Option<Ticket> {
        let is_kept = state.options.resumable;
        let gone = Gone { at: self.now(), runtime, untold: true };
        let forgotten = state.removed.add(who.clone(), gone, self.config().removed_max);
        for other in &forgotten {
            tracing::warn!(object = %object.url, %other, "too many were removed: this one is a stranger again");
        }
        let was_invited = state.invitations.remove(who);
        let was_granted = state.grants.revoke(who.as_url()).is_some() || was_invited;
        if !is_kept {
            return None;
        }
        for other in forgotten {
            self.storage().remove_subscriber(Role::Reporter, &object.url, &other);
        }
        let subscriber = state.removed.subscriber(who)?;
        let ticket = self.storage().put_subscriber(Role::Reporter, &object.url, &subscriber);
        match was_granted {
            true => self.persist_grants(object, state).or(Some(ticket)),
            false => Some(ticket),
        }
    }

    fn is_out_of_reach(&self, object: &Reported, who: &HypertyUrl) -> bool {
        let here = self.shared.parts.registry.has_hyperty(who);
        !here && !self.is_live(who.as_url().domain().unwrap_or(object.url.home()))
    }

    /// Step 3. What is said is queued before anything later is.
    pub(crate) async fn say_goodbye(&self, object: &Arc<Reported>, who: &HypertyUrl) {
        let begun = self.begin_goodbye(object, &object.lock(), who);
        if let Some(goodbye) = begun {
            self.finish_goodbye(object, who, goodbye).await;
        }
    }

    /// Queues the message for the observer and the one for the node; nothing if both have heard.
    pub(super) fn begin_goodbye(
        &self,
        object: &Reported,
        state: &State,
        who: &HypertyUrl,
    ) -> Option<Goodbye> {
        let gone = state.removed.get(who).filter(|gone| gone.untold)?;
        let telling = self.goodbye(object, state, who);
        let is_here = gone.runtime.as_ref() == Some(&self.shared.parts.runtime);
        let telling_manager = self.tell_manager(object, gone, who);
        let cutting = self.revocation(object, state, gone);
        Some(Goodbye { at: gone.at, is_here, telling, telling_manager, cutting })
    }

    pub(super) async fn finish_goodbye(&self, object: &Arc<Reported>, who: &HypertyUrl, goodbye: Goodbye) {
        let cut = match goodbye.cutting {
            Some(cutting) => self.is_cut(object, &cutting.await),
            None => true,
        };
        let mut told = self.has_heard(goodbye.telling.await, goodbye.is_here);
        if let Some(telling) = goodbye.telling_manager {
            told |= self.has_heard(telling.await, false);
        }
        tracing::debug!(object = %object.url, %who, told, cut, "a removed observer was told");
        if !(told && cut) {
            return;
        }
        let mut state = object.lock();
        let is_kept = state.options.resumable && state.is_its_own();
        if let Some(subscriber) = state.removed.told(who, goodbye.at).filter(|_| is_kept) {
            self.storage().put_subscriber(Role::Reporter, &object.url, &subscriber);
        }
    }

    /// Whether an answer says that the removal is known there.
    fn has_heard(&self, answer: Message, is_here: bool) -> bool {
        let body = answer.decode::<ResponseBody>().unwrap_or_default();
        match body.code {
            code if code.is_success() => true,
            // "Not observed here" is what was wanted; "no route" tells nothing.
            StatusCode::NOT_FOUND => is_here || body.reason.as_deref() != Some("no-route"),
            _ => false,
        }
    }

    /// Tells the Sync Manager that served it (10.4): a hyperty that never spoke through the node cannot be reached by it.
    fn tell_manager(&self, object: &Reported, gone: &Gone, who: &HypertyUrl) -> Option<Request> {
        let runtime = gone.runtime.as_ref().filter(|runtime| **runtime != self.shared.parts.runtime)?;
        let body = UnsubscribeBody {
            resource: Some(object.url.clone()),
            source: Some(who.as_url().clone()),
            reason: Some(REMOVED.to_owned()),
            ..UnsubscribeBody::default()
        };
        let (from, to) = (object.url.subscription(), runtime.sync_manager());
        let message = self.bus().new_message(MessageType::Unsubscribe, &from, &to, body);
        let mut request = self.bus().request(message).timeout(self.config().repair_timeout);
        request.send();
        Some(request)
    }

    /// The Reporter's own message (5.7 step 1), queued when this returns. It is sent by the Sync Manager because it has
    /// to be sent again when the Reporter is busy or gone.
    fn goodbye(&self, object: &Reported, state: &State, who: &HypertyUrl) -> Request {
        let body = UnsubscribeBody { resource: Some(object.url.clone()), ..UnsubscribeBody::default() };
        let from = &state.metadata.reporter;
        let message = self.bus().new_message(MessageType::Unsubscribe, from, who, body);
        let mut request = self.bus().request(message).timeout(self.config().repair_timeout);
        request.send();
        request
    }

    /// Has the node cut the stream off the session of a runtime where nobody observes any more (10.4), queued when this
    /// returns.
    fn revocation(&self, object: &Reported, state: &State, gone: &Gone) -> Option<Request> {
        let runtime = gone.runtime.as_ref().filter(|runtime| **runtime != self.shared.parts.runtime)?;
        let remains = state.observers.hosts(runtime)
            || state.joining.iter().any(|joining| joining.runtime.as_ref() == Some(runtime));
        if remains || state.metadata.public_observation || !state.options.domain_routing {
            return None;
        }
        // Also while the node is away: what is published meanwhile waits behind it.
        let to = node::subscription_manager(object.url.home()).ok()?;
        let body =
            RoutesBody { revoke: Some(true), ..RoutesBody::new(object.stream(), runtime.as_url().clone()) };
        let message = self.bus().new_message(MessageType::Unsubscribe, self.address(), &to, body);
        let mut request = self.bus().request(message).timeout(self.config().repair_timeout);
        request.send();
        // A node that does not know `revoke` takes it for our own unsubscription: then these stand again at once.
        if let Some(wish) = state.wish.as_ref().filter(|_| object.names().next().is_some()) {
            wish.begin();
        }
        Some(request)
    }

    /// Whether there is nothing left to ask the node for: a node that refuses will refuse again.
    fn is_cut(&self, object: &Reported, answer: &Message) -> bool {
        let body = answer.decode::<ResponseBody>().unwrap_or_default();
        let code = body.code;
        if !code.is_success() {
            tracing::debug!(object = %object.url, %code, "the node did not cut a removed observer off");
        }
        let unheard =
            matches!(code, StatusCode::TIMEOUT | StatusCode::INTERNAL | StatusCode::BACKEND_UNREACHABLE);
        !unheard && body.reason.as_deref() != Some("no-route")
    }

    /// What one that was removed is told when it asks to observe.
    pub(crate) fn check_not_removed(&self, state: &State, who: &HypertyUrl) -> Result<(), Refusal> {
        match state.shuts_out(who, self.now()) {
            true => Err(removed_refusal()),
            false => Ok(()),
        }
    }
}

fn not_the_reporter() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "only the Reporter removes observers")
}

/// What one that was removed is told.
pub(crate) fn removed_refusal() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "the Reporter removed this observer").because(REMOVED)
}
