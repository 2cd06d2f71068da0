//! An object changes hands (protocol 5.11): [`give`] is the former Reporter's side, [`control`] what its Sync Manager has
//! it do meanwhile, [`take`] the side of who is offered an object.

mod control;
mod give;
mod take;

pub use give::DelegateError;
pub use take::{AcceptDelegation, Delegation, Delegations, TakeOverError};
