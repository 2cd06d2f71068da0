//! The built-in rule engine (protocol 4.3): who may do what, as rules in a file.
//!
//! ```
//! use hyperty_model::{Identity, Timestamp, Url};
//! use hyperty_policy::rules::RuleSet;
//! use hyperty_policy::{Decision, Point, PolicyRequest};
//!
//! let rules = RuleSet::from_toml(r#"
//!     algorithm = "blockOverrides"
//!
//!     [groups]
//!     team = ["user://example.com/bob", "user://example.com/carol"]
//!
//!     [[rule]]
//!     name = "the team may look"
//!     decision = true
//!     points = ["subscribe", "read"]
//!     condition = { attribute = "source", operator = "in", params = ["group:team"] }
//!
//!     [[rule]]
//!     name = "not at night"
//!     decision = false
//!     reason = "closed from ten to six"
//!     condition = { attribute = "time", operator = "between", params = ["22:00", "06:00"] }
//! "#).unwrap();
//!
//! let bob = PolicyRequest::new(Point::Subscribe, Url::parse("hyperty://example.com/6f1c").unwrap())
//!     .identity(Some(Identity::of_user("user://example.com/bob")));
//! let noon = Timestamp::from_millis(12 * 3_600_000);
//! let midnight = Timestamp::from_millis(0);
//! assert_eq!(rules.explain(&bob, noon).decision, Decision::Permit);
//! assert_eq!(rules.explain(&bob, midnight).decision.refusal(), Some("closed from ten to six"));
//! ```
//!
//! # The form
//!
//! TOML or JSON with `algorithm`, `groups` and `rule`. A rule has a `name`, a `decision` (`true` allows, `false`
//! blocks), and may have:
//!
//! | member | meaning |
//! |---|---|
//! | `points` | at which [points](crate::Point) it is looked at; at all if absent |
//! | `condition` | when it applies: a test, or `{ and = […] }`, `{ or = […] }`, `{ not = … }`; always if absent |
//! | `scope`, `target` | `global` (the default), `hyperty` or `identity`: only for objects of that Reporter or user |
//! | `priority` | the order; larger first, then the order of the file |
//! | `reason` | what a refusal says |
//!
//! A test is `{ attribute, operator, params }`:
//!
//! | attribute | is | operators |
//! |---|---|---|
//! | `source` | the actor's address, its user URL or GUID; `group:NAME` stands for the members of a group | `equals`, `in` |
//! | `domain` | the domain of the actor's address | `equals`, `in` |
//! | `type` | the point | `equals`, `in` |
//! | `scheme` | the scheme of the object | `equals`, `in` |
//! | `schema` | the URL of its schema | `equals`, `in` |
//! | `subscription` | the children name at the point `child`; else `object` | `equals`, `in` |
//! | `date` | the day, `2026-11-22`, UTC | all |
//! | `weekday` | `monday` … `sunday`, UTC | all |
//! | `time` | `09:30`, UTC | all |
//!
//! `greaterThan` and `lessThan` are strict, `between` includes both ends and goes round midnight or the week's end
//! when the first is the later one.
//!
//! What is not known of a request never lets anybody in: a test of it is neither true nor false, an allowing rule
//! does not apply then, and a blocking one does.

mod condition;
mod decide;
mod file;
mod live;
mod set;

#[cfg(test)]
mod tests;

pub use condition::{Attribute, Condition, Operator, Test};
pub use decide::{Applies, Explanation, Looked};
#[cfg(feature = "cedar")]
pub(crate) use file::Seen;
pub use file::{Reloaded, RuleFile, RuleFileError};
pub use live::RulePolicy;
pub use set::{Algorithm, RULES_BYTES_MAX, RULES_MAX, Rule, RuleSet, RulesError, Scope};
