//! An observer of this runtime leaves (protocol 5.6).

use hyperty_model::message::{ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl, StatusCode};

use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    pub(crate) async fn unsubscribe(
        &self,
        hyperty: &HypertyUrl,
        body: &UnsubscribeBody,
    ) -> Result<ResponseBody, Refusal> {
        let url = body.resource.as_ref().ok_or_else(|| Refusal::missing("resource"))?;
        let done = ResponseBody { resource: Some(url.to_string()), ..ResponseBody::ok() };
        if let Some(object) = self.reported(url) {
            if !object.lock().observers.contains_key(hyperty) {
                return Err(not_observed(url, hyperty));
            }
            self.drop_observer(&object, hyperty);
            return Ok(done);
        }
        if self.leave_dormant(url, hyperty) {
            return Ok(done);
        }
        let object = self.observed(url).ok_or_else(|| Refusal::unknown(url))?;
        let removed = object.lock().observers.remove(hyperty);
        let Some(observer) = removed else { return Err(not_observed(url, hyperty)) };
        drop(observer.forwards);
        let names = {
            let state = object.lock();
            self.save_observed(&state);
            state.name_strings()
        };
        self.tell_reporter_side(url, hyperty, observer.identity, names).await;
        self.end_if_unused(&object).await;
        Ok(done)
    }

    /// Tells the Reporter's side. It may be gone or out of reach: the observer leaves all the same (INV-UNS-4).
    async fn tell_reporter_side(
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
