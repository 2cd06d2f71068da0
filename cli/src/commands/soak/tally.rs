//! The figures of a soak.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperty_conformance::reference::{Invariant, Violation};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::hold;
use crate::exit::Failure;

/// Most failures that are printed one by one: the first ones tell the most.
const TOLD_MAX: u64 = 20;

/// What is counted, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// Changes that reporters made.
    Written,
    /// Changes that reporters were told to be kept and published.
    Acknowledged,
    /// Changes that observers were told.
    Deliveries,
    /// Whole states that observers were given in place of changes.
    Resyncs,
    /// Operations on children that observers were told.
    Children,
    /// Bursts of hundreds of changes.
    Storms,
    /// Values that are larger than a message.
    BigValues,
    /// Observers that were removed.
    Removed,
    /// Those that were invited again.
    Invited,
    /// Objects that were given to another.
    Delegated,
    /// Objects that another hyperty of their user took over.
    TakenOver,
    /// Copies that were found equal to their owner's after a step of a group.
    Agreed,
    /// Restarts of the node in order.
    NodeRestarts,
    /// Crashes of the node.
    NodeCrashes,
    /// Restarts of runtimes in order.
    RuntimeRestarts,
    /// Crashes of runtimes.
    RuntimeCrashes,
    /// Runtimes that came, observed and left.
    Visits,
    /// Clients that hardly read.
    SlowReaders,
    /// Changes that came twice.
    Duplicates,
    /// Changes that were not the next one.
    OutOfOrder,
    /// What was acknowledged or published and is gone, or never arrived.
    Lost,
    /// States that nobody had written, and anything else that must not be.
    Wrong,
    /// What the second part left behind.
    Leaks,
}

const ALL: [(Count, &str); 23] = [
    (Count::Written, "written"),
    (Count::Acknowledged, "acknowledged"),
    (Count::Deliveries, "deliveries"),
    (Count::Resyncs, "resyncs"),
    (Count::Children, "children"),
    (Count::Storms, "storms"),
    (Count::BigValues, "bigValues"),
    (Count::Removed, "removed"),
    (Count::Invited, "invited"),
    (Count::Delegated, "delegated"),
    (Count::TakenOver, "takenOver"),
    (Count::Agreed, "agreed"),
    (Count::NodeRestarts, "nodeRestarts"),
    (Count::NodeCrashes, "nodeCrashes"),
    (Count::RuntimeRestarts, "runtimeRestarts"),
    (Count::RuntimeCrashes, "runtimeCrashes"),
    (Count::Visits, "visits"),
    (Count::SlowReaders, "slowReaders"),
    (Count::Duplicates, "duplicates"),
    (Count::OutOfOrder, "outOfOrder"),
    (Count::Lost, "lost"),
    (Count::Wrong, "wrong"),
    (Count::Leaks, "leaks"),
];

/// The figures so far.
pub(super) struct Tally {
    counts: [AtomicU64; ALL.len()],
    first: Mutex<Option<String>>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally { counts: Default::default(), first: Mutex::new(None) }
    }

    pub(super) fn add(&self, what: Count) {
        self.add_many(what, 1);
    }

    pub(super) fn add_many(&self, what: Count, many: u64) {
        self.counts[what as usize].fetch_add(many, Ordering::Relaxed);
    }

    fn get(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Ordering::Relaxed)
    }

    /// An invariant was broken; `again` if the change that broke it had come before.
    pub(super) fn violated(&self, violation: &Violation, again: bool) {
        let what = match violation.invariant {
            Invariant::I2 if again => Count::Duplicates,
            Invariant::I2 => Count::OutOfOrder,
            Invariant::I6 | Invariant::I8 | Invariant::I11 => Count::Lost,
            _ => Count::Wrong,
        };
        self.failed(what, &violation.to_string());
    }

    /// Something never arrived.
    pub(super) fn lost(&self, what: &str) {
        self.failed(Count::Lost, what);
    }

    /// Something is left over.
    pub(super) fn leak(&self, what: String) {
        self.failed(Count::Leaks, &what);
    }

    /// Something that must not be.
    pub(super) fn wrong(&self, what: &str) {
        self.failed(Count::Wrong, what);
    }

    fn failed(&self, what: Count, text: &str) {
        self.add(what);
        let text: String = text.chars().take(1_000).collect();
        if self.failures() <= TOLD_MAX {
            tracing::error!("{what:?}: {text}");
        }
        self.first.lock().get_or_insert(text);
    }

    fn failures(&self) -> u64 {
        let bad = [Count::Duplicates, Count::OutOfOrder, Count::Lost, Count::Wrong, Count::Leaks];
        bad.into_iter().map(|what| self.get(what)).sum()
    }

    /// The outcome.
    ///
    /// # Errors
    /// When anything failed.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match self.first.lock().as_ref() {
            None => Ok(()),
            Some(first) => {
                Err(Failure::error(format_args!("{} failures, the first: {first}", self.failures())))
            }
        }
    }

    pub(super) fn as_json(&self, word: &str, elapsed: Duration) -> Value {
        let mut line = json!({
            "event": word, "seconds": (elapsed.as_secs_f64() * 10.0).round() / 10.0,
            "memoryBytes": hold::resident_bytes(),
        });
        for (what, name) in ALL {
            line[name] = self.get(what).into();
        }
        line
    }

    pub(super) fn as_text(&self, elapsed: Duration) -> String {
        let n = |what| self.get(what);
        let seconds = elapsed.as_secs_f64();
        format!(
            "{seconds:>7.0} s  {} deliveries ({:.0}/s) of {} changes, {} resyncs, {} of children, {} storms, {} big; \
             {} removed, {} invited, {} delegated, {} taken over, {} agreed; \
             node {}+{} and runtimes {}+{} restarted+crashed, {} visits, {} slow; \
             {} lost, {} doubled, {} out of order, {} wrong, {} leaks; {} MiB",
            n(Count::Deliveries),
            n(Count::Deliveries) as f64 / seconds.max(0.001),
            n(Count::Written),
            n(Count::Resyncs),
            n(Count::Children),
            n(Count::Storms),
            n(Count::BigValues),
            n(Count::Removed),
            n(Count::Invited),
            n(Count::Delegated),
            n(Count::TakenOver),
            n(Count::Agreed),
            n(Count::NodeRestarts),
            n(Count::NodeCrashes),
            n(Count::RuntimeRestarts),
            n(Count::RuntimeCrashes),
            n(Count::Visits),
            n(Count::SlowReaders),
            n(Count::Lost),
            n(Count::Duplicates),
            n(Count::OutOfOrder),
            n(Count::Wrong),
            n(Count::Leaks),
            hold::resident_bytes() / (1024 * 1024),
        )
    }
}
