//! A hyperty of this runtime takes over what it was offered (protocol 5.11 steps 4, 5 and 11).

use std::sync::Arc;

use hyperty_model::delegation::Taker;
use hyperty_model::message::{ClaimBody, ClaimKind, Control, CreateObject, ResponseBody};
use hyperty_model::object::Metadata;
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl, StatusCode, Url};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_storage::{RecordStatus, Role};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::taking::{Accepted, Taking};
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::parts::Source;
use crate::reporter::resumed_reporter_value;

impl SyncManager {
    /// `create` with `delegation`, from the hyperty that the object was offered to.
    pub(crate) async fn accept_delegation(
        &self,
        question: Question,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) {
        let outcome = self.begin_take_over(&question, hyperty, body).await;
        question.answer(outcome.unwrap_or_else(ResponseBody::from));
    }

    async fn begin_take_over(
        &self,
        question: &Question,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) -> Result<ResponseBody, Refusal> {
        let (accepted, offer, giver) = self.check_acceptance(hyperty, body).await?;
        let url = accepted.url.clone();
        if let Some(object) = self.reported(&url) {
            self.take_locally(&object, &offer, hyperty, accepted.identity).await?;
            return self.taken(&url, &offer);
        }
        let taking = Arc::new(Taking::new(accepted, Taker::Requested { offer: offer.clone(), giver }));
        self.enter_taking(&taking)?;
        // Asked for before it was kept, it could be given to nobody who remembers.
        if let Err(refusal) = self.keep_taking(&taking, RecordStatus::Requested).await {
            self.leave_taking(&taking);
            return Err(refusal);
        }
        let (manager, job) = (self.clone(), Arc::clone(&taking));
        self.later(Box::pin(async move { manager.take(&job).await }));
        let mut outcome = taking.outcome();
        let deadline = Instant::now() + self.config().offer_wait;
        loop {
            if Instant::now() >= deadline {
                self.tell_later(&taking);
                let text = "nothing is heard of its Reporter";
                return Err(Refusal::new(StatusCode::TIMEOUT, text).because("unheard"));
            }
            question.progress(ResponseBody {
                resource: Some(url.to_string()),
                ..ResponseBody::of(StatusCode::PROVISIONAL)
            });
            let waiting = outcome.wait_for(Option::is_some);
            if let Ok(ended) = tokio::time::timeout(self.config().peer_timeout / 2, waiting).await {
                let ended = ended.ok().and_then(|ended| (*ended).clone());
                ended.unwrap_or_else(|| Err(Refusal::new(StatusCode::INTERNAL, "the runtime is ending")))?;
                return self.taken(&url, &offer);
            }
        }
    }

    /// Whoever accepted has stopped waiting (INV-MSG-1), and the claim goes on: only the other side knows whose the
    /// object is. If it is ours after all, its new Reporter is told.
    fn tell_later(&self, taking: &Arc<Taking>) {
        let (manager, taking) = (self.clone(), Arc::clone(taking));
        self.later(Box::pin(async move {
            let mut outcome = taking.outcome();
            let is_ours = outcome
                .wait_for(Option::is_some)
                .await
                .is_ok_and(|outcome| matches!(&*outcome, Some(Ok(()))));
            if is_ours {
                manager.call_new_reporter(&taking);
            }
        }));
    }

    /// Step 11.
    fn taken(&self, url: &ObjectUrl, offer: &str) -> Result<ResponseBody, Refusal> {
        let object = self.reported(url).ok_or_else(|| Refusal::unknown(url))?;
        let state = object.lock();
        let mut body = ResponseBody {
            resource: Some(url.to_string()),
            children_resources: Some(object.name_strings()),
            epoch: Some(state.position.epoch),
            value: resumed_reporter_value(&object, &state),
            ..ResponseBody::ok()
        };
        body.extra.insert("delegation".to_owned(), json!(offer));
        Ok(body)
    }

    async fn check_acceptance(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) -> Result<(Accepted, String, Url), Refusal> {
        let url = match body.resource.as_ref().map(|resource| resource.0.as_slice()) {
            Some([url]) => url.clone(),
            _ => return Err(Refusal::missing("resource")),
        };
        let offer = body.delegation.clone().ok_or_else(|| Refusal::missing("delegation"))?;
        let giver = body.source.clone().ok_or_else(|| Refusal::missing("source"))?;
        if body.delegate.as_ref() != Some(hyperty) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the object is offered to another hyperty"));
        }
        let value = Value::Object(body.value.clone().ok_or_else(|| Refusal::missing("value"))?);
        let metadata = Metadata::deserialize(&value)
            .map_err(|error| Refusal::bad_request(format!("malformed value: {error}")))?;
        if metadata.url != url {
            return Err(Refusal::bad_request("resource and value.url name different objects"));
        }
        let identity = self.shared.parts.registry.user_of(hyperty).or_else(|| body.identity.clone());
        let request = PolicyRequest::new(Point::DelegateIn, hyperty.as_url().clone())
            .identity(identity.clone())
            .object(url.clone())
            .schema(metadata.schema.clone())
            .reporter(metadata.reporter.clone(), None);
        self.decide(&request).await?;
        let schema = self.shared.parts.catalogue.get(&metadata.schema).await?;
        let wish = |member: &str| value.get(member).and_then(Value::as_bool).unwrap_or(false);
        let store = body.store.unwrap_or_else(|| wish("store"));
        // What the former owner had backed up was for its own devices.
        let may = identity.is_some() && (store || body.backup == Some(true));
        let backup = self.backs_up(body.backup, may).unwrap_or(false);
        let store = store || backup;
        let resumable = store || body.resumable.unwrap_or_else(|| wish("resumable"));
        let metadata =
            Metadata { reporter: hyperty.clone(), runtime: self.shared.parts.runtime.clone(), ..metadata };
        let to = hyperty.clone();
        Ok((Accepted { url, to, identity, schema, metadata, store, resumable, backup }, offer, giver))
    }

    /// Goes on until the object is ours, or is not and will not be. Nobody need wait for it.
    pub(super) async fn take(&self, taking: &Arc<Taking>) {
        loop {
            let outcome = match taking.state() {
                Taker::Returning { .. } => match self.send_back(taking).await {
                    Some(refusal) => Err(refusal),
                    // It has to be hosted after all.
                    None => continue,
                },
                _ => match self.claim_until_answered(taking).await {
                    Ok(grant) => match self.adopt(taking, &grant).await {
                        Ok(()) => Ok(()),
                        Err(refusal) if taking.step(Taker::give_back) => {
                            tracing::warn!(object = %taking.url, %refusal, "what was given cannot be hosted here");
                            continue;
                        }
                        // It may be ours on disk: the next start of this runtime tells.
                        Err(refusal) => Err(refusal),
                    },
                    Err(refusal) => {
                        self.forget_request(taking);
                        Err(refusal)
                    }
                },
            };
            self.leave_taking(taking);
            return taking.finish(outcome);
        }
    }

    pub(super) fn forget_request(&self, taking: &Taking) {
        if taking.resumable {
            self.storage().remove(Role::Reporter, &taking.url);
        }
    }

    /// Step 5, again and again: to the object's address, and to the Sync Manager that offered it, which can be reached
    /// when the address is ours already.
    async fn claim_until_answered(&self, taking: &Taking) -> Result<Arc<ResponseBody>, Refusal> {
        let (offer, giver) = (taking.offer(), taking.giver());
        let mut pause = self.config().retry_min;
        for attempt in 0_u32.. {
            let to = if attempt.is_multiple_of(2) { taking.url.subscription() } else { giver.clone() };
            let body = ClaimBody {
                kind: ClaimKind::Create,
                from: taking.to.clone(),
                to: taking.url.clone(),
                resource: taking.url.clone(),
                delegate: taking.to.clone(),
                delegation: offer.clone(),
                source: self.address().clone(),
                identity: taking.identity.clone(),
                parts: true,
            };
            let message = self.bus().new_message(MessageType::Forward, self.address(), &to, body);
            let source = Source { object: &taking.url, at: &giver };
            let asked = self.ask_whole_from(message, source, self.config().peer_timeout, &|| {}).await;
            match asked {
                Ok(body) if body.code.is_success() => return Ok(body),
                Ok(body) if is_final(&body) && taking.step(|state| state.may_be_refused(&offer)) => {
                    return Err(Refusal::relayed(&body));
                }
                Ok(body) => {
                    tracing::debug!(object = %taking.url, code = %body.code, why = body.why(), "claiming again");
                }
                // It is granted, and did not come whole: each claim is granted anew.
                Err(refusal) => tracing::debug!(object = %taking.url, %refusal, "claiming again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.config().retry_max);
        }
        Err(Refusal::new(StatusCode::TIMEOUT, "never answered"))
    }

    /// Tells the new Reporter, which is not waiting for an answer, that the object is its own.
    pub(super) fn call_new_reporter(&self, taking: &Taking) {
        self.bus().post(self.control(&taking.to, &taking.url, Control::Resume, &taking.offer()));
    }
}

/// Whether a claim was refused for good. Whoever gives it may only be out of reach, or not know yet.
fn is_final(body: &ResponseBody) -> bool {
    match body.code {
        StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::CONDITION | StatusCode::GONE => true,
        StatusCode::NOT_FOUND => body.reason.as_deref() != Some("no-route"),
        StatusCode::TIMEOUT => body.reason.as_deref() == Some("expired"),
        _ => false,
    }
}
