//! The text of an answer, cut into pieces that are fetched one by one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::StatusCode;
use crate::message::ResponseBody;

/// What is to be cut is not UTF-8; no body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer that is not UTF-8 cannot be cut")]
pub struct NotText;

/// A text in pieces, numbered from 1. It shares the bytes with whoever made it.
#[derive(Debug, Clone)]
pub struct Cut {
    text: Bytes,
    /// Where each piece ends.
    ends: Vec<usize>,
}

impl Cut {
    /// Cuts a text into pieces of so many characters, the last one shorter.
    ///
    /// # Errors
    /// [`NotText`].
    pub fn new(text: Bytes, characters: usize) -> Result<Cut, NotText> {
        let whole = std::str::from_utf8(&text).map_err(|_| NotText)?;
        let mut ends: Vec<usize> =
            whole.char_indices().step_by(characters.max(1)).skip(1).map(|(at, _)| at).collect();
        ends.push(whole.len());
        Ok(Cut { text, ends })
    }

    /// How many pieces there are; at least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The length of the whole.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether this is the text that was cut: the same bytes in memory, not only equal ones.
    pub fn is_of(&self, text: &Bytes) -> bool {
        self.text.as_ptr() == text.as_ptr() && self.text.len() == text.len()
    }

    /// A piece, by its number.
    pub fn piece(&self, number: usize) -> Option<&str> {
        let at = number.checked_sub(1)?;
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        std::str::from_utf8(self.text.get(start..*self.ends.get(at)?)?).ok()
    }

    /// The answer that brings a piece; the first one tells how to get the others.
    pub fn answer(&self, number: usize, transfer: &str) -> Option<ResponseBody> {
        let first = number == 1;
        let piece = Piece {
            transfer: first.then(|| transfer.to_owned()),
            parts: first.then_some(self.len() as u64),
            bytes: first.then_some(self.bytes() as u64),
            part: number as u64,
            text: self.piece(number)?.to_owned(),
        };
        Some(ResponseBody { code: StatusCode::OK, extra: piece.into_members(), ..ResponseBody::default() })
    }
}

/// The members of an answer that brings a piece of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// What to name when the other pieces are asked for; in the first one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// How many pieces there are; in the first one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u64>,
    /// How many bytes the whole has; in the first one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its number, from 1.
    pub part: u64,
    /// The piece.
    pub text: String,
}

impl Piece {
    /// The piece in an answer, if it brings one.
    pub fn of(answer: &ResponseBody) -> Option<Piece> {
        // Looked at first: an ordinary answer is not copied.
        answer.extra.get("text").filter(|text| text.is_string())?;
        serde_json::from_value(serde_json::Value::Object(answer.extra.clone())).ok()
    }

    fn into_members(self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        }
    }
}
