//! The machines of a simulation: message nodes and runtimes, with their disks and clocks.

mod node;
mod program;
mod runtime;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use hyperty_model::{Ids, SeededIds};

pub(crate) use node::NodeHost;
pub use program::{Program, Seat};
pub(crate) use runtime::RuntimeHost;
pub use runtime::RuntimeSpec;

use super::disk::Torn;
use super::network::Notice;
use super::rng::derived;

/// How a machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// `Told`: the process ends, and its system closes the connections. `Silent`: the machine loses its power.
    pub notice: Notice,
    /// What becomes of what was not synced.
    pub torn: Torn,
}

impl Crash {
    /// The process is killed.
    pub const KILLED: Crash = Crash { notice: Notice::Told, torn: Torn::Nothing };
    /// The power goes, in the middle of a write.
    pub const POWER: Crash = Crash { notice: Notice::Silent, torn: Torn::Tail };
}

/// The ids of one start of a machine.
fn ids(seed: u64, machine: &str, start: u64) -> Arc<dyn Ids> {
    Arc::new(SeededIds::new(derived(seed ^ start.wrapping_mul(0x9e37_79b9_7f4a_7c15), machine)))
}

/// Runs a task of a machine; a panic in it goes to `caught`.
async fn watched(task: impl Future<Output = ()>, caught: impl FnOnce(String)) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        caught(text.unwrap_or_else(|| "a panic without text".to_owned()));
    }
}
