//! The network of a simulation: links between runtimes and nodes, and what goes wrong on them.

mod client;
mod pipe;
mod server;
mod wire;

use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) use client::SimConnector;
pub(crate) use server::serve;
pub(crate) use wire::{Connection, Wire};

/// Which messages a link may lose, double and overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Affected {
    /// Changes and beats of objects, which their versions make up for: what a crowded queue drops.
    #[default]
    Stream,
    /// All: a transport that claims less than a WebSocket does. Requests whose answer is lost end by their deadline.
    All,
}

/// How a link behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkProfile {
    /// How long a frame is under way. Frames stay in order all the same.
    pub latency: RangeInclusive<Duration>,
    /// How many frames of those affected are lost, from 0 to 1.
    pub loss: f64,
    /// How many arrive twice.
    pub duplication: f64,
    /// How many are overtaken by frames behind them.
    pub reordering: f64,
    /// Which messages are affected by the three above.
    pub affected: Affected,
    /// Bytes a second towards the node; `None` is as many as come.
    pub up: Option<u64>,
    /// Bytes a second towards the runtime: a slow reader has few.
    pub down: Option<u64>,
}

impl Default for LinkProfile {
    /// A good link: a few milliseconds, and nothing is lost.
    fn default() -> LinkProfile {
        LinkProfile {
            latency: Duration::from_millis(1)..=Duration::from_millis(5),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            affected: Affected::Stream,
            up: None,
            down: None,
        }
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Both ends are told, as by a process that ends.
    Told,
    /// Nobody is told: half-open, as by a machine without power or a cable that is pulled.
    Silent,
}
