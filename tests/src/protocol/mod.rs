//! The protocol suite: an implementation as a black box, spoken to by messages alone.
//!
//! - A [`Case`] is data (what it checks, what it needs) and an async function. It is given a [`Stage`]: the
//!   implementation under test, the [`Trace`] that everything said is written into, a seed, and how long to wait.
//! - A [`Runner`] runs cases one after the other against an implementation and skips what needs a [`Capability`] that
//!   the implementation does not declare. Its [`Report`] has one line for each invariant, then the failures, each
//!   with the invariant, the seed, and the messages that led to it.
//! - [`node`] has the cases for a message node, at a URL or in this process; [`runtime`] those for a runtime.
//!
//! Invariants are named as in the protocol: `INV-…`, an amendment such as `M12`, or a section such as `5.12` where a
//! rule has no name of its own.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::protocol::node::{self, InProcessNode, NodeUnderTest};
//! use hyperty_conformance::protocol::Runner;
//!
//! # let test = async {
//! let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::new("example.com", 1));
//! let report = Runner::new(1).filter("INV-MN-1").run(&node, &node::cases()).await;
//! assert!(report.passed(), "{report}");
//! # };
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
//! ```

mod case;
pub mod client;
mod junit;
pub mod node;
mod patience;
mod report;
mod runner;
pub mod runtime;
mod sequence;
mod trace;

pub use case::{Capabilities, Capability, Case, Failure, Stage, Stop, UnderTest, Verdict};
pub use patience::{Pace, Patience};
pub use report::{CaseReport, Outcome, Report};
pub use runner::Runner;
pub use sequence::{generated, random_sequences};
pub use trace::Trace;

/// Ends a case with a failure unless a condition holds: `ensure!("INV-MN-1", condition, "what is wrong: {answer}")`.
#[macro_export]
macro_rules! ensure {
    ($invariant:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::protocol::Failure::new($invariant, format!($($text)+)).into());
        }
    };
}

/// As [`ensure!`], and the text shows both sides if they differ: `ensure_eq!("INV-MN-2", got, wanted, "the order")`.
#[macro_export]
macro_rules! ensure_eq {
    ($invariant:expr, $left:expr, $right:expr, $($text:tt)+) => {
        match (&$left, &$right) {
            (left, right) if left != right => {
                let text = format!("{}: {left:?} instead of {right:?}", format_args!($($text)+));
                return Err($crate::protocol::Failure::new($invariant, text).into());
            }
            _ => {}
        }
    };
}
