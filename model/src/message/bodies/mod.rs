//! Typed bodies of the synchronisation procedures (protocol 2.2 to 2.5, section 5).
//!
//! They read what an interoperable implementation accepts (section 6) and write what we emit. Members that they do
//! not know stay in the message's raw body, which is what relays pass on.

mod backup;
mod create;
mod delegation;
mod invite;
mod list;
mod observe;
mod observers;
mod response;
mod resume;
mod routes;

pub use backup::{BackupBody, BackupEntry, BackupSide};
pub use create::{ChildBody, CreateObject};
pub use delegation::{ClaimBody, ClaimKind, Control, ControlBody, GiveBackBody, PassedBody};
pub use invite::{InviteBody, Scope};
pub use list::OneOrMany;
pub use observe::{
    DeleteBody, ForwardBody, ForwardKind, ReadBody, ReadCriteria, SubscribeBody, UnsubscribeBody,
};
pub use observers::{
    ExecuteBody, ForwardExecute, ForwardExecuteBody, ObserverValue, ObserversBody, ObserversOperation,
};
pub use response::ResponseBody;
pub use resume::{BackedUpBody, DeposedBody, ResumeBody};
pub use routes::RoutesBody;
