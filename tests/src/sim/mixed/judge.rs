//! What the applications of a mixed run know together: the objects, what must be true of them, and the phase.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::ObjectUrl;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::reference::{ChildSeen, Reference, Violation};

/// What hostile messages hold, and nothing else.
pub(super) const MARKER: &str = "HOSTILE";

/// What everybody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Machines start; applications wait.
    Boot,
    /// Applications work, things go wrong.
    Work,
    /// Everything is mended, nobody writes.
    Settle,
    /// Observers unsubscribe.
    Leave,
    /// Reporters delete.
    Delete,
}

/// Known to all applications of a run.
pub(super) struct Judge {
    state: Mutex<State>,
    /// The phase, or the objects, changed. A `watch` would wake those who wait in an order of its own.
    changed: Notify,
}

struct State {
    phase: Phase,
    boards: BTreeMap<String, ObjectUrl>,
    references: BTreeMap<ObjectUrl, Reference>,
    /// The children that the Reporter's side holds.
    children: BTreeMap<ObjectUrl, Vec<ChildSeen>>,
    /// What keeps each party from being settled, if anything.
    settled: BTreeMap<String, Result<(), Violation>>,
    done: u64,
    delivered: u64,
}

impl Judge {
    pub(super) fn new() -> Arc<Judge> {
        Arc::new(Judge {
            state: Mutex::new(State {
                phase: Phase::Boot,
                boards: BTreeMap::new(),
                references: BTreeMap::new(),
                children: BTreeMap::new(),
                settled: BTreeMap::new(),
                done: 0,
                delivered: 0,
            }),
            changed: Notify::new(),
        })
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.state.lock().phase = phase;
        self.changed.notify_waiters();
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Waits for a phase to begin.
    pub(super) async fn reached(&self, phase: Phase) {
        self.until(|state| (state.phase >= phase).then_some(())).await;
    }

    /// An object is there; its Reporter is `who`.
    pub(super) fn created(&self, name: &str, url: &ObjectUrl, who: &str, data: Value) {
        let mut reference = Reference::new(url.to_string(), who, data).open();
        reference.hostile(MARKER);
        let mut state = self.state.lock();
        state.references.insert(url.clone(), reference);
        state.boards.insert(name.to_owned(), url.clone());
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn board(&self, name: &str) -> Option<ObjectUrl> {
        self.state.lock().boards.get(name).cloned()
    }

    /// Waits for the object of this name.
    pub(super) async fn found(&self, name: &str) -> ObjectUrl {
        self.until(|state| state.boards.get(name).cloned()).await
    }

    async fn until<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            if let Some(found) = found(&self.state.lock()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) fn boards(&self) -> Vec<ObjectUrl> {
        self.state.lock().boards.values().cloned().collect()
    }

    /// Asks the reference of an object.
    pub(super) fn of<T>(&self, url: &ObjectUrl, ask: impl FnOnce(&mut Reference) -> T) -> Option<T> {
        self.state.lock().references.get_mut(url).map(ask)
    }

    /// The same where an answer may be a violation; what is not known yet cannot be one.
    pub(super) fn check(
        &self,
        url: &ObjectUrl,
        ask: impl FnOnce(&mut Reference) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        self.of(url, ask).unwrap_or(Ok(()))
    }

    pub(super) fn reporter_holds(&self, url: &ObjectUrl, children: Vec<ChildSeen>) {
        self.state.lock().children.insert(url.clone(), children);
    }

    pub(super) fn children(&self, url: &ObjectUrl) -> Vec<ChildSeen> {
        self.state.lock().children.get(url).cloned().unwrap_or_default()
    }

    pub(super) fn settled(&self, who: &str, result: Result<(), Violation>) {
        self.state.lock().settled.insert(who.to_owned(), result);
    }

    /// Why not everybody is settled; `None` when all are.
    pub(super) fn unsettled(&self, parties: usize) -> Option<Option<Violation>> {
        let state = self.state.lock();
        if let Some(violation) = state.settled.values().find_map(|settled| settled.as_ref().err()) {
            return Some(Some(violation.clone()));
        }
        (state.settled.len() < parties).then_some(None)
    }

    /// An application was told of something.
    pub(super) fn delivered(&self) {
        self.state.lock().delivered += 1;
    }

    pub(super) fn deliveries(&self) -> u64 {
        self.state.lock().delivered
    }

    /// Somebody has left.
    pub(super) fn one_done(&self) {
        self.state.lock().done += 1;
    }

    pub(super) fn done(&self) -> u64 {
        self.state.lock().done
    }
}
