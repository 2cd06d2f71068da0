//! Whom to answer about a frame that is no message.
//!
//! Whatever is wrong with a frame, its sender waits for an answer (INV-MSG-1), and members of a JSON object have no
//! order: many writers put the body before all else. So what is read here is the outermost object alone, values are
//! passed over by their brackets and quotes, and what is wrong within them does not matter.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::frame::{read_id, read_text, read_url};
use super::scan::{Layout, Span, unescaped};
use super::{MessageId, MessageType};
use crate::Url;

/// With what an error reply to a frame that is no message can be addressed: its id, sender and first addressee,
/// wherever they stand, as far as its outermost object can be followed. Of a member that is there twice the first
/// counts. `None` also for a response or an event, which are never answered.
///
/// ```
/// use hyperty_model::message::salvage_header;
/// let frame = br#"{"body":"no object","from":"hyperty://a/1","id":7,"to":"comm://a/o","type":"create"}"#;
/// let (id, from, to) = salvage_header(frame).unwrap();
/// assert_eq!((id.to_string().as_str(), from.as_str(), to.as_str()), ("7", "hyperty://a/1", "comm://a/o"));
/// ```
pub fn salvage_header(frame: &[u8]) -> Option<(MessageId, Url, Url)> {
    let mut layout = Layout::default();
    if u32::try_from(frame.len()).is_ok() {
        // Where it cannot be followed any more, what was found up to there is what there is.
        let _ = follow(frame, &mut layout);
    }
    let kind = layout.kind.and_then(|kind| MessageType::parse(&read_text(frame, kind, "type").ok()?));
    if kind.is_some_and(|kind| !kind.is_request()) {
        return None;
    }
    let id = layout.id.filter(|id| is_value(id.of(frame)))?;
    let (id, from) = (read_id(frame, id).ok()?, read_url(frame, layout.from?, "from").ok()?);
    let to = layout.to?;
    let to = match read_url(frame, to, "to") {
        Ok(to) => to,
        Err(_) => {
            let FirstRecipient(address) = serde_json::from_slice(to.of(frame)).ok()?;
            address
        }
    };
    Some((id, from, to))
}

/// Whether this is a value that an answer can repeat: values are passed over without a look above.
fn is_value(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok()
}

/// Finds the members of the header. `None` where the text ends or is no list of members any more.
fn follow(frame: &[u8], layout: &mut Layout) -> Option<()> {
    let mut rest = Rest { text: frame, at: 0 };
    rest.step(b'{')?;
    loop {
        let key = rest.member_key()?;
        let key = unescaped(&frame[key.start + 1..key.end - 1], true);
        rest.step(b':')?;
        let value = rest.value()?;
        if let Some((_, slot @ None)) = layout.header(&key) {
            let escaped = frame[value.clone()].contains(&b'\\');
            *slot = Some(Span::of_range(value, escaped));
        }
        rest.step(b',')?;
    }
}

/// A place in a text, and how to pass what stands there.
struct Rest<'a> {
    text: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn space(&mut self) {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.text[self.at..].iter().take_while(is_space).count();
    }

    /// Passes this byte.
    fn step(&mut self, byte: u8) -> Option<()> {
        self.space();
        (*self.text.get(self.at)? == byte).then(|| self.at += 1)
    }

    /// A key with its quotes.
    fn member_key(&mut self) -> Option<std::ops::Range<usize>> {
        self.space();
        let start = self.at;
        (*self.text.get(start)? == b'"').then_some(())?;
        self.string()?;
        Some(start..self.at)
    }

    /// Passes a string, up to behind the quote that ends it.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Passes whatever stands for a value.
    fn value(&mut self) -> Option<std::ops::Range<usize>> {
        self.space();
        let start = self.at;
        match self.text.get(start)? {
            b'"' => self.string()?,
            b'{' | b'[' => self.brackets()?,
            _ => {
                let ends = |byte: &&u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += self.text[start..].iter().take_while(|byte| !ends(byte)).count();
            }
        }
        (self.at > start).then_some(start..self.at)
    }

    /// Passes an object or an array, whatever is in it, up to behind the bracket that ends it.
    fn brackets(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.text.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// The first address of a list, however long and whatever else is in it.
struct FirstRecipient(Url);

impl<'de> Deserialize<'de> for FirstRecipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FirstRecipient, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = FirstRecipient;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of URLs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FirstRecipient, A::Error> {
                let first = list.next_element::<Url>()?;
                let first = first.ok_or_else(|| serde::de::Error::custom("an empty list"))?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstRecipient(first))
            }
        }
        deserializer.deserialize_seq(List)
    }
}
