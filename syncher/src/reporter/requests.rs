//! Actions that observers ask for: `execute`, handed on by the Sync Manager.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use hyperty_model::message::{ForwardExecuteBody, ResponseBody};
use hyperty_model::{HypertyUrl, Identity, Message, StatusCode, Url};
use serde_json::Value;

use super::shared::ReporterShared;
use crate::decisions::Decision;
use crate::queue::{Event, Taken};

/// The `reason` of an answer that nobody gave: no application reads the requests.
pub const NO_HANDLER: &str = "no-handler";

/// An observer asks for something to be done. Exactly one answer goes back: [`ActionRequest::answer`] or
/// [`ActionRequest::refuse`]; 501 if this is dropped, or if nobody took it from [`Requests`] in
/// [`Timeouts::decision`](crate::Timeouts::decision); 408 if it was taken and not answered in that time.
#[must_use = "dropped, it is answered with 501"]
pub struct ActionRequest {
    from: Url,
    identity: Option<Identity>,
    method: String,
    params: Vec<Value>,
    decision: Decision,
}

impl ActionRequest {
    /// What to do.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// With what. Whatever was given is a list here: one value that was no list is its only element.
    pub fn params(&self) -> &[Value] {
        &self.params
    }

    /// Who asks, an accepted observer.
    pub fn from(&self) -> &Url {
        &self.from
    }

    /// The user behind it, if one is known.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// It is done; `value` is what came of it. `false` if the time was over, and another answer was given.
    pub fn answer(self, value: Value) -> bool {
        self.decision.answer(ResponseBody::ok().with_value(value))
    }

    /// It is not done. A code that is no failure is sent as 403. `false` if the time was over.
    pub fn refuse(self, code: StatusCode, why: &str) -> bool {
        let code = if code.0 < 300 { StatusCode::FORBIDDEN } else { code };
        self.decision.answer(ResponseBody::failure(code, why).with_reason("application"))
    }

    /// It takes longer: the observer is told that it is under way, and the time for the answer begins anew. `false` if it
    /// was over. The Sync Manager ends what takes longer than ten minutes in all.
    pub fn progress(&self) -> bool {
        self.decision.prolong()
    }

    fn is_open(&self) -> bool {
        self.decision.is_open()
    }
}

impl fmt::Debug for ActionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionRequest({} by {})", self.method, self.from)
    }
}

impl Event for ActionRequest {
    fn is_kept(&self) -> bool {
        self.is_open()
    }
}

/// What observers of one object ask for, from its beginning on; see [`Reporter::requests`](crate::Reporter::requests).
///
/// There is one queue for all handles: each request goes to whoever asks first. It ends when the object is deleted or
/// the Syncher stops.
pub struct Requests {
    pub(super) reporter: Arc<ReporterShared>,
}

impl Requests {
    /// The next request; `None` after the last.
    pub async fn next(&mut self) -> Option<ActionRequest> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<ActionRequest>> {
        loop {
            let mut state = self.reporter.state.lock();
            let request = match state.requests.take() {
                Taken::Event(request) => request,
                // Only what nobody can answer any more gave way.
                Taken::Lagged => continue,
                Taken::Nothing if state.ended => return Poll::Ready(None),
                Taken::Nothing => {
                    state.requests.wait(context.waker());
                    return Poll::Pending;
                }
            };
            drop(state);
            if request.decision.take_up(StatusCode::TIMEOUT, "not answered in time", "no-answer") {
                return Poll::Ready(Some(request));
            }
        }
    }
}

impl Stream for Requests {
    type Item = ActionRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ActionRequest>> {
        self.poll(context)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requests({})", self.reporter.url())
    }
}

impl ReporterShared {
    pub(super) fn on_action(&self, message: &Message, body: &ForwardExecuteBody) {
        if HypertyUrl::try_from(body.from.clone()).is_err() {
            return self.core.refuse(message, StatusCode::BAD_REQUEST, "the sender is not a hyperty");
        }
        let Some(decision) = self.core.decisions.ask(message, StatusCode::NOT_IMPLEMENTED) else { return };
        let request = ActionRequest {
            from: body.from.clone(),
            identity: body.identity.clone(),
            method: body.method.clone(),
            params: body.params.clone(),
            decision,
        };
        let (refused, waiters) = {
            let mut state = self.state.lock();
            (state.requests.push(request).err(), state.requests.waiters())
        };
        if let Some(refused) = refused {
            let body = ResponseBody::failure(StatusCode::INTERNAL, "too many requests wait for an answer");
            refused.decision.answer(body.with_reason("limit"));
        }
        waiters.into_iter().for_each(std::task::Waker::wake);
    }
}
