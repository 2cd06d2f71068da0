//! What parties of a mixed run do beside writing, and how often: each procedure has a file of its own here.

use std::fmt;
use std::str::FromStr;

use crate::sim::SimRng;

/// Weights are parts of this many occasions.
const OCCASIONS: u32 = 1_000;

/// Something that a party does when it has an occasion to.
///
/// A Reporter has one every few seconds, an Observer one every six; a takeover may happen whenever the runtime of a
/// Reporter starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Procedure {
    /// Anybody adds, changes or deletes a child.
    Child,
    /// An Observer reads the object.
    Read,
    /// An Observer unsubscribes, and comes back.
    Leave,
    /// An Observer asks the Reporter to do something.
    Action,
    /// The Reporter invites one who does not observe, with limits of all kinds, or only announces the object; that one
    /// accepts, declines or lets it go, when it hears of it.
    Invite,
    /// The Reporter takes an invitation back.
    Revoke,
    /// The Reporter removes an Observer, who is shown nothing from then on until it is invited.
    Remove,
    /// The Reporter gives the object to an Observer, who takes it, declines or lets it go.
    Delegate,
    /// Another hyperty of the Reporter's user takes the object over when its runtime starts again.
    TakeOver,
    /// The Reporter writes more than a message holds.
    Large,
    /// Another device of the Reporter's user loses sight of the first, and goes on with what the node keeps.
    OtherDevice,
}

impl Procedure {
    /// All of them, in the order of their weights.
    pub const ALL: [Procedure; 11] = [
        Procedure::Child,
        Procedure::Read,
        Procedure::Leave,
        Procedure::Action,
        Procedure::Invite,
        Procedure::Revoke,
        Procedure::Remove,
        Procedure::Delegate,
        Procedure::TakeOver,
        Procedure::Large,
        Procedure::OtherDevice,
    ];

    /// Those of a Reporter.
    pub(super) const REPORTERS: [Procedure; 6] = [
        Procedure::Child,
        Procedure::Invite,
        Procedure::Revoke,
        Procedure::Remove,
        Procedure::Delegate,
        Procedure::Large,
    ];

    /// Those of an Observer.
    pub(super) const OBSERVERS: [Procedure; 5] =
        [Procedure::Child, Procedure::Read, Procedure::Leave, Procedure::Action, Procedure::OtherDevice];

    /// Its name in a list.
    pub fn name(self) -> &'static str {
        match self {
            Procedure::Child => "child",
            Procedure::Read => "read",
            Procedure::Leave => "leave",
            Procedure::Action => "action",
            Procedure::Invite => "invite",
            Procedure::Revoke => "revoke",
            Procedure::Remove => "remove",
            Procedure::Delegate => "delegate",
            Procedure::TakeOver => "take-over",
            Procedure::Large => "large",
            Procedure::OtherDevice => "other-device",
        }
    }

    fn usual_weight(self) -> u32 {
        match self {
            Procedure::Child => 330,
            Procedure::Read => 150,
            Procedure::Leave => 50,
            Procedure::Action => 150,
            Procedure::Invite => 120,
            Procedure::Revoke => 40,
            Procedure::Remove => 60,
            Procedure::Delegate => 40,
            Procedure::TakeOver => 400,
            Procedure::Large => 5,
            Procedure::OtherDevice => 250,
        }
    }
}

impl fmt::Display for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each procedure is done: in so many of a thousand occasions.
///
/// ```
/// use hyperty_conformance::sim::mixed::{Procedure, Weights};
///
/// let weights: Weights = "invite,delegate=500".parse().unwrap();
/// assert_eq!(weights.of(Procedure::Delegate), 500);
/// assert_eq!(weights.of(Procedure::Invite), Weights::default().of(Procedure::Invite));
/// assert_eq!(weights.of(Procedure::Remove), 0);
/// assert_eq!(weights.to_string().parse(), Ok(weights));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights([u32; Procedure::ALL.len()]);

impl Default for Weights {
    fn default() -> Weights {
        Weights(Procedure::ALL.map(Procedure::usual_weight))
    }
}

impl Weights {
    /// Nothing but changes and subscriptions.
    pub fn none() -> Weights {
        Weights([0; Procedure::ALL.len()])
    }

    /// Of one procedure.
    pub fn of(&self, procedure: Procedure) -> u32 {
        self.0[procedure as usize]
    }

    /// The same with another weight of one procedure; 0 switches it off.
    #[must_use]
    pub fn with(mut self, procedure: Procedure, weight: u32) -> Weights {
        self.0[procedure as usize] = weight;
        self
    }

    /// What is done at this occasion, if anything.
    pub(super) fn draw(&self, rng: &SimRng, among: &[Procedure]) -> Option<Procedure> {
        let all: u32 = among.iter().map(|procedure| self.of(*procedure)).sum();
        let mut drawn = rng.below(u64::from(all.max(OCCASIONS)));
        among.iter().copied().find(|procedure| {
            let weight = u64::from(self.of(*procedure));
            let found = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            found
        })
    }

    /// Whether one that has an occasion by itself is done.
    pub(super) fn happens(&self, rng: &SimRng, procedure: Procedure) -> bool {
        self.draw(rng, &[procedure]).is_some()
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Weights::default() {
            return f.write_str("all");
        }
        let given: Vec<String> = Procedure::ALL
            .into_iter()
            .filter(|procedure| self.of(*procedure) > 0)
            .map(|procedure| format!("{procedure}={}", self.of(procedure)))
            .collect();
        f.write_str(if given.is_empty() { "none".to_owned() } else { given.join(",") }.as_str())
    }
}

/// A list of procedures that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no procedure is {0:?}; there are {names}, each with a weight if wanted, as in {example}",
    names = Procedure::ALL.map(Procedure::name).join(", "), example = "invite,delegate=500")]
pub struct UnknownProcedure(pub String);

impl FromStr for Weights {
    type Err = UnknownProcedure;

    /// `all`, `none`, or names with commas between; a name may have `=` and its weight.
    fn from_str(text: &str) -> Result<Weights, UnknownProcedure> {
        match text {
            "all" => return Ok(Weights::default()),
            "none" | "" => return Ok(Weights::none()),
            _ => {}
        }
        text.split(',').map(str::trim).try_fold(Weights::none(), |weights, part| {
            let (name, weight) =
                part.split_once('=').map_or((part, None), |(name, weight)| (name, Some(weight)));
            let known = Procedure::ALL.into_iter().find(|procedure| procedure.name() == name);
            let unknown = || UnknownProcedure(part.to_owned());
            let procedure = known.ok_or_else(unknown)?;
            let weight = match weight {
                Some(weight) => {
                    weight.parse().ok().filter(|weight| *weight <= OCCASIONS).ok_or_else(unknown)?
                }
                None => procedure.usual_weight(),
            };
            Ok(weights.with(procedure, weight))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for text in ["all", "none", "child=5,large=1000"] {
            assert_eq!(text.parse::<Weights>().unwrap().to_string(), text);
        }
        for text in ["rain", "child=", "child=1001", "child,"] {
            let error = text.parse::<Weights>().unwrap_err().to_string();
            assert!(error.contains("take-over"), "{error}");
        }
    }

    #[test]
    fn what_weighs_more_is_drawn_more_often_and_nothing_where_nothing_weighs() {
        let rng = SimRng::new(1, "weights");
        let weights = Weights::none().with(Procedure::Read, 600).with(Procedure::Child, 200);
        let mut counts = [0; 3];
        for _ in 0..2_000 {
            match weights.draw(&rng, &Procedure::OBSERVERS) {
                Some(Procedure::Read) => counts[0] += 1,
                Some(Procedure::Child) => counts[1] += 1,
                Some(other) => panic!("{other}"),
                None => counts[2] += 1,
            }
        }
        assert!((1_100..1_300).contains(&counts[0]) && (330..470).contains(&counts[1]), "{counts:?}");
        assert!(weights.draw(&rng, &[Procedure::Large]).is_none());
    }
}
