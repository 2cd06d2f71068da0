//! Children: small objects that belong to an object, each with a writer of its own (protocol 5.9).

mod board;
mod child;
mod commit;
mod error;
mod handle;
mod own;
mod state;

pub(crate) use board::{Asking, Board};
pub use child::{Child, ChildView};
pub use commit::ChildCommit;
pub use error::{ChildError, UnknownChildren};
pub use handle::ChildrenHandle;
pub(crate) use state::{Heard, Key};
