//! The API a hyperty uses to report and observe live data objects.

mod children;
mod config;
mod core;
mod data;
mod decisions;
mod driver;
mod events;
mod exchange;
mod inbound;
mod observer;
mod outbox;
mod queue;
mod read;
mod reporter;
mod resume;
mod syncher;

pub use children::{Child, ChildCommit, ChildError, ChildView, ChildrenHandle, UnknownChildren};
pub use config::{
    BUFFERED_MAX, CHILD_OPERATIONS_MAX, DECISIONS_MAX, EVENTS_MAX, IN_FLIGHT_MAX, Limits, SyncherConfig,
    Timeouts,
};
pub use data::DataError;
pub use driver::SyncherDriver;
pub use events::{ChangeEvent, ChildEvent, ChildOp, CloseReason, ObserverEvent, ReporterEvent};
pub use observer::{Observer, ObserverEvents, ObserverState, Subscribe, SubscribeError, UnsubscribeError};
pub use read::ReadError;
pub use reporter::{
    Accept, Commit, Create, CreateError, DeleteError, ReadRequest, Reporter, ReporterEvents,
    SubscriptionRequest, WriteError,
};
pub use resume::{ResumeError, Resumed};
pub use syncher::Syncher;
