//! Which procedure a message starts (protocol 5.0).

use hyperty_model::message::{
    ClaimBody, CreateObject, DeleteBody, ExecuteBody, GiveBackBody, PassedBody, ReadBody, ResponseBody,
    ResumeBody, SubscribeBody, UnsubscribeBody,
};
use hyperty_model::resume::Criteria;
use hyperty_model::{DerivedTail, HypertyUrl, Message, MessageType, ObjectUrl, StatusCode};

use crate::answer::{Question, Refusal};
use crate::delegation::Passed;
use crate::manager::SyncManager;

impl SyncManager {
    pub(crate) async fn dispatch(&self, message: Message) {
        if message.to() == self.address() {
            return self.dispatch_own(message).await;
        }
        let to = message.to().split_derived();
        let question = Question::served(&self.shared.inbox, self.bus(), message);
        match to {
            Some((object, Some(DerivedTail::Subscription))) => {
                self.dispatch_subscription(question, object).await
            }
            Some((object, None)) => self.dispatch_object(question, object).await,
            _ => question.answer(unexpected()),
        }
    }

    /// What a local hyperty asks its own Sync Manager.
    async fn dispatch_own(&self, message: Message) {
        if message.kind() == MessageType::Response {
            return self.late_answer(&message);
        }
        let question = Question::served(&self.shared.inbox, self.bus(), message);
        let Some(question) = self.dispatch_between(question).await else { return };
        let hyperty = match local_hyperty(question.request()) {
            Ok(hyperty) => hyperty,
            Err(refusal) => return question.answer(refusal),
        };
        if let Some(criteria) = resume_criteria(question.request()) {
            return self.dispatch_resume(question, hyperty, criteria).await;
        }
        self.settle_first(question.request()).await;
        match question.request().kind() {
            MessageType::Create => match question.request().decode::<CreateObject>() {
                Ok(body) if body.delegation.is_some() => {
                    self.accept_delegation(question, &hyperty, &body).await;
                }
                Ok(body) if body.delegate.is_some() => self.delegate(question, &hyperty, &body).await,
                Ok(body) if is_other_create(&body) => question.answer(not_served()),
                Ok(body) if SyncManager::is_invitation(&body) => {
                    let outcome = self.invite(&hyperty, &body).await;
                    question.answer(outcome.unwrap_or_else(ResponseBody::from));
                }
                Ok(body) => {
                    let outcome = self.create(&hyperty, &body).await;
                    question.answer(outcome.unwrap_or_else(ResponseBody::from));
                }
                Err(error) => question.answer(Refusal::from(error)),
            },
            MessageType::Subscribe => match question.request().decode::<SubscribeBody>() {
                Ok(body) => self.subscribe(&question, hyperty, &body).await,
                Err(error) => question.answer(Refusal::from(error)),
            },
            MessageType::Unsubscribe => match question.request().decode::<UnsubscribeBody>() {
                Ok(body) if body.reason.as_deref() == Some("revoked") => {
                    let outcome = self.revoke(&hyperty, &body).await;
                    question.answer(outcome.unwrap_or_else(ResponseBody::from));
                }
                Ok(body) => {
                    let of_another = body.source.as_ref().is_some_and(|source| source != hyperty.as_url());
                    let outcome = match of_another {
                        true => self.remove_observer(&hyperty, &body).await,
                        false => self.unsubscribe(&hyperty, &body).await,
                    };
                    question.answer(outcome.unwrap_or_else(ResponseBody::from));
                }
                Err(error) => question.answer(Refusal::from(error)),
            },
            MessageType::Delete => {
                let outcome = match question.request().decode::<DeleteBody>() {
                    Ok(body) => self.delete(&hyperty, &body).await,
                    Err(error) => Err(error.into()),
                };
                question.answer(outcome.unwrap_or_else(ResponseBody::from));
            }
            MessageType::Read => match question.request().decode::<ReadBody>() {
                Ok(body) => self.read_for(question, &hyperty, &body).await,
                Err(error) => question.answer(Refusal::from(error)),
            },
            _ => question.answer(unexpected()),
        }
    }

    /// Going on with what there is: without criteria what is the hyperty's own, else what the criteria say.
    async fn dispatch_resume(
        &self,
        question: Question,
        hyperty: HypertyUrl,
        criteria: Result<Criteria, Refusal>,
    ) {
        let criteria = match criteria {
            Ok(criteria) => criteria,
            Err(refusal) => return question.answer(refusal),
        };
        match (question.request().kind(), criteria.is_empty()) {
            (MessageType::Create, true) => {
                self.resume_reporters(question, hyperty, &CreateObject::default()).await;
            }
            (MessageType::Create, false) => self.resume_reporters_by(question, hyperty, &criteria).await,
            (_, true) => self.resume_observers(question, hyperty).await,
            (_, false) => self.resume_observers_by(question, hyperty, &criteria).await,
        }
    }

    /// A hyperty of this runtime that asks for an object which is changing hands here waits until that is over.
    async fn settle_first(&self, request: &Message) {
        let url = match request.kind() {
            MessageType::Subscribe => {
                let body = request.decode::<SubscribeBody>().ok();
                body.and_then(|body| body.resource.as_ref().and_then(|resource| resource.0.first().cloned()))
            }
            MessageType::Unsubscribe => {
                request.decode::<UnsubscribeBody>().ok().and_then(|body| body.resource.clone())
            }
            MessageType::Read => request.decode::<ReadBody>().ok().and_then(|body| body.resource.clone()),
            _ => None,
        };
        if let Some(url) = url {
            self.settled(&url).await;
        }
    }

    /// What Sync Managers ask each other, about who observes (5.3.5) and when an object changes hands (5.11); anything else is
    /// given back.
    async fn dispatch_between(&self, question: Question) -> Option<Question> {
        let request = question.request();
        match request.kind() {
            MessageType::Forward => {
                if let Ok(body) = request.decode::<ClaimBody>() {
                    self.claimed(question, &body).await;
                } else {
                    match request.decode::<PassedBody>() {
                        Ok(body) => self.take_passed(question, &body),
                        Err(error) => question.answer(Refusal::from(error)),
                    }
                }
                None
            }
            MessageType::Read => match request.decode::<ReadBody>() {
                Ok(body) if body.part.is_some() && request.is_remote() => {
                    let outcome = self.part_of_grant(&question, &body);
                    question.answer(outcome.unwrap_or_else(ResponseBody::from));
                    None
                }
                _ => self.answer_roll_call(question),
            },
            MessageType::Delete => match request.decode::<GiveBackBody>() {
                Ok(body) => {
                    self.returned(question, &body).await;
                    None
                }
                Err(_) => Some(question),
            },
            _ => Some(question),
        }
    }

    /// What arrives at `O/subscription`.
    async fn dispatch_subscription(&self, question: Question, object: ObjectUrl) {
        if question.request().kind() == MessageType::Forward
            && let Ok(body) = question.request().decode::<ClaimBody>()
        {
            return self.claimed(question, &body).await;
        }
        let question = match self.pass(question, &object) {
            Passed::Back(question) => question,
            Passed::Taken => return,
        };
        match question.request().kind() {
            MessageType::Subscribe => match question.request().decode::<SubscribeBody>() {
                Ok(body) => self.accept_remote(question, &object, &body).await,
                Err(error) => question.answer(Refusal::from(error)),
            },
            MessageType::Unsubscribe => match question.request().decode::<UnsubscribeBody>() {
                Ok(body) => {
                    let outcome = self.release_observer(question.request(), &object, &body).await;
                    question.answer(outcome.unwrap_or_else(ResponseBody::from));
                }
                Err(error) => question.answer(Refusal::from(error)),
            },
            // Late answers to invitations, or acknowledgements of a deletion.
            MessageType::Response => self.dispatch_answer(question.request(), &object),
            _ => question.answer(unexpected()),
        }
    }

    fn dispatch_answer(&self, message: &Message, url: &ObjectUrl) {
        let Some(object) = self.reported(url) else { return };
        if !self.late_invitation_answer(&object, message) {
            self.acknowledge_delete(message, url);
        }
    }

    /// What arrives at `O` itself.
    async fn dispatch_object(&self, question: Question, object: ObjectUrl) {
        let question = match self.pass(question, &object) {
            Passed::Back(question) => question,
            Passed::Taken => return,
        };
        match question.request().kind() {
            MessageType::Read => match question.request().decode::<ReadBody>() {
                Ok(body) => self.read_reported(question, &object, &body).await,
                Err(error) => question.answer(Refusal::from(error)),
            },
            MessageType::Execute => match question.request().decode::<ExecuteBody>() {
                Ok(body) => self.execute(question, &object, &body).await,
                Err(error) => question.answer(Refusal::from(error)),
            },
            _ => question.answer(unexpected()),
        }
    }
}

/// The criteria of a request to resume; `None` if it is another request.
fn resume_criteria(message: &Message) -> Option<Result<Criteria, Refusal>> {
    // As what it usually is first: a whole object is not parsed twice.
    let another = match message.kind() {
        MessageType::Create => message.decode::<CreateObject>().is_ok_and(|body| !body.resume),
        MessageType::Subscribe => message.decode::<SubscribeBody>().is_ok_and(|body| !body.resume),
        _ => true,
    };
    if another {
        return None;
    }
    let body = message.decode::<ResumeBody>().ok().filter(|body| body.resume)?;
    Some(body.criteria().map_err(|error| Refusal::bad_request(error.to_string())))
}

/// A `create` of another procedure: the older hint to store a child.
fn is_other_create(body: &CreateObject) -> bool {
    body.attribute.is_some()
}

fn not_served() -> Refusal {
    Refusal::bad_request("this Sync Manager serves no child storage hint")
}

fn unexpected() -> Refusal {
    Refusal::bad_request("this address does not take messages of this type")
}

/// Only a hyperty of this runtime may ask its Sync Manager, and only in its own name.
fn local_hyperty(message: &Message) -> Result<HypertyUrl, Refusal> {
    if message.sender() != Some(message.from()) {
        let text = "only a hyperty of this runtime may ask its Sync Manager, in its own name";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    HypertyUrl::try_from(message.from().clone()).map_err(|error| Refusal::bad_request(error.to_string()))
}
