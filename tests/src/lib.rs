//! Reusable suites and model-based tests for runtimes and message nodes.
//!
//! [`suites`] has one suite for each seam; an implementation is put through it with one line in its own tests.
//! [`world`] is a message node and any number of runtimes in one process under paused time, for tests of whole
//! systems; [`party`] is who lives in it, [`peer`] one whose every message is written by a test.

pub mod party;
pub mod peer;
pub mod suites;
pub mod world;
