//! The commands, one per file.

pub(crate) mod child;
pub(crate) mod config;
#[cfg(feature = "kit")]
pub(crate) mod conformance;
pub(crate) mod delete;
pub(crate) mod discover;
pub(crate) mod invited;
pub(crate) mod keys;
pub(crate) mod node;
pub(crate) mod observe;
pub(crate) mod policy;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod request;
#[cfg(feature = "kit")]
pub(crate) mod simulate;
#[cfg(feature = "kit")]
pub(crate) mod soak;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod token;
