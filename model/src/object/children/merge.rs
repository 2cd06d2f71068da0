//! Taking over the children of a snapshot (protocol 3.2, M18).

use std::collections::BTreeSet;

use super::{ChildEntry, ChildId, ChildTable, Children};
use crate::ChildrenName;

/// What a snapshot changed of one child.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The children name.
    pub name: ChildrenName,
    /// The child.
    pub id: ChildId,
    /// What became of it.
    pub what: MergedAs,
}

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedAs {
    /// It was not known before.
    Created,
    /// It is another version.
    Updated,
    /// It is gone.
    Deleted,
}

impl Children {
    /// Takes over the children of a snapshot, and tells what that changed, ordered by name and id.
    ///
    /// The snapshot replaces what is here, with three exceptions, each for an operation that the snapshot may be
    /// too old to know: a child that `keep` names stays (one's own that are not answered yet, and what arrived
    /// since the snapshot was asked for); of two versions of a child the higher stays; what was deleted on either
    /// side is deleted.
    pub fn merge(&mut self, snapshot: Children, keep: &BTreeSet<(ChildrenName, ChildId)>) -> Vec<Merged> {
        let mut changes = Vec::new();
        let mut theirs = snapshot.tables;
        let names: BTreeSet<ChildrenName> = self.tables.keys().chain(theirs.keys()).cloned().collect();
        for name in names {
            let table = self.tables.entry(name.clone()).or_default();
            let kept = |id: &ChildId| keep.contains(&(name.clone(), id.clone()));
            let other = theirs.remove(&name).unwrap_or_default();
            let of_name = |(id, what)| Merged { name: name.clone(), id, what };
            changes.extend(table.merge(other, kept).into_iter().map(of_name));
        }
        changes
    }
}

impl ChildTable {
    fn merge(&mut self, mut other: ChildTable, kept: impl Fn(&ChildId) -> bool) -> Vec<(ChildId, MergedAs)> {
        self.deleted.extend(other.deleted);
        let mut changes = Vec::new();
        let mine = std::mem::take(&mut self.live);
        for (id, entry) in mine {
            let theirs = other.live.remove(&id);
            let stays = theirs.is_some() || kept(&id);
            if self.deleted.contains(id.as_str()) || !stays {
                changes.push((id, MergedAs::Deleted));
                continue;
            }
            let newer = theirs.filter(|theirs| supersedes(theirs, &entry));
            if newer.as_ref().is_some_and(|newer| *newer != entry) {
                changes.push((id.clone(), MergedAs::Updated));
            }
            self.live.insert(id, newer.unwrap_or(entry));
        }
        for (id, entry) in other.live {
            if !self.deleted.contains(id.as_str()) {
                changes.push((id.clone(), MergedAs::Created));
                self.live.insert(id, entry);
            }
        }
        changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        changes
    }
}

/// At equal versions the snapshot is right: a copy that went wrong heals.
fn supersedes(theirs: &ChildEntry, mine: &ChildEntry) -> bool {
    theirs.value.version >= mine.value.version
}
