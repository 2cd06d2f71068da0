//! What a node counts: a handful of totals since its start, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals since the start of the node, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions, live and graced.
    pub sessions: usize,
    /// Addresses that somebody listens to.
    pub routes: usize,
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
