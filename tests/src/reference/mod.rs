//! What must be true of an object, whoever holds it: a model to judge runtimes with.
//!
//! A [`Reference`] is one object as it must be: a JSON document with its history by (epoch, version), who may observe
//! it, its children with their writers, its end. It is pure: it knows nothing of messages, stores and time, and shares
//! no code with the crates it judges. A test tells it what a Reporter did (proposed, was told to be committed, came
//! back with after a crash) and what each observer was shown; every call checks that against the invariants and
//! returns a [`Violation`] that names the one that is broken.
//!
//! | invariant | is broken by |
//! |---|---|
//! | I1 | a copy, event or answer whose data is not the document at its position |
//! | I2 | a change that is not the next one; a copy that goes back; a child told twice |
//! | I3 | a position nobody has written, or that the Reporter had not kept when it was shown |
//! | I4 | a delivery to one who is refused, was removed or has unsubscribed |
//! | I5 | two owners of one epoch, or two writers of one child |
//! | I6 | a Reporter that comes back without what was acknowledged |
//! | I7 | a second final answer, or none ([`Answers`]) |
//! | I8 | a record that comes back as something it never was |
//! | I9 | a deleted object that is observed, read or resumed; a deleted child that is back |
//! | I10 | a count that does not return to where it was ([`Baseline`]) |
//! | I11 | a copy that is not the latest state once everything is mended |
//! | I12 | anything of a [hostile](Reference::hostile) message in anything that is held or told |
//!
//! [`Follower`] feeds it with the events of an observation; [`Answers`] and [`Baseline`] keep account of requests and
//! of what a system holds.
//!
//! ```
//! use hyperty_conformance::reference::{Invariant, Reference};
//! use hyperty_model::Position;
//! use serde_json::json;
//!
//! let mut board = Reference::new("comm://example.com/1", "alice", json!({"topic": "a"})).open();
//! let (start, next) = (Position::new(0, 0), Position::new(0, 1));
//! board.joined("bob", start, &json!({"topic": "a"}))?;
//! board.proposed("alice", next, &json!({"topic": "b"}))?;
//! board.changed("bob", next, &json!({"topic": "b"}))?;
//!
//! // The same change once more.
//! let violation = board.changed("bob", next, &json!({"topic": "b"})).unwrap_err();
//! assert_eq!(violation.invariant, Invariant::I2);
//! # Ok::<(), hyperty_conformance::reference::Violation>(())
//! ```
//!
//! What it cannot tell from outside it does not guess: the versions within one edit are unknown until somebody is
//! shown one (then everybody must see the same), and what a writer lost on purpose is marked
//! ([`Reference::child_uncertain`]). Memory is bounded by [`Limits`].

mod account;
mod children;
mod fold;
mod follower;
mod hands;
#[cfg(test)]
mod hands_tests;
mod history;
mod observers;
mod owner;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use hyperty_model::Position;
use serde_json::Value;

pub use account::{Answers, Baseline};
pub use children::{ChildSeen, children_of};
pub use fold::fold;
pub use follower::{Followed, Follower};
pub use history::Limits;

use children::Children;
use hands::Hands;
use history::History;
use observers::Observers;

/// What must hold at every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// An observer's document at (e,v) equals the model's.
    I1,
    /// Versions seen rise without gap or double, unless a `resync` lies between.
    I2,
    /// Only values committed by the owner of the epoch are ever seen.
    I3,
    /// After refuse, remove or unsubscribe completes nothing later is delivered.
    I4,
    /// Never two owners of one epoch.
    I5,
    /// Acknowledged is still there after any crash.
    I6,
    /// One final answer for each request.
    I7,
    /// A stored object comes back whole or not at all.
    I8,
    /// Deleted stays deleted.
    I9,
    /// Listeners, routes, queues, tasks and memory return to the baseline.
    I10,
    /// Once faults stop, all converge within a bound.
    I11,
    /// A malformed, forged or oversized message changes nothing and stops nothing.
    I12,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Invariant; 12] = {
        use Invariant::{I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12};
        [I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12]
    };

    /// What it says, in one line.
    pub fn text(self) -> &'static str {
        match self {
            Invariant::I1 => "an observer's document at (e,v) equals the model's",
            Invariant::I2 => "versions seen rise without gap or double, unless a resync lies between",
            Invariant::I3 => "only values committed by the owner of the epoch are ever seen",
            Invariant::I4 => "after refuse, remove or unsubscribe completes nothing later is delivered",
            Invariant::I5 => "never two owners of one epoch",
            Invariant::I6 => "acknowledged is still there after any crash",
            Invariant::I7 => "one final answer for each request",
            Invariant::I8 => "a stored object comes back whole or not at all",
            Invariant::I9 => "deleted stays deleted",
            Invariant::I10 => "listeners, routes, queues, tasks and memory return to the baseline",
            Invariant::I11 => "once faults stop, all converge within a bound",
            Invariant::I12 => "a malformed, forged or oversized message changes nothing and stops nothing",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.text())
    }
}

/// What happened against an invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {object}: {who}: {detail}")]
pub struct Violation {
    /// The broken one.
    pub invariant: Invariant,
    /// Of which object; another name where no object is concerned.
    pub object: String,
    /// Where it was seen.
    pub who: String,
    /// What was seen, and what should have been.
    pub detail: String,
}

/// How far an object's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Live,
    /// Its deletion was asked for: it may be gone.
    Deleting,
    /// Its deletion was acknowledged.
    Deleted,
}

/// One object as it must be. Whoever acts is named by a text of the caller's choice.
#[derive(Debug, Clone)]
pub struct Reference {
    object: String,
    history: History,
    /// What was acknowledged may be lost in a crash, if the epoch rises for it.
    lossy: bool,
    life: Life,
    hands: Hands,
    observers: Observers,
    children: Children,
    /// Texts that stand in hostile messages only, or in what a former owner wrote, and what they break.
    hostile: BTreeMap<String, Invariant>,
}

impl Reference {
    /// An object that its owner has just created: this data at version 0 of epoch 0, acknowledged. Nobody else may
    /// observe it yet.
    pub fn new(object: impl Into<String>, owner: impl Into<String>, data: Value) -> Reference {
        Reference::with_limits(object, owner, data, Limits::default())
    }

    /// The same, with other limits of what is remembered.
    pub fn with_limits(
        object: impl Into<String>,
        owner: impl Into<String>,
        data: Value,
        limits: Limits,
    ) -> Reference {
        Reference {
            object: object.into(),
            history: History::new(owner.into(), data, limits),
            lossy: false,
            life: Life::Live,
            hands: Hands::default(),
            observers: Observers::default(),
            children: Children::new(limits),
            hostile: BTreeMap::new(),
        }
    }

    /// Everybody may observe and read it who is not refused by name.
    #[must_use]
    pub fn open(mut self) -> Reference {
        self.observers.open = true;
        self
    }

    /// Its store may lose what was acknowledged last, as long as the epoch rises then (M8).
    #[must_use]
    pub fn lossy(mut self) -> Reference {
        self.lossy = true;
        self
    }

    /// Its name, as it was given.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Who owns the latest epoch.
    pub fn owner(&self) -> &str {
        self.history.owner()
    }

    /// The last position that was proposed.
    pub fn latest(&self) -> Position {
        self.history.latest()
    }

    /// The data at the last position; `None` when only its digest is known.
    pub fn data(&self) -> Option<&Value> {
        self.history.data_at(self.latest())
    }

    /// The last position that was acknowledged.
    pub fn acknowledged_position(&self) -> Position {
        self.history.acknowledged
    }

    /// Whether its deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.life != Life::Live
    }

    /// Whether its deletion was acknowledged.
    pub fn is_deleted(&self) -> bool {
        self.life == Life::Deleted
    }

    /// A text that stands in a hostile message and nowhere else: wherever it is found, that is the violation (I12).
    pub fn hostile(&mut self, marker: impl Into<String>) {
        self.hostile.insert(marker.into(), Invariant::I12);
    }

    /// The same of a text that a former owner writes after the object was taken over, and nobody is to see (I5).
    pub fn overruled(&mut self, marker: impl Into<String>) {
        self.hostile.insert(marker.into(), Invariant::I5);
    }

    fn violation(&self, invariant: Invariant, who: &str, detail: impl Into<String>) -> Violation {
        Violation { invariant, object: self.object.clone(), who: who.to_owned(), detail: detail.into() }
    }

    fn is_hostile(&self, data: &Value) -> bool {
        self.hostile.keys().any(|marker| holds(data, marker))
    }

    /// The same of data: what stems from a hostile message is another matter.
    fn wrong_data(&self, invariant: Invariant, who: &str, data: &Value, detail: String) -> Violation {
        let found = self.hostile.iter().find(|(marker, _)| holds(data, marker));
        match found {
            Some((marker, broken)) => {
                let detail = format!("{detail}: it holds {marker:?}, which was not to be seen");
                self.violation(*broken, who, detail)
            }
            None => self.violation(invariant, who, detail),
        }
    }
}

/// Whether a text stands anywhere in a value, also as a part of one.
fn holds(data: &Value, text: &str) -> bool {
    match data {
        Value::String(found) => found.contains(text),
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(members) => members.iter().any(|(key, value)| key.contains(text) || holds(value, text)),
        _ => false,
    }
}

/// What was known of one thing at a time, by its name.
type ByName<T> = BTreeMap<String, T>;
