//! The Observer's side: a live copy of somebody's object.

mod copy;
mod end;
mod handle;
mod repair;
mod shared;
mod stream;
mod subscribe;
mod unsubscribe;
mod verify;

pub use handle::{Observer, ObserverEvents, ObserverState};
pub(crate) use shared::ObserverShared;
pub use subscribe::{Subscribe, SubscribeError};
pub use unsubscribe::UnsubscribeError;
