use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A message id. Compared as canonical decimal, so that `"6"` equals `6`; written exactly as received
/// (protocol 2.1, INV-MSG-2).
#[derive(Debug, Clone)]
pub struct MessageId {
    value: Value,
    quoted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    Number(u64),
    /// Not a canonical decimal; opaque.
    Text(Arc<str>),
}

impl MessageId {
    /// An id that was received as a JSON string.
    pub fn from_text(text: &str) -> MessageId {
        MessageId { value: Value::of(text), quoted: true }
    }

    /// An id that was received as a JSON number, in its own spelling.
    pub(crate) fn from_number(text: &str) -> MessageId {
        MessageId { value: Value::of(text), quoted: false }
    }

    /// The number, if it is one that we count with.
    pub fn as_u64(&self) -> Option<u64> {
        match self.value {
            Value::Number(number) => Some(number),
            Value::Text(_) => None,
        }
    }

    /// Whether it travels as a JSON string.
    pub(crate) fn is_quoted(&self) -> bool {
        self.quoted
    }
}

impl Value {
    fn of(text: &str) -> Value {
        let canonical = text == "0" || (text.as_bytes().first().is_some_and(|&b| b != b'0' && b != b'+'));
        match text.parse() {
            Ok(number) if canonical => Value::Number(number),
            _ => Value::Text(text.into()),
        }
    }
}

impl From<u64> for MessageId {
    fn from(number: u64) -> MessageId {
        MessageId { value: Value::Number(number), quoted: false }
    }
}

impl PartialEq for MessageId {
    fn eq(&self, other: &MessageId) -> bool {
        self.value == other.value
    }
}

impl Eq for MessageId {}

impl Hash for MessageId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Number(number) if !self.quoted => serializer.serialize_u64(*number),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MessageId, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(MessageId::from_text(&text)),
            serde_json::Value::Number(number) => Ok(MessageId::from_number(&number.to_string())),
            other => {
                Err(serde::de::Error::custom(format!("a message id is a number or a string, not {other}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_compare_as_decimal_and_travel_as_received_inv_msg_2() {
        let (number, text) = (MessageId::from(6), MessageId::from_text("6"));
        assert_eq!(number, text);
        assert_eq!(serde_json::to_string(&number).unwrap(), "6");
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"6\"");
        assert_ne!(MessageId::from_text("06"), number);
        assert_eq!(MessageId::from_text("abc").to_string(), "abc");
    }
}
