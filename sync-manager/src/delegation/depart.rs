//! The object is another's: this side tells the domain, and its former Reporter goes on as an observer (protocol 5.11
//! steps 10 and 14).

use std::sync::Arc;

use hyperty_model::delegation::Giver;
use hyperty_model::message::RoutesBody;
use hyperty_model::replica::{GapLimits, Replica};
use hyperty_model::url::node;
use hyperty_model::{MessageType, ObjectUrl, Url};
use hyperty_registry::UpdateError;
use hyperty_storage::Role;

use super::gift::Gift;
use super::transfer::Transfer;
use crate::manager::SyncManager;
use crate::observer::LocalObserver;
use crate::reporter::{Ended, Reported, runtime_of};

impl SyncManager {
    /// Says at the registry and the message node of the domain whose the object is, until they have heard it or the new
    /// owner acts, which it only does when it could say so itself.
    pub(super) fn announce_gift(&self, gift: &Arc<Gift>) {
        let (manager, gift) = (self.clone(), Arc::clone(gift));
        self.later(Box::pin(async move {
            let mut pause = manager.config().retry_min;
            // The grant comes first: it is sent from the object's address, which is the other's after this.
            tokio::time::sleep(pause).await;
            let (mut routed, mut registered) =
                (!gift.header.domain_routing, !gift.header.domain_registration);
            loop {
                let Giver::Given { epoch, confirmed: false, .. } = gift.transfer.state() else { return };
                routed = routed || manager.transfer_routes(&gift).await;
                registered = registered || manager.transfer_registration(&gift, epoch).await;
                if routed && registered {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(manager.config().retry_max);
            }
        }));
    }

    /// M17: the routes go from this session to the other's.
    async fn transfer_routes(&self, gift: &Gift) -> bool {
        let Giver::Given { taker, .. } = gift.transfer.state() else { return true };
        let channels = gift.header.children_names.iter().map(|name| gift.url.children(name));
        let routed =
            [gift.url.as_url().clone(), gift.url.subscription()].into_iter().chain(channels).collect();
        self.transfer_held(&gift.url, routed, &taker).await
    }

    /// Hands routes that this session holds to the runtime of another Sync Manager; whether there is no more to do.
    pub(super) async fn transfer_held(&self, url: &ObjectUrl, routed: Vec<Url>, manager: &Url) -> bool {
        let (Some(runtime), Ok(to)) = (runtime_of(manager), node::subscription_manager(url.home())) else {
            return true;
        };
        let own = self.shared.parts.runtime.as_url().clone();
        let body = RoutesBody { transfer: Some(runtime.into()), ..RoutesBody::new(routed, own) };
        let message = self.bus().new_message(MessageType::Subscribe, self.address(), &to, body);
        let answer = self.bus().request(message).timeout(self.config().repair_timeout).await;
        // One that does not hold the routes any more has nothing to give.
        answer.code().is_success() || answer.code() == hyperty_model::StatusCode::FORBIDDEN
    }

    async fn transfer_registration(&self, gift: &Gift, epoch: u64) -> bool {
        let record = gift.registration(epoch);
        let told = self.shared.parts.registrations.hand_over(record);
        match tokio::time::timeout(self.config().repair_timeout, told).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(object = %gift.url, %error, "the registry does not know yet whose an object is");
                !matches!(error, UpdateError::Unreachable(_))
            }
            Err(_) => false,
        }
    }

    /// Nothing of the Reporter's side is left here; who observed here, and the former Reporter, observe the object where
    /// it is now.
    pub(super) async fn depart(&self, object: &Arc<Reported>, transfer: &Transfer) {
        if let Some(gift) = self.gift(&object.url, &transfer.offer) {
            self.keep_gift(&gift);
        }
        let (wish, held) = {
            // First: what comes now and finds nobody must not be told that there is no such object.
            self.shared.parts.registry.remove_object(&object.url);
            let mut state = object.lock();
            state.detach();
            (state.wish.take(), state.handing.take_held())
        };
        self.shared.former.lock().note(&object.url, Ended::Delegated);
        self.shared.reported.remove_if(&object.url, |_, entry| Arc::ptr_eq(entry, object));
        self.shared.timers.forget(&object.url, Role::Reporter);
        let observed = self.observe_what_was_ours(object, transfer).await;
        let manager = self.clone();
        self.later(Box::pin(async move {
            if let Some(wish) = wish {
                manager.withdraw(wish).await;
            }
        }));
        let Some(observed) = observed else { return };
        for message in held {
            self.on_observed_child(&observed, &message);
        }
        // The former Reporter hears that it is done also when no node can be reached now.
        let manager = self.clone();
        self.later(Box::pin(async move {
            if let Err(refusal) = manager.route_at_nodes(&observed).await {
                tracing::debug!(object = %observed.url, %refusal, "the stream is not routed yet");
            }
            manager.subscribe_again(&observed).await;
        }));
    }

    async fn observe_what_was_ours(
        &self,
        object: &Arc<Reported>,
        transfer: &Transfer,
    ) -> Option<Arc<crate::observer::Observed>> {
        let here = &self.shared.parts.runtime;
        let (mut observers, children, data, position, metadata, options, user) = {
            let mut state = object.lock();
            let all = std::mem::take(&mut state.observers);
            let local: Vec<_> =
                all.into_iter().filter(|(_, entry)| entry.runtime.as_ref() == Some(here)).collect();
            let observers: Vec<_> = local
                .into_iter()
                .map(|(hyperty, entry)| {
                    let resumable = entry.resumable || state.options.store;
                    let (identity, forwards) = (entry.identity, entry.routes.forwards);
                    let store = state.options.store;
                    (hyperty, LocalObserver { identity, store, resumable, backup: false, forwards })
                })
                .collect();
            let metadata = state.metadata.clone();
            let (children, data) = (state.children.clone(), (*state.data).clone());
            (observers, children, data, state.position, metadata, state.options, state.reporter_user.clone())
        };
        let names: Vec<_> = object.names().cloned().collect();
        if self.shared.parts.registry.is_local(&transfer.former) {
            let forwards = self.forwards(&object.url, &names, &transfer.former).unwrap_or_default();
            let former = LocalObserver {
                identity: user,
                store: options.store,
                resumable: options.resumable,
                backup: false,
                forwards,
            };
            observers.push((transfer.former.clone(), former));
        }
        if observers.is_empty() {
            self.note_departure(object, transfer);
            return None;
        }
        let (observed, setup) = self.set_up(&object.url).await;
        {
            let mut state = observed.lock();
            state.metadata = Some(metadata);
            state.replica = Replica::live(position, Some(data), GapLimits::default());
            state.children = children;
            let read_only = object.schema.children.iter().filter(|rule| !rule.observers_may_write);
            state.read_only = Some(read_only.map(|rule| rule.name.clone()).collect());
            state.observers.extend(observers);
        }
        if let Err(refusal) = self.add_shared_routes(&observed, &names) {
            tracing::error!(object = %object.url, %refusal, "the former Reporter cannot observe");
        }
        let kept = self.save_observed(&observed.lock());
        self.note_departure(object, transfer);
        drop(setup);
        // Before anybody is told: who hears that the object is given away observes it after a crash, too.
        if let Some(ticket) = kept
            && let Err(error) = self.durable(ticket).await
        {
            tracing::error!(object = %object.url, %error, "who observes what was given away is not stored");
        }
        Some(observed)
    }

    /// Writes, behind the observation, that there was one: a restart makes it of what was given only without this.
    fn note_departure(&self, object: &Reported, transfer: &Transfer) {
        transfer.depart();
        if let Some(gift) = self.gift(&object.url, &transfer.offer) {
            self.write_gift(&gift);
            gift.leave_to_the_store();
        }
    }
}
