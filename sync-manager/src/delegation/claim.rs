//! The new Reporter's side claims an object (protocol 5.11 step 6): the Reporter is stopped, and the object given.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::delegation::{Claim, Giver};
use hyperty_model::message::{Body, ClaimBody, Control, ControlBody, ReadBody, ResponseBody};
use hyperty_model::{HypertyUrl, Message, MessageType, ObjectUrl, StatusCode};
use tokio::time::Instant;

use super::gift::Gift;
use super::transfer::Transfer;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::parts::{Grounds, Outgoing};
use crate::reporter::{Phase, Reported};

impl SyncManager {
    /// `forward` of a `create` to `O/subscription`, or to this Sync Manager.
    pub(crate) async fn claimed(&self, question: Question, body: &ClaimBody) {
        let trying = self.try_claim(question.request(), body);
        let outcome = tokio::time::timeout(self.config().peer_timeout, trying).await;
        let late =
            || Err(Refusal::new(StatusCode::TIMEOUT, "it is not decided yet; claim again").because("busy"));
        match outcome.unwrap_or_else(|_| late()) {
            Ok(gift) => match self.contents_of(&gift) {
                Ok(contents) => self.answer_claim(&Arc::new(question), body, &contents.grant),
                Err(refusal) => question.answer(refusal),
            },
            Err(refusal) => question.answer(refusal),
        }
    }

    /// Step 8.
    fn answer_claim(&self, question: &Arc<Question>, claim: &ClaimBody, grant: &ResponseBody) {
        let body = Body::of(grant.clone());
        if !claim.parts {
            return question.answer_with(body);
        }
        let grounds = Grounds::Gift(claim.delegation.clone());
        self.answer_whole(question, Outgoing { object: &claim.resource, grounds, parts: true, body });
    }

    /// `read` of one part of a grant, at this Sync Manager: the object's own address is the other's by then.
    pub(crate) fn part_of_grant(
        &self,
        question: &Question,
        body: &ReadBody,
    ) -> Result<ResponseBody, Refusal> {
        let url = body.resource.as_ref().ok_or_else(|| Refusal::missing("resource"))?;
        let reader = question.request().from();
        self.piece_of(question, url, body, |grounds| {
            let is_theirs = |grounds: &Grounds| match grounds {
                Grounds::Gift(offer) => self.gift(url, offer).is_some_and(|gift| gift.is_given_to(reader)),
                _ => false,
            };
            Ok(grounds.iter().any(is_theirs))
        })
    }

    async fn try_claim(&self, request: &Message, body: &ClaimBody) -> Result<Arc<Gift>, Refusal> {
        let in_own_name = request.sender().is_none_or(|sender| sender == request.from());
        if !in_own_name || *request.from() != body.source {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "a Sync Manager claims in its own name"));
        }
        let transfer = self.transfer_of(&body.resource, body)?;
        loop {
            let mut changed = transfer.watch();
            match transfer.claim(&body.source) {
                Claim::Granted { .. } => {
                    let gift = self.gift(&body.resource, &body.delegation);
                    return gift.ok_or_else(|| over(&transfer));
                }
                Claim::Freeze => {
                    let object =
                        self.reported(&body.resource).ok_or_else(|| Refusal::unknown(&body.resource))?;
                    // Goes on whatever becomes of who asked: half of it must not be left behind.
                    let (manager, transfer, parts) = (self.clone(), Arc::clone(&transfer), body.parts);
                    self.later(Box::pin(async move { manager.hand_over(&object, &transfer, parts).await }));
                    let _ = changed.changed().await;
                }
                Claim::Wait => {
                    let _ = changed.changed().await;
                }
                Claim::Taken => {
                    return Err(Refusal::new(StatusCode::CONFLICT, "another Sync Manager has claimed it"));
                }
                Claim::Unknown => return Err(over(&transfer)),
            }
        }
    }

    /// The offer that a claim names, if it may be claimed by who claims it.
    fn transfer_of(&self, url: &ObjectUrl, body: &ClaimBody) -> Result<Arc<Transfer>, Refusal> {
        let given = self.gift(url, &body.delegation).map(|gift| Arc::clone(&gift.transfer));
        let offered = || {
            let object = self.reported(url)?;
            let transfer = object.lock().handing.transfer.clone();
            transfer.filter(|transfer| transfer.offer == body.delegation)
        };
        let transfer = given
            .or_else(offered)
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("{url} is not offered so")))?;
        if transfer.to != body.from || body.from != body.delegate {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "it is offered to another hyperty"));
        }
        let is_open = matches!(transfer.state(), Giver::Offered { .. });
        if is_open && Instant::now() >= transfer.expires {
            return Err(Refusal::new(StatusCode::TIMEOUT, "the offer has expired").because("expired"));
        }
        Ok(transfer)
    }

    /// From the claim to the commit; if that fails the object stays. `parts` says that a large grant is fetched in parts.
    async fn hand_over(&self, object: &Arc<Reported>, transfer: &Arc<Transfer>, parts: bool) {
        if let Err(refusal) = self.freeze(object, transfer).await {
            tracing::debug!(object = %object.url, %refusal, "the Reporter did not stop");
            transfer.abort(Refusal::new(StatusCode::CONDITION, refusal.description));
            return self.stay(object, transfer);
        }
        let bytes = self.bytes_to_give(&object.lock());
        if let Err(refusal) = self.can_be_given(&object.url, bytes, parts) {
            transfer.abort(refusal);
            return self.stay(object, transfer);
        }
        self.commit_transfer(object, transfer).await;
    }

    /// Stops the Reporter, and waits until what it sent before is released, at most T_FREEZE.
    pub(super) async fn freeze(&self, object: &Arc<Reported>, transfer: &Transfer) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.config().freeze_wait;
        let message = self.control(&transfer.former, &object.url, Control::Freeze, &transfer.offer);
        let answer = self.bus().request(message).timeout(self.config().freeze_wait).await;
        let code = answer.code();
        // A Reporter that is not here changes nothing: this copy is what there is.
        if !code.is_success() && code != StatusCode::NOT_FOUND {
            return Err(Refusal::new(StatusCode::CONDITION, format!("the Reporter did not stop: {code}")));
        }
        {
            let mut state = object.lock();
            let current = state.handing.transfer.as_ref().is_some_and(|it| it.offer == transfer.offer);
            if !current || state.phase != Phase::Live || !matches!(transfer.state(), Giver::Frozen { .. }) {
                return Err(Refusal::new(StatusCode::CONDITION, "the object takes no changes now"));
            }
            state.phase = Phase::Frozen;
        }
        let mut progress = self.shared.progress.clone();
        while !object.lock().staged.is_empty() {
            if Instant::now() >= deadline {
                return Err(Refusal::new(StatusCode::CONDITION, "the store did not keep up in time"));
            }
            // Released a moment after the store's progress.
            let pause = deadline.min(Instant::now() + Duration::from_millis(20));
            let _ = tokio::time::timeout_at(pause, progress.changed()).await;
            self.release_committed();
        }
        Ok(())
    }

    /// The Reporter goes on. Whether it hears that is its own matter.
    pub(crate) fn thaw(&self, reporter: &HypertyUrl, url: &ObjectUrl, offer: &str) {
        self.bus().post(self.control(reporter, url, Control::Thaw, offer));
    }

    pub(super) fn control(&self, to: &HypertyUrl, url: &ObjectUrl, method: Control, offer: &str) -> Message {
        let body = ControlBody { method, resource: url.clone(), params: vec![offer.to_owned()] };
        self.bus().new_message(MessageType::Execute, self.address(), to, body)
    }
}

fn over(transfer: &Transfer) -> Refusal {
    match transfer.stage() {
        super::transfer::Stage::Aborted(why) if why.code == StatusCode::CONDITION => why,
        _ => Refusal::new(StatusCode::NOT_FOUND, "the offer is over"),
    }
}
