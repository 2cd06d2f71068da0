//! What the invited answer (protocol 5.2.6, INV-INV-1, INV-INV-3): told to the Reporter, or kept until it is there.

use std::sync::Arc;

use hyperty_model::message::ResponseBody;
use hyperty_model::{HypertyUrl, Message, MessageType, StatusCode};

use super::invitations::{ToSend, Unheard};
use super::object::{Reported, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// What an invited hyperty has said to an invitation that arrived: nobody decided.
const UNDECIDED: &str = "undecided";

impl SyncManager {
    /// The first provisional answer: it has arrived.
    pub(super) fn invitation_arrived(&self, object: &Arc<Reported>, sent: &ToSend, answer: &Message) {
        {
            let mut state = object.lock();
            if !state.invitations.delivered(&sent.who, sent.number) {
                return;
            }
            self.persist_grants(object, &mut state);
        }
        if let Ok(body) = answer.decode::<ResponseBody>() {
            self.relay_answer(object, &sent.who, &body);
        }
    }

    /// No more answer will come for this try: the final one is here, or nobody answered in time.
    pub(super) fn invitation_ended(&self, object: &Arc<Reported>, sent: &ToSend, answer: &Message) {
        let body =
            answer.decode::<ResponseBody>().unwrap_or_else(|error| Arc::new(Refusal::from(error).into()));
        if is_of_the_invited(&body) {
            return self.invitation_answered(object, &sent.who, Some(sent.number), &body);
        }
        let waits = {
            let mut state = object.lock();
            let now = tokio::time::Instant::now();
            if is_not_seen(&body) {
                state.invitations.not_seen(&sent.who, Some(sent.number), now);
                self.persist_grants(object, &mut state);
            }
            state.invitations.not_answered(&sent.who, sent.number, now)
        };
        if waits {
            let text = "it does not answer; the invitation is kept and sent again";
            let body = ResponseBody::failure(StatusCode::TIMEOUT, text).with_reason("waiting");
            self.relay_answer(object, &sent.who, &body);
        }
    }

    /// A response at `O/subscription` that no request waits for: the answer of an invited hyperty that took its time.
    /// False if it is none.
    pub(crate) fn late_invitation_answer(&self, object: &Arc<Reported>, message: &Message) -> bool {
        let (Ok(who), Ok(body)) =
            (HypertyUrl::try_from(message.from().clone()), message.decode::<ResponseBody>())
        else {
            return false;
        };
        if body.code.is_provisional() || !object.lock().invitations.is_open(&who, None) {
            return false;
        }
        if is_not_seen(&body) {
            {
                let mut state = object.lock();
                state.invitations.not_seen(&who, None, tokio::time::Instant::now());
                self.persist_grants(object, &mut state);
            }
            self.plan_invitations(object);
        } else if is_of_the_invited(&body) {
            self.invitation_answered(object, &who, None, &body);
        }
        true
    }

    /// The final answer. Declining takes the grant back that came with the invitation, unless it is used by then.
    fn invitation_answered(
        &self,
        object: &Arc<Reported>,
        who: &HypertyUrl,
        number: Option<u64>,
        body: &ResponseBody,
    ) {
        {
            let mut state = object.lock();
            if !state.invitations.is_open(who, number) {
                return;
            }
            let declined = !body.code.is_success() && body.reason.as_deref() != Some(UNDECIDED);
            if declined && state.invitations.grants(who) && !state.observers.contains_key(who) {
                state.grants.revoke(who.as_url());
            }
            if self.is_reporter_here(&state.metadata.reporter) {
                state.invitations.remove(who);
            } else {
                let (code, description) = (body.code, body.description.clone());
                state.invitations.latch(Unheard { who: who.clone(), code, description });
            }
            self.persist_grants(object, &mut state);
        }
        self.relay_answer(object, who, body);
    }

    /// Whoever was invited observes: that is its answer, should the one it sends be lost or come later.
    pub(super) fn invitation_used(&self, object: &Reported, state: &mut State, who: &HypertyUrl) {
        if state.invitations.is_open(who, None) {
            state.invitations.remove(who);
            self.persist_grants(object, state);
            self.relay_answer(object, who, &ResponseBody::ok());
        }
    }

    /// A hyperty has its objects back: it hears what it missed.
    pub(crate) fn relay_all_unheard(&self, reporter: &HypertyUrl) {
        for object in self.all_reported() {
            let is_its = object.lock().metadata.reporter == *reporter;
            if is_its {
                self.relay_unheard(&object);
            }
        }
    }

    fn relay_unheard(&self, object: &Arc<Reported>) {
        let unheard = {
            let mut state = object.lock();
            let unheard = state.invitations.take_unheard();
            if !unheard.is_empty() {
                self.persist_grants(object, &mut state);
            }
            unheard
        };
        for Unheard { who, code, description } in unheard {
            self.relay_answer(object, &who, &ResponseBody { description, ..ResponseBody::of(code) });
        }
    }

    /// Step 6: an answer, with whose it is, to the Reporter.
    pub(super) fn relay_answer(&self, object: &Reported, who: &HypertyUrl, body: &ResponseBody) {
        let body = ResponseBody {
            description: body.description.clone(),
            reason: body.reason.clone(),
            source: Some(who.as_url().clone()),
            ..ResponseBody::of(body.code)
        };
        let (from, to) = (object.url.subscription(), object.url.as_url());
        self.bus().post(self.bus().new_message(MessageType::Response, &from, to, body));
    }

    fn is_reporter_here(&self, reporter: &HypertyUrl) -> bool {
        self.shared.parts.registry.has_hyperty(reporter)
    }
}

/// Whether this is what the invited hyperty says, and not that it could not be asked: a node's or the bus's own
/// failures all have other codes or reasons.
fn is_of_the_invited(body: &ResponseBody) -> bool {
    match body.code {
        StatusCode::TIMEOUT => body.reason.as_deref() == Some(UNDECIDED),
        StatusCode::NOT_FOUND => false,
        code => code.0 < 500,
    }
}

/// Whether it had arrived, and went with the one who got it.
fn is_not_seen(body: &ResponseBody) -> bool {
    body.code == StatusCode::INTERNAL && body.reason.as_deref() == Some("stopped")
}
