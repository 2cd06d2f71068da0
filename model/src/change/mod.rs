//! The change language of protocol 3.3: what one update does to an object's data.
//!
//! A [`Change`] is a [path](AttrPath) into the data and a [`ChangeOp`]. [`apply`] carries one out, [`diff`] finds
//! those that lead from one document to another, [`apply_with_inverse`] keeps what it takes to go back.
//! The data of an object is always a JSON object.

mod apply;
mod diff;
mod path;
mod value;

pub use apply::{ApplyError, Inverse, apply, apply_with_inverse};
pub use diff::diff;
pub use path::{AttrPath, PATH_BYTES_MAX, resolve};
pub use value::{DATA_DEPTH_MAX, INTEGER_MAX, ValueError, approximate_size, check_value};

use serde_json::Value;

/// One change of an object's data; raises the version by one.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where.
    pub path: AttrPath,
    /// What.
    pub op: ChangeOp,
}

impl Change {
    /// A change.
    pub fn new(path: impl Into<AttrPath>, op: ChangeOp) -> Change {
        Change { path: path.into(), op }
    }

    /// The values it brings, to be checked before it is accepted.
    pub fn values(&self) -> &[Value] {
        match &self.op {
            ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) => std::slice::from_ref(value),
            ChangeOp::Insert(values) => values,
            ChangeOp::Delete | ChangeOp::Remove(_) => &[],
        }
    }
}

/// What a change does at its path.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeOp {
    /// Creates or replaces the attribute; an array element if the path ends in an array.
    Set(Value),
    /// Removes the attribute; one array element if the path ends in an array. An attribute that is not there
    /// stays so.
    Delete,
    /// Replaces the array element the path names; one behind the last appends.
    ReplaceElement(Value),
    /// Inserts elements before the position the path names.
    Insert(Vec<Value>),
    /// Removes so many elements from the position the path names; at least 1.
    Remove(u64),
}
