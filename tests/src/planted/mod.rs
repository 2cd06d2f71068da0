//! Deliberately broken implementations, for the tests of the suites themselves: a suite that cannot fail proves
//! nothing.

pub mod node;
pub mod runtime;
