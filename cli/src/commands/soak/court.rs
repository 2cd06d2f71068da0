//! What must be true of every object, the phase, and who is settled.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_conformance::reference::{ChildSeen, Limits, Reference, Violation};
use hyperty_model::ObjectUrl;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::tally::Tally;

/// How much of a history is remembered: more than an observer that is repaired can be behind, little enough that a day
/// fits into memory.
const REMEMBERED: Limits = Limits { values: 4, positions: 20_000, child_versions: 64 };

/// What everybody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Whatever may happen happens.
    Work,
    /// Nobody writes, restarts, comes or goes; visitors have left.
    Pause,
}

/// The objects and what is known of them. One lock for each object: whoever changes it tells so before others can be
/// shown it.
pub(super) struct Court {
    phase: watch::Sender<Phase>,
    objects: watch::Sender<BTreeMap<ObjectUrl, Arc<Mutex<Case>>>>,
    /// What keeps each party from being settled, if anything; since the pause began.
    settled: Mutex<BTreeMap<String, Option<String>>>,
    expected: Mutex<Expected>,
    tally: Arc<Tally>,
}

/// Who has to be settled in a pause.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    /// Parties that report.
    pub(super) reporters: usize,
    /// Parties that observe everything.
    pub(super) observers: usize,
    /// Groups that share an object of their own, which is not judged here.
    pub(super) groups: usize,
}

/// One object.
pub(super) struct Case {
    pub(super) reference: Reference,
    /// The children that the Reporter's side holds.
    pub(super) children: Vec<ChildSeen>,
}

impl Court {
    pub(super) fn new(tally: Arc<Tally>) -> Arc<Court> {
        Arc::new(Court {
            phase: watch::Sender::new(Phase::Work),
            objects: watch::Sender::new(BTreeMap::new()),
            settled: Mutex::default(),
            expected: Mutex::default(),
            tally,
        })
    }

    /// So many have to be settled in a pause.
    pub(super) fn expect(&self, expected: Expected) {
        *self.expected.lock() = expected;
    }

    /// How many parties report.
    pub(super) fn reporters(&self) -> usize {
        self.expected.lock().reporters
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.settled.lock().clear();
        self.phase.send_replace(phase);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until this phase is on.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender cannot be gone: this holds it.
        let _ = self.phase.subscribe().wait_for(|now| *now == phase).await;
    }

    /// An object was created by `who`.
    pub(super) fn created(&self, url: &ObjectUrl, who: &str, data: Value) {
        let reference = Reference::with_limits(url.to_string(), who, data, REMEMBERED).open();
        let case = Arc::new(Mutex::new(Case { reference, children: Vec::new() }));
        self.objects.send_modify(|objects| {
            objects.insert(url.clone(), case);
        });
    }

    /// All objects, once there are so many.
    pub(super) async fn all(&self, many: usize) -> Vec<ObjectUrl> {
        let mut objects = self.objects.subscribe();
        let found = objects.wait_for(|objects| objects.len() >= many).await;
        found.map(|objects| objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The case of an object that was created.
    pub(super) fn case(&self, url: &ObjectUrl) -> Option<Arc<Mutex<Case>>> {
        self.objects.borrow().get(url).cloned()
    }

    /// Judges; what is broken is counted. Whether nothing is.
    pub(super) fn check(
        &self,
        url: &ObjectUrl,
        judge: impl FnOnce(&mut Case) -> Result<(), Violation>,
    ) -> bool {
        let Some(case) = self.case(url) else { return true };
        let judged = judge(&mut case.lock());
        match judged {
            Ok(()) => true,
            Err(violation) => {
                self.tally.violated(&violation, false);
                false
            }
        }
    }

    /// A party looked whether it is settled.
    pub(super) fn looked(&self, party: String, outcome: Result<(), Violation>) {
        self.settled.lock().insert(party, outcome.err().map(|violation| violation.to_string()));
    }

    /// Whether every party has looked in this pause, and is settled.
    pub(super) fn is_settled(&self) -> bool {
        let objects = self.objects.borrow().len();
        let Expected { reporters, observers, groups } = *self.expected.lock();
        let settled = self.settled.lock();
        objects == reporters * super::reporter::OBJECTS
            && settled.len() == objects * (1 + observers) + groups
            && settled.values().all(Option::is_none)
    }

    /// Who is not, and why.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let settled = self.settled.lock();
        let mut texts: Vec<_> = settled.values().flatten().cloned().collect();
        let objects = self.objects.borrow().len();
        let Expected { observers, groups, .. } = *self.expected.lock();
        let missing = (objects * (1 + observers) + groups).saturating_sub(settled.len());
        if missing > 0 {
            texts.push(format!("{missing} observations or groups did not come to rest"));
        }
        texts
    }
}
