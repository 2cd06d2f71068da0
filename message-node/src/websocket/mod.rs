//! WebSocket connections.
//!
//! The framing is our own, for three reasons that show at a thousand sessions: all that is ready goes out in one
//! system call without a copy into a buffer per connection, an idle connection holds no buffers at all, and a message
//! is checked for UTF-8 once, by the decoder.

mod accept;
mod assemble;
mod connection;
mod frame;
mod listener;
#[cfg(test)]
mod tests;

pub use listener::{serve, serve_tls};
