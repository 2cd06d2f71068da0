//! Choices drawn from bytes: whatever the bytes are, they mean something.

use serde_json::{Map, Value, json};

/// Bytes that choices are drawn from. Once they are used up, every choice is the first.
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl Source<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A value nested no deeper than `levels`.
    pub(super) fn value(&mut self, keys: &[&str], levels: usize) -> Value {
        let kinds = if levels == 0 { 6 } else { 8 };
        match self.below(kinds) {
            0 => json!(self.byte()),
            1 => Value::Null,
            2 => json!(self.byte() > 127),
            3 => json!("text"),
            4 => json!(f64::from(self.byte()) / 3.0),
            5 => json!(""),
            6 => {
                let count = self.below(4);
                Value::Array((0..count).map(|_| self.value(keys, levels - 1)).collect())
            }
            _ => self.object(keys, levels - 1),
        }
    }

    /// An object with some of the keys.
    pub(super) fn object(&mut self, keys: &[&str], levels: usize) -> Value {
        let count = self.below(5);
        let members = (0..count).map(|_| (self.one_of(keys).to_owned(), self.value(keys, levels)));
        Value::Object(members.collect::<Map<_, _>>())
    }
}
