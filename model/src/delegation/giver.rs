//! The side that gives an object away.

use serde::{Deserialize, Serialize};

/// What the giving side knows of whose the object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Giver<O, M> {
    /// It is ours.
    Owner {
        /// Since this epoch.
        epoch: u64,
    },
    /// Ours, and offered to somebody. Changes go on.
    Offered {
        /// Ours since this epoch.
        epoch: u64,
        /// The offer.
        offer: O,
    },
    /// Ours, and claimed: the Reporter is asked to stop.
    Frozen {
        /// Ours since this epoch.
        epoch: u64,
        /// The offer.
        offer: O,
        /// Who claims it.
        taker: M,
    },
    /// That it is given is being written. Whose it is only the store knows: nobody acts.
    Committing {
        /// The other's first epoch.
        epoch: u64,
        /// The offer.
        offer: O,
        /// Who gets it.
        taker: M,
    },
    /// It is the other's.
    Given {
        /// The other's first epoch.
        epoch: u64,
        /// The offer.
        offer: O,
        /// Whose it is.
        taker: M,
        /// The other has said that it acts.
        confirmed: bool,
    },
    /// The other could not host it: that it is ours again is being written.
    Reclaiming {
        /// Ours from this epoch on.
        epoch: u64,
        /// The offer.
        offer: O,
        /// Who gave it back.
        taker: M,
    },
}

/// What a claim leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Stop the Reporter, then [commit](Giver::commit) or [abort](Giver::abort).
    Freeze,
    /// The same claim is under way: its outcome is the answer to this one too.
    Wait,
    /// It is the claimant's, from this epoch on.
    Granted {
        /// The claimant's first epoch.
        epoch: u64,
    },
    /// Somebody else claims it, or has it (409).
    Taken,
    /// There is no such offer, or no longer (404).
    Unknown,
}

/// What a gift that comes back leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiveBack {
    /// Write that it is ours again at this epoch, then say so by [`Giver::written`].
    Reclaim {
        /// Our new epoch.
        epoch: u64,
    },
    /// That is being written.
    Wait,
    /// It was taken back before.
    Done,
    /// The other has acted already: it stays the other's (412).
    TooLate,
    /// It was never given (404).
    Unknown,
}

impl<O: PartialEq + Clone, M: PartialEq + Clone> Giver<O, M> {
    /// The epoch at which this side takes changes and answers; `None` when it must not.
    pub fn acts_at(&self) -> Option<u64> {
        match self {
            Giver::Owner { epoch } | Giver::Offered { epoch, .. } | Giver::Frozen { epoch, .. } => {
                Some(*epoch)
            }
            Giver::Committing { .. } | Giver::Given { .. } | Giver::Reclaiming { .. } => None,
        }
    }

    /// The offer that is under way, or by which it was given.
    pub fn current(&self) -> Option<&O> {
        match self {
            Giver::Owner { .. } => None,
            Giver::Offered { offer, .. }
            | Giver::Frozen { offer, .. }
            | Giver::Committing { offer, .. }
            | Giver::Given { offer, .. }
            | Giver::Reclaiming { offer, .. } => Some(offer),
        }
    }

    /// Offers it; false if that is not possible now (409).
    pub fn offer(&mut self, offer: O) -> bool {
        let Giver::Owner { epoch } = *self else { return false };
        *self = Giver::Offered { epoch, offer };
        true
    }

    /// Somebody claims what was offered.
    pub fn claim(&mut self, claimed: &O, by: &M) -> Claim {
        match self {
            Giver::Offered { epoch, offer } if offer == claimed => {
                *self = Giver::Frozen { epoch: *epoch, offer: claimed.clone(), taker: by.clone() };
                Claim::Freeze
            }
            Giver::Frozen { offer, taker, .. } | Giver::Committing { offer, taker, .. }
                if offer == claimed =>
            {
                if taker == by {
                    Claim::Wait
                } else {
                    Claim::Taken
                }
            }
            Giver::Given { epoch, offer, taker, .. } if offer == claimed => {
                if taker == by {
                    Claim::Granted { epoch: *epoch }
                } else {
                    Claim::Taken
                }
            }
            _ => Claim::Unknown,
        }
    }

    /// Refused, expired, not frozen in time, or withdrawn: it stays ours. False if it is too late for that.
    pub fn abort(&mut self, aborted: &O) -> bool {
        match self {
            Giver::Offered { epoch, offer } | Giver::Frozen { epoch, offer, .. } if offer == aborted => {
                *self = Giver::Owner { epoch: *epoch };
                true
            }
            _ => false,
        }
    }

    /// The Reporter has stopped: it is about to be written that the object is given. False if it was aborted meanwhile.
    pub fn commit(&mut self, committed: &O) -> bool {
        match self {
            Giver::Frozen { epoch, offer, taker } if offer == committed => {
                let epoch = *epoch + 1;
                *self = Giver::Committing { epoch, offer: offer.clone(), taker: taker.clone() };
                true
            }
            _ => false,
        }
    }

    /// What was being written is durable.
    pub fn written(&mut self) {
        match self {
            Giver::Committing { epoch, offer, taker } => {
                let (offer, taker) = (offer.clone(), taker.clone());
                *self = Giver::Given { epoch: *epoch, offer, taker, confirmed: false };
            }
            Giver::Reclaiming { epoch, .. } => *self = Giver::Owner { epoch: *epoch },
            _ => {}
        }
    }

    /// What is written for this state, so that a restart finds it.
    pub fn to_write(&self) -> Giver<O, M> {
        let mut written = self.clone();
        written.written();
        written
    }

    /// The other side says that it acts; false if it was not given by this offer.
    pub fn confirm(&mut self, by: &O) -> bool {
        match self {
            Giver::Given { offer, confirmed, .. } if offer == by => {
                *confirmed = true;
                true
            }
            _ => false,
        }
    }

    /// The other side cannot host what it was given at `given`, its first epoch. `acted` says that something it
    /// published was seen.
    pub fn give_back(&mut self, by: &O, given: u64, acted: bool) -> GiveBack {
        match self {
            Giver::Given { epoch, offer, taker, confirmed } if offer == by && *epoch == given => {
                if *confirmed || acted {
                    return GiveBack::TooLate;
                }
                let ours = *epoch + 1;
                *self = Giver::Reclaiming { epoch: ours, offer: by.clone(), taker: taker.clone() };
                GiveBack::Reclaim { epoch: ours }
            }
            Giver::Reclaiming { offer, .. } if offer == by => GiveBack::Wait,
            Giver::Owner { epoch }
            | Giver::Offered { epoch, .. }
            | Giver::Frozen { epoch, .. }
            | Giver::Committing { epoch, .. }
            | Giver::Given { epoch, .. }
            | Giver::Reclaiming { epoch, .. } => {
                if *epoch > given {
                    GiveBack::Done
                } else {
                    GiveBack::Unknown
                }
            }
        }
    }

    /// What a restart makes of what was written: an offer that was not committed is aborted. Says which, so that the
    /// Reporter can be told.
    pub fn restarted(self) -> (Giver<O, M>, Option<O>) {
        match self {
            Giver::Offered { epoch, offer } | Giver::Frozen { epoch, offer, .. } => {
                (Giver::Owner { epoch }, Some(offer))
            }
            written => (written.to_write(), None),
        }
    }
}
