//! The Observer's side: objects that hyperties of this runtime observe and that are reported elsewhere.
//!
//! One flow per file, in the order of an observation's life: [`subscribe`], [`join`], [`update`], [`repair`], [`children`],
//! [`pending`], [`answered`], [`refused`], [`unsubscribe`], [`farewell`], [`resume`], [`resume_by`]; [`status`] says when a stream is cut and whole
//! again. The state of one observed object is in [`object`].

mod answered;
mod children;
mod disagreement;
mod early;
mod farewell;
mod join;
mod leaves;
mod leftover;
mod object;
mod pending;
mod read;
mod refused;
mod release;
mod removed;
mod repair;
mod resume;
mod resume_by;
mod roll_call;
mod routes;
mod silence;
mod status;
mod subscribe;
mod unsubscribe;
mod update;
mod verify;

pub(crate) use answered::Answered;
pub(crate) use leaves::Leaves;
pub(crate) use object::{LocalObserver, Observed};
pub(crate) use release::Released;
pub(crate) use removed::RemovalWatch;
