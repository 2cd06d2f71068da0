//! What a data object is: metadata, position, snapshot, children (protocol 3.1, 3.2, 3.6).

mod children;
mod metadata;
mod position;
mod snapshot;

pub use children::{
    CHILD_ID_BYTES_MAX, ChildEntry, ChildId, ChildIdError, ChildOutcome, ChildRefusal, ChildTable,
    ChildValue, Children, FLOORS_MAX, Merged, MergedAs, TOMBSTONES_MAX, Trust, Unreleased,
};
pub use metadata::{Metadata, MetadataError};
pub use position::Position;
pub use snapshot::Snapshot;
