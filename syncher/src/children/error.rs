use hyperty_model::change::ApplyError;
use hyperty_model::{ChildrenName, StatusCode};

use crate::DataError;

/// Why an operation on a child failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The value cannot be part of a child; nothing was sent.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The change does not fit the child's data; nothing was sent. Set what is missing on the way first.
    #[error("the change does not fit the child: {0}")]
    Apply(#[from] ApplyError),
    /// The Reporter's side refused it, and it is undone with those that were made after it on the same child. 403:
    /// the schema or the Reporter does not let this hyperty do that; 404 and 410: child or object are gone.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// An operation before it on the same child was refused, so it is undone too.
    #[error("undone because an earlier operation was refused with {code}: {reason}")]
    Undone {
        /// The code of the one before.
        code: StatusCode,
        /// Why that was refused.
        reason: String,
    },
    /// No answer came in time. The operation is kept and sent again until it is answered, and the child shows it
    /// meanwhile; if it is refused in the end, it is undone.
    #[error("not answered yet; it stays queued")]
    Unanswered,
    /// The child is deleted.
    #[error("the child is deleted")]
    Deleted,
    /// The object is deleted, or no longer observed: it has no children any more.
    #[error("the object is closed")]
    Closed,
    /// As many operations on children of this object as [`Limits::child_operations_max`] allows are unanswered.
    /// Wait for some of them.
    ///
    /// [`Limits::child_operations_max`]: crate::Limits::child_operations_max
    #[error("{0} operations are not answered yet, no more are allowed")]
    TooManyInFlight(usize),
    /// The Syncher stopped. Whether the operation took effect is seen when the object is resumed.
    #[error("the syncher stopped")]
    Stopped,
}

/// The object has no children of this name; its schema says which there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no children of the name {name:?}; there are {}", listed(known))]
pub struct UnknownChildren {
    /// The name asked for.
    pub name: String,
    /// The names there are.
    pub known: Vec<ChildrenName>,
}

fn listed(names: &[ChildrenName]) -> String {
    let names: Vec<&str> = names.iter().map(ChildrenName::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
