//! The seam between a session and what carries its frames.
//!
//! A transport is a [`Connector`] and the two halves of the [`Connection`] it makes: an ordinary `Sink` and an
//! ordinary `Stream`. The sink may collect what it is fed until it is flushed: a session feeds all that is ready
//! and flushes once, so that many frames leave in one system call.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::Sink;

/// The outgoing half of a connection.
pub type FrameSink = Pin<Box<dyn Sink<Outgoing, Error = TransportError> + Send>>;

/// The incoming half of a connection; its end is the connection's end.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Incoming, TransportError>> + Send>>;

/// Makes connections to one message node. A session asks for a new one whenever the last is lost.
pub trait Connector: Send + Sync {
    /// Connects once; the session repeats and paces the attempts.
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>>;
}

/// A connection that carries frames both ways, in order.
pub struct Connection {
    /// Frames to the node.
    pub outgoing: FrameSink,
    /// Frames from the node.
    pub incoming: FrameStream,
    /// How long the node may be silent before the session asks by [`Outgoing::Ping`] whether it is there; after
    /// [`SILENT_INTERVALS_MAX`] such intervals without any sign of life the connection counts as lost. `None` for a
    /// transport that reports every loss by itself.
    pub keep_alive: Option<Duration>,
}

/// Silent intervals after which a connection counts as lost: one may be a pause, one may lose the ping, the third is
/// an absent peer.
pub const SILENT_INTERVALS_MAX: u32 = 3;

/// Intervals of [`Connection::keep_alive`] in which a connection takes nothing of what is handed to it, after which it
/// counts as lost whatever comes in. More than for silence: the transport may be working at one large frame over a thin
/// line, and tells nothing before that is through.
pub const STUCK_INTERVALS_MAX: u32 = 6;

/// What a session hands to a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// One message.
    Frame(Bytes),
    /// A question that any peer answers with a sign of life. Transports without such a thing ignore it.
    Ping,
}

/// What a transport hands to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// One message.
    Frame(Bytes),
    /// A sign of life that is no message.
    Alive,
}

/// Why no connection could be made. All but `Address` may pass: the session tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none that the transport understands; correct the configuration.
    #[error("cannot connect to {address}: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there: the node is down, or the network is.
    #[error("cannot reach the message node: {0}")]
    Unreachable(String),
    /// Somebody answers, but does not speak the transport's protocol; check host, port and path.
    #[error("no message node answers there: {0}")]
    Handshake(String),
    /// No answer in time.
    #[error("the message node did not answer the connection attempt in time")]
    TimedOut,
}

/// Why a connection ended other than by its peer's regular end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The peer is gone; whatever was under way is lost.
    #[error("the connection is closed")]
    Closed,
    /// The node stops, or starts anew, and asks its clients to come back.
    #[error("the message node stops: it asks to come back")]
    GoingAway,
    /// A frame was longer than agreed, in either direction.
    #[error("a frame exceeds the connection's limit: {0}")]
    TooLong(String),
    /// The peer broke the rules of the transport.
    #[error("the peer violates the transport protocol: {0}")]
    Protocol(String),
    /// The system reports a failure.
    #[error("the connection failed: {0}")]
    Io(String),
}
