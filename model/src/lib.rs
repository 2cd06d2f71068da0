//! Addresses, messages, changes and versions of Reporter-Observer data objects.
//!
//! Pure types: no async, no I/O, no logging. Time and randomness come in through [`Clock`] and [`Ids`].
//!
//! | module | holds |
//! |---|---|
//! | [`url`] | addresses and what they name (protocol section 1) |
//! | [`message`] | messages, their typed bodies, one-scan decoding of frames (section 2) |
//! | [`object`] | metadata, positions, snapshots, children (sections 3.1, 3.2, 3.6) |
//! | [`change`] | the change language: paths, apply, diff (section 3.3) |
//! | [`replica`] | an observer's ordering and gap handling (section 3.4) |
//! | [`log`] | the bounded log of changes a reporter keeps for repairs (section 10.1) |
//! | [`digest`] | the digest of data that tells a copy from what it should be (section 10.2) |
//! | [`discovery`] | what is asked of a domain's registry (section 5.13) |
//! | [`queue`] | the bounded queue in front of a connection, in which updates of one object collapse (10.3) |
//! | [`resume`] | which objects a hyperty wants to go on with (section 5.10) |
//! | [`schema`] | what a schema says of scheme and children names (section 3.7) |
//!
//! ```
//! use hyperty_model::change::{apply, diff};
//! use serde_json::json;
//!
//! let (before, after) = (json!({"topic": "a"}), json!({"topic": "b", "open": 3}));
//! let mut copy = before.clone();
//! for change in diff(&before, &after) {
//!     apply(&mut copy, &change).unwrap();
//! }
//! assert_eq!(copy, after);
//! ```

pub mod change;
pub mod delegation;
pub mod digest;
pub mod discovery;
pub mod log;
pub mod message;
pub mod object;
pub mod parts;
pub mod queue;
pub mod replica;
pub mod resume;
pub mod schema;
pub mod url;

mod clock;
mod identity;
mod ids;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use identity::Identity;
pub use ids::{Ids, SeededIds, SystemIds};
pub use message::{Body, Message, MessageId, MessageType, StatusCode};
pub use object::{Position, Snapshot};
pub use url::{ChildrenName, DerivedTail, HypertyUrl, ObjectUrl, RuntimeUrl, Url, UrlError, UrlKind};
