use hyperty_model::StatusCode;
use hyperty_model::change::ApplyError;

use crate::DataError;

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The value cannot be part of an object; nothing was sent.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The change does not fit the data; nothing was sent. Set what is missing on the way first.
    #[error("the change does not fit the data: {0}")]
    Apply(#[from] ApplyError),
    /// As many changes as [`Limits::in_flight_max`] allows are not committed yet. Await some of them.
    ///
    /// [`Limits::in_flight_max`]: crate::Limits::in_flight_max
    #[error("{0} changes are not committed yet, no more are allowed")]
    TooManyInFlight(usize),
    /// The change, or one made together with it, was refused; it is undone. 400: the data would violate the schema,
    /// the reason says where; 403: this hyperty is not the Reporter any more; 409: the Sync Manager stands at
    /// another version, the copy is read anew.
    #[error("version {version} was refused with {code}: {reason}")]
    Refused {
        /// The version that was refused; the next change takes it.
        version: u64,
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// A change before it was refused, and what was made after that is undone with it. Make it again if it still
    /// makes sense.
    #[error("undone because version {version} was refused with {code}: {reason}")]
    Undone {
        /// The version that was refused.
        version: u64,
        /// The code of that refusal.
        code: StatusCode,
        /// Why that was refused.
        reason: String,
    },
    /// While an edit was under way the data it started from was undone; nothing was sent. Edit again.
    #[error("the data changed back while it was edited")]
    EditOutdated,
    /// The store failed, so nothing is known to be kept any more: the object takes no changes until it is resumed
    /// with a store that works.
    #[error("the object is closed for writing: {reason}")]
    StoreFailed {
        /// What the store said.
        reason: String,
    },
    /// Another hyperty reports the object by now, in a later epoch: while this runtime was away its user took it over.
    /// [`ReporterEvent::Deposed`](crate::ReporterEvent::Deposed) tells what is lost. Observe it, if that is of use.
    #[error("the object has another Reporter since epoch {epoch}")]
    Deposed {
        /// The epoch in which it goes on.
        epoch: u64,
    },
    /// The object was given to another Reporter, or was just being given and now is; the change is undone.
    #[error("the object is another's now")]
    Delegated,
    /// The object is deleted.
    #[error("the object is deleted")]
    Deleted,
    /// The Syncher stopped. Whether the change was committed is seen when the object is resumed.
    #[error("the syncher stopped")]
    Stopped,
}
