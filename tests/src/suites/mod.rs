//! Suites for the seams of the workspace.

pub mod storage;
