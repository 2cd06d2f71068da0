//! The Reporter's side: objects that a hyperty of this runtime owns.
//!
//! One flow per file, in the order of an object's life: [`create`], [`invite`], [`subscribe`], [`join`], [`update`], [`children`],
//! [`read`], [`execute`], [`unsubscribe`], [`remove`], [`delete`], [`resume`], [`resume_by`], [`takeover`], [`depose`].
//! Who observes is told by [`observers`], and found out by [`roll_call`]. The state of one object is in [`object`].

mod accepted;
mod answers;
mod away;
mod beat;
mod behalf;
mod children;
mod commit;
mod create;
mod delete;
mod depose;
mod execute;
mod former;
mod grants;
mod invitations;
mod invite;
mod invite_answers;
mod join;
mod kept;
mod large;
mod listeners;
mod object;
mod observers;
mod permit_child;
mod presence;
mod read;
mod remind;
mod remove;
mod removed;
mod resume;
mod resume_by;
mod roll_call;
mod routes;
mod subscribe;
mod takeover;
mod unsubscribe;
mod update;

pub(crate) use former::{Ended, Former};
pub(crate) use object::{
    ObserverEntry, ObserverRoutes, Options, Phase, Phase as ReportedPhase, Reported, State,
    State as ReportedState,
};
pub(crate) use remove::{REMOVED, removed_refusal};
pub(crate) use resume::{homes_of, resumed_reporter_value, resumed_value, snapshot_of};
pub(crate) use resume_by::MISSING_MAX;
pub(crate) use routes::Path;
pub(crate) use subscribe::{Applicant, runtime_of, snapshot_answer};
