//! What was given cannot be hosted here and goes back (protocol 5.11.5), before anything was published.

use std::sync::Arc;

use hyperty_model::delegation::Taker;
use hyperty_model::message::{GiveBackBody, ResponseBody};
use hyperty_model::{MessageType, ObjectUrl, StatusCode, Url};
use hyperty_registry::Schema;
use hyperty_storage::RecordStatus;

use super::taking::Taking;
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// How often a node that is away is asked to hand routes back: after that they are the session's until it ends, or
/// until the registry has heard of their owner.
const ROUTE_TRIES: u32 = 8;

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
        let (manager, url, schema) = (self.clone(), taking.url.clone(), Arc::clone(&taking.schema));
        self.later(Box::pin(async move { manager.give_routes_back(&url, &schema, &giver).await }));
        tracing::info!(object = %taking.url, offer, "an object went back");
        Some(Refusal::new(StatusCode::CONDITION, "the object could not be hosted here and went back"))
    }

    /// What the giving side had handed over at the node of the domain is handed back (M17).
    async fn give_routes_back(&self, url: &ObjectUrl, schema: &Schema, giver: &Url) {
        let mut pause = self.config().retry_min;
        for _ in 0..ROUTE_TRIES {
            let held = vec![url.as_url().clone(), url.subscription()];
            if self.transfer_held(url, held, giver).await {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.config().retry_max);
        }
        // The children's channels have many listeners: this runtime stays one if it observes the object.
        let channels = schema.children.iter().map(|rule| url.children(&rule.name)).collect();
        let wish = self.shared.parts.routes.wish(url.home(), channels);
        let _ = wish.establish().await;
        self.withdraw(wish).await;
    }
}
