//! The side that is given an object.

use serde::{Deserialize, Serialize};

/// What the taking side knows of whose the object is, from its acceptance of an offer on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Taker<O, M> {
    /// It is claimed, again and again until that is answered. Written before the first claim.
    Requested {
        /// The offer.
        offer: O,
        /// Who gives it.
        giver: M,
    },
    /// It is ours, and what it needs here is being set up. A restart claims it again.
    Hosting {
        /// The offer.
        offer: O,
        /// Who gave it.
        giver: M,
        /// Our first epoch.
        epoch: u64,
    },
    /// That we own it is being written. Nobody is told anything before.
    Writing {
        /// The offer.
        offer: O,
        /// Who gave it.
        giver: M,
        /// Our first epoch.
        epoch: u64,
    },
    /// It is ours, for good.
    Owner {
        /// The offer.
        offer: O,
        /// Who gave it.
        giver: M,
        /// Our first epoch.
        epoch: u64,
    },
    /// It cannot be hosted here, and is given back, again and again until that is answered. Written first.
    Returning {
        /// The offer.
        offer: O,
        /// Who gave it.
        giver: M,
        /// The epoch at which it was given.
        epoch: u64,
    },
}

impl<O: PartialEq + Clone, M: Clone> Taker<O, M> {
    /// The epoch since which this side takes changes and answers; `None` when it must not.
    pub fn acts_at(&self) -> Option<u64> {
        match self {
            Taker::Owner { epoch, .. } => Some(*epoch),
            _ => None,
        }
    }

    /// The offer.
    pub fn offer(&self) -> &O {
        match self {
            Taker::Requested { offer, .. }
            | Taker::Hosting { offer, .. }
            | Taker::Writing { offer, .. }
            | Taker::Owner { offer, .. }
            | Taker::Returning { offer, .. } => offer,
        }
    }

    /// The other side.
    pub fn giver(&self) -> &M {
        match self {
            Taker::Requested { giver, .. }
            | Taker::Hosting { giver, .. }
            | Taker::Writing { giver, .. }
            | Taker::Owner { giver, .. }
            | Taker::Returning { giver, .. } => giver,
        }
    }

    /// The claim was granted; false if nobody waits for that any more.
    pub fn granted(&mut self, by: &O, epoch: u64) -> bool {
        match self {
            Taker::Requested { offer, giver } if offer == by => {
                *self = Taker::Hosting { offer: offer.clone(), giver: giver.clone(), epoch };
                true
            }
            _ => false,
        }
    }

    /// Whether a refusal of the claim ends it: only while it is not granted.
    pub fn may_be_refused(&self, by: &O) -> bool {
        matches!(self, Taker::Requested { offer, .. } if offer == by)
    }

    /// Everything is set up: it is about to be written that we own it. False if that is not the next step.
    pub fn host(&mut self) -> bool {
        match self {
            Taker::Hosting { offer, giver, epoch } => {
                *self = Taker::Writing { offer: offer.clone(), giver: giver.clone(), epoch: *epoch };
                true
            }
            _ => false,
        }
    }

    /// What was being written is durable.
    pub fn written(&mut self) {
        if let Taker::Writing { offer, giver, epoch } = self {
            *self = Taker::Owner { offer: offer.clone(), giver: giver.clone(), epoch: *epoch };
        }
    }

    /// It cannot be hosted: write that, then give it back. False once it may be ours on disk.
    pub fn give_back(&mut self) -> bool {
        match self {
            Taker::Hosting { offer, giver, epoch } => {
                *self = Taker::Returning { offer: offer.clone(), giver: giver.clone(), epoch: *epoch };
                true
            }
            _ => false,
        }
    }

    /// It was not taken back: it has to be hosted here after all. False if it was not being given back.
    pub fn keep(&mut self) -> bool {
        match self {
            Taker::Returning { offer, giver, epoch } => {
                *self = Taker::Hosting { offer: offer.clone(), giver: giver.clone(), epoch: *epoch };
                true
            }
            _ => false,
        }
    }

    /// What is written for this state, so that a restart finds it.
    pub fn to_write(&self) -> Taker<O, M> {
        match self {
            Taker::Hosting { offer, giver, .. } => {
                Taker::Requested { offer: offer.clone(), giver: giver.clone() }
            }
            other => {
                let mut written = other.clone();
                written.written();
                written
            }
        }
    }
}
