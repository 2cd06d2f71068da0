//! The tables of objects, and the keys of their rows.
//!
//! | table | key | value |
//! |---|---|---|
//! | `objects/v1` | object | the record without position, data, children, subscribers and entries, JSON |
//! | `data/v1` | object | epoch, version, time of the last change, then the data as JSON, if it is kept |
//! | `changes/v2` | object, version | the newest changes, without a hole, in rows that begin with that version |
//! | `subscribers/v1` | object, hyperty | one who observes, JSON |
//! | `entries/v1` | object, `grant`, who | one who may observe, JSON |
//! | `entries/v1` | object, `invited`, hyperty | one who was invited and is not done with it, JSON |
//! | `entries/v1` | object, `pending`, number | a child operation that waits for its answer, JSON |
//! | `metadata/v1` | object, member | where no data is kept: a member of the metadata that was changed, JSON |
//! | `children/v1` | object, name, id | a child, JSON; nothing but its place in the order of deletions if deleted |
//! | `children/v1` | object, name | the deleted children of earlier days, JSON |
//!
//! *object* is one letter for the side, the URL in the form that is compared, and a zero byte; *name* and the kind of an
//! entry end with a zero byte too. Numbers are big-endian, 8 bytes; those of entries are text of 20 digits. Changes up to the position in `data/v1` are in the data already: they
//! are kept for observers that missed them.

use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl};

use super::Role;

pub(super) const OBJECTS: &str = "objects/v1";
pub(super) const DATA: &str = "data/v1";
pub(super) const CHANGES: &str = "changes/v2";
pub(super) const SUBSCRIBERS: &str = "subscribers/v1";
pub(super) const MEMBERS: &str = "metadata/v1";
pub(super) const CHILDREN: &str = "children/v1";
pub(super) const ENTRIES: &str = "entries/v1";

/// Ends a part of a key; in no URL and in no children name.
const END: u8 = 0;

/// What the keys of one side begin with.
pub(super) fn side(role: Role) -> [u8; 1] {
    match role {
        Role::Reporter => *b"r",
        Role::Observer => *b"o",
    }
}

/// What the keys of one object begin with, and the whole key where there is one row per object.
pub(super) fn object(role: Role, object: &ObjectUrl) -> Vec<u8> {
    // Room for the version of a row of changes.
    let mut key = Vec::with_capacity(1 + object.key().len() + 1 + 8);
    key.extend(side(role));
    key.extend(object.key().as_bytes());
    key.push(END);
    key
}

/// The end of the range of keys that begin with `object`.
pub(super) fn after(object: &[u8]) -> Vec<u8> {
    let mut end = object.to_vec();
    if let Some(last) = end.last_mut() {
        *last = END + 1;
    }
    end
}

/// The row of changes that begins with this version.
pub(super) fn run(mut object: Vec<u8>, version: u64) -> Vec<u8> {
    object.extend(version.to_be_bytes());
    object
}

/// One who observes.
pub(super) fn subscriber(mut object: Vec<u8>, hyperty: &HypertyUrl) -> Vec<u8> {
    object.extend(hyperty.key().as_bytes());
    object
}

/// An entry of a kind.
pub(super) fn entry(object: &[u8], kind: &str, name: &str) -> Vec<u8> {
    [object, kind.as_bytes(), &[END], name.as_bytes()].concat()
}

/// The kind and the name in what follows `object` in a key of an entry.
pub(super) fn split_entry(rest: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(rest).ok()?.split_once(char::from(END))
}

/// A member of the metadata.
pub(super) fn member(mut object: Vec<u8>, member: &str) -> Vec<u8> {
    object.extend(member.as_bytes());
    object
}

/// The children of one name.
pub(super) fn children(mut object: Vec<u8>, name: &ChildrenName) -> Vec<u8> {
    object.extend(name.as_str().as_bytes());
    object.push(END);
    object
}

/// One child.
pub(super) fn child(object: Vec<u8>, name: &ChildrenName, id: &str) -> Vec<u8> {
    let mut key = children(object, name);
    key.extend(id.as_bytes());
    key
}

/// The name and the id in what follows `object` in a key of a child; no id in the row of deleted ones.
pub(super) fn split_child(rest: &[u8]) -> Option<(&str, Option<&str>)> {
    let rest = std::str::from_utf8(rest).ok()?;
    let (name, id) = rest.split_once(char::from(END))?;
    Some((name, Some(id).filter(|id| !id.is_empty())))
}

/// The part of a key that names side and object.
pub(super) fn object_of(key: &[u8]) -> Option<&[u8]> {
    let end = key.iter().position(|&byte| byte == END)?;
    Some(&key[..=end])
}

/// A key for people: side and object, then what follows.
pub(super) fn readable(table: &str, key: &[u8]) -> String {
    let Some((side, rest)) = key.split_first() else { return String::new() };
    let side = if *side == b'r' { "reported" } else { "observed" };
    let mut parts = rest.splitn(2, |&byte| byte == END);
    let object = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let rest = parts.next().unwrap_or_default();
    let rest = match rest.try_into() {
        Ok(number) if table == CHANGES => u64::from_be_bytes(number).to_string(),
        _ => String::from_utf8_lossy(rest).replace(char::from(END), " "),
    };
    format!("{side} {object} {rest}").trim_end().to_owned()
}
