//! The registry crate from outside: messages in, answers and events out.

mod model;
mod node;
mod runtime;
mod table;
