//! An observer of this runtime leaves (protocol 5.6).

use hyperty_model::message::{ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl, StatusCode};
use hyperty_storage::Ticket;
use tokio::time::Instant;

use crate::answer::Refusal;
use crate::manager::{SyncManager, UNDO_WAIT};

impl SyncManager {
    pub(crate) async fn unsubscribe(
        &self,
        hyperty: &HypertyUrl,
        body: &UnsubscribeBody,
    ) -> Result<ResponseBody, Refusal> {
        let url = body.resource.as_ref().ok_or_else(|| Refusal::missing("resource"))?;
        let done = ResponseBody { resource: Some(url.to_string()), ..ResponseBody::ok() };
        let deadline = Instant::now() + self.config().peer_timeout + UNDO_WAIT;
        let ticket = self.leave(url, hyperty).await?;
        // A crash must not bring back what is said to have ended.
        if let Some(ticket) = ticket {
            self.durable_by(ticket, deadline).await?;
        }
        Ok(done)
    }

    /// Ends an observation, here in any case; gives when that is durable, if it was to be known after a restart.
    async fn leave(&self, url: &ObjectUrl, hyperty: &HypertyUrl) -> Result<Option<Ticket>, Refusal> {
        if let Some(object) = self.reported(url) {
            if !object.lock().observers.contains_key(hyperty) {
                return Err(not_observed(url, hyperty));
            }
            return Ok(self.drop_observer(&object, hyperty));
        }
        if let Some(ticket) = self.leave_dormant(url, hyperty) {
            return Ok(Some(ticket));
        }
        let object = self.observed(url).ok_or_else(|| Refusal::unknown(url))?;
        let (observer, names, ticket) = {
            let mut state = object.lock();
            let removed = state.observers.remove(hyperty);
            let observer = removed.ok_or_else(|| not_observed(url, hyperty))?;
            let ticket = if observer.resumable { Some(self.save_or_forget(&object, &state)) } else { None };
            (observer, state.name_strings(), ticket)
        };
        drop(observer.forwards);
        self.tell_reporter_side(url, hyperty, observer.identity, names).await;
        self.end_if_unused(&object).await;
        Ok(ticket)
    }

    /// Tells the Reporter's side. It may be gone or out of reach: the observer leaves all the same (INV-UNS-4).
    pub(super) async fn tell_reporter_side(
        &self,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        identity: Option<hyperty_model::Identity>,
        names: Vec<String>,
    ) {
        let body = UnsubscribeBody {
            source: Some(hyperty.as_url().clone()),
            identity,
            resource: Some(url.clone()),
            children_resources: hyperty_model::message::OneOrMany(names),
            reason: None,
        };
        let message =
            self.bus().new_message(MessageType::Unsubscribe, self.address(), &url.subscription(), body);
        if !self.is_live(url.home()) {
            return self.bus().post(message);
        }
        let answer = self.bus().request(message).timeout(self.config().peer_timeout).await;
        let code = answer.code();
        if !code.is_success() && !matches!(code, StatusCode::NOT_FOUND | StatusCode::GONE) {
            tracing::debug!(object = %url, %code, "the Reporter's side did not confirm an unsubscription");
        }
    }
}

fn not_observed(url: &ObjectUrl, hyperty: &HypertyUrl) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("{hyperty} does not observe {url}"))
}
