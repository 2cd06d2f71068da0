//! An observer of this runtime leaves (protocol 5.6).

use hyperty_model::message::{ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, ObjectUrl, StatusCode};
use hyperty_storage::{Role, Ticket};
use tokio::time::Instant;

use super::object::LocalObserver;
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
        let (left, ticket) = {
            let mut state = object.lock();
            let kept = state.kept();
            let removed = state.observers.remove(hyperty);
            let LocalObserver { identity, resumable, .. } =
                removed.ok_or_else(|| not_observed(url, hyperty))?;
            let left = self.note_leave(url, &state, hyperty, (identity, resumable));
            // What others here asked to be kept stays as it is: then a row says it, however many they are.
            let ticket = resumable.then(|| match kept.is_some() && kept == state.kept() {
                true => self.storage().put_subscriber(Role::Observer, url, &left.subscriber(hyperty)),
                false => self.save_or_forget(&object, &state),
            });
            (left, ticket)
        };
        // It leaves whatever the Reporter's side says, and whether or not that can be reached (INV-UNS-4).
        self.tell_leave_now(url, hyperty, &left).await;
        self.end_if_unused(&object).await;
        Ok(ticket)
    }
}

fn not_observed(url: &ObjectUrl, hyperty: &HypertyUrl) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("{hyperty} does not observe {url}"))
}
