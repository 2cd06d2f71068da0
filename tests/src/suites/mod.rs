//! Suites for the seams of the workspace.
//!
//! Any implementation of a seam is put through its suite with one line in a test of its own. What an implementation
//! declares decides which cases it meets; what it does not declare is skipped, and the verdict says so. Random
//! sequences of operations are compared with small models, and shrunk when they differ: [`HYPERTY_SEED`](crate::level)
//! repeats them.
//!
//! | seam | suite |
//! |---|---|
//! | a message bus | [`bus::run`] |
//! | `Protostub` | [`protostub::run`] |
//! | `Tables`, `DataObjectStorage` | [`storage`] |
//! | `DomainRegistry` | [`registry::run`] |
//! | `AddressAllocator` | [`allocator::run`] |
//! | `Policy` | [`policy::run`] |
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::suites::policy::{self, Rules};
//! use hyperty_policy::Permissive;
//!
//! policy::run(Rules::default(), &|| Arc::new(Permissive)).assert_passed();
//! ```

pub mod allocator;
mod attached;
pub mod bus;
pub mod policy;
pub mod protostub;
pub mod registry;
pub mod storage;
mod verdict;

pub use verdict::{Broken, Checked, Failure, Outcome, Time, Verdict};
pub(crate) use verdict::{Suite, block_on, demand};
