//! The Reporter's side asks who of this runtime observes (protocol 5.3.5).

use std::collections::BTreeSet;

use hyperty_model::message::{ReadBody, ResponseBody};
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl, StatusCode};
use serde_json::json;

use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;

impl SyncManager {
    /// `read {"resource":O}` from `O/subscription`; anything else is given back.
    pub(crate) fn answer_roll_call(&self, question: Question) -> Option<Question> {
        let request = question.request();
        let body = match request.kind() {
            MessageType::Read if request.is_remote() => request.decode::<ReadBody>().ok(),
            _ => None,
        };
        let url = body.and_then(|body| body.resource.clone());
        let Some(url) = url.filter(|url| *request.from() == url.subscription()) else {
            return Some(question);
        };
        if !self.is_from_home(&url, request) {
            let text = "only the Reporter's side asks who observes";
            question.answer(Refusal::new(StatusCode::FORBIDDEN, text));
            return None;
        }
        let observers = self.observers_here(&url);
        question.answer(ResponseBody {
            resource: Some(url.to_string()),
            ..ResponseBody::ok().with_value(json!(observers))
        });
        None
    }

    /// Who observes, will as soon as it has its answer, or goes on as soon as it is deployed again.
    fn observers_here(&self, url: &ObjectUrl) -> BTreeSet<HypertyUrl> {
        let mut here = BTreeSet::new();
        if let Some(record) = self.shared.dormant.lock().observed.get(url) {
            here.extend(record.subscriptions.iter().map(|subscriber| subscriber.hyperty.clone()));
        }
        // After the dormant ones, as these become the former.
        if let Some(object) = self.observed(url) {
            let state = object.lock();
            here.extend(state.observers.keys().cloned());
            here.extend(state.joining.iter().map(|joining| joining.hyperty.clone()));
        }
        here
    }
}
