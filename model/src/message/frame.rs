//! Frames: messages as they travel, decoded by one scan and kept as they came.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::scan::{Layout, Span, scan};
use super::{Content, Inner, Message, MessageId, MessageType, StatusCode};
use crate::Url;

/// Longest frame accepted by default, in bytes. Whatever waits behind it waits no longer than for that much, and what
/// is larger goes in [parts](crate::parts). A node may allow less (protocol 5.14).
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Deepest nesting accepted by default, the frame itself and the body included. Deeper than any schema in use, and
/// far below what a recursive reader behind us could choke on. More than 128 is never accepted.
pub const MESSAGE_DEPTH_MAX: usize = 64;

/// Most addresses in the `to` of one frame, each of which makes a message: enough for every list in use, too few to
/// make one sender a flood.
pub const RECIPIENTS_MAX: usize = 64;

/// Longest id, in bytes: ids are kept in tables and repeated in answers. A number has up to 20.
const ID_BYTES_MAX: usize = 128;

/// What a frame may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Its length in bytes; counted once for each address of its `to`.
    pub bytes: usize,
    /// Its nesting, the frame itself and the body included; at most 128 whatever stands here.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: MESSAGE_BYTES_MAX, depth: MESSAGE_DEPTH_MAX }
    }
}

/// Why a frame is no message. Answer [`DecodeError::code`] with this text to whom [`salvage_header`](super::salvage_header) names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than [`Limits::bytes`], or would be with one copy for each address; send less at a time.
    #[error("message of {bytes} bytes is longer than {max}")]
    TooLong {
        /// The length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Nested deeper than [`Limits::depth`]; flatten the data.
    #[error("message is nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// Not UTF-8.
    #[error("message is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first offending byte.
        at: usize,
    },
    /// Not one JSON object.
    #[error("malformed JSON at byte {at}: {what}")]
    Syntax {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A header member is missing.
    #[error("bad request: missing {0}")]
    Missing(&'static str),
    /// A header member, or the body, is there but not what it should be; or `to` has more than [`RECIPIENTS_MAX`]
    /// addresses.
    #[error("bad request: malformed {field}: {why}")]
    Malformed {
        /// The member.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// `type` is none that we know.
    #[error("bad request: unknown type {0:?}")]
    UnknownType(String),
    /// A header member is there twice: two readers might read two different messages (protocol M25).
    #[error("bad request: {0} is there twice")]
    Duplicate(&'static str),
    /// A reserved member of the body (`via`, `identity`, `auth`, `source`) is there twice or written with escapes:
    /// two readers might read two identities (protocol M25).
    #[error("bad request: body.{0} is there twice or written with escapes")]
    Reserved(&'static str),
}

impl DecodeError {
    /// The code of the answer: 400.
    pub fn code(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// What one frame holds. An iterator over its messages.
#[derive(Debug, Clone)]
pub enum Decoded {
    /// `to` is one address: the frame is the message.
    One(Message),
    /// `to` is a list: one message for each address, with the same id and a frame of its own (protocol 2.1).
    Many(Vec<Message>),
}

impl IntoIterator for Decoded {
    type Item = Message;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Message>, std::vec::IntoIter<Message>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Decoded::One(message) => (Some(message), Vec::new()),
            Decoded::Many(messages) => (None, messages),
        };
        one.into_iter().chain(many)
    }
}

impl Message {
    /// Decodes a frame. The header is parsed, the body is checked to be JSON and otherwise left alone; the frame is
    /// kept, so that [`Message::wire`] gives the same bytes.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use hyperty_model::message::{Limits, Message};
    /// let frame = Bytes::from(r#"{"to":"comm://a/o","from":"hyperty://a/1","type":"READ","id":"6","x":true}"#);
    /// for message in Message::from_frame(frame.clone(), &Limits::default()).unwrap() {
    ///     assert_eq!(message.to().as_str(), "comm://a/o");
    ///     assert_eq!(message.wire(), &frame);
    /// }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the frame.
    pub fn from_frame(frame: Bytes, limits: &Limits) -> Result<Decoded, DecodeError> {
        let mut layout = Layout::default();
        scan(&frame, limits, &mut layout)?;
        match layout.to {
            Some(to) if to.of(&frame).starts_with(b"[") => split(&frame, to, limits).map(Decoded::Many),
            _ => Message::read(frame, &layout).map(Decoded::One),
        }
    }

    fn read(frame: Bytes, layout: &Layout) -> Result<Message, DecodeError> {
        let id = read_id(&frame, layout.id.ok_or(DecodeError::Missing("id"))?)?;
        let kind = read_text(&frame, layout.kind.ok_or(DecodeError::Missing("type"))?, "type")?;
        let kind = MessageType::parse(&kind).ok_or_else(|| DecodeError::UnknownType(shown(&kind)))?;
        let from = read_url(&frame, layout.from.ok_or(DecodeError::Missing("from"))?, "from")?;
        let to = read_url(&frame, layout.to.ok_or(DecodeError::Missing("to"))?, "to")?;
        let content = Content::given(frame, layout.spans);
        Ok(Message::from_inner(Inner { id, kind, from, to, content, hops: None, sender: None }))
    }

    /// The text that travels: the frame as it came, or else encoded at the first call.
    pub fn wire(&self) -> &Bytes {
        match &self.inner.content {
            Content::Given { frame, .. } => frame,
            Content::Made { frame, body } => frame.get_or_init(|| self.encode(body.raw()).into()),
        }
    }

    fn encode(&self, body: &[u8]) -> Vec<u8> {
        let Inner { id, kind, from, to, .. } = &*self.inner;
        let (from, to) = (from.as_str(), to.as_str());
        let mut out = Vec::with_capacity(96 + from.len() + to.len() + body.len());
        out.extend_from_slice(b"{\"id\":");
        if id.is_quoted() {
            write_text(&mut out, &id.to_string());
        } else {
            // In the sender's own spelling, which was a JSON number (INV-MSG-2).
            out.extend_from_slice(id.to_string().as_bytes());
        }
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"from\":");
        write_text(&mut out, from);
        out.extend_from_slice(b",\"to\":");
        write_text(&mut out, to);
        out.extend_from_slice(b",\"body\":");
        out.extend_from_slice(body);
        out.push(b'}');
        out
    }
}

/// One message for each address of a list, each in a frame of its own that has that address alone: a receiver of the
/// whole list would deliver to all of them again.
fn split(frame: &Bytes, to: Span, limits: &Limits) -> Result<Vec<Message>, DecodeError> {
    let Recipients(addresses) = serde_json::from_slice(to.of(frame))
        .map_err(|error| DecodeError::Malformed { field: "to", why: error.to_string() })?;
    if addresses.is_empty() {
        return Err(DecodeError::Missing("to"));
    }
    let bytes = frame.len().saturating_mul(addresses.len());
    if bytes > limits.bytes {
        return Err(DecodeError::TooLong { bytes, max: limits.bytes });
    }
    let messages = addresses.iter().map(|address| {
        let mut own = Vec::with_capacity(frame.len());
        own.extend_from_slice(&frame[..to.range().start]);
        write_text(&mut own, address.as_str());
        own.extend_from_slice(&frame[to.range().end..]);
        let mut layout = Layout::default();
        scan(&own, limits, &mut layout)?;
        Message::read(own.into(), &layout)
    });
    messages.collect()
}

/// The addresses of a list, each once. Stops reading at the limit, not after it.
struct Recipients(Vec<Url>);

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Recipients, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Recipients;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of URLs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Recipients, A::Error> {
                let mut addresses = Vec::new();
                let mut count = 0;
                while let Some(address) = list.next_element::<Url>()? {
                    count += 1;
                    if count > RECIPIENTS_MAX {
                        let why = format!("more than {RECIPIENTS_MAX} addresses");
                        return Err(serde::de::Error::custom(why));
                    }
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
                Ok(Recipients(addresses))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

pub(super) fn read_id(frame: &[u8], span: Span) -> Result<MessageId, DecodeError> {
    let malformed = |why: &str| DecodeError::Malformed { field: "id", why: why.to_owned() };
    let raw = span.of(frame);
    if raw.len() > ID_BYTES_MAX {
        return Err(malformed("too long"));
    }
    match raw.first() {
        Some(b'"') => Ok(MessageId::from_text(&read_text(frame, span, "id")?)),
        Some(b'-' | b'0'..=b'9') => {
            let digits = std::str::from_utf8(raw).map_err(|_| malformed("not UTF-8"))?;
            Ok(MessageId::from_number(digits))
        }
        _ => Err(malformed("neither a number nor a string")),
    }
}

pub(super) fn read_url(frame: &[u8], span: Span, field: &'static str) -> Result<Url, DecodeError> {
    let text = read_text(frame, span, field)?;
    match Url::parse(&text) {
        Ok(url) => Ok(url),
        Err(error) => Err(DecodeError::Malformed { field, why: error.to_string() }),
    }
}

#[inline]
pub(super) fn read_text<'a>(
    frame: &'a [u8],
    span: Span,
    field: &'static str,
) -> Result<Cow<'a, str>, DecodeError> {
    let raw = span.of(frame);
    if !span.escaped
        && let [b'"', text @ .., b'"'] = raw
        && let Ok(text) = std::str::from_utf8(text)
    {
        return Ok(Cow::Borrowed(text));
    }
    // With escapes, or no string at all: the words for what is wrong come from there.
    let text = serde_json::from_slice(raw).map(Cow::Owned);
    text.map_err(|error| DecodeError::Malformed { field, why: error.to_string() })
}

/// Writes a JSON string.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// What an error shows of its input: enough to find it, never a megabyte.
fn shown(input: &str) -> String {
    input.chars().take(80).collect()
}
