//! URLs derived from an object's own (protocol 1.5).

use std::borrow::Cow;

use super::{ObjectUrl, Url};

/// Longest children name, in bytes: with `/children/` in front it fits the room that an object's URL leaves.
pub const CHILDREN_NAME_BYTES_MAX: usize = 128;

/// Why a text cannot be a children name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("children name {0:?} must be 1 to {CHILDREN_NAME_BYTES_MAX} letters, digits, `_`, `.` or `-`")]
pub struct InvalidChildrenName(pub String);

/// A children name as an object's schema defines it: `^[A-Za-z0-9_.-]{1,128}$` (protocol 3.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct ChildrenName(std::sync::Arc<str>);

impl ChildrenName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidChildrenName`] for an empty or too long name, or one with other characters.
    pub fn new(name: &str) -> Result<ChildrenName, InvalidChildrenName> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if name.is_empty() || name.len() > CHILDREN_NAME_BYTES_MAX || !name.bytes().all(ok) {
            return Err(InvalidChildrenName(name.chars().take(80).collect()));
        }
        Ok(ChildrenName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ChildrenName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ChildrenName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ChildrenName, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        ChildrenName::new(&text).map_err(serde::de::Error::custom)
    }
}

impl std::borrow::Borrow<str> for ChildrenName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What stands behind an object's own URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DerivedTail {
    /// `/subscription`: where subscriptions are asked for.
    Subscription,
    /// `/changes`: where changes are published.
    Changes,
    /// `/children/<name>`: the channel of the children of that name.
    Children(ChildrenName),
    /// `/children`: the older single channel of all children.
    FlatChildren,
    /// `/observers`: joins and leaves.
    Observers,
    /// `/status`: `live` or `disconnected`, in one runtime.
    Status,
    /// `/registration`: status events of the domain registry.
    Registration,
}

/// The last segments that an object's identifier never is (protocol M24).
pub(super) const TAIL_WORDS: [&str; 6] =
    ["children", "subscription", "changes", "observers", "status", "registration"];

impl Url {
    /// Splits a derived URL into the object's URL and the tail; `None` for what is no object URL.
    ///
    /// ```
    /// use hyperty_model::{DerivedTail, Url};
    /// let url: Url = "context://city/x/y/changes".parse().unwrap();
    /// let (object, tail) = url.split_derived().unwrap();
    /// assert_eq!(object.as_str(), "context://city/x/y");
    /// assert_eq!(tail, Some(DerivedTail::Changes));
    /// ```
    pub fn split_derived(&self) -> Option<(ObjectUrl, Option<DerivedTail>)> {
        let text = self.as_str();
        let (base, tail) = match split_tail(text) {
            Some((base, tail)) => (base, Some(tail)),
            None => (text, None),
        };
        let url = if tail.is_some() { Url::parse(base).ok()? } else { self.clone() };
        ObjectUrl::try_from(url).ok().map(|object| (object, tail))
    }
}

fn split_tail(text: &str) -> Option<(&str, DerivedTail)> {
    let (rest, last) = text.rsplit_once('/')?;
    let fixed = match last {
        "subscription" => Some(DerivedTail::Subscription),
        "changes" => Some(DerivedTail::Changes),
        "children" => Some(DerivedTail::FlatChildren),
        "observers" => Some(DerivedTail::Observers),
        "status" => Some(DerivedTail::Status),
        "registration" => Some(DerivedTail::Registration),
        _ => None,
    };
    // A children name may itself be a tail word: `/children/<name>` is looked for first.
    if let Some(base) = rest.strip_suffix("/children")
        && let Ok(name) = ChildrenName::new(&percent_decoded(last))
    {
        return Some((base, DerivedTail::Children(name)));
    }
    fixed.map(|tail| (rest, tail))
}

fn percent_decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return segment.into();
    }
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are one byte.
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}
