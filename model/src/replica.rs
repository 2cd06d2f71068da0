//! An observer's side of an object's history: order, duplicates, gaps, repair (protocol 3.4).
//!
//! A [`Replica`] is told what arrives and says what to do with it. It has no clock: whoever holds it decides when
//! an open gap has waited long enough, asks the reporter's side for what [`Replica::need`] names, and hands the
//! answer to [`Replica::on_snapshot`] or [`Replica::on_changes`].
//!
//! ```
//! use hyperty_model::{Position, change::{Change, ChangeOp}, message::UpdateBody, replica::{Received, Replica}};
//! use serde_json::json;
//! use std::sync::Arc;
//!
//! let mut replica = Replica::live(Position::new(0, 4), Some(json!({})), Default::default());
//! let set = |version, value| {
//!     let change = Change::new("topic", ChangeOp::Set(json!(value)));
//!     Arc::new(UpdateBody::change(Position::new(0, version), change))
//! };
//! assert!(matches!(replica.on_update(&set(6, "b")), Received::Held { .. }));
//! assert!(matches!(replica.on_update(&set(5, "a")), Received::Applied { then } if then.len() == 1));
//! assert_eq!(replica.position(), Position::new(0, 6));
//! assert_eq!(replica.data().unwrap()["topic"], "b");
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::Position;
use crate::change::apply;
use crate::message::{UpdateBody, UpdateKind};

/// Most updates held while something before them is missing (N_GAP, protocol 0.2).
pub const GAP_UPDATES_MAX: usize = 256;

/// Most bytes held, approximately: a gap among large changes is cheaper to repair than to keep.
pub const GAP_BYTES_MAX: usize = 4 << 20;

/// How much a [`Replica`] holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapLimits {
    /// Most updates.
    pub updates: usize,
    /// Most bytes, approximately.
    pub bytes: usize,
}

impl Default for GapLimits {
    fn default() -> GapLimits {
        GapLimits { updates: GAP_UPDATES_MAX, bytes: GAP_BYTES_MAX }
    }
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// It was the next one and is applied: pass it on, and after it these, which had been waiting for it. If one
    /// that had been waiting did not fit, [`Replica::need`] says so.
    Applied {
        /// Applied too, in this order.
        then: Vec<Arc<UpdateBody>>,
    },
    /// Applied before, or a beat that tells nothing new. Drop it.
    Duplicate,
    /// From a former owner. Drop it.
    Fenced,
    /// Kept until what is before it has come. Unless `why` is [`Hold::FirstSnapshot`], a repair is needed: at once
    /// if `full` or on a path that keeps order, else when T_GAP is over and [`Replica::need`] still names it.
    Held {
        /// What it waits for.
        why: Hold,
        /// No more can be held; older ones were dropped, the repair brings them again.
        full: bool,
    },
    /// A beat: the reporter is ahead. Repair.
    Behind,
    /// It was the next one and does not fit the copy. Repair by a snapshot.
    Diverged,
    /// Neither a change nor a beat that can be placed, such as a status word. Drop it.
    Unrelated,
}

/// What a held update waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The first snapshot.
    FirstSnapshot,
    /// Changes before it.
    Gap,
    /// The snapshot of a newer epoch, which tells the new reporter.
    Epoch,
    /// The snapshot that replaces a diverged copy.
    Divergence,
}

/// What a repair has to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What came after this position: the changes, or a snapshot if the reporter's side no longer has them.
    Since(Position),
    /// A snapshot: there is no copy yet, or it is wrong.
    Snapshot,
}

/// What became of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum Replaced {
    /// It is the copy now: tell the application, and after it pass on these, which had been waiting.
    Replaced {
        /// Applied to the snapshot, in this order.
        then: Vec<Arc<UpdateBody>>,
    },
    /// Older than the copy. Drop it.
    Stale,
}

/// One observed object: where the copy stands, the copy itself, and what arrived too early.
#[derive(Debug, Clone)]
pub struct Replica {
    phase: Phase,
    position: Position,
    data: Option<Arc<Value>>,
    held: BTreeMap<Position, Arc<UpdateBody>>,
    held_bytes: usize,
    /// The latest position known to exist.
    horizon: Position,
    /// An update without version came before the first snapshot, which may or may not contain it.
    unplaced: bool,
    limits: GapLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Live,
    Diverged,
}

impl Replica {
    /// Waits for the first snapshot and holds what arrives before it.
    pub fn waiting(limits: GapLimits) -> Replica {
        Replica { phase: Phase::Waiting, ..Replica::live(Position::default(), None, limits) }
    }

    /// Stands at a position, with a copy of the data unless only the order matters.
    pub fn live(position: Position, data: Option<Value>, limits: GapLimits) -> Replica {
        let (held, held_bytes, unplaced) = (BTreeMap::new(), 0, false);
        let data = data.map(Arc::new);
        Replica { phase: Phase::Live, position, data, held, held_bytes, horizon: position, unplaced, limits }
    }

    /// Where the copy stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The copy, if one is kept and the first snapshot has come.
    pub fn data(&self) -> Option<&Value> {
        self.data.as_deref()
    }

    /// The copy, to be looked at while changes go on: the next change copies what is still held then.
    pub fn shared_data(&self) -> Option<Arc<Value>> {
        self.data.clone()
    }

    /// The latest position that is known to exist: that of the copy, or beyond it while something is missing.
    pub fn horizon(&self) -> Position {
        self.horizon.max(self.position)
    }

    /// Whether the first snapshot has come.
    pub fn is_live(&self) -> bool {
        self.phase != Phase::Waiting
    }

    /// How many updates are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What a repair would have to ask for now; `None` if nothing is known to be missing.
    pub fn need(&self) -> Option<Need> {
        match self.phase {
            Phase::Live if self.horizon > self.position => Some(Need::Since(self.position)),
            Phase::Live => None,
            Phase::Waiting | Phase::Diverged => Some(Need::Snapshot),
        }
    }

    /// The copy was found wrong, by its digest for example: nothing is applied until a snapshot has replaced it.
    pub fn mark_diverged(&mut self) {
        if self.phase == Phase::Live {
            self.phase = Phase::Diverged;
        }
    }

    /// An update arrived on the object's stream.
    pub fn on_update(&mut self, update: &Arc<UpdateBody>) -> Received {
        self.receive(update, update.epoch.unwrap_or(0))
    }

    fn receive(&mut self, update: &Arc<UpdateBody>, epoch: u64) -> Received {
        let waiting = self.phase == Phase::Waiting;
        let is_beat = matches!(update.kind, UpdateKind::Position { .. });
        let next = self.position.next();
        let at = match update.version {
            Some(version) => Position::new(epoch, version),
            None if is_beat || matches!(update.kind, UpdateKind::Status(_)) => return Received::Unrelated,
            None if waiting => {
                self.unplaced = true;
                return Received::Held { why: Hold::FirstSnapshot, full: false };
            }
            // Only samples of the specification lack the version; their senders keep order.
            None => next,
        };
        if !waiting && at.epoch < self.position.epoch {
            return Received::Fenced;
        }
        if !waiting && at <= self.position {
            return Received::Duplicate;
        }
        if is_beat {
            self.horizon = self.horizon.max(at);
            return if waiting { Received::Duplicate } else { Received::Behind };
        }
        if self.phase != Phase::Live || at != next {
            return self.hold(at, update);
        }
        if !self.apply_next(update) {
            self.hold(at, update);
            return Received::Diverged;
        }
        Received::Applied { then: self.drain() }
    }

    /// A snapshot arrived; `data` is `None` where no copy is kept.
    pub fn on_snapshot(&mut self, position: Position, data: Option<Value>) -> Replaced {
        if self.phase != Phase::Waiting && position < self.position {
            return Replaced::Stale;
        }
        self.phase = Phase::Live;
        self.position = position;
        self.data = data.map(Arc::new);
        self.forget_held_until(position);
        let then = self.drain();
        self.settle(position);
        if std::mem::take(&mut self.unplaced) {
            self.horizon = self.horizon.max(self.position.next());
        }
        Replaced::Replaced { then }
    }

    /// The answer of a repair by changes arrived: the object stands at `to`, and these lead there (protocol 10.1), also
    /// from the end of one epoch into the next, where the object changed hands (5.11).
    /// Returns those that were applied, with the held ones that follow them, in order. Whether all is well now is
    /// told by [`Replica::need`].
    pub fn on_changes(&mut self, to: Position, changes: &[Arc<UpdateBody>]) -> Vec<Arc<UpdateBody>> {
        if self.phase != Phase::Live {
            return Vec::new();
        }
        if to.epoch > self.position.epoch && !self.enter(to, changes) {
            self.phase = Phase::Diverged;
            return Vec::new();
        }
        let mut released = Vec::new();
        for change in changes {
            if let Received::Applied { then } = self.receive(change, change.epoch.unwrap_or(to.epoch)) {
                released.push(Arc::clone(change));
                released.extend(then);
            }
        }
        self.settle(to);
        released
    }

    /// The reporter's side says that a newer epoch goes on where the copy stands: the object changed hands (protocol
    /// 5.11). False if it goes on elsewhere.
    fn enter(&mut self, to: Position, changes: &[Arc<UpdateBody>]) -> bool {
        let first = changes.first().map_or(Some(to.version + 1), |change| change.version);
        let fits = first == Some(self.position.version + 1);
        if fits {
            self.position.epoch = to.epoch;
            self.forget_held_until(self.position);
        }
        fits
    }

    /// After an answer of the reporter's side that reaches to `known`: what was heard of before, and neither
    /// confirmed by it nor held, is not waited for any longer.
    fn settle(&mut self, known: Position) {
        let held = self.held.last_key_value().map_or(known, |(&position, _)| position);
        self.horizon = self.position.max(known).max(held);
    }

    fn apply_next(&mut self, update: &UpdateBody) -> bool {
        let fits = match (&update.kind, &mut self.data) {
            (UpdateKind::Change(change), Some(data)) => apply(Arc::make_mut(data), change).is_ok(),
            (UpdateKind::Change(_), None) | (UpdateKind::Metadata { .. }, _) => true,
            _ => false,
        };
        if fits {
            self.position = self.position.next();
            self.horizon = self.horizon.max(self.position);
        } else {
            self.phase = Phase::Diverged;
        }
        fits
    }

    fn drain(&mut self) -> Vec<Arc<UpdateBody>> {
        let mut released = Vec::new();
        while let Some(update) = self.held.get(&self.position.next()).map(Arc::clone) {
            if !self.apply_next(&update) {
                break;
            }
            self.held.remove(&self.position);
            self.held_bytes -= update.approximate_size();
            released.push(update);
        }
        released
    }

    fn hold(&mut self, at: Position, update: &Arc<UpdateBody>) -> Received {
        let why = match self.phase {
            Phase::Waiting => Hold::FirstSnapshot,
            Phase::Diverged => Hold::Divergence,
            Phase::Live if at.epoch > self.position.epoch => Hold::Epoch,
            Phase::Live => Hold::Gap,
        };
        self.horizon = self.horizon.max(at);
        if !self.held.contains_key(&at) {
            self.held_bytes += update.approximate_size();
            self.held.insert(at, Arc::clone(update));
        }
        // The oldest go: a repair brings everything up to its own position, the newest are what it may lack.
        let mut full = false;
        while self.held.len() > self.limits.updates || self.held_bytes > self.limits.bytes {
            let Some((_, oldest)) = self.held.pop_first() else { break };
            self.held_bytes -= oldest.approximate_size();
            full = true;
        }
        Received::Held { why, full }
    }

    fn forget_held_until(&mut self, position: Position) {
        let kept = self.held.split_off(&position.next());
        self.held = kept;
        self.held_bytes = self.held.values().map(|update| update.approximate_size()).sum();
    }
}
