//! A Reporter offers its object to another hyperty (protocol 5.11 steps 1 to 3, 13 and 14).

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::delegation::Giver;
use hyperty_model::message::{CreateObject, OneOrMany, ResponseBody};
use hyperty_model::{HypertyUrl, Message, MessageType, ObjectUrl, StatusCode};
use hyperty_policy::Point;
use hyperty_storage::RecordStatus;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::transfer::{Stage, Transfer};
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::reporter::{Phase, Reported};

impl SyncManager {
    /// `create` with `delegate`, from the Reporter.
    pub(crate) async fn delegate(&self, question: Question, hyperty: &HypertyUrl, body: &CreateObject) {
        let outcome = self.offer(&question, hyperty, body).await;
        question.answer(outcome.unwrap_or_else(ResponseBody::from));
    }

    async fn offer(
        &self,
        question: &Question,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) -> Result<ResponseBody, Refusal> {
        let (object, to) = self.check_offer(hyperty, body).await?;
        let lifetime = body.expires.map_or(self.config().offer_wait, Duration::from_secs);
        let lifetime = lifetime.min(self.config().offer_wait);
        let transfer = self.begin_offer(&object, hyperty, &to, lifetime)?;
        self.tell_progress(question, &object.url, &transfer.offer);
        let offered = self.bus().request(self.offer_message(&object, &transfer, body, lifetime));
        let offered = offered.timeout(lifetime);
        tokio::pin!(offered);
        let (mut changed, mut answered) = (transfer.watch(), false);
        let (mut alarm, mut is_given) = (transfer.expires, false);
        loop {
            match transfer.stage() {
                Stage::Open => {}
                Stage::Broken(why) => return Err(why),
                Stage::Aborted(why) => {
                    self.stay(&object, &transfer);
                    return Err(why);
                }
                Stage::Given { epoch, confirmed } => {
                    // Whoever took it says so when it acts; without that the former Reporter does not wait for ever.
                    if !std::mem::replace(&mut is_given, true) {
                        alarm = Instant::now() + self.config().confirm_wait;
                    }
                    if matches!(transfer.state(), Giver::Given { taker, .. } if taker == *self.address()) {
                        // Within this runtime: it is served here as before.
                        return Ok(given(&object.url, &transfer, epoch));
                    }
                    if confirmed || Instant::now() >= alarm {
                        self.depart(&object, &transfer).await;
                        return Ok(given(&object.url, &transfer, epoch));
                    }
                }
            }
            tokio::select! {
                biased;
                _ = changed.changed() => {}
                answer = &mut offered, if !answered => {
                    answered = true;
                    self.on_offer_answered(&transfer, &answer);
                }
                () = tokio::time::sleep_until(alarm) => {
                    if matches!(transfer.state(), Giver::Offered { .. }) {
                        transfer.abort(Refusal::new(StatusCode::TIMEOUT, "the offer has expired"));
                    } else if !is_given {
                        alarm = Instant::now() + self.config().freeze_wait;
                    }
                }
                () = tokio::time::sleep(self.config().peer_timeout / 2) => {
                    self.tell_progress(question, &object.url, &transfer.offer);
                }
            }
        }
    }

    async fn check_offer(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) -> Result<(Arc<Reported>, HypertyUrl), Refusal> {
        let url = match body.resource.as_ref().map(|resource| resource.0.as_slice()) {
            Some([url]) => url.clone(),
            _ => return Err(Refusal::missing("resource")),
        };
        let to = body.delegate.clone().ok_or_else(|| Refusal::missing("delegate"))?;
        let object = self.reported(&url).ok_or_else(|| Refusal::unknown(&url))?;
        {
            let state = object.lock();
            if state.metadata.reporter != *hyperty || state.phase == Phase::Delegated {
                return Err(Refusal::new(StatusCode::FORBIDDEN, "only the Reporter gives its object away"));
            }
            if to == *hyperty {
                return Err(Refusal::bad_request("the object is this hyperty's already"));
            }
            if !state.options.domain_routing && !self.shared.parts.registry.is_local(&to) {
                let text = "an object that is not routed by its domain cannot leave its runtime";
                return Err(Refusal::bad_request(text));
            }
        }
        let request = object.policy_request(Point::DelegateOut, hyperty.as_url(), body.identity.as_ref());
        self.decide(&request).await?;
        Ok((object, to))
    }

    /// Two offers at one time there are not: they would be two owners.
    fn begin_offer(
        &self,
        object: &Arc<Reported>,
        former: &HypertyUrl,
        to: &HypertyUrl,
        lifetime: Duration,
    ) -> Result<Arc<Transfer>, Refusal> {
        let mut state = object.lock();
        match &state.phase {
            Phase::Live => {}
            Phase::Condemned | Phase::Deleting => {
                return Err(Refusal::new(StatusCode::CONFLICT, "the object is being deleted"));
            }
            _ if state.handing.transfer.is_some() => {}
            _ => {
                return Err(
                    Refusal::new(StatusCode::INTERNAL, "the object takes no changes now").because("storage")
                );
            }
        }
        if state.handing.transfer.is_some() {
            return Err(Refusal::new(StatusCode::CONFLICT, "the object is offered to somebody already"));
        }
        let epoch = state.head_position.epoch;
        let expires = Instant::now() + lifetime;
        let transfer =
            Arc::new(Transfer::new(self.shared.parts.ids.uuid(), to.clone(), former.clone(), expires, epoch));
        state.handing.transfer = Some(Arc::clone(&transfer));
        self.write_transfer(object, &state);
        tracing::info!(object = %object.url, offer = transfer.offer, %to, "an object is offered");
        Ok(transfer)
    }

    /// Writes that the object is offered, or that it no longer is. Not waited for: a restart without it finds the object
    /// as it was, only nobody hears why. What went on elsewhere meanwhile has no record here any more, and gets none.
    pub(super) fn write_transfer(&self, object: &Reported, state: &crate::reporter::State) {
        if state.options.resumable && state.is_its_own() {
            let mut record = state.header(object.names().cloned().collect(), RecordStatus::Live);
            record.delegation = state.handing.transfer.as_ref().map(|it| it.kept(state.head_position));
            self.storage().save_metadata(&record);
        }
    }

    fn tell_progress(&self, question: &Question, url: &ObjectUrl, offer: &str) {
        let mut body =
            ResponseBody { resource: Some(url.to_string()), ..ResponseBody::of(StatusCode::PROVISIONAL) };
        body.extra.insert("delegation".to_owned(), json!(offer));
        question.progress(body);
    }

    fn offer_message(
        &self,
        object: &Reported,
        transfer: &Transfer,
        body: &CreateObject,
        lifetime: Duration,
    ) -> Message {
        let (metadata, options) = {
            let state = object.lock();
            (state.metadata.clone(), state.options)
        };
        let mut value = match serde_json::to_value(&metadata) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        value.insert("store".to_owned(), json!(options.store));
        value.insert("resumable".to_owned(), json!(options.resumable));
        let body = CreateObject {
            resource: Some(OneOrMany(vec![object.url.clone()])),
            schema: Some(metadata.schema),
            value: Some(value),
            source: Some(transfer.former.as_url().clone()),
            delegate: Some(transfer.to.clone()),
            delegation: Some(transfer.offer.clone()),
            expires: Some(lifetime.as_secs()),
            identity: body.identity.clone(),
            ..CreateObject::default()
        };
        self.bus().new_message(MessageType::Create, self.address(), &transfer.to, body)
    }

    /// The other hyperty has said yes or no, or nothing for too long. A yes counts once the object is given; a no only
    /// before.
    fn on_offer_answered(&self, transfer: &Transfer, answer: &Message) {
        let body = answer.decode::<ResponseBody>().unwrap_or_default();
        if body.code.is_success() {
            transfer.step(|state| state.confirm(&transfer.offer));
            return;
        }
        let mut why = Refusal::relayed(&body);
        if why.is_unreachable() {
            why = Refusal::new(
                StatusCode::TIMEOUT,
                format!("{} cannot be reached: {}", transfer.to, why.description),
            )
            .because("no-route");
        }
        transfer.abort(why);
    }

    /// Whoever deletes an object takes back that it was offered.
    pub(crate) fn withdraw_offer(&self, object: &Arc<Reported>) -> Result<(), Refusal> {
        let transfer = object.lock().handing.transfer.clone();
        let Some(transfer) = transfer else { return Ok(()) };
        match transfer.state() {
            Giver::Offered { .. } => {
                transfer.abort(Refusal::new(StatusCode::GONE, "the object is deleted"));
                self.stay(object, &transfer);
                Ok(())
            }
            Giver::Frozen { .. } | Giver::Committing { .. } | Giver::Reclaiming { .. } => {
                Err(Refusal::new(StatusCode::CONFLICT, "the object is just changing hands"))
            }
            Giver::Given { .. } => {
                Err(Refusal::new(StatusCode::FORBIDDEN, "the object is another's now").because("delegated"))
            }
            Giver::Owner { .. } => Ok(()),
        }
    }

    /// The object stays with its Reporter, which goes on (INV-DLG-5).
    pub(super) fn stay(&self, object: &Arc<Reported>, transfer: &Arc<Transfer>) {
        {
            let mut state = object.lock();
            if !state.handing.transfer.as_ref().is_some_and(|current| Arc::ptr_eq(current, transfer)) {
                return;
            }
            state.handing.transfer = None;
            if state.phase == Phase::Frozen {
                state.phase = Phase::Live;
            }
            self.write_transfer(object, &state);
        }
        tracing::info!(object = %object.url, offer = transfer.offer, "an object stays where it is");
        self.thaw(&transfer.former, &object.url, &transfer.offer);
        self.release_what_was_held(object);
    }
}

fn given(url: &ObjectUrl, transfer: &Transfer, epoch: u64) -> ResponseBody {
    let value = json!({"reporter": transfer.to, "epoch": epoch});
    let mut body = ResponseBody { resource: Some(url.to_string()), ..ResponseBody::ok().with_value(value) };
    body.extra.insert("delegation".to_owned(), json!(transfer.offer));
    body
}
