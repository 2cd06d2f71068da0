//! How a node is, for whoever operates it.

use std::time::Duration;

use hyperty_storage::StorageError;
use serde::{Deserialize, Serialize};

use crate::metrics::Latencies;
use crate::node::{MessageNode, Phase};
use crate::stats::Stats;

/// Most sessions named in a [`NodeStatus`]: enough to see who is slow, few enough for any number of sessions.
pub const SESSIONS_SHOWN: usize = 50;

/// Whether a node takes runtimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not, and why. A load balancer sends new connections elsewhere.
    NotReady {
        /// All reasons: `draining`, `store failed: …`, `full`.
        reasons: Vec<String>,
    },
}

/// What [`MessageNode::status`] tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The domain served.
    pub domain: String,
    /// Since the node was started, in seconds.
    pub uptime_seconds: f64,
    /// Whether it takes runtimes.
    pub readiness: Readiness,
    /// Its store.
    pub store: StoreStatus,
    /// Totals, and what it holds.
    pub stats: Stats,
    /// The sessions with the most bytes waiting first, [`SESSIONS_SHOWN`] at most.
    pub sessions: Vec<SessionStatus>,
}

/// The state of a node's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Batches on disk since it was opened.
    pub durable: u64,
    /// Answers that wait for it.
    pub pending: usize,
    /// Why it stores nothing any more.
    pub failed: Option<String>,
}

/// One session of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// Its number, as in the logs.
    pub session: u64,
    /// Whose it is.
    pub runtime: String,
    /// Whether a connection serves it; else it is kept for a while for its runtime to come back.
    pub live: bool,
    /// Addresses routed to it.
    pub routes: usize,
    /// Messages that wait for it.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Updates that it did not get because newer ones stood for them.
    pub conflated: u64,
}

impl MessageNode {
    /// Whether the node takes runtimes: its store works, it is not stopping, and there is room.
    pub fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if *self.core().phase.borrow() != Phase::Serving {
            reasons.push("draining".to_owned());
        }
        if let Some(error) = self.store_failure() {
            reasons.push(format!("store failed: {error}"));
        }
        let sessions = self.core().directory.with_sessions(|sessions| sessions.len());
        if self.links() >= self.config().limits.links || sessions >= self.config().limits.sessions {
            reasons.push("full".to_owned());
        }
        if reasons.is_empty() { Readiness::Ready } else { Readiness::NotReady { reasons } }
    }

    /// How the node is. Looks at every session: for people and for programs that ask every few seconds.
    pub fn status(&self) -> NodeStatus {
        let core = self.core();
        let all = core.directory.with_sessions(|sessions| sessions.all());
        let mut sessions: Vec<_> = all
            .iter()
            .map(|session| {
                let load = session.outbox.load();
                SessionStatus {
                    session: session.number,
                    runtime: session.runtime.to_string(),
                    live: session.is_live(),
                    routes: session.routes.lock().len(),
                    queued: load.count,
                    queued_bytes: load.bytes,
                    conflated: load.conflated,
                }
            })
            .collect();
        // Who has as much is in the order of its URL.
        sessions.sort_by_key(|session| std::cmp::Reverse((session.queued_bytes, session.conflated)));
        sessions.truncate(SESSIONS_SHOWN);
        let store = core.pending.store();
        NodeStatus {
            domain: self.domain().to_owned(),
            uptime_seconds: self.uptime().as_secs_f64(),
            readiness: self.readiness(),
            store: StoreStatus {
                durable: store.durable.0,
                pending: core.pending.len(),
                failed: store.failed.map(|error| error.to_string()),
            },
            stats: self.stats(),
            sessions,
        }
    }

    /// Since when it runs.
    pub(crate) fn uptime(&self) -> Duration {
        self.core().started.elapsed()
    }

    /// Why the store stores nothing any more, if so.
    pub(crate) fn store_failure(&self) -> Option<StorageError> {
        self.core().pending.store().failed
    }

    pub(crate) fn latencies(&self) -> &Latencies {
        &self.core().latencies
    }
}
