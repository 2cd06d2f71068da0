//! The children of one name: who may do what, versions, deletion (protocol 3.6, 5.9).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::tombstones::Tombstones;
use super::{ChildEntry, ChildId};
use crate::change::{ApplyError, Change, ChangeOp, apply};
use crate::message::{UpdateBody, UpdateKind};
use crate::{HypertyUrl, StatusCode, Timestamp, Url};

/// What came of an operation that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildOutcome {
    /// It changed the table: keep it, pass it on.
    Applied,
    /// It was applied before, and sent again: answer it, do not pass it on.
    Duplicate,
}

/// Why an operation on a child is refused; the table is as it was. [`ChildRefusal::code`] is what to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildRefusal {
    /// The child was deleted, and ids are never used again; forget the operation.
    #[error("the child is deleted")]
    Deleted,
    /// Another hyperty has a child of this id, or the id is made of another hyperty's URL.
    #[error("the id belongs to another reporter")]
    OtherReporter,
    /// There is no such child. A receiver missed its creation and repairs the object.
    #[error("there is no such child")]
    Unknown,
    /// Only the child's reporter changes or deletes it.
    #[error("only the child's reporter may do that")]
    NotReporter,
    /// An update before this one is missing, or another one has its version. A receiver repairs the object; the writer
    /// sends all again.
    #[error("an earlier update of the child is missing")]
    Gap,
    /// The update does not fit the child's data.
    #[error("the update does not fit the child: {0}")]
    Diverged(#[from] ApplyError),
    /// Not an update of a child's data.
    #[error("not an update of a child's data")]
    NotAnUpdate,
}

impl ChildRefusal {
    /// The code of the answer.
    pub fn code(&self) -> StatusCode {
        match self {
            ChildRefusal::Deleted => StatusCode::GONE,
            ChildRefusal::OtherReporter | ChildRefusal::NotReporter => StatusCode::FORBIDDEN,
            ChildRefusal::Unknown => StatusCode::NOT_FOUND,
            ChildRefusal::Gap => StatusCode::CONFLICT,
            ChildRefusal::Diverged(_) | ChildRefusal::NotAnUpdate => StatusCode::BAD_REQUEST,
        }
    }
}

/// The children of one name, ordered by id. A copy shares them until one of the two is changed: snapshots, answers and
/// records are made of copies far more often than children change meanwhile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChildTable {
    pub(super) live: Arc<BTreeMap<ChildId, ChildEntry>>,
    pub(super) deleted: Arc<Tombstones>,
}

impl ChildTable {
    /// The child of this id.
    pub fn get(&self, id: &str) -> Option<&ChildEntry> {
        self.live.get(id)
    }

    /// All children, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = (&ChildId, &ChildEntry)> {
        self.live.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none; some may have been deleted.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether a child of this id was deleted, as far as is remembered.
    pub fn is_deleted(&self, id: &ChildId) -> bool {
        !self.live.contains_key(id) && self.deleted.covers(id)
    }

    pub(super) fn live_mut(&mut self) -> &mut BTreeMap<ChildId, ChildEntry> {
        Arc::make_mut(&mut self.live)
    }

    pub(super) fn deleted_mut(&mut self) -> &mut Tombstones {
        Arc::make_mut(&mut self.deleted)
    }

    pub(super) fn create(&mut self, entry: ChildEntry) -> Result<ChildOutcome, ChildRefusal> {
        let child = &entry.value;
        if let Some(present) = self.live.get(&child.url) {
            let same = present.value.reporter == child.reporter;
            return if same { Ok(ChildOutcome::Duplicate) } else { Err(ChildRefusal::OtherReporter) };
        }
        if child.url.owner().is_some_and(|owner| owner != child.reporter) {
            return Err(ChildRefusal::OtherReporter);
        }
        if self.deleted.covers(&child.url) {
            return Err(ChildRefusal::Deleted);
        }
        // The same check as for a change of the whole data: an object, and not too deep.
        apply(&mut Value::Null, &whole(child.data.clone()))?;
        self.live_mut().insert(child.url.clone(), entry);
        Ok(ChildOutcome::Applied)
    }

    pub(super) fn update(
        &mut self,
        id: &str,
        writer: &Url,
        body: &UpdateBody,
    ) -> Result<ChildOutcome, ChildRefusal> {
        if !self.live.contains_key(id) {
            return Err(self.absent(id));
        }
        let Some(entry) = self.live_mut().get_mut(id) else { return Err(ChildRefusal::Unknown) };
        let child = &mut entry.value;
        if child.reporter.as_url() != writer {
            return Err(ChildRefusal::NotReporter);
        }
        let next = child.version.saturating_add(1);
        let version = body.version.unwrap_or(next);
        if version < child.version {
            return Ok(ChildOutcome::Duplicate);
        }
        match &body.kind {
            // A whole value needs nothing that came before it, and at the same version it heals a copy that went
            // wrong. On a children channel there are no status words.
            UpdateKind::Whole(value) | UpdateKind::Status(value) => {
                if version == child.version && *value == child.data {
                    return Ok(ChildOutcome::Duplicate);
                }
                apply(&mut child.data, &whole(value.clone()))?;
            }
            UpdateKind::Change(_) if version == child.version => {
                return match is_another(body.last_modified, child.last_modified) {
                    true => Err(ChildRefusal::Gap),
                    false => Ok(ChildOutcome::Duplicate),
                };
            }
            UpdateKind::Change(_) if version > next => return Err(ChildRefusal::Gap),
            UpdateKind::Change(change) => apply(&mut child.data, change)?,
            _ => return Err(ChildRefusal::NotAnUpdate),
        }
        child.version = version;
        child.last_modified = body.last_modified.or(child.last_modified);
        Ok(ChildOutcome::Applied)
    }

    pub(super) fn delete(&mut self, id: &str, writer: &Url) -> Result<ChildOutcome, ChildRefusal> {
        if let Some(entry) = self.live.get(id) {
            if entry.value.reporter.as_url() != writer {
                return Err(ChildRefusal::NotReporter);
            }
            self.bury(entry.value.url.clone());
            return Ok(ChildOutcome::Applied);
        }
        let id = ChildId::parse(id).map_err(|_| ChildRefusal::Unknown)?;
        if self.deleted.covers(&id) {
            return Ok(ChildOutcome::Duplicate);
        }
        // A deletion may overtake the creation. It counts only where the id itself tells that it is the writer's:
        // else anybody could forbid others their ids.
        if id.owner().is_some_and(|owner| owner.as_url() == writer) {
            self.deleted_mut().add(id);
            return Ok(ChildOutcome::Applied);
        }
        Err(ChildRefusal::Unknown)
    }

    pub(super) fn bury(&mut self, id: ChildId) {
        self.live_mut().remove(&id);
        self.deleted_mut().add(id);
    }

    pub(super) fn put_back(&mut self, id: &ChildId, entry: Option<ChildEntry>) {
        self.deleted_mut().remove(id);
        match entry {
            Some(entry) => self.live_mut().insert(id.clone(), entry),
            None => self.live_mut().remove(id),
        };
    }

    fn absent(&self, id: &str) -> ChildRefusal {
        match ChildId::parse(id) {
            Ok(id) if self.deleted.covers(&id) => ChildRefusal::Deleted,
            _ => ChildRefusal::Unknown,
        }
    }

    pub(super) fn next_number(&self, reporter: &HypertyUrl) -> u64 {
        let live = self.live.values().filter(|entry| entry.value.reporter == *reporter);
        let live = live.filter_map(|entry| entry.value.url.number()).max().unwrap_or(0);
        live.max(self.deleted.highest(reporter.as_str())).saturating_add(1)
    }
}

/// Whether two operations on one version are not the same one: its writer lost the first, and made another.
fn is_another(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

fn whole(value: Value) -> Change {
    Change::new("", ChangeOp::Set(value))
}
