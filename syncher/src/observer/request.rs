//! Asking the Reporter to do something: `execute` to the object.

use hyperty_model::message::{ExecuteBody, ResponseBody};
use hyperty_model::{MessageType, StatusCode};
use serde_json::Value;

use super::shared::ObserverShared;

/// Largest method and parameters of [`Observer::request`](crate::Observer::request), in bytes of JSON: what is larger
/// belongs into the object or a child. The Reporter's side has the same limit.
pub const REQUEST_BYTES_MAX: usize = 60 << 10;

/// Why an action was not done. After [`RequestError::Timeout`] and [`RequestError::Unreachable`] it may have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// More than [`REQUEST_BYTES_MAX`]; nothing was sent.
    #[error("{0} bytes are too many for a request")]
    TooLarge(usize),
    /// The application of the object takes no such requests, or has let go of this one.
    #[error("nobody there answers: {0}")]
    NotServed(String),
    /// This hyperty does not observe the object, or was removed.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The application, or its runtime, refused. 500 with `limit`: too many requests wait, try again later.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code, or the application's.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// The Reporter cannot be reached now, or is not there.
    #[error("the Reporter cannot be reached: {0}")]
    Unreachable(String),
    /// The application did not answer in time.
    #[error("no answer in time: {0}")]
    Timeout(String),
    /// The object is deleted.
    #[error("the object is deleted")]
    Gone,
    /// The answer makes no sense.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The observation has ended.
    #[error("the observation has ended")]
    Closed,
}

impl ObserverShared {
    pub(super) async fn request(&self, method: &str, params: Value) -> Result<Value, RequestError> {
        if self.has_ended() || self.core.is_stopped() {
            return Err(RequestError::Closed);
        }
        let size = method.len() + params.to_string().len();
        if size > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLarge(size));
        }
        let core = &self.core;
        let identity = core.config.identity.clone();
        let params = match params {
            Value::Array(_) => params,
            Value::Null => Value::Array(Vec::new()),
            one => Value::Array(vec![one]),
        };
        let body = ExecuteBody { method: method.to_owned(), params, identity };
        let to = self.url.as_url();
        let message = core.minibus.new_message(MessageType::Execute, core.hyperty(), to, body);
        let answer = core.minibus.request(message).timeout(core.config.timeouts.response).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| RequestError::Malformed(error.to_string()))?;
        let why = || body.why().to_owned();
        match (body.code, body.reason.as_deref()) {
            (code, _) if code.is_success() => Ok(body.value.clone().unwrap_or(Value::Null)),
            // What the application says is its own.
            (code, Some("application")) => Err(RequestError::Refused { code, reason: why() }),
            (StatusCode::NOT_IMPLEMENTED, _) => Err(RequestError::NotServed(why())),
            (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => Err(RequestError::NotAllowed(why())),
            (StatusCode::NOT_FOUND | StatusCode::BACKEND_UNREACHABLE, _) => {
                Err(RequestError::Unreachable(why()))
            }
            (StatusCode::TIMEOUT, _) => Err(RequestError::Timeout(why())),
            (StatusCode::GONE, _) => Err(RequestError::Gone),
            (code, _) => Err(RequestError::Refused { code, reason: why() }),
        }
    }
}
