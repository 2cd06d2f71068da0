//! The domain registry's place in the node: answers, status events, and what a session's end means for it (5.13).

use std::sync::Arc;

use hyperty_model::{Identity, Message, MessageType, RuntimeUrl, StatusCode, Url};
use hyperty_registry::{RegistrationRecord, RegistrationStatus, StatusEvent};
use hyperty_storage::Ticket;
use serde_json::{Value, json};

use crate::authority::Holder;
use crate::discovery::Seeker;
use crate::metrics::{Asked, Service};
use crate::node::Core;
use crate::session::Session;

impl Core {
    pub(super) fn serve_registry(&self, session: &Arc<Session>, message: &Message) {
        if !names_its_user(session, message) {
            let text = "a session registers for its own user";
            return self.refuse(session, message, StatusCode::FORBIDDEN, "forbidden", text);
        }
        if !self.may_register(session, message) {
            let text = "another runtime's, and not registered yet";
            return self.refuse(session, message, StatusCode::FORBIDDEN, "forbidden", text);
        }
        let asked = Asked::now(Service::Registry);
        let user = session.who().map(|who| who.identity());
        let seeker = Seeker {
            from: message.from(),
            runtime: &session.runtime,
            identity: user.cloned().or_else(|| message.identity()),
        };
        let sees = |record: &RegistrationRecord| self.config.discovery.shows(record, &seeker);
        let answer = self.registry.handle_seen(message, &session.runtime, user, &sees, self.clock.now());
        self.answer_when_durable(session, message, self.marked(answer.body), answer.ticket, asked);
        self.publish_status(answer.events, answer.ticket);
    }

    /// What nobody has registered yet is registered by whose it is, as far as the node knows: of a first registration
    /// the registry cannot tell, and at an epoch above 0 the node would believe it.
    fn may_register(&self, session: &Session, message: &Message) -> bool {
        if message.kind() != MessageType::Create {
            return true;
        }
        // What cannot be read is refused by the registry, with a better reason.
        let Ok(body) = serde_json::from_slice::<Value>(message.body().raw()) else { return true };
        let url = body["value"]["url"].as_str().and_then(|url| Url::parse(url).ok());
        let Some(url) = url.filter(|url| self.registry.owner(url).is_none()) else { return true };
        let bound = || self.directory.bound(url.key()).map(|bound| bound.runtime.clone());
        let owner = match self.holder(&url) {
            Holder::Session(holder) => Some(holder.session.runtime.clone()),
            Holder::Runtime(owner) => Some(owner),
            Holder::Nobody => bound(),
        };
        let named = identity(&body["value"]);
        owner.is_none_or(|owner| {
            owner == session.runtime || self.may_go_on_for(session, &owner, &url, named.as_ref())
        })
    }

    /// What a runtime had registered is disconnected with its session (M13).
    pub(crate) fn disconnect_registrations(&self, runtime: &RuntimeUrl) {
        let (events, ticket) = self.registry.session_ended(runtime, self.clock.now());
        self.publish_status(events, ticket);
    }

    /// Runtimes that were registered before the node's restart and did not come back in time are gone.
    pub(crate) fn disconnect_absent(&self) {
        for runtime in self.registry.runtimes() {
            if self.directory.with_sessions(|sessions| sessions.get(&runtime)).is_none() {
                self.disconnect_registrations(&runtime);
            }
        }
    }

    /// Registrations that were not kept alive become disconnected, and old ones are purged.
    pub(crate) fn expire_registrations(&self) {
        let (events, ticket) = self.registry.expire(self.clock.now());
        self.publish_status(events, ticket);
    }

    /// Whether an entity is known to be deleted.
    pub(crate) fn is_deleted(&self, url: &hyperty_model::Url) -> bool {
        self.registry.status(url) == Some(RegistrationStatus::Deleted)
    }

    /// One event for each change of a status (INV-REG-2), to whoever asked for them.
    fn publish_status(&self, events: Vec<StatusEvent>, ticket: Ticket) {
        for event in events {
            self.forget_backup_of(&event);
            // A URL that is too long to have anything derived from it has nobody who asked.
            if let Ok(message) = event.to_message(self.next_message_id(), &self.addresses.registry) {
                self.publish_when_durable(message, ticket);
            }
        }
    }
}

/// The user that a registration names.
fn identity(record: &Value) -> Option<Identity> {
    let profile = json!({ "userURL": record["user"], "guid": record["guid"] });
    serde_json::from_value(json!({ "userProfile": profile })).ok()
}

/// Whether a registration names nobody but the session's user, if that is known: people are found by it.
fn names_its_user(session: &Session, message: &Message) -> bool {
    let Some(who) = session.who() else { return true };
    if !matches!(message.kind(), MessageType::Create | MessageType::Update) {
        return true;
    }
    // What cannot be read is refused by the registry, with a better reason.
    let Ok(body) = serde_json::from_slice::<Value>(message.body().raw()) else { return true };
    let given = |name: &str| match body["attribute"].as_str() {
        Some(attribute) => Some(&body["value"]).filter(|_| attribute == name),
        None => body["value"].get(name),
    };
    let is = |given: Option<&Value>, own: Option<&str>| {
        given.is_none_or(|given| given.is_null() || given.as_str().is_some_and(|given| Some(given) == own))
    };
    is(given("user"), who.identity().user()) && is(given("guid"), who.identity().guid())
}
