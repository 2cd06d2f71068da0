//! The Observer's side: a live copy of somebody's object.

mod copy;
mod end;
mod handle;
mod repair;
mod request;
mod shared;
mod stream;
mod subscribe;
mod unsubscribe;
mod verify;

pub use handle::{Observer, ObserverEvents, ObserverState};
pub use request::{REQUEST_BYTES_MAX, RequestError};
pub(crate) use shared::ObserverShared;
pub use subscribe::{Subscribe, SubscribeError};
pub use unsubscribe::UnsubscribeError;
