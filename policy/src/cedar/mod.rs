//! Policies in the Cedar language, for who already writes them; with the feature `cedar`.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_model::{Identity, SystemClock, Timestamp, Url};
//! use hyperty_policy::cedar::{CedarPolicy, SCHEMA};
//! use hyperty_policy::{Decision, Point, PolicyRequest};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = CedarPolicy::parse(r#"
//!     @id("the team may look")
//!     permit (principal, action in [Action::"subscribe", Action::"read"], resource)
//!     when { principal in [User::"user://example.com/bob", User::"user://example.com/carol"] };
//!
//!     @id("not at night")
//!     @reason("closed from ten to six")
//!     forbid (principal, action, resource)
//!     when { context.time.clock >= 2200 || context.time.clock < 600 };
//! "#, Some(SCHEMA), Arc::new(SystemClock))?;
//!
//! let bob = PolicyRequest::new(Point::Subscribe, Url::parse("hyperty://example.com/6f1c")?)
//!     .identity(Some(Identity::of_user("user://example.com/bob")));
//! let (noon, midnight) = (Timestamp::from_millis(12 * 3_600_000), Timestamp::from_millis(0));
//! assert_eq!(policy.explain(&bob, noon).decision, Decision::Permit);
//! let told = policy.explain(&bob, midnight);
//! assert_eq!(told.decision.refusal(), Some("closed from ten to six"));
//! assert_eq!(told.by, ["not at night"]);
//! # Ok(()) }
//! ```
//!
//! # What a policy is told
//!
//! | | is | knows |
//! |---|---|---|
//! | `principal` | `Hyperty::"<URL of the actor>"`, in its `User` | `scheme`, `domain` |
//! | `action` | `Action::"<name of the point>"` | |
//! | `resource` | `Object::"<URL>"`, in its Reporter's `User` and in its `Schema`; `Object::""` where there is none yet | `scheme`, `domain`, `schema`, `reporter`, `reporterUser` |
//! | `context` | | `children`, `target`, `time` |
//!
//! A user is in `User::"<URL>"` and, if known, in `User::"<GUID>"`. `context.time` is UTC: `date` (`20261122`), `clock`
//! (`930` for half past nine), `weekday` (`"monday"`), `millis`. All but the actor's `scheme` and the time may be missing:
//! ask with `has` first. [`SCHEMA`] says all this in Cedar's own words; policies checked against it cannot forget.
//!
//! # What becomes of it
//!
//! A policy that forbids wins. If none forbids and one permits, the request is permitted; if none applies, there is no
//! opinion, and the protocol's own rule or the application decides. If **any** policy cannot be evaluated, the request
//! is denied and the log tells which: whether it would have forbidden nobody knows.
//!
//! Other than in [`rules`](crate::rules), what is not known of a request is not "unknown" to `in`: who has no identity
//! is in no `User`, and a policy that forbids a user does not apply. Write `forbid … unless { principal in User::"…" }`
//! to keep out who does not tell.
//!
//! Annotations: `@id("…")` is what a policy is called in explanations and logs, `@reason("…")` what its refusal says.

mod answer;
mod asked;
mod file;
mod policy;
mod set;

#[cfg(test)]
mod tests;

pub use answer::{Explanation, Looked, Outcome};
pub use file::CedarFile;
pub use policy::CedarPolicy;
pub use set::{CedarError, SCHEMA};
