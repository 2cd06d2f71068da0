//! Former and new Reporter live in one runtime: no claim, no node; one record changes hands in one step.

use std::sync::Arc;

use hyperty_message_bus::Listener;
use hyperty_model::delegation::Claim;
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::{HypertyUrl, Identity, Position, StatusCode};
use hyperty_storage::RecordStatus;

use super::transfer::Transfer;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::reporter::{ObserverEntry, Path, Phase, Reported};

impl SyncManager {
    pub(super) async fn take_locally(
        &self,
        object: &Arc<Reported>,
        offer: &str,
        to: &HypertyUrl,
        identity: Option<Identity>,
    ) -> Result<(), Refusal> {
        let transfer = object.lock().handing.transfer.clone().filter(|it| it.offer == offer);
        let transfer =
            transfer.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "the object is not offered so"))?;
        if transfer.to != *to {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "it is offered to another hyperty"));
        }
        if transfer.claim(self.address()) != Claim::Freeze {
            return Err(Refusal::new(StatusCode::CONFLICT, "the offer is taken already"));
        }
        if let Err(refusal) = self.freeze(object, &transfer).await {
            transfer.abort(refusal.clone());
            self.stay(object, &transfer);
            return Err(refusal);
        }
        self.commit_locally(object, &transfer, identity).await
    }

    async fn commit_locally(
        &self,
        object: &Arc<Reported>,
        transfer: &Arc<Transfer>,
        identity: Option<Identity>,
    ) -> Result<(), Refusal> {
        let forwards = self.reporter_forwards(object, &transfer.to)?;
        let kept = {
            let mut state = object.lock();
            if state.phase != Phase::Frozen || !transfer.step(|giver| giver.commit(&transfer.offer)) {
                drop(state);
                self.stay(object, transfer);
                return Err(Refusal::new(StatusCode::CONDITION, "the offer was withdrawn"));
            }
            let from = state.position;
            let start = Position { epoch: from.epoch + 1, ..from };
            (state.position, state.head_position) = (start, start);
            state.log = ChangeLog::continuing(from, start.epoch, LogLimits::default());
            let former = ObserverEntry {
                runtime: Some(self.shared.parts.runtime.clone()),
                identity: std::mem::replace(&mut state.reporter_user, identity),
                resumable: true,
                since: Some(self.shared.parts.clock.now()),
                children: true,
                away: None,
                routes: Default::default(),
            };
            state.observers.remove(&transfer.to);
            state.observers.insert(transfer.former.clone(), former);
            state.metadata.reporter = transfer.to.clone();
            state.handing.awaited = true;
            let body = Arc::new(self.first_change(&transfer.to, start.next()));
            state.note_first_change(&body);
            let mut record = state.record(object.names().cloned().collect(), RecordStatus::Live);
            record.log = vec![body];
            record.delegation = None;
            state.options.resumable.then(|| self.storage().save(&record))
        };
        if kept.is_some()
            && let Err(error) = self.on_disk().await
        {
            object.lock().phase = Phase::Closed(error.to_string());
            transfer.broken(error.clone().into());
            self.release_what_was_held(object);
            return Err(error.into());
        }
        self.swap_reporters(object, transfer, forwards)?;
        self.tally().given.add(1);
        self.tally().taken.add(1);
        tracing::info!(object = %object.url, to = %transfer.to, "an object changed hands within the runtime");
        if object.lock().options.domain_registration {
            self.register_again(object);
        }
        self.release_what_was_held(object);
        Ok(())
    }

    /// It is durable: the routes of the two change places, and everybody is told.
    fn swap_reporters(
        &self,
        object: &Reported,
        transfer: &Transfer,
        forwards: Vec<Listener>,
    ) -> Result<(), Refusal> {
        let routes = self.observer_routes(object, &Path::Local(transfer.former.clone()))?;
        {
            let mut state = object.lock();
            // What is sequenced here stays.
            state.forwards = forwards;
            if let Some(entry) = state.observers.get_mut(&transfer.former) {
                entry.routes = routes;
            }
            state.handing.transfer = None;
            state.phase = Phase::Live;
            state.answers.outdate();
            transfer.step(|giver| {
                giver.written();
                giver.confirm(&transfer.offer)
            });
            self.release_first_change(object, &mut state);
        }
        Ok(())
    }
}
