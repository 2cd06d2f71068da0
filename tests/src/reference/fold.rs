//! What a change does to a document, said once more and independently of the code that is judged.

use hyperty_model::change::{Change, ChangeOp};
use serde_json::Value;

/// Carries out a change on a copy; `None` when it does not fit, and then the copy is not to be used any more.
///
/// Of a path, the longest part that is an existing key is taken first; what is no such key ends at its first dot.
pub fn fold(mut data: Value, change: &Change) -> Option<Value> {
    let path = change.path.as_str();
    if path.is_empty() {
        return match &change.op {
            ChangeOp::Set(whole @ Value::Object(_)) => Some(whole.clone()),
            _ => None,
        };
    }
    within(&mut data, path, &change.op)?;
    Some(data)
}

fn within(node: &mut Value, path: &str, op: &ChangeOp) -> Option<()> {
    match node {
        Value::Object(members) => {
            // The whole rest, or the rest up to any dot, the longest first.
            let ends = std::iter::once(path.len()).chain(path.rmatch_indices('.').map(|(at, _)| at));
            let known = ends.into_iter().find(|end| members.contains_key(&path[..*end]));
            let end = known.unwrap_or_else(|| new_key(path));
            let key = &path[..end];
            match path.get(end + 1..) {
                Some(rest) => within(members.get_mut(key)?, rest, op),
                None => {
                    match op {
                        ChangeOp::Set(value) => drop(members.insert(key.to_owned(), value.clone())),
                        ChangeOp::Delete => drop(members.remove(key)),
                        _ => return None,
                    }
                    Some(())
                }
            }
        }
        Value::Array(items) => {
            let (position, rest) = path.split_once('.').map_or((path, None), |(at, rest)| (at, Some(rest)));
            let at: usize = position.parse().ok()?;
            match rest {
                Some(rest) => within(items.get_mut(at)?, rest, op),
                None => element(items, at, op),
            }
        }
        _ => None,
    }
}

/// Where a key ends that does not exist yet: at the next dot, but a URL is one key, up to `.identity`.
fn new_key(path: &str) -> usize {
    let scheme = path.split_once("://").map_or("", |(scheme, _)| scheme);
    let is_url = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|next| next.is_ascii_alphanumeric() || "-+".contains(next));
    let end = match path.find(".identity.") {
        _ if !is_url => path.find('.'),
        None if path.ends_with(".identity") => Some(path.len() - ".identity".len()),
        end => end,
    };
    end.unwrap_or(path.len())
}

fn element(items: &mut Vec<Value>, at: usize, op: &ChangeOp) -> Option<()> {
    match op {
        ChangeOp::ReplaceElement(value) | ChangeOp::Set(value) if at < items.len() => {
            items[at] = value.clone();
        }
        ChangeOp::ReplaceElement(value) | ChangeOp::Set(value) if at == items.len() => {
            items.push(value.clone());
        }
        ChangeOp::Insert(values) if at <= items.len() => {
            let behind = items.split_off(at);
            items.extend(values.iter().cloned().chain(behind));
        }
        ChangeOp::Remove(_) | ChangeOp::Delete => {
            let count = if let ChangeOp::Remove(count) = op { usize::try_from(*count).ok()? } else { 1 };
            let end = at.checked_add(count).filter(|end| *end <= items.len() && count > 0)?;
            let behind = items.split_off(end);
            items.truncate(at);
            items.extend(behind);
        }
        _ => return None,
    }
    Some(())
}
