//! Broken message nodes: our own, and between it and its clients somebody who gets one thing wrong.
//!
//! Each [`Planted`] fault is one that a node of anybody's make could have, and some that others had. The suite has to
//! notice it, by the invariant that it breaks; without a fault it has to pass.

mod admission;
mod allocation;
mod backup;
mod faults;
mod listening;
mod proxy;
mod registry;
mod sessions;

use hyperty_message_node::NodeConfig;

pub use proxy::{Fault, FaultyNode, Known, Ways};

/// A fault, and what it breaks.
#[derive(Clone, Copy)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// What the node does wrong.
    pub what: &'static str,
    /// The invariant that the suite has to find broken.
    pub breaks: &'static str,
    /// Makes the node of this domain, whose other behaviour follows from a seed.
    pub make: fn(&str, u64) -> FaultyNode,
}

/// All of them.
pub fn all() -> Vec<Planted> {
    [faults::ALL, listening::ALL, sessions::ALL, registry::ALL, allocation::ALL, admission::ALL, backup::ALL]
        .concat()
}

/// A node without a fault behind the same proxy: what the suite says against it is wrong.
pub fn healthy(domain: &str, seed: u64) -> FaultyNode {
    through(domain, seed, Nothing)
}

struct Nothing;

impl Fault for Nothing {}

fn through(domain: &str, seed: u64, fault: impl Fault + 'static) -> FaultyNode {
    FaultyNode::new(config(domain), seed, Box::new(fault))
}

/// As [`through`], with a node that lets nobody listen whom the owner has not accepted.
fn guarded(domain: &str, seed: u64, fault: impl Fault + 'static) -> FaultyNode {
    let config = NodeConfig { enforce_subscriber: Some(true), ..config(domain) };
    FaultyNode::new(config, seed, Box::new(fault))
}

fn config(domain: &str) -> NodeConfig {
    let mut config = NodeConfig::new(domain);
    config.limits.message.bytes = proxy::MESSAGE_BYTES_MAX;
    config
}
