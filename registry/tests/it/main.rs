//! The registry crate from outside: messages in, answers and events out.

mod catalogue;
mod client;
mod node;
mod ownership;
mod registrations;
mod runtime;
mod schema;
mod table;
