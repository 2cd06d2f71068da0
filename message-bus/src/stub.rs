//! Stubs: the ends of connections to message nodes and to other runtimes (protocol 5.15, 5.16).

use hyperty_model::{Message, MessageType, Url};
use serde_json::{Value, json};

use crate::MessageBus;

/// A connection to a domain's message node or to another runtime, as the bus sees it.
///
/// What comes in through it is given to [`MessageBus::receive`].
pub trait Protostub: Send + Sync {
    /// The stub's own address; stands in the hops of what came through it.
    fn url(&self) -> &Url;

    /// The domain it leads to.
    fn domain(&self) -> &str;

    /// How the connection is.
    fn status(&self) -> StubStatus;

    /// Queues a message to be sent. Never blocks; while the connection is not live the message waits.
    ///
    /// # Errors
    /// [`SendError`] when the message was not queued.
    fn send(&self, message: Message) -> Result<(), SendError>;
}

/// Why a stub did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Its queue is full of what may not be dropped. Slow down, and send again later.
    #[error("the stub's queue is full")]
    Full,
    /// It is closed for good.
    #[error("the stub is closed")]
    Closed,
}

/// What a stub must send first after a fresh `open`, before what waits in its queue: a new session has no routes.
pub trait Replay: Send + Sync {
    /// The messages that renew the routes at the node of `domain`.
    fn replay(&self, domain: &str) -> Vec<Message>;
}

/// How the connection of a stub is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StubStatus {
    /// Made, not yet connecting.
    Created,
    /// Connecting.
    InProgress,
    /// The session is open.
    Live,
    /// Given up.
    Failed,
    /// Lost or closed.
    Disconnected,
}

impl StubStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            StubStatus::Created => "created",
            StubStatus::InProgress => "in-progress",
            StubStatus::Live => "live",
            StubStatus::Failed => "failed",
            StubStatus::Disconnected => "disconnected",
        }
    }

    /// Reads a word of the wire, older spellings too.
    pub fn parse(word: &str) -> Option<StubStatus> {
        match word {
            "created" | "create" => Some(StubStatus::Created),
            "in-progress" => Some(StubStatus::InProgress),
            "live" | "connected" => Some(StubStatus::Live),
            "failed" => Some(StubStatus::Failed),
            "disconnected" => Some(StubStatus::Disconnected),
            _ => None,
        }
    }

    /// The status that a message on `<stub>/status` tells of; `None` for any other message.
    pub fn of(message: &Message) -> Option<StubStatus> {
        let body = message.decode::<Value>().ok()?;
        StubStatus::parse(body.get("value")?.as_str()?)
    }
}

/// Tells the listeners of `<stub>/status` in this runtime how a stub is; every stub does it this way.
///
/// A body is `{"value":"live"}`, with a `desc` if there is something to say; [`StubStatus::of`] reads it.
pub fn publish_status(bus: &MessageBus, stub: &Url, status: StubStatus, description: Option<&str>) {
    let to = match stub.join("status") {
        Ok(to) => to,
        Err(error) => {
            tracing::error!(%stub, %error, "the status of this stub cannot be published");
            return;
        }
    };
    let mut body = json!({ "value": status.as_str() });
    if let Some(description) = description {
        body["desc"] = description.into();
    }
    bus.post_local(&bus.new_message(MessageType::Update, stub, &to, body));
}
