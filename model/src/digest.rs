//! The digest of an object's data that position beats carry (protocol 10.2): the first 16 hex digits of SHA-256 over
//! the canonical JSON of RFC 8785.
//!
//! ```
//! use hyperty_model::digest::{DIGEST_BYTES_MAX, of};
//! use serde_json::json;
//!
//! let here = of(&json!({"topic": "release", "open": 3.0}), DIGEST_BYTES_MAX);
//! let there = of(&json!({"open": 3, "topic": "release"}), DIGEST_BYTES_MAX);
//! assert_eq!(here, there);
//! assert_eq!(of(&json!(["a", "b"]), 4), None);
//! ```

use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

/// Largest data, in bytes of canonical JSON, that a digest is made of. It takes about a millisecond for that much;
/// beats of larger objects carry no digest.
pub const DIGEST_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the hash that are told: enough to see every fault, not meant against forgery.
const TOLD: usize = 8;

/// The digest; `None` for data whose canonical form is longer than `bytes_max`. Costs no more than that many bytes.
pub fn of(data: &Value, bytes_max: usize) -> Option<String> {
    let mut text = Hashed { sha: Sha256::new(), waiting: Vec::with_capacity(CHUNK), room: bytes_max };
    write(data, &mut text)?;
    text.sha.update(&text.waiting);
    let hash = text.sha.finalize();
    Some(hash[..TOLD].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The canonical JSON of a value (RFC 8785): no space, members in the order of their UTF-16 code units, numbers as
/// ECMAScript writes them.
pub fn canonical(value: &Value) -> String {
    let mut text = Vec::new();
    // There is no limit that could be reached.
    let _ = write(value, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Where text goes; `None` when there is no room for more.
trait Text {
    fn push(&mut self, bytes: &[u8]) -> Option<()>;
}

impl Text for Vec<u8> {
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        self.extend_from_slice(bytes);
        Some(())
    }
}

/// Text is hashed in pieces of about this size: most are a few bytes long.
const CHUNK: usize = 4 * 1024;

struct Hashed {
    sha: Sha256,
    waiting: Vec<u8>,
    room: usize,
}

impl Text for Hashed {
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        self.room = self.room.checked_sub(bytes.len())?;
        if self.waiting.len() + bytes.len() > CHUNK {
            self.sha.update(&self.waiting);
            self.waiting.clear();
        }
        if bytes.len() > CHUNK {
            self.sha.update(bytes);
        } else {
            self.waiting.extend_from_slice(bytes);
        }
        Some(())
    }
}

fn write(value: &Value, text: &mut impl Text) -> Option<()> {
    match value {
        Value::Null => text.push(b"null"),
        Value::Bool(true) => text.push(b"true"),
        Value::Bool(false) => text.push(b"false"),
        Value::Number(number) => write_number(number, text),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push(b"[")?;
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(b",")?;
                }
                write(item, text)?;
            }
            text.push(b"]")
        }
        Value::Object(members) => write_object(members, text),
    }
}

fn write_object(members: &Map<String, Value>, text: &mut impl Text) -> Option<()> {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    text.push(b"{")?;
    for (at, (key, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            text.push(b",")?;
        }
        write_string(key, text)?;
        text.push(b":")?;
        write(value, text)?;
    }
    text.push(b"}")
}

/// Integers are doubles too: those that are not exact as such are refused where data enters (protocol M26).
fn write_number(number: &Number, text: &mut impl Text) -> Option<()> {
    let mut buffer = ryu_js::Buffer::new();
    match number.as_f64() {
        Some(double) => text.push(buffer.format(double).as_bytes()),
        None => text.push(number.to_string().as_bytes()),
    }
}

fn write_string(string: &str, text: &mut impl Text) -> Option<()> {
    text.push(b"\"")?;
    let bytes = string.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x08 => b"\\b",
            0x09 => b"\\t",
            0x0a => b"\\n",
            0x0c => b"\\f",
            0x0d => b"\\r",
            0x00..=0x1f => b"",
            _ => continue,
        };
        text.push(&bytes[written..at])?;
        written = at + 1;
        if short.is_empty() {
            text.push(format!("\\u{byte:04x}").as_bytes())?;
        } else {
            text.push(short)?;
        }
    }
    text.push(&bytes[written..])?;
    text.push(b"\"")
}
