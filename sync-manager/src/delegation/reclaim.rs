//! What was given comes back, because the other side cannot host it (protocol 5.11.5).

use std::collections::VecDeque;
use std::sync::Arc;

use hyperty_message_bus::Wish;
use hyperty_model::delegation::{GiveBack, Giver};
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::{Control, GiveBackBody, ResponseBody};
use hyperty_model::{Message, Position, StatusCode, Url};
use hyperty_storage::{ObjectRecord, RecordStatus};

use super::gift::Gift;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::observer::Released;
use crate::reporter::Reported;

/// An object that came back, until it is served.
struct Back {
    record: ObjectRecord,
    /// What came for it while it was given.
    held: VecDeque<Message>,
    /// What is left of its observation here.
    released: Released,
}

impl SyncManager {
    /// `delete` with `delegation`, from the Sync Manager that the object was given to.
    pub(crate) async fn returned(&self, question: Question, body: &GiveBackBody) {
        let outcome = self.try_reclaim(question.request().from(), body).await;
        question.answer(outcome.unwrap_or_else(ResponseBody::from));
    }

    async fn try_reclaim(&self, from: &Url, body: &GiveBackBody) -> Result<ResponseBody, Refusal> {
        let done = ResponseBody { resource: Some(body.resource.to_string()), ..ResponseBody::ok() };
        let Some(gift) = self.gift(&body.resource, &body.delegation) else {
            let ours = self.reported(&body.resource).map(|object| object.lock().position.epoch);
            return match ours {
                Some(epoch) if epoch > body.epoch => Ok(done),
                _ => Err(Refusal::new(StatusCode::NOT_FOUND, "it was not given so")),
            };
        };
        if !matches!(gift.transfer.state(), Giver::Given { taker, .. } | Giver::Reclaiming { taker, .. } if taker == *from)
        {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "it was given to another Sync Manager"));
        }
        let acted = self
            .observed(&body.resource)
            .is_some_and(|object| object.lock().replica.position() > gift.from());
        let mut changed = gift.transfer.watch();
        match gift.transfer.step(|state| state.give_back(&body.delegation, body.epoch, acted)) {
            GiveBack::Reclaim { epoch } => self.reclaim(&gift, epoch).await.map(|()| done),
            GiveBack::Wait => {
                let _ = tokio::time::timeout(self.config().decision_timeout, changed.changed()).await;
                Err(Refusal::new(StatusCode::TIMEOUT, "it is being taken back; ask again").because("busy"))
            }
            GiveBack::Done => Ok(done),
            GiveBack::TooLate => Err(Refusal::new(StatusCode::CONDITION, "the new owner has acted already")),
            GiveBack::Unknown => Err(Refusal::new(StatusCode::NOT_FOUND, "it was not given so")),
        }
    }

    /// Ours again, in an epoch of its own: durable first, then served.
    async fn reclaim(&self, gift: &Arc<Gift>, epoch: u64) -> Result<(), Refusal> {
        let mut record = self.contents_of(gift)?.record.clone();
        record.position = Position { epoch, ..record.position };
        record.metadata.reporter = gift.transfer.former.clone();
        record.metadata.runtime = self.shared.parts.runtime.clone();
        record.status = RecordStatus::Live;
        record.delegation = None;
        record.log = Vec::new();
        if gift.kept {
            self.storage().save(&record);
            self.on_disk().await?;
        }
        let former = self.reported(&gift.url);
        let held = former.as_ref().map(|object| {
            let mut state = object.lock();
            state.detach();
            state.handing.transfer = None;
            state.handing.take_held()
        });
        if let Some(object) = &former {
            self.shared.reported.remove_if(&gift.url, |_, entry| Arc::ptr_eq(entry, object));
        }
        let mut released = self.release_observation(&gift.url).await;
        released.locals.clear();
        let mut back = Back { record, held: held.unwrap_or_default(), released };
        if let Err(refusal) = self.serve_again(gift, epoch, &mut back).await {
            tracing::warn!(object = %gift.url, %refusal, "an object that came back cannot be served yet");
            self.serve_again_later(gift, epoch, back);
            // Ours it is already. Any other answer would have the one who gave it back forget it, or try anew.
            return Err(
                Refusal::new(StatusCode::TIMEOUT, "it is being taken back; ask again").because("busy")
            );
        }
        Ok(())
    }

    /// What keeps an object that is ours again from being served, as a schema that cannot be read, ends: it is tried again
    /// until then. Nobody else has the object.
    fn serve_again_later(&self, gift: &Arc<Gift>, epoch: u64, mut back: Back) {
        let (manager, gift) = (self.clone(), Arc::clone(gift));
        self.later(Box::pin(async move {
            let mut pause = manager.config().retry_min;
            loop {
                tokio::time::sleep(pause).await;
                match manager.serve_again(&gift, epoch, &mut back).await {
                    Ok(()) => return,
                    Err(refusal) => tracing::debug!(object = %gift.url, %refusal, "it cannot be served yet"),
                }
                pause = (pause * 2).min(manager.config().retry_max);
            }
        }));
    }

    /// It is ours on disk: routes, registration, and whatever came for it meanwhile.
    async fn serve_again(&self, gift: &Arc<Gift>, epoch: u64, back: &mut Back) -> Result<(), Refusal> {
        let object = self.wake_again(back.record.clone()).await?;
        // The other has published nothing: who stands where it was given stands here.
        {
            let mut state = object.lock();
            state.log = ChangeLog::continuing(gift.from(), epoch, LogLimits::default());
            state.handing.awaited = true;
            self.go_on_with_children(&object, &mut state, &back.released);
        }
        self.shared.given.lock().remove(&gift.url);
        self.route_again(&object);
        self.withdraw_all(std::mem::take(&mut back.released.wishes));
        gift.transfer.step(Giver::written);
        tracing::info!(object = %gift.url, epoch, "an object came back");
        for message in std::mem::take(&mut back.held) {
            self.deliver_held(&object, &message);
        }
        for message in std::mem::take(&mut back.released.pending) {
            self.on_child_channel(&object, &message);
        }
        let (to, offer) = (&gift.transfer.former, &gift.transfer.offer);
        self.thaw(to, &gift.url, offer);
        self.bus().post(self.control(to, &gift.url, Control::Resume, offer));
        Ok(())
    }

    /// The routes that were handed over come back as soon as the node knows whose they are again: from the registry, or
    /// from the one that has them.
    fn route_again(&self, object: &Arc<Reported>) {
        let (manager, object) = (self.clone(), Arc::clone(object));
        self.later(Box::pin(async move {
            let mut pause = manager.config().retry_min;
            while manager.reported(&object.url).is_some_and(|now| Arc::ptr_eq(&now, &object)) {
                let establishing = object.lock().wish.as_ref().map(Wish::establish);
                let Some(establishing) = establishing else { return };
                if establishing.await.is_ok() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(manager.config().retry_max);
            }
        }));
    }
}
