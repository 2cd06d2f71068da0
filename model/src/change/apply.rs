//! Carrying out a change, and going back.

use serde_json::{Map, Value};

use super::path::{PATH_BYTES_MAX, parse_index, split_first, split_key};
use super::value::{DATA_DEPTH_MAX, fits};
use super::{AttrPath, Change, ChangeOp};

/// Why a change does not fit the data. An observer's copy has diverged: it asks for a snapshot (protocol 3.4). A
/// reporter answers 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A key or position on the way, named by its path, does not exist; set it first.
    #[error("nothing exists at {0:?}")]
    Missing(String),
    /// The path, named up to here, leads into a text, number, boolean or null.
    #[error("the value at {0:?} is neither object nor array")]
    Scalar(String),
    /// An array change whose path does not end in an array.
    #[error("{0:?} is no position in an array")]
    NotInArray(String),
    /// A position that is no decimal number, or that with the count lies beyond the end; or a count of 0.
    #[error("{count} elements from {position:?} do not lie within an array of {len}")]
    Range {
        /// The position as it stands in the path.
        position: String,
        /// How many elements the change is about.
        count: u64,
        /// How many the array has.
        len: usize,
    },
    /// The result would be nested deeper than [`DATA_DEPTH_MAX`].
    #[error("data would be nested deeper than {DATA_DEPTH_MAX} levels")]
    TooDeep,
    /// The path is longer than [`PATH_BYTES_MAX`]; set an attribute above it as a whole.
    #[error("path of {0} bytes is longer than {PATH_BYTES_MAX}")]
    PathTooLong(usize),
    /// The data as a whole can only be replaced, and only by an object.
    #[error("the data itself can only be set, and only to an object")]
    Root,
}

/// What it takes to undo one change, and nothing more: its size is that of the change, not of the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Inverse {
    path: AttrPath,
    /// Where the segments of the path end, the last left out. Kept because the change may have altered which
    /// prefix of the path is a key.
    ends: Vec<usize>,
    undo: Undo,
}

#[derive(Debug, Clone, PartialEq)]
enum Undo {
    Nothing,
    Put(Value),
    TakeKey,
    Insert(Vec<Value>),
    Remove(usize),
}

/// Applies one change to the data.
///
/// ```
/// use hyperty_model::change::{Change, ChangeOp, apply};
/// use serde_json::json;
/// let mut data = json!({"days": [1, 2]});
/// apply(&mut data, &Change::new("days.2", ChangeOp::Insert(vec![json!(3)]))).unwrap();
/// assert_eq!(data, json!({"days": [1, 2, 3]}));
/// ```
///
/// # Errors
/// [`ApplyError`]; then the data is as it was.
pub fn apply(data: &mut Value, change: &Change) -> Result<(), ApplyError> {
    perform(data, change, None).map(drop)
}

/// Applies one change and returns what undoes it.
///
/// # Errors
/// [`ApplyError`]; then the data is as it was.
pub fn apply_with_inverse(data: &mut Value, change: &Change) -> Result<Inverse, ApplyError> {
    let mut ends = Vec::new();
    let undo = perform(data, change, Some(&mut ends))?;
    Ok(Inverse { path: change.path.clone(), ends, undo })
}

/// The container a path ends in, and the last segment.
enum Place<'a, 'p> {
    Key(&'a mut Map<String, Value>, &'p str),
    Element(&'a mut Vec<Value>, &'p str),
}

fn perform(data: &mut Value, change: &Change, ends: Option<&mut Vec<usize>>) -> Result<Undo, ApplyError> {
    let path = change.path.as_str();
    if path.is_empty() {
        return replace_root(data, &change.op);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(ApplyError::PathTooLong(path.len()));
    }
    let (place, depth) = walk(data, path, ends)?;
    let levels = DATA_DEPTH_MAX.saturating_sub(depth);
    if !change.values().iter().all(|value| fits(value, levels)) {
        return Err(ApplyError::TooDeep);
    }
    match place {
        Place::Key(map, key) => change_key(map, key, path, &change.op),
        Place::Element(items, position) => change_element(items, position, &change.op),
    }
}

fn replace_root(data: &mut Value, op: &ChangeOp) -> Result<Undo, ApplyError> {
    match op {
        ChangeOp::Set(value @ Value::Object(_)) if fits(value, DATA_DEPTH_MAX) => {
            Ok(Undo::Put(std::mem::replace(data, value.clone())))
        }
        ChangeOp::Set(Value::Object(_)) => Err(ApplyError::TooDeep),
        _ => Err(ApplyError::Root),
    }
}

/// Walks to the container a path ends in. The depth is the number of containers on the way, that one included.
fn walk<'a, 'p>(
    data: &'a mut Value,
    path: &'p str,
    mut ends: Option<&mut Vec<usize>>,
) -> Result<(Place<'a, 'p>, usize), ApplyError> {
    let mut node = data;
    let mut rest = path;
    let mut depth = 1;
    loop {
        let (segment, tail) = match node {
            Value::Object(map) => split_key(map, rest),
            _ => split_first(rest),
        };
        let end = path.len() - rest.len() + segment.len();
        let Some(tail) = tail else {
            return match node {
                Value::Object(map) => Ok((Place::Key(map, segment), depth)),
                Value::Array(items) => Ok((Place::Element(items, segment), depth)),
                _ => Err(ApplyError::Scalar(before(path, rest))),
            };
        };
        if let Some(ends) = ends.as_deref_mut() {
            ends.push(end);
        }
        node = match node {
            Value::Object(map) => map.get_mut(segment),
            Value::Array(items) => parse_index(segment).and_then(|at| items.get_mut(at)),
            _ => return Err(ApplyError::Scalar(before(path, rest))),
        }
        .ok_or_else(|| ApplyError::Missing(path[..end].to_owned()))?;
        rest = tail;
        depth += 1;
    }
}

/// The part of a path that was walked before `rest`.
fn before(path: &str, rest: &str) -> String {
    path[..(path.len() - rest.len()).saturating_sub(1)].to_owned()
}

fn change_key(
    map: &mut Map<String, Value>,
    key: &str,
    path: &str,
    op: &ChangeOp,
) -> Result<Undo, ApplyError> {
    match op {
        ChangeOp::Set(value) => Ok(match map.get_mut(key) {
            Some(present) => Undo::Put(std::mem::replace(present, value.clone())),
            None => {
                map.insert(key.to_owned(), value.clone());
                Undo::TakeKey
            }
        }),
        ChangeOp::Delete => Ok(map.remove(key).map_or(Undo::Nothing, Undo::Put)),
        _ => Err(ApplyError::NotInArray(path.to_owned())),
    }
}

fn change_element(items: &mut Vec<Value>, position: &str, op: &ChangeOp) -> Result<Undo, ApplyError> {
    let len = items.len();
    let count = match op {
        ChangeOp::Set(_) | ChangeOp::ReplaceElement(_) | ChangeOp::Delete => 1,
        ChangeOp::Insert(values) => values.len() as u64,
        ChangeOp::Remove(count) => *count,
    };
    let range = || ApplyError::Range { position: position.to_owned(), count, len };
    let at = parse_index(position).filter(|&at| at <= len).ok_or_else(range)?;
    match op {
        ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) => Ok(match items.get_mut(at) {
            Some(present) => Undo::Put(std::mem::replace(present, value.clone())),
            None => {
                items.push(value.clone());
                Undo::Remove(1)
            }
        }),
        ChangeOp::Insert(values) => {
            items.splice(at..at, values.iter().cloned());
            Ok(Undo::Remove(values.len()))
        }
        ChangeOp::Delete | ChangeOp::Remove(_) => {
            // `at <= len`, so what lies behind it is counted without overflow.
            let count = usize::try_from(count).ok().filter(|&count| count > 0 && count <= len - at);
            let count = count.ok_or_else(range)?;
            Ok(Undo::Insert(items.drain(at..at + count).collect()))
        }
    }
}

impl Inverse {
    /// Goes back to the state before the change. The data must be as the change left it: several changes are undone
    /// in reverse order. Anything else is a mistake of the caller and leaves the data as it is.
    pub fn undo(self, data: &mut Value) {
        let undone = self.try_undo(data);
        debug_assert!(
            undone.is_some(),
            "changes are undone in reverse order, on the data they were applied to"
        );
    }

    fn try_undo(self, data: &mut Value) -> Option<()> {
        let path = self.path.as_str();
        if path.is_empty() {
            let Undo::Put(value) = self.undo else { return None };
            *data = value;
            return Some(());
        }
        let mut node = data;
        let mut start = 0;
        for end in self.ends {
            let segment = &path[start..end];
            node = match node {
                Value::Object(map) => map.get_mut(segment)?,
                Value::Array(items) => items.get_mut(parse_index(segment)?)?,
                _ => return None,
            };
            start = end + 1;
        }
        let last = &path[start..];
        match node {
            Value::Object(map) => undo_key(map, last, self.undo),
            Value::Array(items) => undo_element(items, last, self.undo),
            _ => None,
        }
    }
}

fn undo_key(map: &mut Map<String, Value>, key: &str, undo: Undo) -> Option<()> {
    match undo {
        Undo::Nothing => {}
        Undo::Put(value) => match map.get_mut(key) {
            Some(present) => *present = value,
            None => drop(map.insert(key.to_owned(), value)),
        },
        Undo::TakeKey => {
            map.remove(key)?;
        }
        Undo::Insert(_) | Undo::Remove(_) => return None,
    }
    Some(())
}

fn undo_element(items: &mut Vec<Value>, position: &str, undo: Undo) -> Option<()> {
    let at = parse_index(position)?;
    match undo {
        Undo::Nothing => {}
        Undo::Put(value) => *items.get_mut(at)? = value,
        Undo::TakeKey => return None,
        Undo::Insert(values) => {
            if at > items.len() {
                return None;
            }
            items.splice(at..at, values);
        }
        Undo::Remove(count) => {
            let end = at.checked_add(count).filter(|&end| end <= items.len())?;
            items.drain(at..end);
        }
    }
    Some(())
}
