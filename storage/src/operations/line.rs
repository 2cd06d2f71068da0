//! The lines of an exported store.
//!
//! The first is the header, then one for each row, then the end: how many rows there were, and the SHA-256 of all lines
//! before, line ends included. What is text is written as text, other bytes as hexadecimal digits.

use serde::{Deserialize, Serialize};

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The format of the store.
    #[serde(rename = "hyperty-store")]
    pub(super) format: u64,
}

/// A line between the first and the last.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) table: String,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) rows: u64,
    pub(super) sha256: String,
}

/// A key or a value.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Bytes {
    Text(String),
    Hex(String),
}

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Bytes {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Hex(hex(bytes)),
        }
    }

    /// The bytes; `None` if the digits are none.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Bytes::Text(text) => Some(text.into_bytes()),
            Bytes::Hex(digits) => {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let pairs = digits.as_bytes().chunks(2);
                pairs
                    .map(|pair| match pair {
                        [high, low] => u8::try_from(16 * digit(*high)? + digit(*low)?).ok(),
                        _ => None,
                    })
                    .collect()
            }
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let row = Row { table: "t/v1".to_owned(), key: Bytes::of(&bytes), value: Bytes::Hex(hex(&bytes)) };
            let line = serde_json::to_string(&row).unwrap();
            let read: Row = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read, &row);
            prop_assert_eq!(read.key.bytes(), Some(bytes.clone()));
            prop_assert_eq!(read.value.bytes(), Some(bytes));
        }
    }

    #[test]
    fn digits_that_are_none_are_refused() {
        for text in ["0", "0g", "é", "000"] {
            assert_eq!(Bytes::Hex(text.to_owned()).bytes(), None, "{text:?}");
        }
    }
}
