use std::fmt;

/// The type of a message. Written in lower case, read in any (protocol 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageType {
    /// Create an object, a child, an address, a registration.
    Create,
    /// Read an object or a registration.
    Read,
    /// A change, a keep-alive, a status.
    Update,
    /// Delete an object or a child; release addresses.
    Delete,
    /// Subscribe to an object, or to routes at a message node.
    Subscribe,
    /// Undo a subscription.
    Unsubscribe,
    /// The answer to a request.
    Response,
    /// A message handed on to whom it concerns.
    Forward,
    /// Run a method.
    Execute,
    /// An event of the older reference; delivered, never answered.
    Event,
    /// Mutual authentication of the older reference; refused.
    Handshake,
    /// Open a session with a message node.
    Open,
    /// Attach to a session that lost its socket.
    ReOpen,
    /// End a session.
    Close,
    /// Liveness of the older reference.
    Ping,
}

impl MessageType {
    const ALL: [(MessageType, &'static str); 15] = [
        (MessageType::Update, "update"),
        (MessageType::Response, "response"),
        (MessageType::Create, "create"),
        (MessageType::Read, "read"),
        (MessageType::Delete, "delete"),
        (MessageType::Subscribe, "subscribe"),
        (MessageType::Unsubscribe, "unsubscribe"),
        (MessageType::Forward, "forward"),
        (MessageType::Execute, "execute"),
        (MessageType::Event, "event"),
        (MessageType::Handshake, "handshake"),
        (MessageType::Open, "open"),
        (MessageType::ReOpen, "re-open"),
        (MessageType::Close, "close"),
        (MessageType::Ping, "ping"),
    ];

    /// Reads a type in any case; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<MessageType> {
        MessageType::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|&(kind, _)| kind)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        MessageType::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |&(_, name)| name)
    }

    /// Whether messages of this type ask for an answer when they go to one addressee (protocol 2.4).
    pub fn is_request(self) -> bool {
        !matches!(self, MessageType::Response | MessageType::Event)
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
