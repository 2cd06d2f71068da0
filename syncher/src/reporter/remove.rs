//! Removing an observer (protocol 5.7).

use hyperty_model::message::{ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, MessageType, StatusCode};

use super::shared::ReporterShared;

/// Why an observer was not removed. From [`RemoveError::Refused`] with 500 and [`RemoveError::Timeout`] on it is cut off
/// all the same, but that may be forgotten after a restart: remove it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// It does not observe the object. If it was granted that it may, revoke the grant.
    #[error("{0} does not observe the object")]
    NotObserving(HypertyUrl),
    /// The runtime refused. 408 or 500: the store did not keep it; 410: the object is deleted.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The object is deleted or delegated, or the Syncher has stopped.
    #[error("the object is closed")]
    Closed,
}

impl ReporterShared {
    pub(super) async fn remove_observer(&self, observer: &HypertyUrl) -> Result<(), RemoveError> {
        if self.has_ended() {
            return Err(RemoveError::Closed);
        }
        if observer == self.core.hyperty() {
            return Err(RemoveError::NotObserving(observer.clone()));
        }
        let body = UnsubscribeBody {
            resource: Some(self.url.clone()),
            source: Some(observer.as_url().clone()),
            ..UnsubscribeBody::default()
        };
        let answer = self.core.ask(MessageType::Unsubscribe, body).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| RemoveError::Malformed(error.to_string()))?;
        match body.code {
            code if code.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(RemoveError::NotObserving(observer.clone())),
            StatusCode::TIMEOUT if body.reason.is_none() => Err(RemoveError::Timeout),
            code => Err(RemoveError::Refused { code, reason: body.why().to_owned() }),
        }
    }
}
