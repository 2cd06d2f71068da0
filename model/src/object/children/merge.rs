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
    /// It is an older version than the one that was here: what was built on that has to be forgotten.
    Replaced,
}

/// How far a snapshot is believed about one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It may be too old to know the child: one that it lacks stays, of two versions the higher stays, and what was
    /// deleted on either side is deleted.
    MayBeOld,
    /// It knows whether there is such a child, but perhaps not its latest version.
    KnowsAll,
    /// It is right, whatever is here; only what was deleted here stays deleted, for its writer wanted that.
    IsRight,
}

impl Children {
    /// Takes over the children of a snapshot, and tells what that changed, ordered by name and id.
    ///
    /// The snapshot replaces what is here, with three exceptions, each for an operation that the snapshot may be
    /// too old to know: a child that `keep` names stays (one's own that are not answered yet, and what arrived
    /// since the snapshot was asked for); of two versions of a child the higher stays; what was deleted on either
    /// side is deleted.
    pub fn merge(&mut self, snapshot: Children, keep: &BTreeSet<(ChildrenName, ChildId)>) -> Vec<Merged> {
        self.merge_trusting(snapshot, |name, id| match keep.contains(&(name.clone(), id.clone())) {
            true => Trust::MayBeOld,
            false => Trust::KnowsAll,
        })
    }

    /// Takes over the children of a snapshot as far as it is believed about each, and tells what that changed,
    /// ordered by name and id.
    pub fn merge_trusting(
        &mut self,
        snapshot: Children,
        trust: impl Fn(&ChildrenName, &ChildId) -> Trust,
    ) -> Vec<Merged> {
        let mut changes = Vec::new();
        let mut theirs = snapshot.tables;
        let names: BTreeSet<ChildrenName> = self.tables.keys().chain(theirs.keys()).cloned().collect();
        for name in names {
            let table = self.tables.entry(name.clone()).or_default();
            let other = theirs.remove(&name).unwrap_or_default();
            let of_name = |(id, what)| Merged { name: name.clone(), id, what };
            changes.extend(table.merge(other, |id| trust(&name, id)).into_iter().map(of_name));
        }
        changes
    }
}

impl ChildTable {
    fn merge(
        &mut self,
        mut other: ChildTable,
        trust: impl Fn(&ChildId) -> Trust,
    ) -> Vec<(ChildId, MergedAs)> {
        self.deleted.extend(other.deleted);
        let mut changes = Vec::new();
        let mine = std::mem::take(&mut self.live);
        for (id, entry) in mine {
            let theirs = other.live.remove(&id);
            let trust = trust(&id);
            let stays = theirs.is_some() || trust == Trust::MayBeOld;
            if self.deleted.contains(id.as_str()) || !stays {
                changes.push((id, MergedAs::Deleted));
                continue;
            }
            let newer = theirs.filter(|theirs| trust == Trust::IsRight || supersedes(theirs, &entry));
            if let Some(newer) = newer.as_ref().filter(|newer| **newer != entry) {
                let what = if supersedes(newer, &entry) { MergedAs::Updated } else { MergedAs::Replaced };
                changes.push((id.clone(), what));
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
