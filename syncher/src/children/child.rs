use std::fmt;
use std::sync::Arc;

use hyperty_model::change::{AttrPath, Change, ChangeOp};
use hyperty_model::object::{ChildEntry, ChildId};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, Timestamp};
use serde_json::Value;

use super::{Board, ChildCommit, ChildError};
use crate::core::Live;

/// A child as it is now, whoever reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildView {
    /// Its id.
    pub id: String,
    /// The children name it belongs to.
    pub name: ChildrenName,
    /// Its only writer.
    pub reporter: HypertyUrl,
    /// The user behind the writer.
    pub identity: Option<Identity>,
    /// Its data.
    pub data: Value,
    /// The number of its changes.
    pub version: u64,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was last changed.
    pub last_modified: Option<Timestamp>,
}

impl ChildView {
    pub(super) fn of(name: &ChildrenName, entry: &ChildEntry) -> ChildView {
        let child = &entry.value;
        ChildView {
            id: child.url.to_string(),
            name: name.clone(),
            reporter: child.reporter.clone(),
            identity: entry.identity.clone(),
            data: child.data.clone(),
            version: child.version,
            created: child.created,
            last_modified: child.last_modified,
        }
    }
}

/// A child that this hyperty reports. Clones are the same child.
#[derive(Clone)]
pub struct Child {
    pub(super) board: Arc<Board>,
    pub(super) key: (ChildrenName, ChildId),
    /// Keeps the object open.
    pub(super) _owner: Live,
}

impl Child {
    /// Its id.
    pub fn id(&self) -> &str {
        self.key.1.as_str()
    }

    /// The children name it belongs to.
    pub fn name(&self) -> &ChildrenName {
        &self.key.0
    }

    /// Its data, with all that was done so far; `null` once it is deleted.
    pub fn data(&self) -> Value {
        self.board.view(&self.key).map_or(Value::Null, |view| view.data)
    }

    /// The number of its changes so far.
    pub fn version(&self) -> u64 {
        self.board.view(&self.key).map_or(0, |view| view.version)
    }

    /// Sets an attribute. The change is made and on its way when this returns; awaited it gives the version that
    /// the Reporter's side took.
    pub fn set(&self, path: impl Into<AttrPath>, value: impl Into<Value>) -> ChildCommit<u64> {
        self.change(Change::new(path, ChangeOp::Set(value.into())))
    }

    /// Removes an attribute.
    pub fn remove(&self, path: impl Into<AttrPath>) -> ChildCommit<u64> {
        self.change(Change::new(path, ChangeOp::Delete))
    }

    /// Makes one change.
    pub fn change(&self, change: Change) -> ChildCommit<u64> {
        self.board.change(&self.key, change)
    }

    /// Edits a copy of the data, and makes the changes that lead there, each a version of its own. Meanwhile other
    /// threads wait that change children of this object.
    pub fn update(&self, edit: impl FnOnce(&mut Value)) -> ChildCommit<u64> {
        self.board.edit(&self.key, edit)
    }

    /// Deletes the child.
    pub fn delete(&self) -> ChildCommit<()> {
        self.board.delete(&self.key)
    }

    /// The child as it is now.
    ///
    /// # Errors
    /// [`ChildError::Deleted`].
    pub fn view(&self) -> Result<ChildView, ChildError> {
        self.board.view(&self.key).ok_or(ChildError::Deleted)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({})", self.key.1)
    }
}
