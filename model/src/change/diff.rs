//! Finding the changes that lead from one document to another.

use serde_json::{Map, Value};

use super::path::split_new_key;
use super::{AttrPath, Change, ChangeOp, PATH_BYTES_MAX};

/// Most elements that are changed one by one where an array keeps its length; more are replaced together, because
/// each change is a version and a message.
const ELEMENTWISE_MAX: usize = 8;

/// Furthest that an array is found to have moved on like a window: a longer step is found as a replacement. Bounds
/// the comparisons to so many times the length.
const WINDOW_STEP_MAX: usize = 32;

/// The changes that lead from `before` to `after`: applied in order to `before` they give `after`.
///
/// Objects are compared key by key, arrays by what stays at both ends. Where a path could be read in more than one
/// way because keys hold dots, the nearest object above is set as a whole (protocol 3.3). Both are data of an
/// object, and so objects; for anything else the one change returned sets the whole, which [`apply`](super::apply)
/// carries out if `after` is an object.
pub fn diff(before: &Value, after: &Value) -> Vec<Change> {
    let mut differ = Differ { path: String::new(), depth: 0, changes: Vec::new() };
    let whole = match (before, after) {
        (Value::Object(before), Value::Object(after)) => differ.root(before, after).is_err(),
        _ => before != after,
    };
    if whole {
        return vec![Change::new(AttrPath::root(), ChangeOp::Set(after.clone()))];
    }
    differ.changes
}

/// The difference cannot, or should not, be written as changes below the path: what is above is set as a whole.
struct Inexpressible;

struct Differ {
    path: String,
    /// How many segments the path has; an empty key at the root is one, although its path is empty.
    depth: usize,
    changes: Vec<Change>,
}

/// What a value stands in: tells how it is replaced.
#[derive(Clone, Copy)]
enum Within {
    Object,
    Array,
}

impl Differ {
    fn root(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) -> Result<(), Inexpressible> {
        let dotted = dotted_keys(before, after);
        for key in &dotted {
            if before.get(*key) != after.get(*key) && !names_itself(key, before, after) {
                return Err(Inexpressible);
            }
        }
        for key in &dotted {
            self.descend(key, |differ| match (before.get(*key), after.get(*key)) {
                (Some(_), None) => differ.push(ChangeOp::Delete),
                (old, Some(new)) if old != Some(new) => differ.push(ChangeOp::Set(new.clone())),
                _ => Ok(()),
            })?;
        }
        self.plain_keys(before, after, &dotted)
    }

    /// The difference of two values that are not equal: what lies below the path if that can be said, else the whole
    /// value.
    fn value(&mut self, before: &Value, after: &Value, within: Within) -> Result<(), Inexpressible> {
        let start = self.changes.len();
        let done = match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.object(before, after),
            (Value::Array(before), Value::Array(after)) => self.array(before, after),
            _ => Err(Inexpressible),
        };
        done.or_else(|Inexpressible| {
            self.changes.truncate(start);
            self.push(match within {
                Within::Object => ChangeOp::Set(after.clone()),
                Within::Array => ChangeOp::ReplaceElement(after.clone()),
            })
        })
    }

    fn object(
        &mut self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) -> Result<(), Inexpressible> {
        let in_common = before.keys().any(|key| after.contains_key(key));
        if !in_common && !before.is_empty() {
            return Err(Inexpressible); // another object, not the same one changed
        }
        let dotted = dotted_keys(before, after);
        if dotted.iter().any(|key| before.get(*key) != after.get(*key)) {
            return Err(Inexpressible);
        }
        self.plain_keys(before, after, &dotted)
    }

    fn plain_keys(
        &mut self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        dotted: &[&str],
    ) -> Result<(), Inexpressible> {
        for key in before.keys().filter(|key| !key.contains('.') && !after.contains_key(*key)) {
            self.descend(key, |differ| differ.push(ChangeOp::Delete))?;
        }
        for (key, new) in after {
            let old = before.get(key);
            if key.contains('.') || old == Some(new) {
                continue;
            }
            // A path below this key could be read as one of the dotted keys that start with it.
            let shadowed = || dotted.iter().any(|other| is_prefix(key, other));
            self.descend(key, |differ| match old {
                Some(old) if !shadowed() => differ.value(old, new, Within::Object),
                _ => differ.push(ChangeOp::Set(new.clone())),
            })?;
        }
        Ok(())
    }

    fn array(&mut self, before: &[Value], after: &[Value]) -> Result<(), Inexpressible> {
        let start = before.iter().zip(after).take_while(|(old, new)| old == new).count();
        let (old, new) = (&before[start..], &after[start..]);
        let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
        let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
        if old.is_empty() || new.is_empty() {
            return self.splice(start, old.len(), new);
        }
        if let Some(step) = window_step(old, new) {
            self.splice(start, step, &[])?;
            return self.splice(start + old.len() - step, 0, &new[old.len() - step..]);
        }
        if let Some(step) = window_step(new, old) {
            let stays = new.len() - step;
            self.splice(start + stays, old.len() - stays, &[])?;
            return self.splice(start, 0, &new[..step]);
        }
        let changed = old.iter().zip(new).filter(|(old, new)| old != new).count();
        if old.len() == new.len() && changed <= ELEMENTWISE_MAX {
            let pairs = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
            for (at, (old, new)) in pairs {
                self.descend(&(start + at).to_string(), |differ| differ.value(old, new, Within::Array))?;
            }
            return Ok(());
        }
        if start + end == 0 {
            return Err(Inexpressible); // nothing stays: another array, not the same one changed
        }
        self.splice(start, old.len(), new)
    }

    /// Removes elements from a position of the array at the path, then inserts others there.
    fn splice(&mut self, at: usize, remove: usize, insert: &[Value]) -> Result<(), Inexpressible> {
        self.descend(&at.to_string(), |differ| {
            if remove > 0 {
                differ.push(ChangeOp::Remove(remove as u64))?;
            }
            if !insert.is_empty() {
                differ.push(ChangeOp::Insert(insert.to_vec()))?;
            }
            Ok(())
        })
    }

    fn descend(
        &mut self,
        segment: &str,
        inside: impl FnOnce(&mut Differ) -> Result<(), Inexpressible>,
    ) -> Result<(), Inexpressible> {
        let len = self.path.len();
        if self.depth > 0 {
            self.path.push('.');
        }
        self.path.push_str(segment);
        self.depth += 1;
        let done = inside(self);
        self.depth -= 1;
        self.path.truncate(len);
        done
    }

    fn push(&mut self, op: ChangeOp) -> Result<(), Inexpressible> {
        // The empty path is that of the data, so there is none for the empty key at the root.
        if self.path.is_empty() || self.path.len() > PATH_BYTES_MAX {
            return Err(Inexpressible);
        }
        self.changes.push(Change::new(self.path.as_str(), op));
        Ok(())
    }
}

/// The keys of either object that hold dots, each once.
fn dotted_keys<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> Vec<&'a str> {
    let dotted = |key: &&String| key.contains('.');
    let added = after.keys().filter(dotted).filter(|key| !before.contains_key(*key));
    before.keys().filter(dotted).chain(added).map(String::as_str).collect()
}

/// Whether a dotted key, as a path from the root, is read as that key: because it exists, or because a new key that
/// looks like it is taken whole and no existing one is a prefix of it.
fn names_itself(key: &str, before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    let prefix_exists = || before.keys().chain(after.keys()).any(|other| is_prefix(other, key));
    before.contains_key(key) || (split_new_key(key) == (key, None) && !prefix_exists())
}

/// Whether `key` stands before a dot at the start of `path`.
fn is_prefix(key: &str, path: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

/// By how many elements `old` has moved on to become `new`, if it lost those at its start and gained others at its
/// end.
fn window_step(old: &[Value], new: &[Value]) -> Option<usize> {
    (1..old.len().min(WINDOW_STEP_MAX + 1)).find(|&step| new.starts_with(&old[step..]))
}
