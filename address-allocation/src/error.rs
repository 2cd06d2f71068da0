use hyperty_model::StatusCode;

/// Why an address could not be allocated or released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// No addresses exist for this domain and scheme: one of them is malformed, or the scheme names something that
    /// is neither a hyperty nor a data object. Correct the schema or the domain.
    #[error("no addresses of the form {scheme}://{domain}/…: {reason}")]
    Invalid {
        /// The scheme asked for.
        scheme: String,
        /// The domain asked for.
        domain: String,
        /// What is wrong.
        reason: String,
    },
    /// The domain's message node could not be reached, or did not answer in time. Try again once it is reachable.
    #[error("the message node of {domain} cannot be reached: {reason}")]
    Unreachable {
        /// The domain.
        domain: String,
        /// What was answered instead.
        reason: String,
    },
    /// The message node refused: a limit, or addresses of another runtime. Trying again changes nothing.
    #[error("the message node of {domain} refused with {code}: {reason}")]
    Refused {
        /// The domain.
        domain: String,
        /// Its answer.
        code: StatusCode,
        /// Its reason.
        reason: String,
    },
    /// The message node answered with addresses that were not asked for, or with none. None of them is used.
    #[error("the message node of {domain} gave an unusable answer: {reason}")]
    Unusable {
        /// The domain.
        domain: String,
        /// What is wrong with the answer.
        reason: String,
    },
}
