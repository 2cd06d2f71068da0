//! What is common to every store in the redb format: what a file holds, how it is opened, read and written.

pub(crate) mod format;
mod merge;
pub(crate) mod migrate;
pub(crate) mod mode;
pub(crate) mod rows;
