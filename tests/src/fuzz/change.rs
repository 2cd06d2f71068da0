//! Changes of data, against a model that knows nothing but protocol 3.3. The bytes are choices: a document, then
//! changes to it.

use hyperty_model::change::{AttrPath, Change, ChangeOp, apply, apply_with_inverse, diff, resolve};
use serde_json::Value;

use super::source::Source;

/// Keys that are met again, among them such with dots, numbers, and addresses.
const KEYS: [&str; 11] =
    ["a", "b", "a.b", "b.a", "0", "1", "", "user://x.y/z", "user://x.y/z.identity", "identity", "ü"];
/// What paths are made of.
const PARTS: [&str; 14] = [
    "a",
    "b",
    "0",
    "1",
    "2",
    "01",
    "-1",
    "",
    "identity",
    "user://x.y/z",
    "user:/",
    "a.b",
    "ü",
    "99999999999999999999",
];
const CHANGES_MAX: usize = 40;

/// Applies the changes.
pub fn work(data: &[u8]) {
    let mut source = Source(data);
    let mut document = source.object(&KEYS, 3);
    for _ in 0..CHANGES_MAX {
        if source.is_empty() {
            return;
        }
        let _ = apply(&mut document, &change(&mut source));
    }
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    let mut source = Source(data);
    let mut document = source.object(&KEYS, 3);
    for _ in 0..CHANGES_MAX {
        if source.is_empty() {
            return;
        }
        let (before, change) = (document.clone(), change(&mut source));
        let expected = model(&before, &change);
        let mut twin = before.clone();
        let applied = apply(&mut document, &change);
        match (&applied, &expected) {
            (Ok(()), Some(after)) => assert_eq!(&document, after, "{change:?} on {before}"),
            (Err(_), None) => assert_eq!(document, before, "a refused {change:?} changed the document"),
            _ => panic!("{change:?} on {before}: {applied:?}, should give {expected:?}"),
        }
        let inverse = apply_with_inverse(&mut twin, &change);
        assert_eq!(twin, document, "with an inverse {change:?} does something else");
        if let Ok(inverse) = inverse {
            inverse.undo(&mut twin);
            assert_eq!(twin, before, "{change:?} is not undone");
        }
        differs(&before, &document);
        assert_eq!(
            resolve(&document, &change.path).is_some(),
            found(&document, change.path.as_str()).is_some()
        );
    }
}

/// What leads from one document to another leads there.
fn differs(before: &Value, after: &Value) {
    let mut copy = before.clone();
    for change in diff(before, after) {
        apply(&mut copy, &change).unwrap_or_else(|error| panic!("{change:?} of a diff on {copy}: {error}"));
    }
    assert_eq!(&copy, after, "the diff from {before}");
}

fn change(source: &mut Source<'_>) -> Change {
    let parts = source.below(4);
    let path: Vec<&str> = (0..parts).map(|_| source.one_of(&PARTS)).collect();
    let op = match source.below(5) {
        0 => ChangeOp::Set(source.value(&KEYS, 2)),
        1 => ChangeOp::Delete,
        2 => ChangeOp::ReplaceElement(source.value(&KEYS, 1)),
        3 => {
            let count = source.below(3);
            ChangeOp::Insert((0..count).map(|_| source.value(&KEYS, 1)).collect())
        }
        _ => ChangeOp::Remove(source.one_of(&[1, 0, 2, 3, u64::MAX])),
    };
    Change::new(AttrPath::new(&path.join(".")), op)
}

/// The first segment of a path at a value: at an object the longest prefix that is a key; without one what looks
/// like an address up to `.identity`; else up to the dot. And what follows.
fn first<'p>(at: &Value, path: &'p str) -> (&'p str, Option<&'p str>) {
    let cuts = path.char_indices().filter(|(_, letter)| *letter == '.').map(|(at, _)| at);
    let mut prefixes: Vec<(&str, Option<&str>)> =
        cuts.map(|at| (&path[..at], Some(&path[at + 1..]))).collect();
    prefixes.push((path, None));
    let Value::Object(map) = at else { return prefixes[0] };
    if let Some(known) = prefixes.iter().rev().find(|(prefix, _)| map.contains_key(*prefix)) {
        return *known;
    }
    let scheme = path.split("://").next().filter(|scheme| scheme.len() < path.len()).unwrap_or_default();
    let letters =
        scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '+');
    let address = letters && scheme.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if !address {
        return prefixes[0];
    }
    let of_identity = |rest: &str| rest == "identity" || rest.starts_with("identity.");
    prefixes.into_iter().find(|(_, rest)| rest.is_none_or(of_identity)).unwrap_or((path, None))
}

fn position(segment: &str) -> Option<usize> {
    let number: usize = segment.parse().ok()?;
    (number.to_string() == segment).then_some(number)
}

fn found<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(value);
    }
    let mut at = value;
    let mut rest = Some(path);
    while let Some(path) = rest {
        let (segment, tail) = first(at, path);
        at = match at {
            Value::Object(map) => map.get(segment)?,
            Value::Array(items) => items.get(position(segment)?)?,
            _ => return None,
        };
        rest = tail;
    }
    Some(at)
}

/// The document after a change; `None` if it does not fit.
fn model(document: &Value, change: &Change) -> Option<Value> {
    match (change.path.as_str(), &change.op) {
        ("", ChangeOp::Set(value @ Value::Object(_))) => Some(value.clone()),
        ("", _) => None,
        (path, op) => changed(document, path, op),
    }
}

fn changed(at: &Value, path: &str, op: &ChangeOp) -> Option<Value> {
    let (segment, rest) = first(at, path);
    let mut copy = at.clone();
    match (&mut copy, rest) {
        (Value::Object(map), Some(rest)) => {
            let inner = changed(map.get(segment)?, rest, op)?;
            map.insert(segment.to_owned(), inner);
        }
        (Value::Array(items), Some(rest)) => {
            let at = position(segment)?;
            let inner = changed(items.get(at)?, rest, op)?;
            items[at] = inner;
        }
        (Value::Object(map), None) => match op {
            ChangeOp::Set(value) => drop(map.insert(segment.to_owned(), value.clone())),
            ChangeOp::Delete => drop(map.remove(segment)),
            _ => return None,
        },
        (Value::Array(items), None) => {
            let at = position(segment).filter(|at| *at <= items.len())?;
            let tail = items.split_off(at);
            let kept = match op {
                ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) => {
                    items.push(value.clone());
                    1
                }
                ChangeOp::Insert(values) => {
                    items.extend(values.iter().cloned());
                    0
                }
                ChangeOp::Delete => 1,
                ChangeOp::Remove(0) => return None,
                ChangeOp::Remove(count) => usize::try_from(*count).ok()?,
            };
            let appends = matches!(op, ChangeOp::Set(_) | ChangeOp::ReplaceElement(_)) && tail.is_empty();
            if kept > tail.len() && !appends {
                return None;
            }
            items.extend(tail.into_iter().skip(kept));
        }
        _ => return None,
    }
    Some(copy)
}
