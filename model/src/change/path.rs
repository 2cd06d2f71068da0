//! Paths into the data of an object, and how their text is split into keys (protocol 3.3).

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Longest path that is followed, in bytes. Several URLs as keys on the way fit; the time it takes to find which
/// part of a path is a key grows with the square of its length.
pub const PATH_BYTES_MAX: usize = 4096;

/// A path relative to the data: keys and array positions with dots between them (`participants.2.name`).
///
/// Keys may themselves hold dots. Which part of the text is a key is therefore known only beside the data: at
/// each object the longest prefix that is an existing key is taken; without one, a rest that starts like a URL is
/// one key up to `.identity`; else the key ends at the next dot. The empty path is the data itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttrPath(Arc<str>);

impl AttrPath {
    /// A path from its text.
    pub fn new(text: &str) -> AttrPath {
        AttrPath(text.into())
    }

    /// The data itself.
    pub fn root() -> AttrPath {
        AttrPath("".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names the data itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

/// The value at a path, if there is one.
///
/// ```
/// use hyperty_model::change::resolve;
/// use serde_json::json;
/// let data = json!({"users": {"user://example.com/alice": {"rooms": ["a", "b"]}}});
/// let path = "users.user://example.com/alice.rooms.1".into();
/// assert_eq!(resolve(&data, &path), Some(&json!("b")));
/// ```
pub fn resolve<'a>(data: &'a Value, path: &AttrPath) -> Option<&'a Value> {
    if path.as_str().len() > PATH_BYTES_MAX {
        return None;
    }
    let mut node = data;
    let mut rest = Some(path.as_str()).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        (node, rest) = match node {
            Value::Object(map) => {
                let (key, tail) = split_key(map, text);
                (map.get(key)?, tail)
            }
            Value::Array(items) => {
                let (position, tail) = split_first(text);
                (items.get(parse_index(position)?)?, tail)
            }
            _ => return None,
        };
    }
    Some(node)
}

impl From<&str> for AttrPath {
    fn from(text: &str) -> AttrPath {
        AttrPath::new(text)
    }
}

impl From<String> for AttrPath {
    fn from(text: String) -> AttrPath {
        AttrPath(text.into())
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The next key of a path at an object, and what follows it.
pub(super) fn split_key<'p>(map: &Map<String, Value>, path: &'p str) -> (&'p str, Option<&'p str>) {
    if !path.contains('.') || map.contains_key(path) {
        return (path, None);
    }
    let mut end = path.len();
    while let Some(dot) = path[..end].rfind('.') {
        if map.contains_key(&path[..dot]) {
            return (&path[..dot], Some(&path[dot + 1..]));
        }
        end = dot;
    }
    split_new_key(path)
}

/// The next segment of a path where no key exists that it could be.
pub(super) fn split_new_key(path: &str) -> (&str, Option<&str>) {
    if !starts_like_url(path) {
        return split_first(path);
    }
    let end = path.find(".identity.").or_else(|| path.strip_suffix(".identity").map(str::len));
    match end {
        Some(end) => (&path[..end], Some(&path[end + 1..])),
        None => (path, None),
    }
}

/// The text up to the first dot: the only rule at arrays.
pub(super) fn split_first(path: &str) -> (&str, Option<&str>) {
    match path.split_once('.') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

fn starts_like_url(path: &str) -> bool {
    let scheme = path.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'+')
}

/// An array position: decimal digits without sign or leading zero.
pub(super) fn parse_index(segment: &str) -> Option<usize> {
    let digits = segment.bytes().all(|b| b.is_ascii_digit());
    let canonical = segment == "0" || !segment.starts_with('0');
    if digits && canonical { segment.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn get(data: &Value, path: &str) -> Option<Value> {
        resolve(data, &path.into()).cloned()
    }

    #[test]
    fn the_longest_existing_key_wins() {
        let data = json!({"a": {"b": {"c": 1}, "b.c": 2}, "a.b": {"c": 3}});
        assert_eq!(get(&data, "a.b.c"), Some(json!(3)));
        assert_eq!(get(&data["a"], "b.c"), Some(json!(2)));
        assert_eq!(get(&data, "a"), Some(data["a"].clone()));
        assert_eq!(get(&data, ""), Some(data.clone()));
    }

    #[test]
    fn empty_keys_are_segments_and_positions_are_canonical() {
        let data = json!({"": {"": 1, "b": [[7]]}, "x": {"": 2}});
        assert_eq!(get(&data, "."), Some(json!(1)));
        assert_eq!(get(&data, ".b.0.0"), Some(json!(7)));
        assert_eq!(get(&data, "x."), Some(json!(2)));
        for wrong in [".b.00", ".b.+0", ".b.1", ".b.-1", ".b.", ".b.0.0.0", "y", "y.z"] {
            assert_eq!(get(&data, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_new_key_that_starts_like_a_url_takes_the_rest_up_to_the_identity() {
        let cases = [
            ("user://a.b/c.d", ("user://a.b/c.d", None)),
            ("user://a.b/c.identity.name", ("user://a.b/c", Some("identity.name"))),
            ("user://a.b/c.identity", ("user://a.b/c", Some("identity"))),
            ("user-guid://a.b", ("user-guid://a.b", None)),
            ("a.user://b", ("a", Some("user://b"))),
            ("://a.b", ("://a", Some("b"))),
            ("1a://a.b", ("1a://a", Some("b"))),
        ];
        for (path, expected) in cases {
            assert_eq!(split_new_key(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_not_followed() {
        let key = "a".repeat(PATH_BYTES_MAX);
        let data = json!({ key.clone(): 1, format!("{key}a"): 2 });
        assert_eq!(get(&data, &key), Some(json!(1)));
        assert_eq!(get(&data, &format!("{key}a")), None);
    }
}
