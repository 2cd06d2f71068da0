//! Messages: a parsed header and a body that stays as it came until its addressee decodes it (protocol section 2).

mod bodies;
mod body;
mod code;
mod frame;
mod id;
mod json;
mod kind;
mod rewrite;
mod salvage;
mod scan;
mod update;

pub use bodies::{
    BackedUpBody, BackupBody, BackupEntry, BackupSide, ChildBody, ClaimBody, ClaimKind, Control, ControlBody,
    CreateObject, DeleteBody, DeposedBody, ExecuteBody, ForwardBody, ForwardExecute, ForwardExecuteBody,
    ForwardKind, GiveBackBody, InviteBody, ObserverValue, ObserversBody, ObserversOperation, OneOrMany,
    PassedBody, ReadBody, ReadCriteria, ResponseBody, ResumeBody, RoutesBody, Scope, SubscribeBody,
    UnsubscribeBody,
};
pub use body::{Body, BodyError, WireBody};
pub use code::StatusCode;
pub use frame::{DecodeError, Decoded, Limits, MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX, RECIPIENTS_MAX};
pub use id::MessageId;
pub use kind::MessageType;
pub use rewrite::{IdentityEdit, Rewrite};
pub use salvage::salvage_header;
pub use update::{Field, UpdateBody, UpdateKind};

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::Url;
use scan::Spans;

/// Most entries of a message's way; a copy that would need more is dropped (protocol 2.6).
pub const HOPS_MAX: usize = 16;

/// One message. Cloning it is a reference count; what is changed is changed on a copy of the header.
///
/// Beside what travels it knows how it got here: [`Message::hops`], and [`Message::sender`] for what a local
/// hyperty posted.
#[derive(Clone)]
pub struct Message {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    id: MessageId,
    kind: MessageType,
    from: Url,
    to: Url,
    content: Content,
    /// `None` for a message made here: no list to share, no count to fight over.
    hops: Option<Arc<[Url]>>,
    sender: Option<Url>,
}

/// The body and the text that travels, each made from the other when somebody asks for it.
#[derive(Clone)]
enum Content {
    /// A message that came off the wire. A relay never asks for the body.
    Given { frame: Bytes, spans: Spans, body: OnceLock<Body> },
    /// A message made here. It is encoded at its first remote receiver.
    Made { body: Body, frame: OnceLock<Bytes> },
}

impl Content {
    fn given(frame: Bytes, spans: Spans) -> Content {
        Content::Given { frame, spans, body: OnceLock::new() }
    }

    fn made(body: Body) -> Content {
        Content::Made { body, frame: OnceLock::new() }
    }

    fn body(&self) -> &Body {
        match self {
            Content::Made { body, .. } => body,
            Content::Given { frame, spans, body } => body.get_or_init(|| match spans.body {
                Some(span) => Body::from_raw(frame.slice(span.range())),
                None => Body::empty(),
            }),
        }
    }
}

impl Message {
    /// A new message.
    ///
    /// ```
    /// use hyperty_model::{Body, Message, MessageType, Url};
    /// let url = |text| Url::parse(text).unwrap();
    /// let (from, to) = (url("hyperty://a/1"), url("comm://a/o"));
    /// let message = Message::new(7, MessageType::Read, from, to, Body::empty());
    /// let text = r#"{"id":7,"type":"read","from":"hyperty://a/1","to":"comm://a/o","body":{}}"#;
    /// assert_eq!(message.wire(), text);
    /// ```
    pub fn new(
        id: impl Into<MessageId>,
        kind: MessageType,
        from: Url,
        to: Url,
        body: impl Into<Body>,
    ) -> Message {
        Message::from_inner(Inner {
            id: id.into(),
            kind,
            from,
            to,
            content: Content::made(body.into()),
            hops: None,
            sender: None,
        })
    }

    fn from_inner(inner: Inner) -> Message {
        Message { inner: Arc::new(inner) }
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Message {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// The id as it was received; a response repeats it.
    pub fn id(&self) -> &MessageId {
        &self.inner.id
    }

    /// The type.
    pub fn kind(&self) -> MessageType {
        self.inner.kind
    }

    /// The sender's address.
    pub fn from(&self) -> &Url {
        &self.inner.from
    }

    /// The addressee.
    pub fn to(&self) -> &Url {
        &self.inner.to
    }

    /// The body.
    pub fn body(&self) -> &Body {
        self.inner.content.body()
    }

    /// The body as a `T`, parsed at most once for all clones of this message.
    ///
    /// # Errors
    /// [`BodyError`] when the body is not a `T`.
    pub fn decode<T: WireBody>(&self) -> Result<Arc<T>, BodyError> {
        self.body().decode()
    }

    /// The status code, for a response; [`StatusCode::INTERNAL`] if it has none that can be read.
    pub fn code(&self) -> StatusCode {
        self.decode::<ResponseBody>().map_or(StatusCode::INTERNAL, |body| body.code)
    }

    /// The stubs and sessions this message came through, the latest last (protocol 2.6).
    pub fn hops(&self) -> &[Url] {
        self.inner.hops.as_deref().unwrap_or_default()
    }

    /// The local hyperty whose MiniBus posted this message; `None` for components and for what came off the wire.
    pub fn sender(&self) -> Option<&Url> {
        self.inner.sender.as_ref()
    }

    /// Whether the message came through a stub.
    pub fn is_remote(&self) -> bool {
        !self.hops().is_empty()
    }

    /// The same message to another address, as a fresh frame.
    pub fn with_to(self, to: Url) -> Message {
        self.edit(|inner| {
            inner.to = to;
            inner.content = Content::made(inner.content.body().clone());
        })
    }

    /// The same message with another body.
    pub fn with_body(self, body: impl Into<Body>) -> Message {
        let body = body.into();
        self.edit(|inner| {
            inner.content = Content::made(body);
        })
    }

    /// The same message, marked as posted by a local hyperty.
    pub fn with_sender(self, sender: Url) -> Message {
        self.edit(|inner| inner.sender = Some(sender))
    }

    /// The same message after one more hop.
    pub fn with_hop(self, hop: Url) -> Message {
        self.edit(|inner| {
            let mut hops = inner.hops.as_deref().unwrap_or_default().to_vec();
            hops.push(hop);
            inner.hops = Some(hops.into());
        })
    }

    /// The response to this request: same id, addresses exchanged.
    pub fn reply(&self, body: impl Into<Body>) -> Message {
        let Inner { id, from, to, .. } = &*self.inner;
        Message::new(id.clone(), MessageType::Response, to.clone(), from.clone(), body)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, kind, from, to, .. } = &*self.inner;
        write!(f, "{kind} {id} {from:?} -> {to:?}")
    }
}
