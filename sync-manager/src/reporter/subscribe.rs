//! Subscription, the Reporter's side (protocol 5.3 step 8): authorise, decide, accept in one step (M4).

use std::sync::Arc;

use hyperty_model::message::{ForwardBody, ForwardKind, ObserversOperation, ResponseBody, SubscribeBody};
use hyperty_model::object::Metadata;
use hyperty_model::{
    Body, HypertyUrl, Identity, MessageType, ObjectUrl, Position, RuntimeUrl, Snapshot, StatusCode, Url,
};
use hyperty_policy::Point;
use hyperty_storage::Role;

use super::object::{ObserverEntry, Reported, State};
use super::routes::Path;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::parts::{Grounds, Outgoing};

/// Somebody who wants to observe an object.
pub(crate) struct Applicant {
    pub(crate) hyperty: HypertyUrl,
    pub(crate) runtime: Option<RuntimeUrl>,
    pub(crate) identity: Option<Identity>,
    pub(crate) resumable: bool,
    /// It goes on in the place of another hyperty of its user (5.10.2).
    pub(crate) resumes: bool,
    /// Where its copy stands (10.1).
    pub(crate) since: Option<Position>,
    pub(crate) path: Path,
    /// It comes in by what the object allows, which may be taken back while the store is waited for.
    pub(crate) needs_admission: bool,
}

impl SyncManager {
    /// A subscription that came from another runtime's Sync Manager.
    pub(crate) async fn accept_remote(&self, question: Question, object: &ObjectUrl, body: &SubscribeBody) {
        let deadline = self.joining_deadline();
        let question = Arc::new(question);
        let request = question.request();
        let mut applicant = match body.subscriber_or(request.from()) {
            Some(hyperty) => Applicant {
                path: match request.hops().last() {
                    Some(stub) => Path::Stub(stub.clone()),
                    None => Path::Local(hyperty.clone()),
                },
                hyperty,
                runtime: runtime_of(request.from()),
                identity: body.identity.clone(),
                resumable: body.resumable.or(body.store).unwrap_or(false),
                resumes: body.resume,
                since: body.since,
                needs_admission: false,
            },
            None => return question.answer(Refusal::missing("source")),
        };
        let (named, identity) = (applicant.hyperty.as_url(), applicant.identity.as_ref());
        if let Err(refusal) = self.check_behalf(object, request, named, identity) {
            return question.answer(refusal);
        }
        if let (Some(runtime), Some(reported)) = (&applicant.runtime, self.reported(object)) {
            let mut state = reported.lock();
            if !state.shuts_out(&applicant.hyperty, self.now()) {
                state.removed.begins_anew(&applicant.hyperty);
            }
            self.remind_removed_of(&reported, &state, runtime);
        }
        let accepted = match self.admit(object, &mut applicant).await {
            Ok(reported) => {
                let grounds = Grounds::Observer(applicant.hyperty.clone());
                let answer = |answer, metadata: &Metadata| {
                    let answer = ResponseBody {
                        schema: Some(metadata.schema.clone()),
                        owner: Some(metadata.reporter.clone()),
                        children_resources: Some(reported.name_strings()),
                        ..answer
                    };
                    let parts = body.parts.unwrap_or(false);
                    self.answer_whole(&question, Outgoing { object, grounds, parts, body: answer.into() });
                };
                self.accept(&reported, applicant, deadline, answer).await
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = accepted {
            question.answer(refusal);
        }
    }

    /// Steps a to e: may they? The answer is only good for [`SyncManager::accept`], which looks again.
    pub(crate) async fn admit(
        &self,
        url: &ObjectUrl,
        applicant: &mut Applicant,
    ) -> Result<Arc<Reported>, Refusal> {
        let object = self.reported(url).ok_or_else(|| self.not_here(url))?;
        let number = {
            let mut state = object.lock();
            state.check_not_own(&applicant.hyperty)?;
            self.check_not_removed(&state, &applicant.hyperty)?;
            state.deciding.begin(&applicant.hyperty, &applicant.runtime, &applicant.identity)
        };
        let decided = self.decide_applicant(url, &object, applicant).await;
        if object.lock().deciding.end(number) {
            return Err(Refusal::new(StatusCode::TIMEOUT, "the observer has left meanwhile"));
        }
        decided.map(|()| object)
    }

    async fn decide_applicant(
        &self,
        url: &ObjectUrl,
        object: &Arc<Reported>,
        applicant: &mut Applicant,
    ) -> Result<(), Refusal> {
        let actor = applicant.hyperty.as_url();
        let request = object.policy_request(Point::Subscribe, actor, applicant.identity.as_ref());
        let permitted = self.decide(&request).await?;
        let authorised = {
            let state = object.lock();
            state.check_there()?;
            let admitted = state.admits(&applicant.hyperty, applicant.identity.as_ref(), self.now());
            applicant.needs_admission = admitted && !permitted;
            permitted || admitted || (applicant.resumes && state.is_observed_by(applicant.identity.as_ref()))
        };
        let forward = ForwardBody {
            kind: ForwardKind::Subscribe,
            from: applicant.hyperty.as_url().clone(),
            to: url.clone(),
            identity: applicant.identity.clone(),
            authorised: Some(authorised),
            mutual: None,
        };
        if authorised {
            self.tell_reporter(object, forward);
        } else {
            self.ask_reporter(object, forward, StatusCode::FORBIDDEN).await?;
        }
        Ok(())
    }

    fn not_here(&self, url: &ObjectUrl) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, format!("{url} is not reported here"))
    }

    /// Lets the Reporter's application decide; without an answer in time the request has timed out.
    pub(crate) async fn ask_reporter(
        &self,
        object: &Reported,
        forward: ForwardBody,
        refusal: StatusCode,
    ) -> Result<(), Refusal> {
        let (mut asking, forward) = (self.begin_asking(), Body::of(forward));
        let answer = loop {
            let (reporter, forward) = (object.lock().metadata.reporter.clone(), forward.clone());
            let message =
                self.bus().new_message(MessageType::Forward, object.url.as_url(), &reporter, forward);
            let answer = self.bus().request(message).timeout(asking.left()).await;
            if !self.ask_again(object, &answer, &mut asking).await {
                break answer;
            }
        };
        let body = answer.decode::<ResponseBody>()?;
        match body.code {
            code if code.is_success() => Ok(()),
            StatusCode::TIMEOUT => {
                Err(Refusal::new(StatusCode::TIMEOUT, "the Reporter did not decide in time"))
            }
            StatusCode::NOT_FOUND => {
                Err(Refusal::new(StatusCode::TIMEOUT, "the Reporter is not here to decide"))
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(Refusal::new(refusal, body.why())),
            _ => Err(Refusal::relayed(&body)),
        }
    }

    /// Tells the Reporter what needs no decision. Its answer is not waited for.
    pub(crate) fn tell_reporter(&self, object: &Reported, forward: ForwardBody) {
        let reporter = object.lock().metadata.reporter.clone();
        let message = self.bus().new_message(MessageType::Forward, object.url.as_url(), &reporter, forward);
        self.bus().post(message);
    }

    /// Step f: adds the observer, its routes and the answer, in one step with the snapshot, or what came since the
    /// applicant's position (M4). Called by [`SyncManager::accept`], when what must be kept of it is durable.
    /// `answer` posts it while no update can be released, so that it precedes every later one on the same path.
    pub(super) fn accept_kept(
        &self,
        object: &Reported,
        state: &mut State,
        applicant: Applicant,
        answer: impl FnOnce(ResponseBody, &Metadata),
    ) -> Result<(), Refusal> {
        let is_remote = matches!(applicant.path, Path::Stub(_));
        let routes = self.observer_routes(object, &applicant.path)?;
        self.check_room(state, &applicant)?;
        let now = self.now();
        let children = state.may_write_children(&applicant.hyperty, applicant.identity.as_ref(), now);
        let Applicant { hyperty, runtime, identity, resumable, since: standing, .. } = applicant;
        let before = state.observers.get(&hyperty).map(|entry| (entry.since, entry.away.is_some()));
        let since = match before {
            Some((since, _)) => since,
            None => Some(now),
        };
        let entry = ObserverEntry { runtime, identity, resumable, children, since, away: None, routes };
        if !resumable {
            // Not waited for: it did not ask to be known after a restart.
            self.persist_observer(object, state, &hyperty, &entry);
        }
        match before {
            None => self.tell_observers(object, ObserversOperation::Add, &hyperty, &entry),
            Some((_, true)) => self.tell_observers(object, ObserversOperation::Back, &hyperty, &entry),
            Some((_, false)) => {}
        }
        state.removed.pardon(&hyperty);
        state.roll.heard(&hyperty);
        if let Some(runtime) = &entry.runtime {
            state.roll.is_there(runtime);
        }
        let invited = hyperty.clone();
        let elsewhere = entry.runtime.clone().filter(|it| !it.home().eq_ignore_ascii_case(object.url.home()));
        state.observers.insert(hyperty, entry);
        if let Some(runtime) = elsewhere.filter(|_| is_remote) {
            self.let_listen(object, &runtime);
        }
        tracing::debug!(object = %object.url, observers = state.observers.len(), position = %state.position, "an observer is accepted");
        answer(self.answer_since(object, state, standing), &state.metadata);
        self.invitation_used(object, state, &invited);
        self.schedule_beat(object, state);
        Ok(())
    }

    /// Whether the object is there, and takes one more observer.
    pub(super) fn check_room(&self, state: &State, applicant: &Applicant) -> Result<(), Refusal> {
        state.check_there()?;
        state.check_not_own(&applicant.hyperty)?;
        self.check_not_removed(state, &applicant.hyperty)?;
        if applicant.needs_admission
            && !state.admits(&applicant.hyperty, applicant.identity.as_ref(), self.now())
        {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "the grant was taken back"));
        }
        let is_full = state.observers.len() >= self.config().observers_max;
        if is_full && !state.observers.contains_key(&applicant.hyperty) {
            return Err(
                Refusal::new(StatusCode::INTERNAL, "the object has too many observers").because("limit")
            );
        }
        Ok(())
    }

    /// Writes that somebody observes, if it shall be known after a restart.
    pub(crate) fn persist_observer(
        &self,
        object: &Reported,
        state: &State,
        hyperty: &HypertyUrl,
        entry: &ObserverEntry,
    ) {
        if state.options.resumable && (entry.resumable || state.options.store) {
            self.storage().put_subscriber(Role::Reporter, &object.url, &entry.subscriber(hyperty));
        }
    }
}

/// The runtime of a Sync Manager's address.
pub(crate) fn runtime_of(manager: &Url) -> Option<RuntimeUrl> {
    RuntimeUrl::parse(manager.as_str().strip_suffix("/sm")?).ok()
}

/// A 200 with a whole object.
pub(crate) fn snapshot_answer(snapshot: Snapshot) -> ResponseBody {
    ResponseBody {
        resource: Some(snapshot.metadata.url.to_string()),
        value: Some(snapshot.into_value()),
        ..ResponseBody::ok()
    }
}
