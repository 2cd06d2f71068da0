//! Invitation and announcement (protocol 5.2): authorise, grant, keep, answer, then tell each of them.
//!
//! What does not arrive is kept and sent again until the offer ends, also by the next session. The answers are in
//! [`super::invite_answers`].

use std::collections::BTreeSet;
use std::sync::Arc;

use hyperty_model::message::{CreateObject, InviteBody, ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, Identity, MessageType, ObjectUrl, StatusCode, Timestamp, Url};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_storage::{Grant, Role, Ticket};
use serde_json::Value;
use tokio::time::Instant;

use super::invitations::ToSend;
use super::object::{Reported, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::timers::Due;

/// Whom a request names.
struct Wanted {
    /// Who may observe from now on.
    grants: Vec<Grant>,
    /// Those among them that are told so, and are hyperties.
    invited: Vec<HypertyUrl>,
    /// Who is told of the object, and granted nothing.
    told: Vec<HypertyUrl>,
    /// The end of the offer.
    until: Timestamp,
}

impl SyncManager {
    /// Whether a `create` that names an object invites to it (5.0).
    pub(crate) fn is_invitation(body: &CreateObject) -> bool {
        body.resource.is_some() && !(body.authorise.is_empty() && body.announce.is_empty())
    }

    /// Steps 1 to 3. When it is answered the grants are durable, and what is not delivered yet is too.
    pub(crate) async fn invite(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
    ) -> Result<ResponseBody, Refusal> {
        let deadline = Instant::now() + self.config().decision_timeout;
        let object = self.own_object(hyperty, body.resource.as_ref().map_or(&[][..], |list| &list.0))?;
        let wanted = self.wanted(body)?;
        let asking = self.may_invite(&object, &wanted, body.identity.as_ref());
        let decided = tokio::time::timeout_at(deadline, asking).await;
        // As one that does not decide on one of them in time.
        let late = || Err(Refusal::new(StatusCode::FORBIDDEN, "no decision in time").because("policy"));
        decided.unwrap_or_else(|_| late())?;
        let ticket = self.enter(&object, &wanted)?;
        if let Some(ticket) = ticket {
            // What could not be kept is not promised, but whoever hears of it by chance may come: it was allowed.
            self.durable_by(ticket, deadline).await?;
        }
        tracing::info!(
            object = %object.url, invited = wanted.invited.len(), told = wanted.told.len(), "hyperties are invited"
        );
        self.shared.timers.set(&object.url, Due::Invitations, Instant::now());
        Ok(ResponseBody { resource: Some(object.url.to_string()), ..ResponseBody::ok() })
    }

    /// `unsubscribe` with the reason `revoked`: takes back an invitation or grant that nobody has used. Who observes
    /// is removed instead (5.7).
    pub(crate) async fn revoke(
        &self,
        hyperty: &HypertyUrl,
        body: &UnsubscribeBody,
    ) -> Result<ResponseBody, Refusal> {
        let deadline = Instant::now() + self.config().decision_timeout;
        let who = body.source.clone().ok_or_else(|| Refusal::missing("source"))?;
        let object = self.own_object(hyperty, body.resource.as_slice())?;
        let ticket = {
            let mut state = object.lock();
            state.check_there()?;
            if let Ok(hyperty) = HypertyUrl::try_from(who.clone()) {
                if state.observers.contains_key(&hyperty) {
                    let text = format!("{hyperty} observes the object: remove it");
                    return Err(Refusal::new(StatusCode::CONFLICT, text).because("observing"));
                }
                // One that is about to be accepted is looked at again, and refused.
                let invited = state.invitations.remove(&hyperty);
                if state.grants.revoke(&who).is_none() && !invited {
                    return Err(Refusal::new(StatusCode::NOT_FOUND, format!("{hyperty} is not granted")));
                }
            } else if state.grants.revoke(&who).is_none() {
                return Err(Refusal::new(StatusCode::NOT_FOUND, format!("{who} is not granted")));
            }
            self.persist_grants(&object, &mut state)
        };
        if let Some(ticket) = ticket {
            self.durable_by(ticket, deadline).await?;
        }
        Ok(ResponseBody { resource: Some(object.url.to_string()), ..ResponseBody::ok() })
    }

    fn own_object(&self, hyperty: &HypertyUrl, named: &[ObjectUrl]) -> Result<Arc<Reported>, Refusal> {
        let [url] = named else {
            return Err(Refusal::bad_request("one object at a time"));
        };
        let object = self.reported(url).ok_or_else(|| Refusal::unknown(url))?;
        if object.lock().metadata.reporter != *hyperty {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "only the Reporter invites to its object"));
        }
        Ok(object)
    }

    fn wanted(&self, body: &CreateObject) -> Result<Wanted, Refusal> {
        let now = self.now();
        if body.scope.until.is_some_and(|until| until <= now) {
            return Err(Refusal::bad_request("the invitation has ended already"));
        }
        let told = body.announce.0.iter().cloned().map(HypertyUrl::try_from).collect::<Result<Vec<_>, _>>();
        let told = told.map_err(|error| Refusal::bad_request(format!("announce: {error}")))?;
        let who: BTreeSet<Url> = body.authorise.0.iter().cloned().collect();
        let granted: BTreeSet<&Url> = who.iter().collect();
        let told: BTreeSet<HypertyUrl> =
            told.into_iter().filter(|told| !granted.contains(told.as_url())).collect();
        let lifetime = now + self.config().invitation_age;
        Ok(Wanted {
            invited: who.iter().filter_map(|who| HypertyUrl::try_from(who.clone()).ok()).collect(),
            told: told.into_iter().collect(),
            until: body.scope.until.map_or(lifetime, |until| until.min(lifetime)),
            grants: who
                .into_iter()
                .map(|who| Grant {
                    who,
                    children: body.scope.children,
                    until: body.scope.until.map(Timestamp::as_millis),
                })
                .collect(),
        })
    }

    /// P-INVITE, once for each of them: one that is denied denies all, so that nobody has to find out who was left out.
    async fn may_invite(
        &self,
        object: &Reported,
        wanted: &Wanted,
        identity: Option<&Identity>,
    ) -> Result<(), Refusal> {
        let asked = wanted.grants.iter().map(|grant| &grant.who);
        for who in asked.chain(wanted.told.iter().map(HypertyUrl::as_url)) {
            let request = object.policy_request(Point::Invite, who, None);
            let reporter_user = request.reporter_user.clone().or_else(|| identity.cloned());
            self.decide(&PolicyRequest { reporter_user, ..request }).await?;
        }
        Ok(())
    }

    /// One step: grants and invitations are there, and are being written.
    fn enter(&self, object: &Reported, wanted: &Wanted) -> Result<Option<Ticket>, Refusal> {
        let mut state = object.lock();
        state.check_there()?;
        state.grants.forget_ended(self.now());
        let new_grants = wanted.grants.iter().filter(|grant| state.grants.get(&grant.who).is_none()).count();
        let all = || wanted.invited.iter().chain(&wanted.told);
        let new = all().filter(|who| !state.invitations.contains(who)).count();
        let config = self.config();
        if state.grants.len() + new_grants > config.grants_max
            || state.invitations.len() + new > config.invitations_max
        {
            let text = "the object has too many grants or open invitations";
            return Err(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
        }
        for grant in &wanted.grants {
            state.grants.add(grant.clone());
        }
        for who in &wanted.invited {
            state.invitations.add(who.clone(), false, wanted.until);
        }
        for who in &wanted.told {
            state.invitations.add(who.clone(), true, wanted.until);
        }
        Ok(self.persist_grants(object, &mut state))
    }

    /// Writes which grants and invitations have changed, together, if the object is to be known after a restart. While it
    /// is not there they wait: for the next time, or for the record as a whole.
    pub(crate) fn persist_grants(&self, object: &Reported, state: &mut State) -> Option<Ticket> {
        if state.options.resumable && state.check_there().is_err() {
            return None;
        }
        let changes = [state.grants.take_changes(), state.invitations.take_changes()].concat();
        let keep = state.options.resumable && !changes.is_empty();
        keep.then(|| self.storage().put_entries(Role::Reporter, &object.url, &changes))
    }

    /// What is due is sent, what is over ends. Called when the timer of the object says so.
    pub(crate) fn send_invitations(&self, url: &ObjectUrl) {
        let Some(object) = self.reported(url) else { return };
        let (ended, due) = {
            let mut state = object.lock();
            if state.check_there().is_err() {
                return;
            }
            let ended = state.invitations.take_ended(self.now());
            if !ended.is_empty() {
                self.persist_grants(&object, &mut state);
            }
            (ended, state.invitations.take_due(Instant::now()))
        };
        for who in ended {
            let body = ResponseBody::failure(StatusCode::TIMEOUT, "the offer has ended");
            self.relay_answer(&object, &who, &body.with_reason("ended"));
        }
        for to_send in due {
            let (manager, object) = (self.clone(), Arc::clone(&object));
            self.later(Box::pin(async move { manager.send_invitation(&object, to_send).await }));
        }
        self.plan_invitations(&object);
    }

    /// Sets the timer to what is due next.
    pub(crate) fn plan_invitations(&self, object: &Reported) {
        let due = object.lock().invitations.next_due(Instant::now(), self.now());
        if let Some(at) = due {
            self.shared.timers.set(&object.url, Due::Invitations, at);
        }
    }

    /// A node can be reached again: what waits for hyperties of its domain is sent now.
    pub(crate) fn invite_domain(&self, domain: &str) {
        for object in self.all_reported() {
            if object.lock().invitations.hurry(domain, Instant::now()) {
                self.shared.timers.set(&object.url, Due::Invitations, Instant::now());
            }
        }
    }

    /// Steps 4 to 6 for one of them.
    async fn send_invitation(&self, object: &Arc<Reported>, to_send: ToSend) {
        let body = {
            let state = object.lock();
            let scope = state.scope_of(to_send.who.as_url());
            let Ok(Value::Object(mut value)) = serde_json::to_value(&state.metadata) else { return };
            value.remove("data");
            InviteBody {
                source: Some(state.metadata.reporter.clone()),
                schema: Some(state.metadata.schema.clone()),
                value: Some(value),
                identity: state.reporter_user.clone(),
                mutual: state.metadata.mutual_authentication,
                scope,
                announced: to_send.announced,
            }
        };
        let from = object.url.subscription();
        let message = self.bus().new_message(MessageType::Create, &from, &to_send.who, body);
        let (weak, reported, arrived) = (self.downgrade(), Arc::downgrade(object), to_send.clone());
        let request = self.bus().request(message).on_provisional(move |answer| {
            if let (Some(manager), Some(object)) = (weak.upgrade(), reported.upgrade()) {
                manager.invitation_arrived(&object, &arrived, answer);
            }
        });
        let answer = request.await;
        self.invitation_ended(object, &to_send, &answer);
        self.shared.timers.set(&object.url, Due::Invitations, Instant::now());
    }
}
