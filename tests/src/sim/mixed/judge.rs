//! What the applications of a mixed run know together: the objects, what must be true of them, and the phase.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::ObjectUrl;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

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
    phase: watch::Sender<Phase>,
    boards: watch::Sender<BTreeMap<String, ObjectUrl>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    references: BTreeMap<ObjectUrl, Reference>,
    /// The children that the Reporter's side holds.
    children: BTreeMap<ObjectUrl, Vec<ChildSeen>>,
    /// What keeps each party from being settled, if anything.
    settled: BTreeMap<String, Result<(), Violation>>,
    done: u64,
}

impl Judge {
    pub(super) fn new() -> Arc<Judge> {
        Arc::new(Judge {
            phase: watch::Sender::new(Phase::Boot),
            boards: watch::Sender::default(),
            state: Mutex::default(),
        })
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for a phase to begin.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender is in `self`.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// An object is there; its Reporter is `who`.
    pub(super) fn created(&self, name: &str, url: &ObjectUrl, who: &str, data: Value, strangers: &[String]) {
        let mut reference = Reference::new(url.to_string(), who, data).open();
        strangers.iter().for_each(|stranger| reference.refused(stranger));
        reference.hostile(MARKER);
        self.state.lock().references.insert(url.clone(), reference);
        self.boards.send_modify(|boards| {
            boards.insert(name.to_owned(), url.clone());
        });
    }

    pub(super) fn board(&self, name: &str) -> Option<ObjectUrl> {
        self.boards.borrow().get(name).cloned()
    }

    /// Waits for the object of this name.
    pub(super) async fn found(&self, name: &str) -> ObjectUrl {
        let mut boards = self.boards.subscribe();
        loop {
            if let Some(url) = boards.borrow_and_update().get(name) {
                return url.clone();
            }
            // The sender is in `self`.
            let _ = boards.changed().await;
        }
    }

    pub(super) fn boards(&self) -> Vec<ObjectUrl> {
        self.boards.borrow().values().cloned().collect()
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

    /// Somebody has left.
    pub(super) fn one_done(&self) {
        self.state.lock().done += 1;
    }

    pub(super) fn done(&self) -> u64 {
        self.state.lock().done
    }
}
