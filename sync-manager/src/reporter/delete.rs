//! Deletion of an object (protocol 5.8): announced, acknowledged, then taken down everywhere.

use std::sync::Arc;
use std::time::Duration;

use hyperty_address_allocation::AllocateError;
use hyperty_message_bus::Wish;
use hyperty_model::message::{DeleteBody, ResponseBody};
use hyperty_model::{HypertyUrl, Message, MessageType, ObjectUrl, RuntimeUrl, StatusCode};
use hyperty_policy::Point;
use hyperty_storage::{RecordStatus, Role};
use tokio::time::Instant;

use super::former::Ended;
use super::object::{Phase, Reported};
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// First pause before what could not be taken back at a peer is tried again, and the longest.
const UNDO_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl SyncManager {
    pub(crate) async fn delete(
        &self,
        hyperty: &HypertyUrl,
        body: &DeleteBody,
    ) -> Result<ResponseBody, Refusal> {
        let resource = body.resource.as_deref().ok_or_else(|| Refusal::missing("resource"))?;
        let url = ObjectUrl::parse(resource).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let absent = || self.given_away(&url).unwrap_or_else(|| Refusal::unknown(&url));
        let object = self.reported(&url).ok_or_else(absent)?;
        if object.lock().metadata.reporter != *hyperty {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "only the Reporter deletes the object"));
        }
        let request = object.policy_request(Point::Delete, hyperty.as_url(), body.identity.as_ref());
        self.decide(&request).await?;
        self.withdraw_offer(&object)?;
        self.begin_delete(&object).await?;
        self.finish_delete(&object).await;
        Ok(ResponseBody { resource: Some(url.to_string()), ..ResponseBody::ok() })
    }

    /// From here on there is no way back: a crash resumes the deletion.
    async fn begin_delete(&self, object: &Arc<Reported>) -> Result<(), Refusal> {
        let ticket = {
            let mut state = object.lock();
            // The first one that asked is on its way; whoever asks again hears of the end only when it is certain.
            state.check_there()?;
            state.phase = Phase::Condemned;
            self.persist(object, &state, RecordStatus::Deleting)
        };
        if let Some(ticket) = ticket {
            self.durable(ticket).await?;
        }
        object.lock().phase = Phase::Deleting;
        Ok(())
    }

    /// Announces the deletion, waits for acknowledgements, takes everything down. Ends within T_DELACK and the
    /// node's time to answer, also with all observers dead (INV-DEL-5).
    pub(crate) async fn finish_delete(&self, object: &Arc<Reported>) {
        let message = {
            let mut state = object.lock();
            let here = &self.shared.parts.runtime;
            let remote = state.observers.values().filter(|entry| entry.away.is_none());
            state.awaited =
                remote.filter_map(|e| e.runtime.clone()).filter(|runtime| runtime != here).collect();
            let body = DeleteBody { resource: Some(object.url.to_string()), ..DeleteBody::default() };
            let (from, to) = (object.url.subscription(), object.url.changes());
            let message = self.bus().new_message(MessageType::Delete, &from, &to, body);
            self.bus().release(&message);
            message
        };
        tracing::debug!(object = %object.url, id = %message.id(), "deletion announced");
        let deadline = Instant::now() + self.config().delete_wait;
        loop {
            let acknowledged = object.acknowledged.notified();
            if object.lock().awaited.is_empty() || Instant::now() >= deadline {
                break;
            }
            let _ = tokio::time::timeout_at(deadline, acknowledged).await;
        }
        self.take_down(object).await;
    }

    /// A runtime says that its observers know of the deletion.
    pub(crate) fn acknowledge_delete(&self, message: &Message, url: &ObjectUrl) {
        let Some(object) = self.reported(url) else { return };
        let Ok(body) = message.decode::<ResponseBody>() else { return };
        let source = body.source.clone().unwrap_or_else(|| message.from().clone());
        {
            let mut state = object.lock();
            // A runtime, as is usual; one of its hyperties; or something below it.
            let hyperty = HypertyUrl::try_from(source.clone()).ok();
            let host = hyperty.and_then(|hyperty| state.observers.get(&hyperty)?.runtime.clone());
            let runtime = host.or_else(|| RuntimeUrl::try_from(source.clone()).ok());
            if !runtime.is_some_and(|runtime| state.awaited.remove(&runtime)) {
                state.awaited.retain(|awaited| !source.is_at_or_below(awaited));
            }
        }
        object.acknowledged.notify_one();
    }

    /// Removes every route, registration, record and address of a deleted object (INV-DEL-1).
    async fn take_down(&self, object: &Arc<Reported>) {
        let (wish, registered) = {
            let mut state = object.lock();
            state.detach();
            state.observers.clear();
            (state.wish.take(), state.options.domain_registration)
        };
        self.shared.former.lock().note(&object.url, Ended::Deleted);
        self.shared.reported.remove(&object.url);
        tracing::info!(object = %object.url, "an object is deleted");
        self.shared.timers.forget(&object.url, Role::Reporter);
        self.shared.parts.registry.remove_object(&object.url);
        self.undo(self.clone().give_up(wish, object.url.clone(), registered)).await;
    }

    /// Takes down at the node what it knows of an object. The record says until then that this is to be done.
    pub(super) async fn give_up(self, wish: Option<Wish>, url: ObjectUrl, registered: bool) {
        if let Some(wish) = wish {
            self.withdraw(wish).await;
        }
        self.give_up_address(&url, registered).await;
    }

    /// Ends a wish for routes. A node that could not be told takes them down with the session.
    pub(crate) async fn withdraw(&self, wish: Wish) {
        if let Err(error) = self.shared.parts.routes.withdraw(wish).await {
            tracing::warn!(%error, "routes could not be taken down now");
        }
    }

    /// Unregisters and releases an address, then forgets the record. As long as a peer cannot be reached the
    /// record stays, so that a restart goes on with it, and a job tries again (M27).
    pub(crate) async fn give_up_address(&self, url: &ObjectUrl, registered: bool) {
        if self.try_to_give_up(url, registered).await {
            return;
        }
        let (manager, url) = (self.clone(), url.clone());
        self.later(Box::pin(async move {
            let mut pause = UNDO_RETRY.0;
            loop {
                tokio::time::sleep(pause).await;
                if manager.try_to_give_up(&url, registered).await {
                    return;
                }
                pause = (pause * 2).min(UNDO_RETRY.1);
            }
        }));
    }

    async fn try_to_give_up(&self, url: &ObjectUrl, registered: bool) -> bool {
        if registered && let Err(error) = self.shared.parts.registrations.delete(url.as_url()).await {
            tracing::warn!(object = %url, %error, "could not unregister; trying again");
            return false;
        }
        match self.shared.parts.allocator.release(vec![url.as_url().clone()]).await {
            Ok(()) => {}
            // After a takeover the address is another runtime's to release; it stays taken, and is given to nobody.
            Err(error @ AllocateError::Refused { .. }) => {
                tracing::info!(object = %url, %error, "the address is not released from here");
            }
            Err(error) => {
                tracing::warn!(object = %url, %error, "could not release the address; trying again");
                return false;
            }
        }
        let ticket = self.storage().remove(Role::Reporter, url);
        if let Err(error) = self.durable(ticket).await {
            // The store is closed or broken; the next session finds the record and goes on.
            tracing::warn!(object = %url, %error, "could not forget the record");
        }
        true
    }
}
