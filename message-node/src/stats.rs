//! What a node counts: a handful of totals since its start, cheap enough to be always on.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Totals since the start of the node, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Sessions, live and graced.
    pub sessions: usize,
    /// Sessions that a connection serves.
    pub live: usize,
    /// Connections, with a session or without.
    pub connections: usize,
    /// Addresses that somebody listens to.
    pub routes: usize,
    /// Subscriptions that wait for the owner of an object to accept who made them (protocol 10.4).
    #[serde(default)]
    pub waiting: usize,
    /// Addresses of runtimes, stubs and hyperties that belong to a session.
    pub bound: usize,
    /// Messages that wait for the sessions to take them.
    pub queued: usize,
    /// What these cost in bytes.
    pub queued_bytes: usize,
    /// Answers that wait for the store.
    pub pending: usize,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions taken up again after their connection was lost.
    pub reopened: u64,
    /// Connections of sessions that were lost without a goodbye.
    pub lost: u64,
    /// Sessions that ended: closed, replaced, or not taken up again in time.
    pub ended: u64,
    /// Frames that came in.
    pub received: u64,
    /// Copies that were queued for sessions, the node's own answers apart.
    pub delivered: u64,
    /// Updates that made room for newer ones in the queue of a slow session.
    pub conflated: u64,
    /// Messages answered with an error by the node itself, or that would have been if they were requests.
    pub refused: u64,
    /// Messages that nobody listened to.
    pub unrouted: u64,
    /// Copies dropped because they had been where they were going (protocol 2.6).
    pub looped: u64,
    /// Queues given up because requests and responses filled them.
    pub overflowed: u64,
    /// Reads and subscriptions that passed and told a position: repairs of copies that had missed something, and
    /// observers that came back.
    pub repairs: u64,
    /// Sessions that were not opened because their token did not admit them.
    #[serde(default)]
    pub not_admitted: u64,
    /// Records kept for the devices of users (protocol 5.19).
    #[serde(default)]
    pub backups: usize,
    /// The bytes of these.
    #[serde(default)]
    pub backup_bytes: u64,
    /// Records saved, each time.
    #[serde(default)]
    pub backed_up: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: Counter,
    pub(crate) delivered: Counter,
    pub(crate) conflated: Counter,
    pub(crate) refused: Counter,
    pub(crate) unrouted: Counter,
    pub(crate) looped: Counter,
    pub(crate) overflowed: Counter,
    pub(crate) opened: Counter,
    pub(crate) reopened: Counter,
    pub(crate) lost: Counter,
    pub(crate) ended: Counter,
    pub(crate) repairs: Counter,
    pub(crate) not_admitted: Counter,
    pub(crate) backed_up: Counter,
}

/// One total.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        if count > 0 {
            self.0.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
