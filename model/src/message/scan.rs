//! One pass over a frame: is it JSON, and where do the things stand that a relay looks at.

use std::borrow::Cow;

use super::frame::{DecodeError, Limits};
use super::json::{Cursor, Step};

/// Where one JSON value stands in the frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    end: u32,
    /// For a string: whether it holds escapes.
    pub(super) escaped: bool,
}

impl Span {
    /// Where a range stands, which must lie below 4 GiB.
    pub(super) fn of_range(range: std::ops::Range<usize>, escaped: bool) -> Span {
        Span { start: range.start as u32, end: range.end as u32, escaped }
    }

    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The text of the value.
    pub(super) fn of(self, frame: &[u8]) -> &[u8] {
        &frame[self.range()]
    }
}

/// A member of the body: from the quote of its key to the end of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    start: u32,
    pub(super) value: Span,
}

impl Member {
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.value.end as usize
    }
}

/// Where the things stand that a relay may change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spans {
    /// The value of `body`.
    pub(super) body: Option<Span>,
    pub(super) via: Option<Member>,
    pub(super) identity: Option<Member>,
    pub(super) auth: Option<Member>,
    pub(super) source: Option<Member>,
    /// The brace that closes the frame.
    close: u32,
}

impl Spans {
    pub(super) fn close(&self) -> usize {
        self.close as usize
    }

    fn reserved(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<Member>)> {
        match key {
            b"via" => Some(("via", &mut self.via)),
            b"identity" => Some(("identity", &mut self.identity)),
            b"auth" => Some(("auth", &mut self.auth)),
            b"source" => Some(("source", &mut self.source)),
            _ => None,
        }
    }
}

/// What one scan finds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout {
    pub(super) id: Option<Span>,
    pub(super) kind: Option<Span>,
    pub(super) from: Option<Span>,
    pub(super) to: Option<Span>,
    pub(super) spans: Spans,
}

impl Layout {
    pub(super) fn header(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<Span>)> {
        match key {
            b"id" => Some(("id", &mut self.id)),
            b"type" => Some(("type", &mut self.kind)),
            b"from" => Some(("from", &mut self.from)),
            b"to" => Some(("to", &mut self.to)),
            b"body" => Some(("body", &mut self.spans.body)),
            _ => None,
        }
    }
}

/// Scans a frame.
pub(super) fn scan(frame: &[u8], limits: &Limits, layout: &mut Layout) -> Result<(), DecodeError> {
    let max = limits.bytes.min(u32::MAX as usize);
    if frame.len() > max {
        return Err(DecodeError::TooLong { bytes: frame.len(), max });
    }
    let (mut cursor, ascii) = Cursor::new(frame, limits.depth);
    read_frame(&mut cursor, layout).map_err(|error| *error)?;
    if !ascii {
        std::str::from_utf8(frame).map_err(|error| DecodeError::NotUtf8 { at: error.valid_up_to() })?;
    }
    Ok(())
}

fn read_frame(cursor: &mut Cursor<'_>, layout: &mut Layout) -> Step {
    cursor.space();
    cursor.open(b'{', 1)?;
    let mut more = !cursor.closed(b'}');
    while more {
        let (key, escaped) = cursor.key()?;
        match layout.header(&unescaped(key, escaped)) {
            Some((name, Some(_))) => return Err(DecodeError::Duplicate(name).into()),
            Some(("body", _)) => read_body(cursor, &mut layout.spans)?,
            Some((_, slot)) => *slot = Some(spanned(cursor, 1)?),
            None => cursor.value(1)?,
        }
        more = cursor.another(b'}')?;
    }
    layout.spans.close = cursor.at() as u32 - 1;
    cursor.end()
}

fn read_body(cursor: &mut Cursor<'_>, spans: &mut Spans) -> Step {
    let start = cursor.at() as u32;
    if cursor.peek() != Some(b'{') {
        return Err(DecodeError::Malformed { field: "body", why: "not an object".to_owned() }.into());
    }
    cursor.open(b'{', 2)?;
    let mut more = !cursor.closed(b'}');
    while more {
        let start = cursor.at() as u32;
        let (key, escaped) = cursor.key()?;
        match spans.reserved(&unescaped(key, escaped)) {
            Some((name, slot)) if escaped || slot.is_some() => return Err(DecodeError::Reserved(name).into()),
            Some((_, slot)) => *slot = Some(Member { start, value: spanned(cursor, 2)? }),
            None => cursor.value(2)?,
        }
        more = cursor.another(b'}')?;
    }
    spans.body = Some(Span { start, end: cursor.at() as u32, escaped: false });
    Ok(())
}

/// What a key says, however it is written.
#[inline]
pub(super) fn unescaped(key: &[u8], escaped: bool) -> Cow<'_, [u8]> {
    if !escaped {
        return key.into();
    }
    // The escapes are known to be good; if the rest is no UTF-8, the frame is refused for that when it is read.
    let text = serde_json::from_slice::<String>(&[b"\"", key, b"\""].concat());
    text.map_or(key.into(), |text| text.into_bytes().into())
}

/// A value that stands inside of `outer` others, and where.
fn spanned(cursor: &mut Cursor<'_>, outer: usize) -> Step<Span> {
    let start = cursor.at() as u32;
    let escaped = if cursor.peek() == Some(b'"') {
        cursor.string()?
    } else {
        cursor.value(outer)?;
        false
    };
    Ok(Span { start, end: cursor.at() as u32, escaped })
}
