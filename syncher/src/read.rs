//! Reading an object without observing it (protocol 5.5).

use hyperty_model::message::{ReadBody, ResponseBody};
use hyperty_model::{MessageType, ObjectUrl, Snapshot, StatusCode};

use crate::core::Core;
use crate::exchange;

/// Why an object could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Refused. 401: this hyperty may not read it; 404: there is no such object, or no way to it; 410: it is deleted.
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
    /// The answer is no object.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

impl Core {
    pub(crate) async fn read_once(&self, object: &ObjectUrl) -> Result<Snapshot, ReadError> {
        let (resource, identity) = (Some(object.clone()), self.config.identity.clone());
        let answer =
            self.ask(MessageType::Read, ReadBody { resource, identity, ..ReadBody::default() }).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| ReadError::Malformed(error.to_string()))?;
        match body.code {
            code if code.is_success() => {}
            StatusCode::TIMEOUT => return Err(ReadError::Timeout),
            code => return Err(ReadError::Refused { code, reason: body.why().to_owned() }),
        }
        let value = body.value.as_ref().ok_or_else(|| ReadError::Malformed("no snapshot".to_owned()))?;
        exchange::snapshot(value).map(|(snapshot, _)| snapshot).map_err(ReadError::Malformed)
    }
}
