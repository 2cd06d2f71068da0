use hyperty_model::StatusCode;

use crate::token::TokenError;
use crate::transport::{ConnectError, TransportError};

/// Why a session is not live. The stub tries again after each of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No connection to the node.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The node refused to open the session: 409 while another session of this runtime is live, which may be our own
    /// last one whose loss the node has not noticed yet; 401 for a token that it does not believe, or none; 403 for a
    /// runtime that the token does not admit.
    #[error("the message node refused the session with {code}: {description}")]
    Refused {
        /// The node's code.
        code: StatusCode,
        /// The node's words.
        description: String,
    },
    /// There is no token to open the session with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token expired before it was renewed, and the node ended the session.
    #[error("the session's token has expired")]
    Expired,
    /// The node did not answer `open` or `re-open` in time.
    #[error("the message node did not answer in time")]
    NoAnswer,
    /// The node stayed silent, pings included: the connection is half open.
    #[error("the message node is silent")]
    Silent,
    /// The node takes nothing of what is sent to it, though it may speak: half of the connection is dead.
    #[error("the message node takes nothing")]
    Stuck,
    /// The connection ended.
    #[error(transparent)]
    Lost(#[from] TransportError),
}

/// The stub was closed, or its driver is gone: it will never be live again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stub is closed")]
pub struct StubClosed;
