//! The session stub against scripted nodes, over channels and over real sockets.

mod admission;
mod keep_alive;
mod queue;
mod session;
mod support;
#[cfg(feature = "websocket")]
mod websocket;
