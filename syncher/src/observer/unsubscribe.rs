//! Ending a subscription (protocol 5.6).

use hyperty_model::message::ResponseBody;
use hyperty_model::{MessageType, StatusCode};

use super::end::End;
use super::shared::ObserverShared;
use crate::CloseReason;

/// Why a subscription was not ended everywhere. The observation has ended here in any case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsubscribeError {
    /// The runtime refused.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time; the runtime goes on with it.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

impl ObserverShared {
    pub(super) async fn unsubscribe(&self) -> Result<(), UnsubscribeError> {
        let _turn = self.turn.lock().await;
        let core = &self.core;
        core.note_left(&self.url);
        self.end(End::Closed(CloseReason::Unsubscribed));
        let answer = core.ask(MessageType::Unsubscribe, core.unsubscribe_body(&self.url)).await;
        let body = answer
            .decode::<ResponseBody>()
            .map_err(|error| UnsubscribeError::Malformed(error.to_string()))?;
        match body.code {
            // Nothing to end is what was wanted.
            code if code.is_success() || code == StatusCode::NOT_FOUND => Ok(()),
            StatusCode::TIMEOUT => Err(UnsubscribeError::Timeout),
            code => Err(UnsubscribeError::Refused { code, reason: body.why().to_owned() }),
        }
    }
}
