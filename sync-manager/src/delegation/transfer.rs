//! What the giving side keeps of an object that changes hands.

use std::sync::atomic::{AtomicBool, Ordering};

use hyperty_model::delegation::{Claim, Giver};
use hyperty_model::{HypertyUrl, Position, StatusCode, Url};
use hyperty_storage::Delegation;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::Refusal;

/// One offer, from when it is made until it is over.
pub(crate) struct Transfer {
    /// Its name.
    pub(crate) offer: String,
    /// To whom.
    pub(crate) to: HypertyUrl,
    /// By whom.
    pub(crate) former: HypertyUrl,
    /// Until when it can be claimed.
    pub(crate) expires: Instant,
    state: Mutex<Giver<String, Url>>,
    /// Why it was aborted.
    why: Mutex<Option<Refusal>>,
    /// Why nobody knows whose the object is before this runtime has started again.
    broken: Mutex<Option<Refusal>>,
    changed: watch::Sender<u64>,
    /// Who observes the object here now stands in the store.
    departed: AtomicBool,
}

/// What an offer has come to.
pub(crate) enum Stage {
    /// Nothing is decided.
    Open,
    /// The object stays with its Reporter.
    Aborted(Refusal),
    /// The store failed while it was given: nobody knows whose it is.
    Broken(Refusal),
    /// It is the other's since this epoch.
    Given {
        /// The other's first epoch.
        epoch: u64,
        /// It has said that it acts.
        confirmed: bool,
    },
}

impl Transfer {
    pub(crate) fn new(
        offer: String,
        to: HypertyUrl,
        former: HypertyUrl,
        expires: Instant,
        epoch: u64,
    ) -> Transfer {
        let mut state = Giver::Owner { epoch };
        state.offer(offer.clone());
        Transfer::of(offer, to, former, expires, state)
    }

    pub(super) fn of(
        offer: String,
        to: HypertyUrl,
        former: HypertyUrl,
        expires: Instant,
        state: Giver<String, Url>,
    ) -> Transfer {
        let (state, why, broken) = (Mutex::new(state), Mutex::new(None), Mutex::new(None));
        let (changed, departed) = (watch::Sender::new(0), AtomicBool::new(false));
        Transfer { offer, to, former, expires, state, why, broken, changed, departed }
    }

    /// What was reported here is stored as an observation: a restart need not make it of the gift.
    pub(super) fn depart(&self) {
        self.departed.store(true, Ordering::Release);
    }

    /// Whose it is, as this side knows.
    pub(crate) fn state(&self) -> Giver<String, Url> {
        self.state.lock().clone()
    }

    /// Makes a step; whoever waits looks again.
    pub(super) fn step<R>(&self, step: impl FnOnce(&mut Giver<String, Url>) -> R) -> R {
        let mut state = self.state.lock();
        let before = state.clone();
        let result = step(&mut state);
        let moved = *state != before;
        drop(state);
        if moved {
            self.changed.send_modify(|count| *count += 1);
        }
        result
    }

    pub(super) fn claim(&self, by: &Url) -> Claim {
        self.step(|state| state.claim(&self.offer, by))
    }

    /// It is over, and the object stays where it is; false if it is too late for that.
    pub(crate) fn abort(&self, why: Refusal) -> bool {
        // Before the step, which wakes whoever asks why.
        self.why.lock().get_or_insert(why);
        self.step(|state| state.abort(&self.offer))
    }

    /// The store failed between the commit and its record; whoever waits hears of it.
    pub(super) fn broken(&self, why: Refusal) {
        *self.broken.lock() = Some(why);
        self.changed.send_modify(|count| *count += 1);
    }

    /// What it has come to.
    pub(super) fn stage(&self) -> Stage {
        if let Some(why) = self.broken.lock().clone() {
            return Stage::Broken(why);
        }
        match self.state() {
            Giver::Owner { .. } => {
                let why = self.why.lock().clone();
                Stage::Aborted(
                    why.unwrap_or_else(|| Refusal::new(StatusCode::CONDITION, "the object was given back")),
                )
            }
            Giver::Given { epoch, confirmed, .. } => Stage::Given { epoch, confirmed },
            _ => Stage::Open,
        }
    }

    /// Follows its steps.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is kept of it.
    pub(crate) fn kept(&self, from: Position) -> Delegation {
        let (state, departed) = (self.state().to_write(), self.departed.load(Ordering::Acquire));
        Delegation::Giving { state, former: self.former.clone(), from, departed }
    }
}
