//! Taking over the children of a snapshot (protocol 3.2, M18).

use std::collections::BTreeSet;
use std::sync::Arc;

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
    /// What it was, if it is deleted or replaced.
    pub former: Option<ChildEntry>,
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
            let table = self.tables_mut().entry(name.clone()).or_default();
            let other = theirs.remove(&name).unwrap_or_default();
            let of_name = |(id, what, former)| Merged { name: name.clone(), id, what, former };
            changes.extend(table.merge(other, |id| trust(&name, id)).into_iter().map(of_name));
        }
        changes
    }
}

impl ChildTable {
    fn merge(
        &mut self,
        other: ChildTable,
        trust: impl Fn(&ChildId) -> Trust,
    ) -> Vec<(ChildId, MergedAs, Option<ChildEntry>)> {
        if !other.deleted.is_empty() {
            self.deleted_mut().extend(Arc::unwrap_or_clone(other.deleted));
        }
        let mut theirs = Arc::unwrap_or_clone(other.live);
        let mut changes = Vec::new();
        let mine = std::mem::take(self.live_mut());
        for (id, entry) in mine {
            let their = theirs.remove(&id);
            let trust = trust(&id);
            let stays = their.is_some() || trust == Trust::MayBeOld;
            if self.deleted.contains(id.as_str()) || !stays {
                changes.push((id, MergedAs::Deleted, Some(entry)));
                continue;
            }
            let newer = their.filter(|their| trust == Trust::IsRight || supersedes(their, &entry));
            let Some(newer) = newer.filter(|newer| *newer != entry) else {
                self.live_mut().insert(id, entry);
                continue;
            };
            changes.push(match supersedes(&newer, &entry) {
                true => (id.clone(), MergedAs::Updated, None),
                false => (id.clone(), MergedAs::Replaced, Some(entry)),
            });
            self.live_mut().insert(id, newer);
        }
        for (id, entry) in theirs {
            if !self.deleted.contains(id.as_str()) {
                changes.push((id.clone(), MergedAs::Created, None));
                self.live_mut().insert(id, entry);
            }
        }
        changes.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        changes
    }
}

/// At equal versions the snapshot is right: a copy that went wrong heals.
fn supersedes(theirs: &ChildEntry, mine: &ChildEntry) -> bool {
    theirs.value.version >= mine.value.version
}
