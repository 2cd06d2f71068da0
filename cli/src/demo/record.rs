//! What is counted while the demo runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When each version was published, by the clock of this process.
pub(crate) struct Published {
    start: Instant,
    /// Nanoseconds since `start`, by version.
    at: Vec<AtomicU64>,
}

impl Published {
    /// Nothing yet; there will be so many versions.
    pub(crate) fn new(versions: usize) -> Published {
        Published { start: Instant::now(), at: (0..=versions).map(|_| AtomicU64::new(0)).collect() }
    }

    /// This version is published now.
    pub(crate) fn now(&self, version: usize) {
        if let Some(at) = self.at.get(version) {
            at.store(self.nanos(), Ordering::Relaxed);
        }
    }

    /// How long ago this version was published.
    fn since(&self, version: u64) -> Option<Duration> {
        let at = self.at.get(usize::try_from(version).ok()?)?.load(Ordering::Relaxed);
        Some(Duration::from_nanos(self.nanos().saturating_sub(at)))
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// How a version came to an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    NotYet,
    AsChange,
    /// Within a whole state: a resync, or what the store held after a restart.
    InState,
}

/// What came to one observer.
pub(crate) struct Record {
    came: Vec<Came>,
    position: u64,
    duplicated: u64,
    latencies: Vec<Duration>,
    stopped: Option<Instant>,
    resumed_after: Option<Duration>,
}

/// The sums of a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Versions that came as changes.
    pub delivered: u64,
    /// Versions that came within a whole state only.
    pub in_state: u64,
    /// Versions that came in no way.
    pub lost: u64,
    /// Changes that came again although the copy had them.
    pub duplicated: u64,
    /// From publication to the observer's event, for half of the changes at most.
    pub p50: Duration,
    /// The same for 99 of 100 changes.
    pub p99: Duration,
    /// From the hard stop to the first change after it.
    pub resumed_after: Option<Duration>,
}

impl Record {
    /// Nothing yet; there will be so many versions.
    pub(crate) fn new(versions: usize) -> Record {
        Record {
            came: vec![Came::NotYet; versions + 1],
            position: 0,
            duplicated: 0,
            latencies: Vec::with_capacity(versions),
            stopped: None,
            resumed_after: None,
        }
    }

    /// The version up to which the observer has heard.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// A change came.
    pub(crate) fn change(&mut self, version: u64, published: &Published) {
        if version <= self.position {
            self.duplicated += 1;
            return;
        }
        self.position = version;
        if let Some(came) = self.came_mut(version) {
            *came = Came::AsChange;
        }
        self.latencies.extend(published.since(version));
        if let (Some(stopped), None) = (self.stopped, self.resumed_after) {
            self.resumed_after = Some(stopped.elapsed());
        }
    }

    /// A whole state came, in place of what had not come up to its version. A hole before that stays one.
    pub(crate) fn state(&mut self, version: u64) {
        for at in self.position + 1..=version {
            if let Some(came) = self.came_mut(at).filter(|came| **came == Came::NotYet) {
                *came = Came::InState;
            }
        }
        self.position = version;
    }

    /// The observer's runtime is stopped hard.
    pub(crate) fn stopped(&mut self, at: Instant) {
        self.stopped = Some(at);
    }

    /// The sums.
    pub(crate) fn tally(&self) -> Tally {
        let count = |which| self.came.iter().skip(1).filter(|came| **came == which).count() as u64;
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let at = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
            latencies.get(at).copied().unwrap_or_default()
        };
        Tally {
            delivered: count(Came::AsChange),
            in_state: count(Came::InState),
            lost: count(Came::NotYet),
            duplicated: self.duplicated,
            p50: percentile(50),
            p99: percentile(99),
            resumed_after: self.resumed_after,
        }
    }

    fn came_mut(&mut self, version: u64) -> Option<&mut Came> {
        self.came.get_mut(usize::try_from(version).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_lost_unless_a_state_takes_its_place() {
        let (mut record, published) = (Record::new(7), Published::new(7));
        record.state(0);
        for version in [1, 2, 4, 4] {
            record.change(version, &published);
        }
        let tally = record.tally();
        assert_eq!((tally.delivered, tally.lost, tally.duplicated), (3, 4, 1));
        record.state(6);
        record.change(7, &published);
        let tally = record.tally();
        assert_eq!((tally.delivered, tally.in_state, tally.lost), (4, 2, 1));
    }

    #[test]
    fn what_comes_again_to_a_copy_that_started_anew_is_no_duplicate() {
        let (mut record, published) = (Record::new(3), Published::new(3));
        record.change(1, &published);
        record.change(2, &published);
        record.state(1);
        record.change(2, &published);
        record.change(3, &published);
        let tally = record.tally();
        assert_eq!((tally.delivered, tally.lost, tally.duplicated), (3, 0, 0));
    }
}
