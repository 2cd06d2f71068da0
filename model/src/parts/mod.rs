//! Answers that are larger than a message, in parts (protocol 5.5.2, 10.5).
//!
//! There are two forms. Whoever reads with `parts` gets the first piece of the text of the whole answer ([`Cut`]),
//! fetches the others one by one, as fast as it takes them, and puts them together ([`Joined`]). To everybody else the
//! children are pushed in slices ([`split`]); what arrives like that is gathered ([`Pushed`]). Either way the whole is
//! what one message would have told (INV-READ-2).
//!
//! ```
//! use hyperty_model::parts::{Cut, Joined};
//!
//! let text = r#"{"code":200,"value":{"data":{"name":"Zoë"}}}"#;
//! let cut = Cut::new(text.into(), 10).unwrap();
//! let mut joined = Joined::new(cut.len(), cut.bytes(), 1_000).unwrap();
//! for number in (1..=cut.len()).rev() {
//!     joined.put(number, cut.piece(number).unwrap()).unwrap();
//! }
//! assert_eq!(joined.finish().unwrap(), text);
//! ```

mod cut;
mod joined;
mod pushed;

pub use cut::{Cut, NotText, Piece};
pub use joined::{JoinError, Joined};
pub use pushed::{Pushed, split};

/// Characters in one part. Escaped in a message, and of four bytes each at most, they are less than 200 kB.
pub const READ_PART: usize = 50_000;

/// Most bytes of an answer in parts: what one object may be for those who observe it elsewhere.
pub const WHOLE_BYTES_MAX: usize = 16 << 20;

/// Most parts of one answer: enough for the largest in parts of a kilobyte.
pub const PARTS_MAX: usize = WHOLE_BYTES_MAX / 1_024;
