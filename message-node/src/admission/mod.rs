//! Who may open a session: everybody on this machine, everybody, or who brings a token.
//!
//! Vocabulary:
//! - A *token* is a JWT that is signed with Ed25519 by an *issuer* whose public key the node was given. It says who its
//!   bearer is, for which domain, until when, and optionally which runtimes and hyperties are the bearer's.
//! - A *pass* is what a believed token says. A session that was admitted by one acts for the pass's user: the node writes
//!   that user into `body.identity` of what the session asks, whatever stood there.
//!
//! A token comes with `open` and `re-open`, as `accessToken`. A session is renewed by an `update` with a new one to
//! `mn:/session`; one whose token has expired ends.
//!
//! ```
//! use std::time::Duration;
//! use hyperty_message_node::admission::{AdmissionConfig, Claims, IssuerKey, TokenAdmission};
//! use hyperty_message_node::NodeConfig;
//! use hyperty_model::{Clock, SystemClock, SystemIds};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = IssuerKey::generate(&SystemIds);
//! let mut config = NodeConfig::new("example.com");
//! config.admission = AdmissionConfig::Tokens(TokenAdmission::new(issuer.public()));
//!
//! let now = SystemClock.now();
//! let claims = Claims::new("user://example.com/alice", "example.com", now, Duration::from_secs(3600));
//! let token = issuer.issue(&claims)?;
//! let pass = issuer.public().verify(&token, "example.com", now, Duration::ZERO)?;
//! assert_eq!(pass.who().user().as_str(), "user://example.com/alice");
//! # Ok(())
//! # }
//! ```

mod admit;
mod keys;
mod owners;
mod pass;
mod pattern;
mod provider;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

use std::time::Duration;

pub use keys::{ISSUER_KEYS_MAX, IssuerKey, IssuerKeys, KeyError};
pub(crate) use owners::RuntimeOwners;
pub use owners::{OWNERS_CHECK, RUNTIME_OWNERS_MAX};
pub use pass::{Pass, Who};
pub use pattern::{PatternError, UrlPattern};
pub use provider::ForeignProvider;
pub(crate) use provider::install as install_provider;
pub use refusal::TokenError;
pub use token::{Audience, Claims, IssueError, PATTERNS_MAX, TOKEN_BYTES_MAX, inspect};

/// By how much the clocks of a node and an issuer may differ, by default.
pub const LEEWAY: Duration = Duration::from_secs(10);

/// How long a connection may be without a session if sessions need a token: who has one has it ready.
pub const TOKEN_WAIT: Duration = Duration::from_secs(2);

/// How much a connection may say before it has a session: a token and an identifier fit many times.
pub const UNADMITTED_BYTES_MAX: usize = 64 * 1024;

/// Who may open a session.
#[derive(Debug, Clone, Default)]
pub enum AdmissionConfig {
    /// Whoever reaches the node, which [`serve`](crate::serve) refuses to let anybody do who is not on this machine. For
    /// development, and for nodes within a process.
    #[default]
    Loopback,
    /// Whoever reaches the node, wherever from. What messages say of users is not checked.
    Open,
    /// Who has a token.
    Tokens(TokenAdmission),
}

/// Admission by token.
#[derive(Debug, Clone)]
pub struct TokenAdmission {
    /// The keys of those whose tokens are believed.
    pub keys: IssuerKeys,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// How long a connection may be without a session.
    pub wait: Duration,
}

impl TokenAdmission {
    /// Admits whom the holders of these keys admit.
    pub fn new(keys: IssuerKeys) -> TokenAdmission {
        TokenAdmission { keys, leeway: LEEWAY, wait: TOKEN_WAIT }
    }
}
