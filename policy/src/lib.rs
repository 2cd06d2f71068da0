//! Who may do what: the decision points of data objects and the [`Policy`] that answers them.
//!
//! A Sync Manager asks its policy before it creates an object, lets somebody observe or read it, accepts a child,
//! and so on (protocol 4.3.1, [`Point`]). The protocol's own rules come first and cannot be overruled: only the
//! Reporter deletes its object, whatever a policy says. A policy then permits, denies, or has no opinion; where it
//! has none on an observer or a reader, the Reporter's application is asked.
//!
//! Built in are [`Permissive`], which leaves everything to those rules and to the application, [`Closed`], which
//! denies everything, and [`rules`], an engine for rules in a file; with the feature `cedar`, policies in the Cedar
//! language as well. A policy of one's own is a few lines:
//!
//! ```
//! use futures_core::future::BoxFuture;
//! use hyperty_model::Url;
//! use hyperty_policy::{Decision, Point, Policy, PolicyRequest};
//!
//! /// Hyperties of our own domain may observe without being asked about; nobody else may.
//! struct OwnDomain(&'static str);
//!
//! impl Policy for OwnDomain {
//!     fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
//!         let decision = match request.point {
//!             Point::Subscribe if request.actor.domain() == Some(self.0) => Decision::Permit,
//!             Point::Subscribe => Decision::Deny("observers of this domain only".to_owned()),
//!             _ => Decision::NotApplicable,
//!         };
//!         Box::pin(std::future::ready(decision))
//!     }
//! }
//!
//! # let run = async {
//! let actor = Url::parse("hyperty://elsewhere.example/6f1c").unwrap();
//! let decision = OwnDomain("example.com").decide(&PolicyRequest::new(Point::Subscribe, actor)).await;
//! assert_eq!(decision.refusal(), Some("observers of this domain only"));
//! # };
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run);
//! ```

mod ask;
mod builtin;
#[cfg(feature = "cedar")]
pub mod cedar;
mod decision;
mod file;
mod moment;
mod request;
pub mod rules;

pub use ask::{decide, decide_now, denied};
pub use builtin::{BLOCKED, Closed, Permissive};
pub use decision::Decision;
pub use file::{PolicyFile, WatchedFile};
pub use request::{Point, PolicyRequest};

use futures_core::future::BoxFuture;

/// Decides what the protocol's own rules leave open.
///
/// A decision may take its time (a directory look-up, a question to a service), but the request waits for it:
/// whoever asks gives up after its own deadline and refuses. A policy must not remember a request as granted; it is
/// asked again each time.
pub trait Policy: Send + Sync {
    /// Decides one request.
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision>;
}
