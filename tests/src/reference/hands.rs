//! An object changes hands: its owner gives it away, or another hyperty of the same user takes it over. Either begins an
//! epoch with one change, which says who the owner is; the data is that of the position from which it went on.
//!
//! Who sees the new epoch first may be anybody: an observer is told of it before the programs of both sides have heard.
//! So whoever may become the owner is named before, and the first sight of the epoch begins it.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_model::Position;
use serde_json::Value;

use super::history::Began;
use super::{Invariant, Reference, Violation};

/// Who may own the object next.
#[derive(Debug, Clone, Default)]
pub(super) struct Hands {
    heirs: BTreeMap<String, Way>,
    /// By how much the epoch may have risen since it was seen last: each attempt uses one, and one more if the object
    /// comes back.
    rise: u64,
    /// Former owners that have been told.
    told: BTreeSet<String>,
}

/// How somebody comes by the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Offered {
        times: u32,
    },
    /// From a copy that may be older than what its owner had published by then.
    Taking {
        stale: bool,
        /// What was acknowledged when it began.
        kept: Position,
    },
}

/// What those who may own the object do, and hear.
impl Reference {
    /// The owner begins to give the object to this one: from now on the next epoch may be the other's. If the other
    /// cannot have it the owner may come back in an epoch above that, with what it had.
    ///
    /// # Errors
    /// I5 when it is somebody else's to give.
    pub fn offered(&mut self, from: &str, to: &str) -> Result<(), Violation> {
        self.owns(from, self.latest().epoch)?;
        // It observes from then on, and hears of that behind what was deleted meanwhile.
        self.asks(from);
        let way = self.hands.heirs.entry(to.to_owned()).or_insert(Way::Offered { times: 0 });
        if let Way::Offered { times } = way {
            *times += 1;
        }
        self.hands.rise += 2;
        Ok(())
    }

    /// An offer has surely come to nothing: it was declined, refused, or withdrawn.
    pub fn offer_over(&mut self, to: &str) {
        if let Some(Way::Offered { times }) = self.hands.heirs.get_mut(to) {
            *times -= 1;
            if *times == 0 {
                self.hands.heirs.remove(to);
            }
        }
    }

    /// This one begins to take the object over. It goes on from a copy of what its owner has kept: as of now, or, if it
    /// is `stale`, of some time ago; then what was acknowledged and published since may be lost, and the epoch tells.
    /// Begun again without having failed for certain it is one attempt, from the first on.
    pub fn taking_over(&mut self, who: &str, stale: bool) {
        if stale {
            self.may_be_outdated();
        }
        let kept = match self.hands.heirs.get(who) {
            Some(Way::Taking { kept, .. }) => *kept,
            _ => self.history.acknowledged,
        };
        self.hands.heirs.insert(who.to_owned(), Way::Taking { stale, kept });
        self.hands.rise += 2;
    }

    /// An attempt to take it over has surely come to nothing.
    pub fn take_over_failed(&mut self, who: &str) {
        if matches!(self.hands.heirs.get(who), Some(Way::Taking { .. })) {
            self.hands.heirs.remove(who);
        }
    }

    /// Whoever gave it away may observe it from then on. If the new owner has removed it by then, it is sent away.
    pub fn gave_away(&mut self, who: &str) {
        let removed = !self.may(who);
        self.granted(who);
        if removed {
            self.maybe_granted(who);
            self.observers.removed_early.insert(who.to_owned());
        }
    }

    /// One side was told, or found after a crash, that the object is the other's from this position on, the first of an
    /// epoch of its own. Both may tell.
    ///
    /// # Errors
    /// I5 when the epoch has another owner, is no later one, or nobody offered the object; I6 when something
    /// acknowledged did not go with it; I3 when something that did not go with it was shown; I1 when the data is not the
    /// document; I9 after the deletion.
    pub fn delegated(&mut self, from: &str, to: &str, at: Position, data: &Value) -> Result<(), Violation> {
        if self.history.owners_of(at.epoch).is_none() && !self.is_offered(to) {
            let detail = format!("has it from {from} since {at}, who has not offered it");
            return Err(self.violation(Invariant::I5, to, detail));
        }
        self.begins(to, at, data, Began::Given)
    }

    /// Somebody else of the same user owns the object from this position on, the first of an epoch of its own.
    ///
    /// # Errors
    /// I5 when the epoch has an owner or is no later one, I6 when something acknowledged is missing, I3 when something
    /// missing was shown (neither if the copy is [stale](Reference::taking_over)), I1 when the data is not the document,
    /// I9 after a deletion.
    pub fn took_over(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        self.begins(who, at, data, Began::Taken)
    }

    /// A former owner was told that the object is not its own any more. Until then it may go on in its epoch; nobody
    /// else is shown what it does.
    ///
    /// # Errors
    /// I5 when nobody else owns the object or was about to.
    pub fn deposed(&mut self, who: &str) -> Result<(), Violation> {
        if self.is_owner(who) && self.hands.heirs.is_empty() {
            return Err(self.violation(
                Invariant::I5,
                who,
                "told that it is deposed, and nobody took its place",
            ));
        }
        self.hands.told.insert(who.to_owned());
        Ok(())
    }

    /// Whether this one owns the latest epoch.
    pub fn is_owner(&self, who: &str) -> bool {
        self.owns(who, self.latest().epoch).is_ok()
    }

    /// Whatever was begun has come to nothing, as far as its owner's epoch tells.
    pub fn no_heirs(&mut self) {
        self.hands.heirs.clear();
    }

    /// Whether somebody may own the object next, of whom nothing is known for certain.
    pub fn has_heirs(&self) -> bool {
        !self.hands.heirs.is_empty()
    }

    fn is_offered(&self, to: &str) -> bool {
        matches!(self.hands.heirs.get(to), Some(Way::Offered { .. }))
    }

    fn begins(&mut self, who: &str, at: Position, data: &Value, began: Began) -> Result<(), Violation> {
        if self.is_deleted() {
            return Err(self.violation(Invariant::I9, who, format!("has it at {at} after the deletion")));
        }
        if self.history.owners_of(at.epoch).is_some() {
            return self.began_before(who, at, data);
        }
        let latest = self.latest();
        if at.epoch <= latest.epoch {
            let owner = self.owner().to_owned();
            return Err(self.second_owner(who, at.epoch, &owner));
        }
        let Some(from) = before(at).map(|version| Position { epoch: latest.epoch, version }) else {
            return Err(self.violation(Invariant::I3, who, format!("begins at {at}, without a change")));
        };
        self.can_go_on_from(who, from, data)?;
        self.history.begin(vec![who.to_owned()], at, from, began, data);
        self.hands.begun(who);
        self.decided_anew();
        Ok(())
    }

    /// The epoch was seen before, or is told of by both sides.
    fn began_before(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        self.owns(who, at.epoch)?;
        if self.history.first_of(at.epoch) != Some(at.version) {
            let first = self.history.first_of(at.epoch);
            let detail = format!("has it from {at} on, but the epoch began with {first:?}");
            return Err(self.violation(Invariant::I5, who, detail));
        }
        if let Err(expected) = self.history.compare(at, data) {
            let detail = format!("has it at {at} with {data}, not {expected}");
            return Err(self.wrong_data(Invariant::I1, who, data, detail));
        }
        self.history.fix_owner(at.epoch, who);
        self.hands.begun(who);
        Ok(())
    }

    /// Whether an epoch may go on from here with this data.
    fn can_go_on_from(&mut self, who: &str, from: Position, data: &Value) -> Result<(), Violation> {
        let latest = self.latest();
        if from > latest {
            let detail = format!("goes on from {from}, the last was {latest}");
            return Err(self.violation(Invariant::I3, who, detail));
        }
        let (stale, acknowledged) = match self.hands.heirs.get(who) {
            // What its owner acknowledges from then on it acknowledges to itself, cut off, and is told in the end.
            Some(Way::Taking { stale, kept }) => (*stale, *kept),
            _ => (false, self.history.acknowledged),
        };
        if !stale {
            if from < acknowledged {
                let detail = format!("goes on from {from}, acknowledged was {acknowledged}");
                return Err(self.violation(Invariant::I6, who, detail));
            }
            self.not_shown(who, from)?;
            self.history.cut(from.next());
        }
        if let Err(expected) = self.history.compare(from, data) {
            let detail = format!("goes on from {from} with {data}, not {expected}");
            return Err(self.wrong_data(Invariant::I1, who, data, detail));
        }
        Ok(())
    }

    /// Somebody is shown a position of an epoch that nobody has begun: if somebody may have, it has begun now. Whose it
    /// is of several will be told.
    pub(super) fn begin_at_sight(&mut self, at: Position, data: &Value) {
        let latest = self.latest();
        if at.epoch <= latest.epoch || at.epoch - latest.epoch > self.hands.rise || self.is_deleted() {
            return;
        }
        let heirs: Vec<String> = self.hands.heirs.keys().cloned().collect();
        let given = self.hands.heirs.values().any(|way| matches!(way, Way::Offered { .. }));
        // One that comes back is an epoch above that in which it was to go.
        let odd = (at.epoch - latest.epoch) % 2 == 1;
        let next = before(at).map(|version| Position { epoch: latest.epoch, version });
        if let Some(from) = next.filter(|_| odd || !given) {
            let began = if given { Began::Given } else { Began::Taken };
            for heir in &heirs {
                if self.clone().can_go_on_from(heir, from, data).is_ok() {
                    // That it may is known now; this keeps what it does to the history.
                    let _ = self.can_go_on_from(heir, from, data);
                    self.decided_anew();
                    return self.history.begin(heirs, at, from, began, data);
                }
            }
        }
        let (owner, back) = (self.owner().to_owned(), Position { epoch: latest.epoch, ..at });
        if self.clone().can_go_on_from(&owner, back, data).is_ok() {
            let _ = self.can_go_on_from(&owner, back, data);
            self.history.begin(vec![owner], at, back, Began::Raised, data);
        }
    }

    /// Whether a former owner may still act in an epoch that is not the latest: it was not told yet.
    pub(super) fn acts_as_former(&self, who: &str, epoch: u64) -> Result<bool, Violation> {
        self.owns(who, epoch)?;
        let former = epoch < self.latest().epoch;
        if former && self.hands.told.contains(who) {
            let detail = format!("acts in epoch {epoch}, and was told that the object is another's");
            return Err(self.violation(Invariant::I5, who, detail));
        }
        Ok(former)
    }

    /// A former owner knows no more that it is one.
    pub(super) fn not_told(&mut self, who: &str) {
        self.hands.told.remove(who);
    }

    /// Its owner is back in the same epoch: whatever it had offered was not taken.
    pub(super) fn offers_ended(&mut self) {
        self.hands.heirs.retain(|_, way| !matches!(way, Way::Offered { .. }));
    }
}

impl Hands {
    fn begun(&mut self, who: &str) {
        self.heirs.clear();
        self.rise = 0;
        self.told.remove(who);
    }
}

fn before(at: Position) -> Option<u64> {
    at.version.checked_sub(1)
}
