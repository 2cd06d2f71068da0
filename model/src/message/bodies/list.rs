//! Lists as the implementations of the protocol write them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A list that may also come as a single element, or as a list in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> OneOrMany<T> {
        OneOrMany(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<T>, D::Error> {
        let mut found = Vec::new();
        // One level of nesting: blocks are released by `[[…]]` in the widespread stub (protocol 5.14).
        for item in elements(Value::deserialize(deserializer)?) {
            for inner in elements(item) {
                found.push(serde_json::from_value(inner).map_err(serde::de::Error::custom)?);
            }
        }
        Ok(OneOrMany(found))
    }
}

fn elements(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => vec![other],
    }
}
