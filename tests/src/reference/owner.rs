//! What the owner of an object did, and what came of it.

use hyperty_model::Position;
use serde_json::Value;

use super::history::Began;
use super::{Invariant, Life, Reference, Violation};

/// What the owner did.
impl Reference {
    /// The owner changed its copy, which is `data` from this position on. Several versions may have passed at once.
    ///
    /// # Errors
    /// I5 when somebody else owns the epoch, I2 when the position is no later one, I9 when the object is deleted.
    pub fn proposed(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        if self.is_deleted() {
            return Err(self.violation(Invariant::I9, who, format!("{at} is written after the deletion")));
        }
        if self.acts_as_former(who, at.epoch)? {
            return Ok(()); // it has not heard yet, and nobody is shown that
        }
        self.history.fix_owner(at.epoch, who);
        let latest = self.latest();
        if at <= latest || at.epoch != latest.epoch {
            return Err(self.violation(Invariant::I2, who, format!("{at} is written after {latest}")));
        }
        self.history.write(at, data);
        Ok(())
    }

    /// The owner was told that everything up to this position is committed.
    ///
    /// # Errors
    /// I3 when nobody wrote it, I6 when the object was given away without it. What a former owner was told that the
    /// object was taken from is its own matter.
    pub fn acknowledged(&mut self, who: &str, at: Position) -> Result<(), Violation> {
        if at > self.latest() {
            return Err(self.violation(Invariant::I3, who, format!("{at} is acknowledged, never written")));
        }
        if let Some((Began::Given, Some(last))) = self.history.followed(at.epoch)
            && at.version > last
        {
            let detail = format!("{at} is acknowledged, but the object was given as it was at {last}");
            return Err(self.violation(Invariant::I6, who, detail));
        }
        self.history.acknowledged = self.history.acknowledged.max(at);
        Ok(())
    }

    /// The owner was told that the change at this position is refused: it and those made after it are undone.
    ///
    /// # Errors
    /// I3 when somebody was shown it, I6 when it had been acknowledged, or the object was given away with it.
    pub fn undone(&mut self, who: &str, at: Position) -> Result<(), Violation> {
        if at.epoch < self.latest().epoch {
            return match self.history.followed(at.epoch) {
                Some((Began::Given, Some(last))) if at.version <= last => {
                    let detail = format!("{at} is refused, but the object was given as it was at {last}");
                    Err(self.violation(Invariant::I6, who, detail))
                }
                _ => Ok(()),
            };
        }
        if self.history.acknowledged >= at {
            let detail = format!("{at} is refused, {} acknowledged", self.history.acknowledged);
            return Err(self.violation(Invariant::I6, who, detail));
        }
        self.not_shown(who, Position { version: at.version.saturating_sub(1), ..at })?;
        self.history.cut(at);
        Ok(())
    }

    /// The owner came back with this, after a crash or a clean end. A deletion that was asked for and not acknowledged
    /// is forgotten then, unless somebody was told of it.
    ///
    /// # Errors
    /// I6 when something acknowledged is missing, I8 when the data is not what it was at this position, I3 when
    /// something later was shown before it was kept, I9 when the object is deleted, I5 when the epoch is another's. One
    /// from whom the object was taken over meanwhile comes back as it was, until it hears.
    pub fn resumed(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        let latest = self.latest();
        let taken = matches!(self.history.followed(at.epoch), Some((Began::Taken, _)));
        if taken && self.owns(who, at.epoch).is_ok() {
            // Until it hears, again if it had heard: that it forgets its object is not waited for.
            self.not_told(who);
            return Ok(());
        }
        if self.is_deleted() {
            return Err(self.violation(Invariant::I9, who, format!("back at {at} after the deletion")));
        }
        if at.epoch < latest.epoch {
            return Err(self.violation(
                Invariant::I6,
                who,
                format!("back in epoch {}, not {latest}", at.epoch),
            ));
        }
        let raised = at.epoch > latest.epoch;
        self.owns(who, latest.epoch)?;
        self.history.fix_owner(latest.epoch, who);
        self.offers_ended();
        let kept = Position { epoch: latest.epoch, version: at.version };
        if !(raised && self.lossy) {
            if at.version < self.history.acknowledged.version {
                let detail = format!("back at {at}, acknowledged was {}", self.history.acknowledged);
                return Err(self.violation(Invariant::I6, who, detail));
            }
            self.not_shown(who, kept)?;
        }
        if kept > latest {
            return Err(self.violation(Invariant::I8, who, format!("back at {at}, the last was {latest}")));
        }
        if let Err(expected) = self.history.compare(kept, data) {
            let detail = format!("back at {at} with {data}, not {expected}");
            return Err(self.wrong_data(Invariant::I8, who, data, detail));
        }
        if self.life == Life::Deleting {
            if let Some(told) = self.observers.told_of_deletion() {
                let detail = format!("back at {at}, but {told} was told that it is deleted");
                return Err(self.violation(Invariant::I9, who, detail));
            }
            self.life = Life::Live;
        }
        self.history.restart(who, at, data);
        Ok(())
    }

    /// The owner's own copy is this now.
    ///
    /// # Errors
    /// I1 when it is not the last document that the owner made.
    pub fn owner_holds(&mut self, who: &str, at: Position, data: &Value) -> Result<(), Violation> {
        if at.epoch > self.latest().epoch {
            self.begin_at_sight(at, data);
        }
        let latest = self.latest();
        if at != latest {
            return Err(self.violation(Invariant::I1, who, format!("its copy is at {at}, not {latest}")));
        }
        if let Err(expected) = self.history.compare(at, data) {
            let detail = format!("its copy at {at} is {data}, not {expected}");
            return Err(self.wrong_data(Invariant::I1, who, data, detail));
        }
        Ok(())
    }

    /// A stored object did not come back at all.
    ///
    /// # Errors
    /// I6, unless its deletion was asked for.
    pub fn vanished(&mut self, who: &str) -> Result<(), Violation> {
        if self.life == Life::Live {
            return Err(self.violation(Invariant::I6, who, "the object is gone".to_owned()));
        }
        self.life = Life::Deleted;
        Ok(())
    }

    /// Somebody acts as owner of an epoch, or is said to be it.
    ///
    /// # Errors
    /// I5 when it is another's.
    pub fn owns(&self, who: &str, epoch: u64) -> Result<(), Violation> {
        match self.history.owners_of(epoch) {
            Some(owners) if owners.iter().any(|owner| owner == who) => Ok(()),
            Some(owners) => Err(self.second_owner(who, epoch, &owners.join(" or "))),
            None => Err(self.violation(Invariant::I5, who, format!("nobody has begun epoch {epoch}"))),
        }
    }

    pub(super) fn second_owner(&self, who: &str, epoch: u64, owner: &str) -> Violation {
        self.violation(Invariant::I5, who, format!("epoch {epoch} is owned by {owner}"))
    }

    pub(super) fn not_shown(&self, who: &str, kept: Position) -> Result<(), Violation> {
        match &self.history.shown {
            Some((shown, to)) if shown.epoch == kept.epoch && *shown > kept => {
                let detail = format!("{shown} was shown to {to}, but {kept} is the last that was kept");
                Err(self.violation(Invariant::I3, who, detail))
            }
            _ => Ok(()),
        }
    }

    /// The deletion of the object was asked for by one who may.
    pub fn deleting(&mut self) {
        if self.life == Life::Live {
            self.life = Life::Deleting;
        }
    }

    /// The deletion was acknowledged.
    ///
    /// # Errors
    /// I3 when nobody had asked for it.
    pub fn deleted(&mut self, who: &str) -> Result<(), Violation> {
        if self.life == Life::Live {
            return Err(self.violation(Invariant::I3, who, "deleted, and nobody asked for it".to_owned()));
        }
        self.life = Life::Deleted;
        Ok(())
    }
}
