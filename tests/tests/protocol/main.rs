//! The protocol suite against our own implementations, and against broken ones.

mod frame;
mod node;
mod planted_node;
