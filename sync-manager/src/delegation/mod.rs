//! An object changes hands: its Reporter gives it to another hyperty (protocol 5.11).
//!
//! At the side that gives: [`offer`], [`claim`], [`commit`], [`depart`], [`reclaim`], [`gift`]; what comes for the object meanwhile
//! is held or passed on by [`pass`]. At the side that takes: [`accept`], [`adopt`], [`give_back`]; what is asked before the
//! new Reporter has it waits, by [`awaited`]. Where both are one runtime [`local`] does it in one step. [`resume`] goes on after a restart. Whose the object is at any moment is
//! decided by the two state machines of `hyperty_model::delegation`; the flows here only carry out what they say.

mod accept;
mod adopt;
mod awaited;
mod claim;
mod commit;
mod depart;
mod first_change;
mod gift;
mod give_back;
mod local;
mod offer;
mod pass;
mod reclaim;
mod resume;
mod taking;
mod transfer;

pub(crate) use gift::Gift;
pub(crate) use pass::{Handing, Passed, full};
pub(crate) use taking::Taking;
