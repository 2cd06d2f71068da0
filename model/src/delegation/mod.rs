//! Whose an object is while a Reporter gives it to another (protocol 5.11), as two state machines without I/O.
//!
//! [`Giver`] is the side that reports the object, [`Taker`] the side that is to. They share nothing but messages, which
//! may be lost, doubled and late, and each remembers across a crash only what it has written. Three rules keep an object
//! from having two owners, or none:
//!
//! * the giver stops acting before it writes that the object is given, and says so to nobody before that is durable;
//! * the taker writes that it asks before it asks, and acts only when it has written that it owns;
//! * a grant answers the claim it was asked by: one that answers an earlier claim, before a restart or before the
//!   object was given back, is none.
//!
//! `O` identifies the offer, `M` is the address of the other side.
//!
//! ```
//! use hyperty_model::delegation::{Claim, Giver, Taker};
//!
//! let mut giver: Giver<u8, char> = Giver::Owner { epoch: 4 };
//! assert!(giver.offer(1));
//! let mut taker = Taker::Requested { offer: 1, giver: 'a' };
//! assert_eq!(giver.claim(&1, &'b'), Claim::Freeze);
//! assert!(giver.commit(&1));                       // from here on nobody acts
//! giver.written();
//! let Claim::Granted { epoch } = giver.claim(&1, &'b') else { panic!("it is given") };
//! assert!(taker.granted(&1, epoch));
//! assert!(taker.host());
//! taker.written();
//! assert_eq!((giver.acts_at(), taker.acts_at()), (None, Some(5)));
//! ```

mod giver;
mod taker;

pub use giver::{Claim, GiveBack, Giver};
pub use taker::Taker;
