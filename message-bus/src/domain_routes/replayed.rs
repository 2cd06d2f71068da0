//! What becomes of the routes that a fresh session was told of.

use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, MessageType, StatusCode, Url};

use super::DomainRoutes;

impl DomainRoutes {
    /// The message that asks for some of the replayed routes, and a look at its answer. A node that refuses a list
    /// does nothing of it: the list is halved until those that it refuses stand alone, so that an object that is
    /// somebody else's by now cuts off no other.
    pub(super) fn replay_some(&self, to: &Url, domain: &str, urls: Vec<Url>) -> Message {
        let from = self.shared.runtime.sync_manager();
        let body = self.subscription(domain, urls.clone());
        let message = self.shared.bus.new_message(MessageType::Subscribe, &from, to, body);
        let (routes, to, domain) = (self.downgrade(), to.clone(), domain.to_owned());
        let watch = self.shared.bus.watch_responses(&from, message.id(), move |answer| {
            let body = answer.decode::<ResponseBody>().unwrap_or_default();
            let Some(routes) = routes().filter(|_| !body.code.is_provisional()) else { return };
            if body.code.is_success() {
                return routes.note_enforcement(&domain, MessageType::Subscribe, &body);
            }
            if !is_refusal(body.code) || urls.len() < 2 {
                tracing::error!(domain, code = %body.code, why = body.why(), first = ?urls.first(), "the node refused replayed routes");
                return;
            }
            for half in halves(&urls) {
                let wanted = routes.still_wanted(&domain, half);
                if !wanted.is_empty() {
                    let message = routes.replay_some(&to, &domain, wanted);
                    routes.shared.bus.post(message);
                }
            }
        });
        self.shared.replayed.lock().push(watch);
        message
    }
}

/// Whether trying again is of no use.
fn is_refusal(code: StatusCode) -> bool {
    matches!(code, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::CONFLICT)
}

/// The first and the second half of a list of two or more.
pub(super) fn halves(urls: &[Url]) -> impl Iterator<Item = &[Url]> {
    let (first, second) = urls.split_at(urls.len() / 2);
    [first, second].into_iter()
}
