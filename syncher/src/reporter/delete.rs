//! Deleting an object (protocol 5.8).

use hyperty_model::message::{DeleteBody, ResponseBody};
use hyperty_model::{MessageType, StatusCode};

use super::WriteError;
use super::shared::ReporterShared;
use crate::children::ChildError;

/// Why an object was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The runtime refused. 403: this hyperty is not the Reporter, or a policy forbids it; 404: there is no such
    /// object; 409: the object is just changing its owner, try again later.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time. The deletion goes on all the same; delete again to hear of its end.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

impl ReporterShared {
    pub(super) async fn delete(&self) -> Result<(), DeleteError> {
        let core = &self.core;
        let resource = Some(self.url.to_string());
        let body = DeleteBody { resource, identity: core.config.identity.clone(), ..DeleteBody::default() };
        let answer = core.ask(MessageType::Delete, body).timeout(core.config.timeouts.delete).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| DeleteError::Malformed(error.to_string()))?;
        match body.code {
            // Gone already is what was wanted.
            code if code.is_success() || code == StatusCode::GONE => {
                self.end(&WriteError::Deleted, &ChildError::Closed);
                Ok(())
            }
            StatusCode::TIMEOUT => Err(DeleteError::Timeout),
            code => Err(DeleteError::Refused { code, reason: body.why().to_owned() }),
        }
    }
}
