//! The Reporter's side: the one who owns an object and changes it.

mod accept;
mod answers;
mod backup;
mod commit;
mod create;
mod delete;
mod deposed;
mod error;
mod events;
mod forward;
mod handle;
mod invite;
mod journal;
mod observers;
mod remove;
mod repair;
mod requests;
mod shared;
mod write;

pub use accept::Accept;
pub use commit::Commit;
pub use create::{Create, CreateError};
pub use delete::DeleteError;
pub use error::WriteError;
pub use events::{ReadRequest, ReporterEvents, SubscriptionRequest};
pub use handle::{Reporter, ReporterState};
pub use invite::{Invite, InviteAnswer, InviteAnswers, InviteError, RevokeError};
pub use observers::{ObserverEntry, ObserversChange, ObserversChanges};
pub use remove::RemoveError;
pub use requests::{ActionRequest, NO_HANDLER, Requests};
pub(crate) use shared::ReporterShared;
