//! An observation followed event by event, as an application would that keeps a copy of its own.

use hyperty_model::Position;
use hyperty_syncher::{ChildEvent, ChildOp, CloseReason, ObserverEvent};
use serde_json::Value;

use super::{ChildSeen, Invariant, Reference, Violation, fold};

/// A copy that is kept from events alone, and judged at each.
#[derive(Debug, Clone)]
pub struct Follower {
    who: String,
    /// The observer's address: it is not told of its own children.
    own: String,
    at: Position,
    data: Value,
    disconnected: Option<bool>,
}

/// Whether there is more to follow.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// The observation goes on.
    On,
    /// It has ended, as the last event says.
    Ended(ObserverEvent),
}

impl Follower {
    /// Follows an observation from its first copy on, which the reference was told of by
    /// [`joined`](Reference::joined) or [`came_back`](Reference::came_back). `own` is the URL of the observing
    /// hyperty.
    pub fn new(who: impl Into<String>, own: impl Into<String>, at: Position, data: Value) -> Follower {
        Follower { who: who.into(), own: own.into(), at, data, disconnected: None }
    }

    /// Where the events have led.
    pub fn position(&self) -> Position {
        self.at
    }

    /// What the events have made of the data.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The invariant that the event breaks.
    pub fn take(&mut self, event: ObserverEvent, judge: &mut Reference) -> Result<Followed, Violation> {
        match event {
            ObserverEvent::Change(told) => {
                let epoch = told.update().and_then(|update| update.epoch).unwrap_or(self.at.epoch);
                let at = Position { epoch, version: told.version };
                let Some(change) = told.change() else {
                    return Err(self.wrong(
                        judge,
                        Invariant::I2,
                        format!("{at} is a change that tells of none"),
                    ));
                };
                let Some(data) = fold(self.data.clone(), change) else {
                    let detail = format!("{change:?} of {at} does not fit {} of {}", self.data, self.at);
                    return Err(self.wrong(judge, Invariant::I1, detail));
                };
                judge.changed(&self.who, at, &data)?;
                (self.at, self.data) = (at, data);
            }
            ObserverEvent::Metadata { epoch, version, .. } => {
                let at = Position { epoch, version };
                judge.changed(&self.who, at, &self.data)?;
                self.at = at;
            }
            ObserverEvent::Resync { epoch, version, data } => {
                let at = Position { epoch, version };
                judge.resynced(&self.who, at, &data)?;
                self.at = at;
                self.data = Value::clone(&data);
            }
            ObserverEvent::Child(child) => self.child(&child, judge)?,
            ObserverEvent::Disconnected => self.connection(true, judge)?,
            ObserverEvent::Resumed { .. } => self.connection(false, judge)?,
            ObserverEvent::Deleted => {
                judge.saw_deleted(&self.who)?;
                return Ok(Followed::Ended(ObserverEvent::Deleted));
            }
            ObserverEvent::Closed { reason } => {
                if matches!(reason, CloseReason::Removed | CloseReason::Refused { .. }) {
                    judge.saw_removed(&self.who)?;
                }
                return Ok(Followed::Ended(ObserverEvent::Closed { reason }));
            }
            // What is told in addition changes nothing here.
            _ => {}
        }
        Ok(Followed::On)
    }

    fn child(&self, child: &ChildEvent, judge: &mut Reference) -> Result<(), Violation> {
        if child.reporter.as_str() == self.own {
            return Err(self.wrong(judge, Invariant::I2, format!("is told of its own child {}", child.id)));
        }
        let seen = ChildSeen {
            id: format!("{}/{}", child.name, child.id),
            writer: child.reporter.to_string(),
            version: child.version,
            data: child.data.clone(),
        };
        judge.child_changed(&self.who, &seen, child.op == ChildOp::Delete)
    }

    fn connection(&mut self, disconnected: bool, judge: &Reference) -> Result<(), Violation> {
        if self.disconnected.replace(disconnected) == Some(disconnected) {
            let word = if disconnected { "disconnected" } else { "resumed" };
            return Err(self.wrong(
                judge,
                Invariant::I2,
                format!("is told twice in a row that it is {word}"),
            ));
        }
        Ok(())
    }

    fn wrong(&self, judge: &Reference, invariant: Invariant, detail: String) -> Violation {
        judge.violation(invariant, &self.who, detail)
    }
}
