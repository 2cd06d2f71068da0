//! Why somebody is not admitted.

use hyperty_model::{StatusCode, Timestamp, Url};

/// Why a token does not admit its bearer. The bearer is told, and the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is none. Send one as `accessToken`.
    #[error("this node admits by token: there is none")]
    Missing,
    /// It is no token, or says what none may.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// It is signed by something else than EdDSA, or not at all.
    #[error("the token's algorithm is not EdDSA")]
    Algorithm,
    /// The key that it names is none that this node believes.
    #[error("the token's issuer is not known here")]
    UnknownIssuer,
    /// It was not signed by that key, or changed since.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its life is over. Get a new one.
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    /// Its life has not begun.
    #[error("the token is not valid before {0}")]
    NotYet(Timestamp),
    /// It is for another domain.
    #[error("the token is not for {0}")]
    Audience(String),
    /// It names nobody.
    #[error("the token's subject is no user: {0}")]
    Subject(String),
    /// It opens no session for this runtime.
    #[error("the token does not allow the runtime {0}")]
    Runtime(Url),
    /// The runtime is another user's, who was there first.
    #[error("the runtime {0} is another user's")]
    Owned(Url),
    /// The session is another user's: a token that renews it has to be of the same one.
    #[error("the session is another user's")]
    OtherUser,
    /// A hyperty that the session speaks as already is not allowed by the new token.
    #[error("the token does not allow the hyperty {0}, which is in use")]
    InUse(String),
    /// The node remembers as many runtimes as it may.
    #[error("the node knows as many runtimes as it may")]
    Full,
    /// This process verifies tokens with another library than ours: see [`ForeignProvider`](super::ForeignProvider).
    #[error("tokens cannot be verified here")]
    Provider,
}

impl TokenError {
    /// The code of the answer: 401 for who is not somebody, 403 for who is somebody else.
    pub fn code(&self) -> StatusCode {
        match self {
            TokenError::Runtime(_) | TokenError::Owned(_) | TokenError::OtherUser | TokenError::InUse(_) => {
                StatusCode::FORBIDDEN
            }
            TokenError::Full | TokenError::Provider => StatusCode::INTERNAL,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The reason in one word, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            TokenError::Missing => "token-missing",
            TokenError::Malformed(_) => "token-malformed",
            TokenError::Algorithm => "token-algorithm",
            TokenError::UnknownIssuer => "token-issuer",
            TokenError::Signature => "token-signature",
            TokenError::Expired(_) => "token-expired",
            TokenError::NotYet(_) => "token-early",
            TokenError::Audience(_) => "token-audience",
            TokenError::Subject(_) => "token-subject",
            TokenError::Runtime(_) | TokenError::InUse(_) => "token-pattern",
            TokenError::Owned(_) | TokenError::OtherUser => "forbidden",
            TokenError::Full => "limit",
            TokenError::Provider => "token-provider",
        }
    }
}
