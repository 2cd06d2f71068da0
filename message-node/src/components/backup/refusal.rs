//! Why a request to the backup is not granted.

use hyperty_model::message::ResponseBody;
use hyperty_model::parts::JoinError;
use hyperty_model::{Position, StatusCode};
use hyperty_storage::StorageError;
use serde_json::json;

/// Becomes the body of the answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// Another user's, or an object that is not this runtime's.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The object is deleted.
    #[error("the object is deleted")]
    Gone,
    /// There is no such record.
    #[error("no such record is kept")]
    Unknown,
    /// What came in parts was given up, or what is fetched in parts is another by now: begin anew.
    #[error("no such transfer is under way; begin anew")]
    Transfer,
    /// A later state is kept.
    #[error("a later state is kept, of {0}")]
    Outdated(Position),
    /// The user has as much as there may be.
    #[error("{0}")]
    Limit(String),
    /// Too much is under way; come again.
    #[error("too many records are under way; try again later")]
    Busy,
    /// The store cannot be read.
    #[error("the node's store failed: {0}")]
    Storage(String),
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Refusal {
        match error {
            JoinError::TooLarge { .. } => Refusal::Limit(error.to_string()),
            _ => Refusal::Malformed(error.to_string()),
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Refusal {
        Refusal::Storage(error.to_string())
    }
}

impl From<Refusal> for ResponseBody {
    fn from(refusal: Refusal) -> ResponseBody {
        let (code, reason) = match &refusal {
            Refusal::Malformed(_) => (StatusCode::BAD_REQUEST, None),
            Refusal::Forbidden(_) => (StatusCode::FORBIDDEN, Some("forbidden")),
            Refusal::Gone => (StatusCode::GONE, None),
            Refusal::Unknown => (StatusCode::NOT_FOUND, None),
            Refusal::Transfer => (StatusCode::NOT_FOUND, Some("transfer")),
            Refusal::Outdated(_) => (StatusCode::CONFLICT, Some("outdated")),
            Refusal::Limit(_) => (StatusCode::FORBIDDEN, Some("limit")),
            Refusal::Busy => (StatusCode::INTERNAL, Some("limit")),
            Refusal::Storage(_) => (StatusCode::INTERNAL, Some("storage")),
        };
        let mut body = ResponseBody::failure(code, refusal.to_string());
        if let Refusal::Outdated(kept) = refusal {
            body.extra.insert("kept".to_owned(), json!(kept));
        }
        match reason {
            Some(reason) => body.with_reason(reason),
            None => body,
        }
    }
}
