//! What observers and readers may be shown, and what they were.

use std::collections::BTreeSet;

use hyperty_model::Position;
use serde_json::Value;

use super::{ByName, Invariant, Reference, Violation};

#[derive(Debug, Clone, Default)]
pub(super) struct Observers {
    /// Everybody may who is not named in `admitted`.
    pub(super) open: bool,
    admitted: ByName<bool>,
    /// Those of them whom the owner's application has turned away, which is nothing that another owner knows.
    turned_away: BTreeSet<String>,
    /// Those of whom it is not known whether they were let in.
    doubtful: BTreeSet<String>,
    /// Those whose removal was asked for, which may have happened or not.
    leaving: BTreeSet<String>,
    /// Those that were removed before they had heard that they observe what was theirs.
    pub(super) removed_early: BTreeSet<String>,
    /// Those that whoever took the object over from an older copy may know as removed, as they once were.
    outdated: BTreeSet<String>,
    pub(super) seats: ByName<Seat>,
}

/// What one observer was shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Seat {
    /// Where its copy stands.
    at: Position,
    /// Where its application stands, which is told of each change.
    told: Position,
    ended: Option<End>,
    /// What it was told of each child, and what it holds.
    pub(super) children_told: ByName<u64>,
    pub(super) children_held: ByName<u64>,
    pub(super) children_gone: BTreeSet<String>,
}

/// Nothing may come after this, but what was on its way in the observer's own process.
#[derive(Debug, Clone)]
struct End {
    why: &'static str,
    invariant: Invariant,
    last: Position,
    /// It was removed and has not been told yet: until then it holds what it had.
    unheard: bool,
}

impl Observers {
    /// One who was told that the object is deleted.
    pub(super) fn told_of_deletion(&self) -> Option<&str> {
        let told = |seat: &Seat| seat.ended.as_ref().is_some_and(|end| end.invariant == Invariant::I9);
        self.seats.iter().find(|(_, seat)| told(seat)).map(|(who, _)| who.as_str())
    }
}

/// Who may observe.
impl Reference {
    /// From now on everybody may observe and read who is not named otherwise; or only those who were granted it.
    pub fn set_open(&mut self, open: bool) {
        self.observers.open = open;
    }

    /// This one may observe and read from now on. If it was removed and has not heard of that yet it goes on, or is
    /// sent away belatedly.
    pub fn granted(&mut self, who: &str) {
        self.observers.turned_away.remove(who);
        self.observers.admitted.insert(who.to_owned(), true);
        self.observers.doubtful.remove(who);
        self.may_go_on(who);
    }

    /// This one was invited, which grants (protocol 5.3.8c), and whether that holds is not known: it may be let in, or
    /// not, and if it was removed and has not heard of that yet it may go on, or be sent away belatedly.
    pub fn maybe_granted(&mut self, who: &str) {
        self.observers.doubtful.insert(who.to_owned());
        self.may_go_on(who);
    }

    fn may_go_on(&mut self, who: &str) {
        let seat = self.observers.seats.get_mut(who);
        if let Some(seat) = seat.filter(|seat| seat.ended.as_ref().is_some_and(|end| end.unheard)) {
            seat.ended = None;
            self.observers.leaving.insert(who.to_owned());
        }
    }

    /// What this one was granted by name was taken back before it was used: what holds for everybody holds for it.
    pub fn revoked(&mut self, who: &str) {
        self.observers.turned_away.remove(who);
        self.observers.admitted.remove(who);
        self.observers.doubtful.remove(who);
    }

    /// This one was refused: it may not observe or read from now on.
    pub fn refused(&mut self, who: &str) {
        self.observers.turned_away.insert(who.to_owned());
        self.observers.admitted.insert(who.to_owned(), false);
        self.observers.doubtful.remove(who);
        self.end(who, "it was refused", Invariant::I4);
    }

    /// The Reporter asks for the removal of this one: from now on it may be done.
    pub fn removing(&mut self, who: &str) {
        self.observers.leaving.insert(who.to_owned());
    }

    /// This one was removed by the Reporter, which was told that it is done. It may not observe or read until it is
    /// granted that by name, and is shown nothing later, wherever it is and whether or not it has heard.
    pub fn removed(&mut self, who: &str) {
        self.observers.turned_away.remove(who);
        self.observers.admitted.insert(who.to_owned(), false);
        self.observers.doubtful.remove(who);
        self.observers.leaving.remove(who);
        self.end(who, "it was removed", Invariant::I4);
        if let Some(end) = self.observers.seats.get_mut(who).and_then(|seat| seat.ended.as_mut()) {
            end.unheard |= end.why == "it was removed";
        }
    }

    /// This one ended its subscription itself, and was told that it is done.
    pub fn unsubscribed(&mut self, who: &str) {
        self.end(who, "it has unsubscribed", Invariant::I4);
    }

    /// This one asked, and its answer was lost: if it may observe now it may have been let in for good.
    pub fn unanswered(&mut self, who: &str) {
        if self.may(who) {
            self.observers.doubtful.insert(who.to_owned());
        }
    }

    /// Whether this one may observe and read.
    pub fn may(&self, who: &str) -> bool {
        self.observers.admitted.get(who).copied().unwrap_or(self.observers.open)
    }

    /// Whether this one may observe and read, or may have been let in without a trace.
    pub fn may_be_let_in(&self, who: &str) -> bool {
        self.may(who) || self.observers.doubtful.contains(who)
    }

    /// Another owner decides for itself whom it lets in; only who was removed stays so.
    pub(super) fn decided_anew(&mut self) {
        for who in std::mem::take(&mut self.observers.turned_away) {
            self.observers.admitted.remove(&who);
        }
    }

    /// The object may go on from an older copy, and with it from an older list of who may observe.
    pub(super) fn may_be_outdated(&mut self) {
        let seats = self.observers.seats.keys().cloned();
        self.observers.outdated.extend(seats);
    }

    /// Whether this one observes, as far as is known.
    pub fn observes(&self, who: &str) -> bool {
        self.observers.seats.get(who).is_some_and(|seat| seat.ended.is_none())
    }

    /// Whether this one observes, and nobody has asked for its removal without an answer.
    pub fn serves(&self, who: &str) -> bool {
        self.observes(who) && !self.observers.leaving.contains(who)
    }

    fn end(&mut self, who: &str, why: &'static str, invariant: Invariant) {
        let last = self.latest();
        if let Some(seat) = self.observers.seats.get_mut(who) {
            let end = seat.ended.get_or_insert(End { why, invariant, last, unheard: false });
            end.unheard = false;
        }
    }
}

/// What observers are shown.
impl Reference {
    /// A subscription was answered with this copy.
    ///
    /// # Errors
    /// I4 when it is not allowed, I9 after the deletion, and those of any copy.
    pub fn joined(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        if self.is_deleted() {
            return Err(self.violation(Invariant::I9, who, format!("observes at {at} after the deletion")));
        }
        if !self.may_be_let_in(who) {
            return Err(self.violation(
                Invariant::I4,
                who,
                format!("observes at {at} without being allowed"),
            ));
        }
        self.document(Invariant::I1, who, at, data)?;
        let gone = self.children.gone_for(who);
        let seat = Seat { at, told: at, children_gone: gone, ..Seat::default() };
        self.observers.seats.insert(who.to_owned(), seat);
        match self.observers.removed_early.remove(who) {
            true => self.observers.leaving.insert(who.to_owned()),
            false => self.observers.leaving.remove(who),
        };
        self.observers.outdated.remove(who);
        Ok(())
    }

    /// An observer came back after a crash or a clean end with this copy, which may be older than what it was shown.
    ///
    /// # Errors
    /// I4 when its subscription had ended, I8 when the copy is none that ever was. One that was removed and has not
    /// heard of it may come back, with what it had been shown by then.
    pub fn came_back(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        if self.is_unheard(who) {
            self.seat(who, at)?;
        } else if !self.observes(who) {
            let ended = self.observers.seats.get(who).and_then(|seat| seat.ended.as_ref());
            let why = ended.map_or("it never subscribed", |end| end.why);
            return Err(self.violation(Invariant::I4, who, format!("back at {at}, but {why}")));
        }
        self.document(Invariant::I8, who, at, data)?;
        if let Some(seat) = self.observers.seats.get_mut(who) {
            (seat.at, seat.told) = (at, at);
            seat.children_told.clear();
            seat.children_held.clear();
            // Its store may be older than the deletions that it was told of.
            seat.children_gone.clear();
        }
        Ok(())
    }

    /// Its application was told of a change, and folding it gave this document.
    ///
    /// # Errors
    /// I2 when it is not the next version, I1 when the document is another, I3 when nobody wrote it, I4 and I9 when
    /// nothing should have come any more.
    pub fn changed(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        let told = self.seat(who, at)?.told;
        if !self.history.is_written(at) {
            self.begin_at_sight(at, data);
        }
        if !self.history.follows(told, at) {
            return Err(self.violation(Invariant::I2, who, format!("told of {at} after {told}")));
        }
        self.document(Invariant::I1, who, at, data)?;
        self.tell(who, at);
        Ok(())
    }

    /// Its application was given a whole state in place of changes.
    ///
    /// # Errors
    /// I2 when it goes back, and those of [`Reference::changed`].
    pub fn resynced(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        let told = self.seat(who, at)?.told;
        if at < told {
            return Err(self.violation(Invariant::I2, who, format!("a whole state of {at} after {told}")));
        }
        self.document(Invariant::I1, who, at, data)?;
        self.tell(who, at);
        if let Some(seat) = self.observers.seats.get_mut(who) {
            seat.children_told.clear();
        }
        Ok(())
    }

    /// What its copy is now.
    ///
    /// # Errors
    /// I2 when the copy went back, and those of any copy.
    pub fn holds(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        let before = self.seat(who, at)?.at;
        if at < before {
            return Err(self.violation(
                Invariant::I2,
                who,
                format!("the copy went back from {before} to {at}"),
            ));
        }
        self.document(Invariant::I1, who, at, data)?;
        if let Some(seat) = self.observers.seats.get_mut(who) {
            seat.at = at;
        }
        Ok(())
    }

    /// Somebody was answered a read with this.
    ///
    /// # Errors
    /// I4 when it may not read, I9 after the deletion, and those of any copy.
    pub fn read(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        if self.is_deleted() {
            return Err(self.violation(Invariant::I9, who, format!("reads {at} after the deletion")));
        }
        if !self.may_be_let_in(who) {
            return Err(self.violation(Invariant::I4, who, format!("reads {at} without being allowed")));
        }
        self.document(Invariant::I1, who, at, data)
    }

    /// An observer was told that the object is deleted.
    ///
    /// # Errors
    /// I3 when nobody asked for that.
    pub fn saw_deleted(&mut self, who: &str) -> Result<(), Violation> {
        if !self.is_deleting() {
            return Err(self.violation(Invariant::I3, who, "told of a deletion nobody asked for"));
        }
        self.end(who, "it was told of the deletion", Invariant::I9);
        Ok(())
    }

    /// An observer was told that it is not served any more.
    ///
    /// # Errors
    /// I4 when it is allowed to observe, and nobody removed it.
    pub fn saw_removed(&mut self, who: &str) -> Result<(), Violation> {
        let asked_for = self.observers.leaving.contains(who) || self.observers.outdated.contains(who);
        let asked_for = asked_for || self.is_deleting();
        if self.may(who) && !asked_for && self.observes(who) {
            return Err(self.violation(Invariant::I4, who, "sent away, and nobody asked for that"));
        }
        self.end(who, "it was sent away", Invariant::I4);
        Ok(())
    }

    /// Once everything is mended: its copy is the latest state.
    ///
    /// # Errors
    /// I11.
    pub fn settled(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        let latest = self.latest();
        if at != latest {
            return Err(self.violation(Invariant::I11, who, format!("is at {at}, the last is {latest}")));
        }
        self.document(Invariant::I11, who, at, data)
    }

    /// Whether this one was removed and has not been told.
    pub fn is_unheard(&self, who: &str) -> bool {
        let ended = self.observers.seats.get(who).and_then(|seat| seat.ended.as_ref());
        ended.is_some_and(|end| end.unheard)
    }

    fn tell(&mut self, who: &str, at: Position) {
        if let Some(seat) = self.observers.seats.get_mut(who) {
            seat.told = at;
        }
    }

    /// The seat of one who is being shown this position.
    pub(super) fn seat(&self, who: &str, at: Position) -> Result<&Seat, Violation> {
        let Some(seat) = self.observers.seats.get(who) else {
            return Err(self.violation(Invariant::I4, who, format!("is shown {at} without observing")));
        };
        match &seat.ended {
            Some(End { why, invariant, last, .. }) if at > *last => {
                Err(self.violation(*invariant, who, format!("is shown {at}, but {why} at {last}")))
            }
            _ => Ok(seat),
        }
    }

    /// Holds a document against the history; the invariant is what a difference breaks.
    fn document(
        &mut self,
        invariant: Invariant,
        who: &str,
        at: Position,
        data: &Value,
    ) -> Result<(), Violation> {
        if !self.history.is_written(at) {
            self.begin_at_sight(at, data);
        }
        if !self.history.is_written(at) {
            let detail = format!("{at} with {data}, but the last that was written is {}", self.latest());
            return Err(self.wrong_data(Invariant::I3, who, data, detail));
        }
        if let Err(expected) = self.history.compare(at, data) {
            let detail = format!("{at} is {data}, not {expected}");
            return Err(self.wrong_data(invariant, who, data, detail));
        }
        self.history.show(who, at);
        Ok(())
    }
}
