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
    heirs: BTreeMap<String, Heir>,
    /// By how much the epoch may have risen since it was seen last: each attempt uses one, and one more if the object
    /// comes back.
    rise: u64,
    /// Former owners that have been told.
    told: BTreeSet<String>,
}

/// How somebody may come by the object: it may be offered to one who is taking it over.
#[derive(Debug, Clone, Copy, Default)]
struct Heir {
    /// So many offers have no end that is known.
    offers: u32,
    taking: Option<Taking>,
}

/// The object is taken over.
#[derive(Debug, Clone, Copy)]
struct Taking {
    /// From a copy that may be older than what its owner had published by then.
    stale: bool,
    /// What was acknowledged when it began.
    kept: Position,
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
        self.hands.heirs.entry(to.to_owned()).or_default().offers += 1;
        self.hands.rise += 2;
        Ok(())
    }

    /// An offer has surely come to nothing: it was declined, refused, or withdrawn.
    pub fn offer_over(&mut self, to: &str) {
        self.hands.change(to, |heir| heir.offers = heir.offers.saturating_sub(1));
    }

    /// This one begins to take the object over. It goes on from a copy of what its owner has kept: as of now, or, if it
    /// is `stale`, of some time ago; then what was acknowledged and published since may be lost, and the epoch tells.
    /// Begun again without having failed for certain it is one attempt, from the first on.
    pub fn taking_over(&mut self, who: &str, stale: bool) {
        if stale {
            self.may_be_outdated();
        }
        let acknowledged = self.history.acknowledged;
        let heir = self.hands.heirs.entry(who.to_owned()).or_default();
        let kept = heir.taking.map_or(acknowledged, |begun| begun.kept);
        heir.taking = Some(Taking { stale, kept });
        self.hands.rise += 2;
    }

    /// An attempt to take it over has surely come to nothing.
    pub fn take_over_failed(&mut self, who: &str) {
        self.hands.change(who, |heir| heir.taking = None);
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
        self.hands.heirs.get(to).is_some_and(|heir| heir.offers > 0)
    }

    fn begins(&mut self, who: &str, at: Position, data: &Value, began: Began) -> Result<(), Violation> {
        if self.is_deleted() {
            return Err(self.violation(Invariant::I9, who, format!("has it at {at} after the deletion")));
        }
        if self.history.owners_of(at.epoch).is_some() {
            return self.began_before(who, at, data, began);
        }
        let latest = self.latest();
        if at.epoch <= latest.epoch {
            let owner = self.owner().to_owned();
            return Err(self.second_owner(who, at.epoch, &owner));
        }
        let Some(version) = before(at) else {
            return Err(self.violation(Invariant::I3, who, format!("begins at {at}, without a change")));
        };
        let from = self.goes_on_from(who, version, data, began)?;
        self.history.begin(vec![who.to_owned()], at, from, began, data);
        self.hands.begun(who);
        self.decided_anew();
        Ok(())
    }

    /// The epoch was seen before, or is told of by both sides.
    fn began_before(&mut self, who: &str, at: Position, data: &Value, began: Began) -> Result<(), Violation> {
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
        self.history.fix_began(at.epoch, began);
        self.hands.begun(who);
        Ok(())
    }

    /// Where this one goes on from with this data, as one to whom the object is given or who takes it: its version is
    /// known. What is given, or taken from what its owner has, is of the latest epoch. A record that another device had
    /// saved may be of an earlier one: whoever had the object since was lost before it had saved anything (protocol
    /// 5.10.1).
    fn goes_on_from(
        &mut self,
        who: &str,
        version: u64,
        data: &Value,
        began: Began,
    ) -> Result<Position, Violation> {
        let latest = Position { epoch: self.latest().epoch, version };
        let taking = self.hands.heirs.get(who).and_then(|heir| heir.taking).filter(|_| began == Began::Taken);
        if !taking.is_some_and(|taking| taking.stale) {
            // What its owner acknowledges from then on it acknowledges to itself, cut off, and is told in the end.
            let kept = taking.map_or(self.history.acknowledged, |taking| taking.kept);
            self.can_go_on_from(who, latest, kept, data)?;
            return Ok(latest);
        }
        for epoch in self.history.epochs_down() {
            let from = Position { epoch, version };
            if self.history.is_written(from) && self.history.compare(from, data).is_ok() {
                return Ok(from);
            }
        }
        self.is_document(who, latest, data)?;
        Ok(latest)
    }

    /// Whether an epoch may go on from here with this data, in which nothing may be missing that was kept.
    fn can_go_on_from(
        &mut self,
        who: &str,
        from: Position,
        kept: Position,
        data: &Value,
    ) -> Result<(), Violation> {
        if from < kept {
            let detail = format!("goes on from {from}, acknowledged was {kept}");
            return Err(self.violation(Invariant::I6, who, detail));
        }
        self.not_shown(who, from)?;
        self.is_document(who, from, data)?;
        self.history.cut(from.next());
        Ok(())
    }

    fn is_document(&mut self, who: &str, from: Position, data: &Value) -> Result<(), Violation> {
        let latest = self.latest();
        if from > latest {
            let detail = format!("goes on from {from}, the last was {latest}");
            return Err(self.violation(Invariant::I3, who, detail));
        }
        if let Err(expected) = self.history.compare(from, data) {
            let detail = format!("goes on from {from} with {data}, not {expected}");
            return Err(self.wrong_data(Invariant::I1, who, data, detail));
        }
        Ok(())
    }

    /// Somebody is shown a position of an epoch that nobody has begun: if somebody may have, it has begun now. Whose it
    /// is of several, and how that one came by it, will be told.
    pub(super) fn begin_at_sight(&mut self, at: Position, data: &Value) {
        let latest = self.latest();
        if at.epoch <= latest.epoch || at.epoch - latest.epoch > self.hands.rise || self.is_deleted() {
            return;
        }
        let heirs: Vec<String> = self.hands.heirs.keys().cloned().collect();
        let given = self.hands.heirs.values().any(|heir| heir.offers > 0);
        // One that comes back is an epoch above that in which it was to go.
        let odd = (at.epoch - latest.epoch) % 2 == 1;
        if let Some(version) = before(at).filter(|_| odd || !given) {
            for (heir, began) in self.hands.ways() {
                // That it does not fit leaves no trace.
                if let Ok(from) = self.goes_on_from(&heir, version, data, began) {
                    self.decided_anew();
                    return self.history.begin(heirs, at, from, began, data);
                }
            }
        }
        let (owner, back) = (self.owner().to_owned(), Position { epoch: latest.epoch, ..at });
        let kept = self.history.acknowledged;
        if self.can_go_on_from(&owner, back, kept, data).is_ok() {
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
        self.hands.heirs.values_mut().for_each(|heir| heir.offers = 0);
        self.hands.heirs.retain(|_, heir| heir.taking.is_some());
    }
}

impl Hands {
    fn change(&mut self, who: &str, change: impl FnOnce(&mut Heir)) {
        let Some(heir) = self.heirs.get_mut(who) else { return };
        change(heir);
        if heir.offers == 0 && heir.taking.is_none() {
            self.heirs.remove(who);
        }
    }

    /// Who may have it, and how: what is given has all that was kept, so that is looked at first.
    fn ways(&self) -> Vec<(String, Began)> {
        let given = self.heirs.iter().filter(|(_, heir)| heir.offers > 0).map(|(who, _)| (who, Began::Given));
        let taken = self.heirs.iter().filter(|(_, heir)| heir.taking.is_some());
        given
            .chain(taken.map(|(who, _)| (who, Began::Taken)))
            .map(|(who, began)| (who.clone(), began))
            .collect()
    }

    fn begun(&mut self, who: &str) {
        self.heirs.clear();
        self.rise = 0;
        self.told.remove(who);
    }
}

fn before(at: Position) -> Option<u64> {
    at.version.checked_sub(1)
}
