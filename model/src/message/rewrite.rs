//! What a relay changes in a frame; every other byte stays as it came (INV-MSG-5).

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::scan::{Layout, Member, Spans, scan};
use super::{Content, DecodeError, HOPS_MAX, Limits, Message};
use crate::{Identity, Url};

/// What happens to `body.identity`.
#[derive(Debug, Clone, Copy, Default)]
pub enum IdentityEdit<'a> {
    /// It stays as it came.
    #[default]
    Keep,
    /// It goes: nobody vouches for it.
    Remove,
    /// It becomes this, whatever it was.
    Set(&'a RawValue),
    /// It becomes this if it is there; else it stays away.
    Replace(&'a RawValue),
}

/// What a relay changes in a message. All of it is one splice of the frame, or none if nothing changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewrite<'a> {
    /// What happens to `body.identity`.
    pub identity: IdentityEdit<'a>,
    /// Whether `body.auth` goes: it is only ever set by the local pipeline (protocol 2.2).
    pub strip_auth: bool,
    /// The new `body.via`; an empty list removes it, `None` keeps it.
    pub via: Option<&'a [Url]>,
}

impl Message {
    /// This message with some reserved members of its body changed and every other byte as it came.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use hyperty_model::message::{Decoded, Limits, Message, Rewrite};
    /// let frame = r#"{"id":1,"type":"read","from":"hyperty://a/1","to":"comm://a/o","x":1,"body":{"auth":true}}"#;
    /// let Ok(Decoded::One(message)) = Message::from_frame(Bytes::from(frame), &Limits::default()) else { panic!() };
    /// let relayed = message.relayed(&Rewrite { strip_auth: true, ..Rewrite::default() }).unwrap();
    /// assert_eq!(relayed.wire(), &frame.replace(r#""auth":true"#, ""));
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] for a message made in this process that no receiver could decode, because its body is not an
    /// object or holds a reserved member twice. A message that came as a frame is always relayed.
    pub fn relayed(self, rewrite: &Rewrite<'_>) -> Result<Message, DecodeError> {
        let spans = match self.inner.content {
            Content::Given { spans, .. } => spans,
            Content::Made { .. } => {
                let mut layout = Layout::default();
                // Whoever made the message answers for its size; here only its form counts.
                scan(self.wire(), &Limits { bytes: usize::MAX, depth: usize::MAX }, &mut layout)?;
                layout.spans
            }
        };
        let edits = Edits::of(rewrite, &spans);
        if edits.is_empty() {
            return Ok(self);
        }
        let mut layout = Layout::default();
        let frame = Bytes::from(edits.apply(self.wire(), &spans));
        scan(&frame, &Limits { bytes: usize::MAX, depth: usize::MAX }, &mut layout)?;
        Ok(self.edit(|inner| inner.content = Content::given(frame, layout.spans)))
    }

    /// The stubs and sessions that `body.via` of the frame names; at most [`HOPS_MAX`], for a message with that
    /// many goes no further anyway. Empty for a message made in this process, whose way is [`Message::hops`].
    pub fn via(&self) -> Vec<Url> {
        let Content::Given { frame, spans: Spans { via: Some(via), .. }, .. } = &self.inner.content else {
            return Vec::new();
        };
        serde_json::from_slice(via.value.of(frame)).map_or_else(|_| Vec::new(), |Via(urls)| urls)
    }

    /// Whom the message says it speaks for (protocol 2.3). Who believes that has to know who wrote it.
    pub fn identity(&self) -> Option<Identity> {
        #[derive(Deserialize)]
        struct Named {
            identity: Option<Identity>,
        }
        match &self.inner.content {
            Content::Given { frame, spans, .. } => {
                serde_json::from_slice(spans.identity?.value.of(frame)).ok().flatten()
            }
            Content::Made { body, .. } => serde_json::from_slice::<Named>(body.raw()).ok()?.identity,
        }
    }

    /// The `body.source` of a message that came as a frame, if it is a URL: on whose behalf the sender says it speaks.
    /// `None` also for a message made in this process.
    pub fn claimed_source(&self) -> Option<Url> {
        let Content::Given { frame, spans: Spans { source: Some(source), .. }, .. } = &self.inner.content
        else {
            return None;
        };
        serde_json::from_slice(source.value.of(frame)).ok()
    }

    /// This message as it enters a runtime through `stub`: without `body.auth`, which no remote may set, and with
    /// the way it came as its hops, `stub` last (protocol 2.2, 2.6).
    ///
    /// # Errors
    /// As [`Message::relayed`].
    pub fn into_inbound(self, stub: &Url) -> Result<Message, DecodeError> {
        let message = self.relayed(&Rewrite { strip_auth: true, ..Rewrite::default() })?;
        let mut hops = message.via();
        if !hops.contains(stub) {
            hops.push(stub.clone());
        }
        Ok(message.edit(|inner| {
            inner.hops = Some(hops.into());
            inner.sender = None;
        }))
    }
}

/// A list of URLs, or one. What is no URL can be nobody's hop, so nobody misses it; what is beyond the limit is not
/// kept either.
struct Via(Vec<Url>);

impl<'de> Deserialize<'de> for Via {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Via, D::Error> {
        struct Hops;
        impl<'de> Visitor<'de> for Hops {
            type Value = Via;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a URL or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Via, E> {
                Ok(Via(Url::parse(text).into_iter().collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Via, A::Error> {
                let mut urls = Vec::new();
                while urls.len() < HOPS_MAX {
                    let Some(hop) = list.next_element::<Value>()? else { return Ok(Via(urls)) };
                    urls.extend(hop.as_str().and_then(|text| Url::parse(text).ok()));
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Via(urls))
            }
        }
        deserializer.deserialize_any(Hops)
    }
}

/// What becomes of one reserved member.
enum Edit<'a> {
    Keep,
    Remove,
    Set(Cow<'a, [u8]>),
}

/// The changes to one frame: each reserved member, where it stands if it does, and what becomes of it.
struct Edits<'a>([(&'static str, Option<Member>, Edit<'a>); 3]);

impl<'a> Edits<'a> {
    fn of(rewrite: &Rewrite<'a>, spans: &Spans) -> Edits<'a> {
        let identity = match rewrite.identity {
            IdentityEdit::Keep => Edit::Keep,
            IdentityEdit::Replace(_) if spans.identity.is_none() => Edit::Keep,
            IdentityEdit::Remove => Edit::Remove,
            IdentityEdit::Set(identity) | IdentityEdit::Replace(identity) => {
                Edit::Set(identity.get().as_bytes().into())
            }
        };
        let via = match rewrite.via {
            None => Edit::Keep,
            Some([]) => Edit::Remove,
            Some(urls) => Edit::Set(serde_json::json!(urls).to_string().into_bytes().into()),
        };
        let auth = if rewrite.strip_auth { Edit::Remove } else { Edit::Keep };
        Edits([("identity", spans.identity, identity), ("via", spans.via, via), ("auth", spans.auth, auth)])
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|edit| matches!(edit, (_, _, Edit::Keep) | (_, None, Edit::Remove)))
    }

    fn apply(&self, frame: &[u8], spans: &Spans) -> Vec<u8> {
        let growth =
            self.0.iter().map(|(_, _, edit)| if let Edit::Set(text) = edit { text.len() + 16 } else { 0 });
        let mut out = Vec::with_capacity(frame.len() + 16 + growth.sum::<usize>());
        let Some(body) = spans.body else {
            out.extend_from_slice(&frame[..spans.close()]);
            out.extend_from_slice(b",\"body\":{");
            self.add(&mut out);
            out.push(b'}');
            out.extend_from_slice(&frame[spans.close()..]);
            return out;
        };
        let inside = body.range().start + 1..body.range().end - 1;
        out.extend_from_slice(&frame[..inside.start]);
        let comma = self.add(&mut out).then(|| {
            out.push(b',');
            out.len() - 1
        });
        self.cut(frame, &inside, &mut out);
        if let Some(comma) = comma.filter(|&comma| out[comma + 1..].trim_ascii().is_empty()) {
            out.remove(comma);
        }
        out.extend_from_slice(&frame[inside.end..]);
        out
    }

    /// Writes the members that come in; whether there are any.
    fn add(&self, out: &mut Vec<u8>) -> bool {
        let mut any = false;
        for (name, member, edit) in &self.0 {
            if let (None, Edit::Set(text)) = (member, edit) {
                if any {
                    out.push(b',');
                }
                any = true;
                for part in [b"\"", name.as_bytes(), b"\":", text] {
                    out.extend_from_slice(part);
                }
            }
        }
        any
    }

    /// Writes what stands between the braces of the body, without what is removed and with what is replaced.
    fn cut(&self, frame: &[u8], inside: &Range<usize>, out: &mut Vec<u8>) {
        let mut edits: Vec<(Member, &[u8])> = Vec::new();
        for (_, member, edit) in &self.0 {
            match (member, edit) {
                (Some(member), Edit::Remove) => edits.push((*member, b"")),
                (Some(member), Edit::Set(text)) => edits.push((*member, text)),
                _ => {}
            }
        }
        edits.sort_by_key(|(member, _)| member.range().start);
        let mut done = inside.start;
        // Whether nothing was kept so far, be it a comma: then it is the comma behind a member that goes with it.
        let mut first = true;
        for (member, text) in edits {
            if text.is_empty() {
                let Range { start, end } = member.range();
                let before = &frame[done..start];
                first &= before.trim_ascii().is_empty();
                if first {
                    out.extend_from_slice(before);
                    let behind = frame[end..inside.end].iter().position(|byte| !byte.is_ascii_whitespace());
                    done = behind.map_or(end, |comma| end + comma + 1);
                } else {
                    let comma = before.trim_ascii_end().len() - 1;
                    out.extend_from_slice(&before[..comma]);
                    done = end;
                }
            } else {
                let value = member.value.range();
                out.extend_from_slice(&frame[done..value.start]);
                out.extend_from_slice(text);
                done = value.end;
            }
        }
        out.extend_from_slice(&frame[done..inside.end]);
    }
}
