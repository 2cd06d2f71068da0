use std::fmt;
use std::sync::Arc;

use hyperty_model::ChildrenName;
use hyperty_model::object::ChildId;
use serde_json::Value;

use super::{Board, Child, ChildCommit, ChildView};
use crate::core::Live;

/// The children of one name of an object. Clones are the same.
#[derive(Clone)]
pub struct ChildrenHandle {
    board: Arc<Board>,
    name: ChildrenName,
    /// Keeps the object open: without it the children would no longer be kept up to date.
    owner: Live,
}

impl ChildrenHandle {
    pub(crate) fn new(board: Arc<Board>, name: ChildrenName, owner: Live) -> ChildrenHandle {
        ChildrenHandle { board, name, owner }
    }

    /// The children name.
    pub fn name(&self) -> &ChildrenName {
        &self.name
    }

    /// Adds a child that this hyperty reports. It exists here and is on its way when this returns; awaited it gives
    /// the child once the Reporter's side took it.
    pub fn add(&self, data: impl Into<Value>) -> ChildCommit<Child> {
        self.board.add(&self.name, data.into(), self.owner.clone())
    }

    /// All children, ordered by id, with this hyperty's operations that are not answered yet.
    pub fn list(&self) -> Vec<ChildView> {
        self.board.list(&self.name)
    }

    /// One child.
    pub fn get(&self, id: &str) -> Option<ChildView> {
        self.board.view(&(self.name.clone(), ChildId::parse(id).ok()?))
    }

    /// The children that this hyperty reports, ordered by id.
    pub fn mine(&self) -> Vec<Child> {
        let ids = self.board.own(&self.name).into_iter();
        let child = |id| Child {
            board: Arc::clone(&self.board),
            key: (self.name.clone(), id),
            _owner: self.owner.clone(),
        };
        ids.map(child).collect()
    }
}

impl fmt::Debug for ChildrenHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildrenHandle({})", self.name)
    }
}
