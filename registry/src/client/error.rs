use hyperty_model::StatusCode;

use crate::RegistrationRecord;

/// Why an entity was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another runtime owns the live registration, at this or a higher epoch. Ownership has moved: do not report
    /// the object.
    #[error("registered by another owner: {0}")]
    Conflict(String),
    /// The entity was deleted, and never becomes live again.
    #[error("deleted")]
    Gone,
    /// The registry refused: a malformed record, a limit, or not this runtime's to register. Trying again changes
    /// nothing.
    #[error("the registry refused with {code}: {reason}")]
    Refused {
        /// Its answer.
        code: StatusCode,
        /// Its reason.
        reason: String,
    },
    /// The registry could not be reached, or did not answer in time. Whether it registered the entity is unknown;
    /// registering again is safe.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
}

/// Why a registration was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The registry does not know the entity. Register it again, unless it was to be removed.
    #[error("not registered")]
    Unknown,
    /// Another runtime owns the registration. Ownership has moved: do not report the object.
    #[error("registered by another owner: {0}")]
    Conflict(String),
    /// The entity was deleted, and never becomes live again.
    #[error("deleted")]
    Gone,
    /// The registry refused. Trying again changes nothing.
    #[error("the registry refused with {code}: {reason}")]
    Refused {
        /// Its answer.
        code: StatusCode,
        /// Its reason.
        reason: String,
    },
    /// The registry could not be reached, or did not answer in time. Trying again is safe.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
}

impl From<UpdateError> for RegisterError {
    fn from(error: UpdateError) -> RegisterError {
        match error {
            UpdateError::Unknown => {
                RegisterError::Refused { code: StatusCode::NOT_FOUND, reason: error.to_string() }
            }
            UpdateError::Conflict(owner) => RegisterError::Conflict(owner),
            UpdateError::Gone => RegisterError::Gone,
            UpdateError::Refused { code, reason } => RegisterError::Refused { code, reason },
            UpdateError::Unreachable(reason) => RegisterError::Unreachable(reason),
        }
    }
}

/// Why a query found nothing that is live.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Nothing matches.
    #[error("not found")]
    NotFound,
    /// What matches is registered, but disconnected; it may come back.
    #[error("registered, but disconnected")]
    Disconnected(Vec<RegistrationRecord>),
    /// The entity was deleted.
    #[error("deleted")]
    Gone,
    /// The registry refused: too many entries match, or it does not understand the query. Narrow it.
    #[error("the registry refused with {code}: {reason}")]
    Refused {
        /// Its answer.
        code: StatusCode,
        /// Its reason.
        reason: String,
    },
    /// The registry could not be reached, or did not answer in time. Nothing is known of the entity.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    /// The answer cannot be read.
    #[error("the registry gave an unusable answer: {0}")]
    Unusable(String),
}
