//! What was given cannot be hosted here and goes back (protocol 5.11.5), before anything was published.

use hyperty_model::delegation::Taker;
use hyperty_model::message::{GiveBackBody, ResponseBody};
use hyperty_model::{MessageType, StatusCode};
use hyperty_storage::RecordStatus;

use super::taking::Taking;
use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// Writes that it goes back, takes down what was set up, and tells the giving side until that has answered. `None`
    /// if it was not taken back and has to be hosted here after all.
    pub(super) async fn send_back(&self, taking: &Taking) -> Option<Refusal> {
        taking.listeners.lock().clear();
        for message in taking.end_holding() {
            crate::answer::Question::new(self.bus(), message).answer(super::pass::elsewhere());
        }
        let _ = self.shared.parts.registrations.release(taking.url.as_url()).await;
        let mut pause = self.config().retry_min;
        // First on disk: a restart must not find itself the owner of what went back.
        while let Err(refusal) = self.keep_taking(taking, RecordStatus::Returning).await {
            tracing::error!(object = %taking.url, %refusal, "it cannot be written that an object goes back");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.config().retry_max);
        }
        let Taker::Returning { offer, giver, epoch } = taking.state() else { return None };
        loop {
            let body = GiveBackBody { resource: taking.url.clone(), delegation: offer.clone(), epoch };
            let message = self.bus().new_message(MessageType::Delete, self.address(), &giver, body);
            let answer = self.bus().request(message).timeout(self.config().peer_timeout).await;
            let body = answer.decode::<ResponseBody>().unwrap_or_default();
            match body.code {
                code if code.is_success() => break,
                StatusCode::NOT_FOUND if body.reason.as_deref() != Some("no-route") => break,
                StatusCode::CONDITION => {
                    taking.step(Taker::keep);
                    taking.step(|state| {
                        *state = Taker::Requested { offer: offer.clone(), giver: giver.clone() };
                    });
                    return None;
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.config().retry_max);
        }
        self.forget_request(taking);
        tracing::info!(object = %taking.url, offer, "an object went back");
        Some(Refusal::new(StatusCode::CONDITION, "the object could not be hosted here and went back"))
    }
}
