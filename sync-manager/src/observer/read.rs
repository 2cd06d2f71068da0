//! Reads of a hyperty of this runtime (protocol 5.5.3, M7).

use hyperty_model::message::{ReadBody, ResponseBody};
use hyperty_model::{Body, HypertyUrl, MessageType, ObjectUrl, StatusCode};

use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;

impl SyncManager {
    /// `read` to the Sync Manager: answered here if the object is, by the copy for a repair of an observer, else
    /// by the Reporter's side.
    pub(crate) async fn read_for(&self, question: Question, hyperty: &HypertyUrl, body: &ReadBody) {
        let outcome = match &body.resource {
            None => Err(Refusal::missing("resource")),
            Some(url) if self.reported(url).is_some() => self.read_locally(url, hyperty, body).await,
            Some(url) => match self.answer_repair(url, hyperty, body) {
                Some(answer) => Ok(answer.into()),
                None => self.read_elsewhere(&question, url, hyperty, body).await.map(Body::from),
            },
        };
        question.answer_with(outcome.unwrap_or_else(Body::from));
    }

    /// An observer here that fell behind this runtime's copy gets what it missed of that copy. It asks with criteria: a
    /// read without is the application's, and the Reporter's side answers it (M7).
    fn answer_repair(&self, url: &ObjectUrl, hyperty: &HypertyUrl, body: &ReadBody) -> Option<ResponseBody> {
        let since = body.criteria.as_ref()?.since;
        let object = self.observed(url)?;
        let state = object.lock();
        state.observers.contains_key(hyperty).then_some(())?;
        state.answer_since(since)
    }

    async fn read_elsewhere(
        &self,
        question: &Question,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        body: &ReadBody,
    ) -> Result<ResponseBody, Refusal> {
        let (source, parts) = (Some(hyperty.as_url().clone()), Some(true));
        let body = ReadBody { resource: None, source, parts, ..body.clone() };
        let message = self.bus().new_message(MessageType::Read, self.address(), url.as_url(), body);
        let progress = || question.progress(ResponseBody::of(StatusCode::PROVISIONAL));
        let body = self.ask_whole(message, self.config().peer_timeout, &progress).await?;
        if body.code.is_success() { Ok(ResponseBody::clone(&body)) } else { Err(Refusal::relayed(&body)) }
    }
}
