//! Answers larger than a message, between Sync Managers (protocol 5.5.2, 10.5).
//!
//! The side that answers ([`answer`]) keeps the text of a large answer for a while ([`offers`]) and sends its first
//! piece; the side that asks ([`ask`]) fetches the others. It never has more than a few pieces under way, all its
//! objects together, and that is all the flow control there is: no queue on the way is filled by a state, and other
//! messages pass between the pieces. A reader that does not know this form is pushed the children in slices.
//!
//! Within a runtime nothing is serialised, and nothing is cut.

mod answer;
mod ask;
mod offers;

pub(crate) use answer::{Grounds, Outgoing};
pub(crate) use ask::{Intake, Progress, Source};
pub(crate) use offers::Offers;
