//! The ids of deleted children, so that what arrives late does not revive them (protocol 5.9.4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::ChildId;

/// Most ids kept one by one per children name; older ones are covered by their reporter's floor. They travel in every
/// snapshot and repair, some 80 bytes each. One is needed as long as somebody may come with the child: the writer,
/// whose operations come in order and whose creation is therefore below its own floor, or an observer that missed
/// the deletion, which learns of it from the Reporter's digest and state all the same, only not at the first look.
pub const TOMBSTONES_MAX: usize = 256;

/// Most reporters with a floor per children name; the one that got its floor first goes first. Far more than write
/// at a time, and a table of them stays small beside the children.
pub const FLOORS_MAX: usize = 4_096;

/// Deleted ids of one children name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tombstones {
    ids: BTreeSet<ChildId>,
    /// The same ids, oldest first.
    order: VecDeque<ChildId>,
    /// By reporter: numbers up to this one that are not live are taken as deleted.
    floors: BTreeMap<String, u64>,
    /// The reporters with a floor, in the order they got it.
    floored: VecDeque<String>,
}

/// The form in which tombstones travel and are stored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TombstonesWire {
    ids: Vec<ChildId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    floors: Vec<(String, u64)>,
}

impl Tombstones {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.floors.is_empty()
    }

    /// Whether the id is deleted, provided that it is not live.
    pub(super) fn covers(&self, id: &ChildId) -> bool {
        self.contains(id.as_str()) || self.is_below_floor(id)
    }

    /// Whether the id itself is kept.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn is_below_floor(&self, id: &ChildId) -> bool {
        let floor = || self.floors.get(id.reporter()?);
        id.number().is_some_and(|number| floor().is_some_and(|&floor| number <= floor))
    }

    pub(super) fn add(&mut self, id: ChildId) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        while self.order.len() > TOMBSTONES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.ids.remove(&oldest);
            if let (Some(reporter), Some(number)) = (oldest.reporter(), oldest.number()) {
                self.raise(reporter, number);
            }
        }
    }

    /// It was not deleted after all. A floor that covers it stays: it tells nothing of ids that are live.
    pub(super) fn remove(&mut self, id: &ChildId) {
        if self.ids.remove(id) {
            self.order.retain(|other| other != id);
        }
    }

    fn raise(&mut self, reporter: &str, number: u64) {
        if let Some(floor) = self.floors.get_mut(reporter) {
            *floor = number.max(*floor);
            return;
        }
        self.floors.insert(reporter.to_owned(), number);
        self.floored.push_back(reporter.to_owned());
        while self.floored.len() > FLOORS_MAX {
            let Some(oldest) = self.floored.pop_front() else { break };
            self.floors.remove(&oldest);
        }
    }

    /// Adds another's to these.
    pub(super) fn extend(&mut self, other: Tombstones) {
        for reporter in &other.floored {
            if let Some(&number) = other.floors.get(reporter) {
                self.raise(reporter, number);
            }
        }
        for id in other.order {
            self.add(id);
        }
    }

    /// The highest number a reporter's deleted children are known to have had.
    pub(super) fn highest(&self, reporter: &str) -> u64 {
        let kept = self.ids.iter().filter(|id| is_by(id, reporter)).filter_map(ChildId::number).max();
        let floor = self.floors.iter().filter(|(other, _)| other.eq_ignore_ascii_case(reporter));
        kept.max(floor.map(|(_, &number)| number).max()).unwrap_or(0)
    }

    pub(super) fn to_wire(&self) -> TombstonesWire {
        let floors = self
            .floored
            .iter()
            .filter_map(|reporter| self.floors.get(reporter).map(|&number| (reporter.clone(), number)));
        TombstonesWire { ids: self.order.iter().cloned().collect(), floors: floors.collect() }
    }
}

impl From<TombstonesWire> for Tombstones {
    fn from(wire: TombstonesWire) -> Tombstones {
        let mut tombstones = Tombstones::default();
        for (reporter, number) in wire.floors {
            tombstones.raise(&reporter, number);
        }
        wire.ids.into_iter().for_each(|id| tombstones.add(id));
        tombstones
    }
}

/// Ignoring case errs on the side of a higher number, which is harmless.
fn is_by(id: &ChildId, reporter: &str) -> bool {
    id.reporter().is_some_and(|text| text.eq_ignore_ascii_case(reporter))
}
