//! Children as they must be: each has one writer, who numbers its changes, and comes never back once deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{ByName, Invariant, Limits, Reference, Violation};

/// A child as somebody holds it or is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildSeen {
    /// Which child, with the name it belongs to if ids are not unique without.
    pub id: String,
    /// Who is said to write it.
    pub writer: String,
    /// The number of its changes.
    pub version: u64,
    /// Its data.
    pub data: Value,
}

/// The children of one name as a handle lists them. Their writers are the URLs of hyperties, their ids are unique.
pub fn children_of(handle: &hyperty_syncher::ChildrenHandle) -> Vec<ChildSeen> {
    let seen = |view: hyperty_syncher::ChildView| ChildSeen {
        id: format!("{}/{}", view.name, view.id),
        writer: view.reporter.to_string(),
        version: view.version,
        data: view.data,
    };
    handle.list().into_iter().map(seen).collect()
}

#[derive(Debug, Clone)]
pub(super) struct Children {
    known: ByName<Kid>,
    limits: Limits,
    /// Those whose deletion was acknowledged when somebody asked to observe, by who asked.
    gone_when_asked: ByName<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
struct Kid {
    writer: String,
    versions: BTreeMap<u64, Value>,
    /// Versions below this were forgotten.
    forgotten_below: u64,
    /// The highest version that the Reporter's side took; `None` before its creation was answered.
    acknowledged: Option<u64>,
    deletion: Deletion,
    /// Its writer deleted it at some time; that may have been refused, or lost, since.
    was_deleted: bool,
    /// The Reporter's side refused what was done from this version on. Children travel from peer to peer as well, so
    /// some may show it until all is settled.
    passing: Option<u64>,
    /// What its writer had under way reached some and not others, and nobody tells it again.
    uncertain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deletion {
    None,
    Proposed,
    Acknowledged,
}

impl Kid {
    fn is_gone(&self) -> bool {
        self.deletion == Deletion::Acknowledged
    }

    /// Whether a version may be shown and then be gone again: children travel from peer to peer as well, and what
    /// the Reporter's side has not taken yet it may refuse, or lose and be sent again.
    fn may_go_back(&self, version: u64) -> bool {
        self.uncertain || self.passing.is_some() || self.acknowledged.is_none_or(|taken| taken < version)
    }
}

impl Children {
    pub(super) fn new(limits: Limits) -> Children {
        Children { known: BTreeMap::new(), limits, gone_when_asked: BTreeMap::new() }
    }

    /// What one who is let in may not be shown any more: what was deleted when it asked.
    pub(super) fn gone_for(&mut self, who: &str) -> BTreeSet<String> {
        self.gone_when_asked.remove(who).unwrap_or_else(|| self.gone().collect())
    }

    /// Those whose deletion was acknowledged.
    fn gone(&self) -> impl Iterator<Item = String> {
        let gone = self.known.iter().filter(|(_, kid)| kid.is_gone() && !kid.uncertain);
        gone.map(|(id, _)| id.clone())
    }
}

/// What the writers of children did.
impl Reference {
    /// A writer created a child (version 0) or changed it; its own copy is this from now on.
    ///
    /// # Errors
    /// I5 when the child is another's, I2 when the version is not the next, I9 when the child is deleted.
    pub fn child_proposed(
        &mut self,
        who: &str,
        id: &str,
        version: u64,
        data: &Value,
    ) -> Result<(), Violation> {
        let limit = self.children.limits.child_versions as u64;
        let Some(kid) = self.children.known.get_mut(id) else {
            let kid = Kid {
                writer: who.to_owned(),
                versions: BTreeMap::from([(version, data.clone())]),
                forgotten_below: 0,
                acknowledged: None,
                deletion: Deletion::None,
                was_deleted: false,
                passing: None,
                uncertain: false,
            };
            self.children.known.insert(id.to_owned(), kid);
            return Ok(());
        };
        let last = kid.versions.last_key_value().map_or(0, |(version, _)| *version);
        if kid.writer != who {
            let writer = kid.writer.clone();
            return Err(self.violation(Invariant::I5, who, format!("writes {id}, a child of {writer}")));
        }
        if kid.deletion > Deletion::None && !kid.uncertain {
            return Err(self.violation(Invariant::I9, who, format!("writes {id}, which it deleted")));
        }
        // In the place of what was refused: some may hold the one, some the other.
        kid.uncertain |= kid.passing.is_some_and(|refused| version >= refused);
        if version <= last && !kid.uncertain {
            return Err(self.violation(Invariant::I2, who, format!("writes {version} of {id} after {last}")));
        }
        kid.versions.insert(version, data.clone());
        if let Some(old) = version.checked_sub(limit) {
            kid.versions = kid.versions.split_off(&old);
            kid.forgotten_below = kid.forgotten_below.max(old);
        }
        Ok(())
    }

    /// A writer deleted a child of its own.
    ///
    /// # Errors
    /// I5 when the child is another's, I3 when there is none.
    pub fn child_deleted(&mut self, who: &str, id: &str) -> Result<(), Violation> {
        let kid = self.kid(who, id)?;
        kid.deletion = kid.deletion.max(Deletion::Proposed);
        kid.was_deleted = true;
        Ok(())
    }

    /// The Reporter's side took all that a writer did up to this version; or its deletion, if that is the last.
    ///
    /// # Errors
    /// I5 when the child is another's, I3 when there is none or the version was never written.
    pub fn child_acknowledged(&mut self, who: &str, id: &str, version: u64) -> Result<(), Violation> {
        let kid = self.kid(who, id)?;
        let last = kid.versions.last_key_value().map_or(0, |(version, _)| *version);
        kid.acknowledged = kid.acknowledged.max(Some(version));
        if version > last {
            return Err(self.violation(
                Invariant::I3,
                who,
                format!("{version} of {id} is acknowledged, never written"),
            ));
        }
        Ok(())
    }

    /// The Reporter's side took the deletion of a child.
    ///
    /// # Errors
    /// I3 when nobody deleted it, I5 when it is another's.
    pub fn child_deletion_acknowledged(&mut self, who: &str, id: &str) -> Result<(), Violation> {
        let kid = self.kid(who, id)?;
        if kid.deletion == Deletion::None {
            let detail = format!("the deletion of {id} is acknowledged, never made");
            return Err(self.violation(Invariant::I3, who, detail));
        }
        kid.deletion = Deletion::Acknowledged;
        Ok(())
    }

    /// The Reporter's side refused what the writer did from this version on, its deletion with it: that is undone.
    /// Others that it reached directly may show it until all is [settled](Reference::settled_children).
    ///
    /// # Errors
    /// I5 when the child is another's, I3 when there is none.
    pub fn child_refused(&mut self, who: &str, id: &str, version: u64) -> Result<(), Violation> {
        let kid = self.kid(who, id)?;
        kid.passing = Some(kid.passing.map_or(version, |refused| refused.min(version)));
        if kid.deletion == Deletion::Proposed {
            kid.deletion = Deletion::None;
        }
        Ok(())
    }

    /// What the writer of a child had under way is lost to it (it ended its subscription, or crashed before it was
    /// kept): some may have it, and nobody tells the others. From now on only that all agree is asked for, in the end.
    pub fn child_uncertain(&mut self, id: &str) {
        if let Some(kid) = self.children.known.get_mut(id) {
            kid.uncertain = true;
        }
    }

    /// Marks all of a writer's children that are not all acknowledged as [uncertain](Reference::child_uncertain).
    pub fn children_uncertain(&mut self, writer: &str) {
        for kid in self.children.known.values_mut().filter(|kid| kid.writer == writer) {
            let last = kid.versions.last_key_value().map(|(version, _)| *version);
            let refused = kid.passing.is_some();
            kid.uncertain |= !refused && (kid.acknowledged < last || kid.deletion == Deletion::Proposed);
        }
    }

    /// Marks all children [uncertain](Reference::child_uncertain): what the Reporter's side had promised of them may be
    /// lost with it.
    pub fn all_children_uncertain(&mut self) {
        self.children.known.values_mut().for_each(|kid| kid.uncertain = true);
    }

    fn kid(&mut self, who: &str, id: &str) -> Result<&mut Kid, Violation> {
        let Some(kid) = self.children.known.get(id) else {
            return Err(self.violation(Invariant::I3, who, format!("there is no child {id}")));
        };
        if kid.writer != who {
            return Err(self.violation(Invariant::I5, who, format!("{id} is a child of {}", kid.writer)));
        }
        Ok(self.children.known.get_mut(id).expect("it was just found"))
    }
}

/// What others are shown of children.
impl Reference {
    /// The children whose deletion the Reporter's side took, each with its writer.
    pub fn deleted_children(&self) -> Vec<(String, String)> {
        let writer = |id: &String| self.children.known.get(id).map(|kid| kid.writer.clone());
        self.children.gone().filter_map(|id| Some((id.clone(), writer(&id)?))).collect()
    }

    /// Somebody asks to observe. The answer may be older than what is deleted while it is on its way: such a deletion
    /// comes behind it (protocol 5.5, 5.9). Without this [`Reference::joined`] counts what is deleted by then.
    pub fn asks(&mut self, who: &str) {
        let gone = self.children.gone().collect();
        self.children.gone_when_asked.insert(who.to_owned(), gone);
    }

    /// An observer, or the Reporter's application, was told of an operation on a child.
    ///
    /// # Errors
    /// I1 when the data is another, I2 when it was told before, I3 when nobody did it, I5 when the writer is
    /// another, I9 when the child had been told to be deleted.
    pub fn child_changed(&mut self, who: &str, seen: &ChildSeen, deleted: bool) -> Result<(), Violation> {
        let id = seen.id.as_str();
        self.check_child(who, seen)?;
        let kid = &self.children.known[id];
        let uncertain = kid.may_go_back(seen.version);
        let known_deleted = kid.deletion > Deletion::None;
        if deleted && !known_deleted && !uncertain {
            let detail = format!("told that {id} is deleted, nobody did that");
            return Err(self.violation(Invariant::I3, who, detail));
        }
        // Until the Reporter's side has taken it a deletion may be refused, or lost; and what looks like one may be a
        // version that is taken back.
        let is_final = kid.is_gone();
        let Some(seat) = self.observers.seats.get_mut(who) else { return Ok(()) };
        if !is_final {
            seat.children_gone.remove(id);
        }
        if seat.children_gone.contains(id) && !uncertain {
            return Err(self.violation(Invariant::I9, who, format!("told of {id}, which is deleted")));
        }
        let before = seat.children_told.get(id).copied();
        if !deleted && !uncertain && before.is_some_and(|before| seen.version <= before) {
            let detail = format!("told of {} of {id} after {before:?}", seen.version);
            return Err(self.violation(Invariant::I2, who, detail));
        }
        if let Some(seat) = self.observers.seats.get_mut(who) {
            match deleted {
                // Taken back: what the Reporter's side has of it may be older, and is told from the beginning.
                true if !is_final => drop(seat.children_told.remove(id)),
                _ => drop(seat.children_told.insert(seen.id.clone(), seen.version)),
            }
            if deleted && known_deleted {
                seat.children_gone.insert(seen.id.clone());
            }
        }
        Ok(())
    }

    /// All children that somebody holds: the Reporter's side, or an observer.
    ///
    /// # Errors
    /// Those of [`Reference::child_changed`]; I6 when the Reporter's side is without what it took.
    pub fn holds_children(&mut self, who: &str, list: &[ChildSeen]) -> Result<(), Violation> {
        for seen in list {
            self.check_child(who, seen)?;
        }
        if who == self.owner() {
            self.reporter_holds(who, list)?;
        }
        let Some(seat) = self.observers.seats.get_mut(who) else { return Ok(()) };
        for seen in list.iter().filter(|seen| !self.children.known[&seen.id].is_gone()) {
            seat.children_gone.remove(&seen.id);
        }
        let Some(seat) = self.observers.seats.get(who) else { return Ok(()) };
        for seen in list {
            let kid = &self.children.known[&seen.id];
            if seat.children_gone.contains(&seen.id) && !kid.may_go_back(0) {
                let detail = format!("holds {}, which is deleted", seen.id);
                return Err(self.violation(Invariant::I9, who, detail));
            }
            let before = seat.children_held.get(&seen.id).copied().unwrap_or_default();
            if seen.version < before && !kid.may_go_back(before) && kid.writer != who {
                let detail = format!("{} went back from {before} to {}", seen.id, seen.version);
                return Err(self.violation(Invariant::I2, who, detail));
            }
        }
        if let Some(seat) = self.observers.seats.get_mut(who) {
            seat.children_held = list.iter().map(|seen| (seen.id.clone(), seen.version)).collect();
        }
        Ok(())
    }

    fn reporter_holds(&self, who: &str, list: &[ChildSeen]) -> Result<(), Violation> {
        let held: BTreeMap<&str, u64> = list.iter().map(|seen| (seen.id.as_str(), seen.version)).collect();
        for (id, kid) in self.children.known.iter().filter(|(_, kid)| !kid.uncertain) {
            let held = held.get(id.as_str()).copied();
            if kid.is_gone() && held.is_some() {
                return Err(self.violation(Invariant::I9, who, format!("{id} is deleted, and there")));
            }
            if kid.deletion == Deletion::None && held < kid.acknowledged {
                let detail = format!("{id} is at {held:?}, {:?} was taken", kid.acknowledged);
                return Err(self.violation(Invariant::I6, who, detail));
            }
        }
        Ok(())
    }

    fn check_child(&self, who: &str, seen: &ChildSeen) -> Result<(), Violation> {
        let ChildSeen { id, writer, version, data } = seen;
        let Some(kid) = self.children.known.get(id) else {
            let detail = format!("{id} with {data}, a child nobody made");
            return Err(self.wrong_data(Invariant::I3, who, data, detail));
        };
        if *writer != kid.writer {
            return Err(self.violation(Invariant::I5, who, format!("{id} of {writer}, not {}", kid.writer)));
        }
        match kid.versions.get(version) {
            Some(known) if known == data => Ok(()),
            // What was lost may be anything of its writer's, but nothing that was forged.
            _ if (kid.uncertain || *version < kid.forgotten_below) && !self.is_hostile(data) => Ok(()),
            Some(known) => {
                let detail = format!("{version} of {id} is {data}, not {known}");
                Err(self.wrong_data(Invariant::I1, who, data, detail))
            }
            None => {
                let detail = format!("{version} of {id} with {data}, which nobody wrote");
                Err(self.wrong_data(Invariant::I3, who, data, detail))
            }
        }
    }

    /// Once everything is mended: the children that somebody holds are those of the Reporter's side, and as their
    /// writers left them.
    ///
    /// # Errors
    /// I11.
    pub fn settled_children(
        &self,
        who: &str,
        list: &[ChildSeen],
        reporters: &[ChildSeen],
    ) -> Result<(), Violation> {
        let by_id = |list: &[ChildSeen]| -> BTreeMap<String, ChildSeen> {
            list.iter().map(|seen| (seen.id.clone(), seen.clone())).collect()
        };
        let (list, reporters) = (by_id(list), by_id(reporters));
        for (id, kid) in &self.children.known {
            let held = list.get(id);
            // Who was told of a deletion directly believes it, also where the Reporter's side refused or never got it
            // (protocol 5.9, decision 0010).
            let stays = kid.uncertain && kid.was_deleted && held.is_none();
            if held != reporters.get(id) && !stays {
                let detail = format!("holds {held:?}, the reporter {:?}", reporters.get(id));
                return Err(self.violation(Invariant::I11, who, detail));
            }
            let refused = kid.passing.unwrap_or(u64::MAX);
            let last = kid.versions.range(..refused).next_back().map(|(version, _)| *version);
            let expected = if kid.deletion == Deletion::None { last } else { None };
            if !kid.uncertain && held.map(|seen| seen.version) != expected {
                let detail = format!("holds {held:?} for {id}, which is at {expected:?}");
                return Err(self.violation(Invariant::I11, who, detail));
            }
        }
        list.values().try_for_each(|seen| self.check_child(who, seen))
    }
}
