//! Whether a stream is whole, and what happens when a connection is lost or back (protocol 5.10.2, M11).

use std::sync::Arc;

use hyperty_message_bus::{Listener, Protostub, StubStatus};
use hyperty_model::message::{SubscribeBody, UpdateBody, UpdateKind};
use hyperty_model::{HypertyUrl, Message, MessageType, ObjectUrl};
use serde_json::Value;

use super::object::{Link, Observed};
use crate::answer::Refusal;
use crate::manager::{StartError, SyncManager};
use crate::reporter::REMOVED;

impl SyncManager {
    /// Follows the status of a stub: when it turns live, positions are announced and copies repaired; when it is
    /// lost, observers are told. Call it once for every stub of the runtime, before the stub connects.
    ///
    /// # Errors
    /// [`StartError`] when the stub's address is too long or the bus takes no listener for its status.
    pub fn follow_stub(&self, stub: &Arc<dyn Protostub>) -> Result<Listener, StartError> {
        let manager = self.downgrade();
        let domain = stub.domain().to_owned();
        let status = stub.url().join("status")?;
        let listener = self.bus().listen(&status, move |message| {
            let Some(manager) = manager.upgrade() else { return };
            match StubStatus::of(message) {
                Some(StubStatus::Live) => manager.domain_live(&domain),
                Some(StubStatus::Disconnected | StubStatus::Failed) => manager.domain_lost(&domain),
                _ => {}
            }
        })?;
        Ok(listener)
    }

    fn domain_live(&self, domain: &str) {
        self.begin_routes([domain.to_owned()]);
        self.announce_domain(domain);
        self.invite_domain(domain);
        self.tell_leaves_at(domain);
        self.backup_domain_live(domain);
        let mut observed = 0;
        for object in self.observed_at(domain) {
            observed += 1;
            self.repair_soon(&object.url);
        }
        tracing::info!(domain, observed, "the session is live: positions are announced, copies repaired");
    }

    /// Asks the nodes for the routes that were wished for together, where there is a session. Where there is none yet,
    /// the one that opens is told of them.
    pub(crate) fn begin_routes(&self, domains: impl IntoIterator<Item = String>) {
        for domain in domains {
            if !self.is_live(&domain) {
                continue;
            }
            let begun = self.shared.parts.routes.begin_deferred(&domain);
            self.later(Box::pin(async move {
                if let Err(error) = begun.await {
                    tracing::warn!(domain, %error, "routes could not be set up now");
                }
            }));
        }
    }

    fn domain_lost(&self, domain: &str) {
        for object in self.observed_at(domain) {
            self.disconnected(&object);
        }
    }

    /// The stream is cut: tells the observers here, once.
    pub(crate) fn disconnected(&self, object: &Observed) {
        let mut state = object.lock();
        if std::mem::replace(&mut state.link, Link::Disconnected) == Link::Live {
            tracing::debug!(object = %object.url, position = %state.replica.position(), "a stream is cut");
            self.tell_status(&object.url, "disconnected");
        }
    }

    /// The stream is whole: tells the observers here, once, and sends their child operations again.
    pub(crate) fn connected(&self, object: &Arc<Observed>) {
        let registration = {
            let mut state = object.lock();
            if std::mem::replace(&mut state.link, Link::Live) == Link::Disconnected {
                tracing::debug!(object = %object.url, position = %state.replica.position(), "a stream is whole");
                self.tell_status(&object.url, "live");
            }
            state.routes.registration.take()
        };
        if let Some((listener, wish)) = registration {
            drop(listener);
            let manager = self.clone();
            self.later(Box::pin(async move { manager.withdraw(wish).await }));
        }
        self.send_children_again(&object.url);
    }

    /// Tells the observers here how the stream of an object is.
    pub(crate) fn tell_status(&self, object: &ObjectUrl, word: &str) {
        let body = UpdateBody::new(UpdateKind::Status(Value::String(word.to_owned())));
        let message = self.bus().new_message(MessageType::Update, self.address(), &object.status(), body);
        self.bus().release(&message);
    }

    /// While the Reporter cannot be reached, its registration tells when to try again.
    pub(crate) fn await_registration(&self, object: &Arc<Observed>) {
        let address = object.url.registration();
        let mut state = object.lock();
        if state.routes.registration.is_some() || state.gone {
            return;
        }
        let (manager, url) = (self.downgrade(), object.url.clone());
        let listener = self.bus().listen(&address, move |message| {
            if status_word(message).as_deref() == Some("live")
                && let Some(manager) = manager.upgrade()
            {
                manager.repair_soon(&url);
            }
        });
        match listener {
            Ok(listener) => {
                let wish = self.shared.parts.routes.wish(object.url.home(), vec![address]);
                wish.begin();
                state.routes.registration = Some((listener, wish));
            }
            Err(error) => tracing::warn!(object = %object.url, %error, "cannot follow the registration"),
        }
    }

    /// The Reporter's side no longer knows this runtime's observers: each subscribes anew. One that is refused is
    /// closed (5.10.2).
    pub(crate) async fn subscribe_again(&self, object: &Arc<Observed>) {
        let observers: Vec<(HypertyUrl, SubscribeBody)> = {
            let state = object.lock();
            let renew = |(hyperty, observer): (&HypertyUrl, &super::object::LocalObserver)| {
                let body = SubscribeBody {
                    identity: observer.identity.clone(),
                    resumable: Some(observer.resumable),
                    ..SubscribeBody::default()
                };
                (hyperty.clone(), body)
            };
            state.observers.iter().map(renew).collect()
        };
        let (mut renewed, mut unreachable) = (false, false);
        for (hyperty, body) in observers {
            match self.renew(object, &hyperty, &body).await {
                Ok(()) => renewed = true,
                Err(refusal) if refusal.is_unreachable() => unreachable = true,
                Err(refusal) => {
                    let removed = refusal.reason.as_deref() == Some(REMOVED);
                    let why = if removed { REMOVED } else { &refusal.description };
                    self.close_observer(object, &hyperty, why);
                }
            }
        }
        // One try of all: its pause grows once, however many observe.
        if unreachable {
            self.disconnected(object);
            self.try_again(object);
        }
        if renewed {
            self.connected(object);
        }
        self.end_if_unused(object).await;
    }

    /// One round trip: the answer brings what the copy lacks.
    async fn renew(
        &self,
        object: &Arc<Observed>,
        hyperty: &HypertyUrl,
        body: &SubscribeBody,
    ) -> Result<(), Refusal> {
        let _asking = object.ask();
        let answer = self.ask_to_observe(object, hyperty, body, &|| ()).await?;
        self.install(object, &answer).map(|_| ())
    }

    /// Ends one observation that the Reporter's side refuses to go on with.
    fn close_observer(&self, object: &Arc<Observed>, hyperty: &HypertyUrl, why: &str) {
        let mut state = object.lock();
        let body = hyperty_model::message::UnsubscribeBody {
            resource: Some(object.url.clone()),
            reason: Some(why.to_owned()),
            ..Default::default()
        };
        let message = self.bus().new_message(MessageType::Unsubscribe, self.address(), hyperty, body);
        self.bus().post(message);
        if state.observers.remove(hyperty).is_some_and(|observer| observer.resumable) {
            self.save_or_forget(object, &state);
        }
    }
}

/// The word of a status update: `{"value":"live"}`, with or without `"attribute":"status"`.
fn status_word(message: &Message) -> Option<String> {
    let body = message.decode::<Value>().ok()?;
    body.get("value").and_then(Value::as_str).map(str::to_owned)
}
