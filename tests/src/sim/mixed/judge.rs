//! What the applications of a mixed run know together: the objects, what must be true of them, and the phase.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyperty_model::{HypertyUrl, ObjectUrl};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::procedures::Procedure;
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
    /// The hyperties of each object's parties, by the names of their runtimes.
    parties: BTreeMap<ObjectUrl, BTreeMap<String, HypertyUrl>>,
    /// The names of the hyperties that take part, by object and runtime.
    names: BTreeMap<(String, String), String>,
    /// What keeps each party from being settled, if anything.
    settled: BTreeMap<String, Result<(), Violation>>,
    done: u64,
    delivered: u64,
    /// How often each procedure was done.
    deeds: [u64; Procedure::ALL.len()],
    /// Those who may not observe by themselves: guests, and those who were removed once.
    restricted: BTreeSet<String>,
    /// Those who were invited, and perhaps let in, without children of their own.
    childless: BTreeSet<String>,
    /// Those who offer their object, and have not heard what came of it.
    giving: BTreeSet<String>,
    /// Those whose removal has begun, and has no end that is known.
    removing: BTreeSet<String>,
    /// Those who were removed and let in again, which ends that (protocol 5.7): they are as everybody.
    pardoned: BTreeSet<String>,
    /// Those who may not observe until they are invited, from the beginning.
    guests: BTreeSet<String>,
    /// Those who have begun to take an object over.
    taking: BTreeSet<String>,
    /// Actions that were asked for, and those that were performed.
    asked: u64,
    performed: BTreeSet<u64>,
}

impl Judge {
    pub(super) fn new() -> Arc<Judge> {
        Arc::new(Judge {
            state: Mutex::new(State {
                phase: Phase::Boot,
                boards: BTreeMap::new(),
                references: BTreeMap::new(),
                children: BTreeMap::new(),
                parties: BTreeMap::new(),
                names: BTreeMap::new(),
                settled: BTreeMap::new(),
                done: 0,
                delivered: 0,
                deeds: [0; Procedure::ALL.len()],
                restricted: BTreeSet::new(),
                childless: BTreeSet::new(),
                giving: BTreeSet::new(),
                removing: BTreeSet::new(),
                pardoned: BTreeSet::new(),
                guests: BTreeSet::new(),
                taking: BTreeSet::new(),
                asked: 0,
                performed: BTreeSet::new(),
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

    /// A runtime takes part in an object with this hyperty. A guest may not observe until it is invited.
    pub(super) fn enrol(&self, url: &ObjectUrl, runtime: &str, hyperty: &HypertyUrl, guest: bool) {
        let mut state = self.state.lock();
        let parties = state.parties.entry(url.clone()).or_default();
        let before = parties.insert(runtime.to_owned(), hyperty.clone());
        if guest && before.is_none() {
            state.restricted.insert(hyperty.to_string());
            state.guests.insert(hyperty.to_string());
            if let Some(reference) = state.references.get_mut(url) {
                reference.refused(hyperty.as_str());
            }
        }
    }

    /// The Reporter begins to remove this one: from now on it may be done, and operations of its children be refused.
    pub(super) fn removing(&self, url: &ObjectUrl, who: &str) {
        let mut state = self.state.lock();
        state.restricted.insert(who.to_owned());
        state.removing.insert(who.to_owned());
        state.pardoned.remove(who);
        if let Some(reference) = state.references.get_mut(url) {
            reference.removing(who);
            reference.children_uncertain(who);
        }
    }

    /// That has an end, whatever it is.
    pub(super) fn not_removing(&self, who: &str) {
        self.state.lock().removing.remove(who);
    }

    /// Whether it is under way, or was when its Reporter's runtime stopped.
    pub(super) fn is_removing(&self, who: &str) -> bool {
        self.state.lock().removing.contains(who)
    }

    /// This one was let in, or asked to be as it was invited to.
    pub(super) fn let_in(&self, who: &str) {
        let mut state = self.state.lock();
        if !state.removing.contains(who) && !state.guests.contains(who) {
            state.pardoned.insert(who.to_owned());
        }
    }

    /// This one was removed, and the Reporter was told that it is done.
    pub(super) fn removed(&self, url: &ObjectUrl, who: &str) {
        let mut state = self.state.lock();
        if let Some(reference) = state.references.get_mut(url) {
            reference.removed(who);
        }
    }

    /// What this one was granted is taken back: surely, or perhaps. Who observes goes on.
    pub(super) fn ungranted(&self, url: &ObjectUrl, who: &str, surely: bool) {
        let mut state = self.state.lock();
        let restricted = state.restricted.contains(who) && !state.pardoned.contains(who);
        let Some(reference) = state.references.get_mut(url) else { return };
        if reference.observes(who) || reference.is_unheard(who) {
            return;
        }
        if restricted {
            reference.refused(who);
        } else {
            reference.revoked(who);
        }
        if !surely {
            reference.maybe_granted(who);
        }
    }

    /// Whether this one may not observe by itself.
    pub(super) fn is_restricted(&self, who: &str) -> bool {
        self.state.lock().restricted.contains(who)
    }

    /// This one is invited without children.
    pub(super) fn childless(&self, who: &str) {
        self.state.lock().childless.insert(who.to_owned());
    }

    /// Whether operations of this one on its children may be refused.
    pub(super) fn may_be_refused_children(&self, who: &str) -> bool {
        let state = self.state.lock();
        state.restricted.contains(who) || state.childless.contains(who)
    }

    /// This one offers its object, or has heard what came of that.
    pub(super) fn gives(&self, who: &str, begins: bool) {
        let mut state = self.state.lock();
        match begins {
            true => state.giving.insert(who.to_owned()),
            false => state.giving.remove(who),
        };
    }

    /// It finds itself an observer of what it was offering when its runtime stopped.
    pub(super) fn found_given(&self, url: &ObjectUrl, who: &str) {
        let mut state = self.state.lock();
        if state.giving.remove(who)
            && let Some(reference) = state.references.get_mut(url)
        {
            reference.gave_away(who);
        }
    }

    /// Those who may not observe by themselves.
    pub(super) fn restricted(&self, url: &ObjectUrl) -> Vec<HypertyUrl> {
        let mut parties = self.parties(url);
        let state = self.state.lock();
        parties.retain(|party| state.restricted.contains(party.as_str()));
        parties
    }

    /// The hyperties that take part in an object, ordered by their runtimes.
    pub(super) fn parties(&self, url: &ObjectUrl) -> Vec<HypertyUrl> {
        let state = self.state.lock();
        state.parties.get(url).into_iter().flat_map(|parties| parties.values().cloned()).collect()
    }

    /// The name of the runtime that takes part in an object with this hyperty.
    pub(super) fn runtime_of(&self, url: &ObjectUrl, who: &str) -> Option<String> {
        let state = self.state.lock();
        let mut parties = state.parties.get(url)?.iter();
        parties.find(|(_, party)| party.as_str() == who).map(|(runtime, _)| runtime.clone())
    }

    /// Whether the party of a runtime surely owns an object: nobody else may have it by now.
    pub(super) fn surely_owns(&self, board: &str, runtime: &str) -> bool {
        let state = self.state.lock();
        let Some(url) = state.boards.get(board) else { return false };
        let party = state.parties.get(url).and_then(|parties| parties.get(runtime));
        let reference = state.references.get(url);
        party.zip(reference).is_some_and(|(party, reference)| {
            reference.is_owner(party.as_str()) && !reference.has_heirs() && !reference.is_deleting()
        })
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

    /// Whoever had looked looks again: something has changed after all.
    pub(super) fn unsettle(&self) {
        self.state.lock().settled.clear();
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

    /// A procedure was done.
    pub(super) fn did(&self, procedure: Procedure) {
        self.state.lock().deeds[procedure as usize] += 1;
    }

    pub(super) fn deeds(&self, procedure: Procedure) -> u64 {
        self.state.lock().deeds[procedure as usize]
    }

    /// This one takes an object over, or does so no longer.
    pub(super) fn takes(&self, who: &str, begins: bool) {
        let mut state = self.state.lock();
        match begins {
            true => drop(state.taking.insert(who.to_owned())),
            false => drop(state.taking.remove(who)),
        }
    }

    /// The name of the hyperty with which a runtime takes part in an object; from this start on another one, if given.
    pub(super) fn name_of(&self, board: &str, runtime: &str, start: Option<u64>) -> String {
        let mut state = self.state.lock();
        let name =
            state.names.entry((board.to_owned(), runtime.to_owned())).or_insert_with(|| board.to_owned());
        if let Some(start) = start {
            *name = format!("{board}-{start}");
        }
        name.clone()
    }

    pub(super) fn is_taking(&self, who: &str) -> bool {
        self.state.lock().taking.contains(who)
    }

    /// The number of a new action.
    pub(super) fn next_action(&self) -> u64 {
        let mut state = self.state.lock();
        state.asked += 1;
        state.asked
    }

    /// An action is performed; false if it was before.
    pub(super) fn performs(&self, action: u64) -> bool {
        self.state.lock().performed.insert(action)
    }

    pub(super) fn is_performed(&self, action: u64) -> bool {
        self.state.lock().performed.contains(&action)
    }

    /// Somebody has left.
    pub(super) fn one_done(&self) {
        self.state.lock().done += 1;
    }

    pub(super) fn done(&self) -> u64 {
        self.state.lock().done
    }
}
