//! The pipeline in front of the bus: each message passes every interceptor once, when it enters (protocol 4.3).

use hyperty_model::{Message, StatusCode};

/// How a message enters the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Posted by a component or hyperty of this runtime.
    Outgoing,
    /// Received through a stub.
    Incoming,
}

/// What an [`Interceptor`] decides.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The message goes on, as it is or changed.
    Pass(Message),
    /// The message ends here. A request is answered with this code and text; anything else is dropped.
    Reject(StatusCode, String),
    /// The message ends here without a word. A request that is dropped leaves its sender waiting: reject it instead.
    Drop,
}

/// Looks at every message that enters the bus: adds an identity, enforces a policy, counts.
///
/// Called on the thread of whoever posts, so it must be quick and never block. One that panics has rejected the
/// message: a check that fails is no permission.
pub trait Interceptor: Send + Sync {
    /// Decides on one message.
    fn inspect(&self, message: Message, direction: Direction) -> Verdict;
}
