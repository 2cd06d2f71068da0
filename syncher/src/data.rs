//! What every value must be before it becomes part of an object.

use hyperty_model::change::{ApplyError, Change, ChangeOp, ValueError, apply, check_value, diff};
use serde_json::Value;

/// Why a value is refused before anything is sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// The data of an object is a JSON object; put the value into an attribute of one.
    #[error("the data must be a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// The value does not survive every implementation: an integer is too large, or it is nested too deep.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Checks whole data.
pub(crate) fn check_data(data: &Value) -> Result<(), DataError> {
    let kind = match data {
        Value::Object(_) => return Ok(check_value(data)?),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
    };
    Err(DataError::NotAnObject(kind))
}

/// Checks what a change brings.
pub(crate) fn check_change(change: &Change) -> Result<(), DataError> {
    match &change.op {
        ChangeOp::Set(data) if change.path.is_root() => check_data(data),
        _ => Ok(change.values().iter().try_for_each(check_value)?),
    }
}

/// The changes by which a change is sent: itself, unless a key on its way holds a dot. Not every reader finds such a
/// key in a path, so then the nearest value above it is set as a whole (protocol 3.3).
pub(crate) fn as_sent(data: &Value, change: Change) -> Result<Vec<Change>, ApplyError> {
    if is_plain(data, change.path.as_str()) {
        return Ok(vec![change]);
    }
    let mut after = data.clone();
    apply(&mut after, &change)?;
    Ok(diff(data, &after))
}

/// Whether every dot of a path stands between two keys.
fn is_plain(data: &Value, path: &str) -> bool {
    let (mut node, mut rest) = (data, path);
    while let Some((segment, tail)) = rest.split_once('.') {
        let next = match node {
            Value::Object(map) => {
                // A longer key is found before a shorter one.
                let mut longer = tail.match_indices('.').map(|(dot, _)| segment.len() + 1 + dot);
                if map.contains_key(rest) || longer.any(|end| map.contains_key(&rest[..end])) {
                    return false;
                }
                // A new key that starts like a URL goes on behind its dots.
                map.get(segment).ok_or(!rest.contains("://"))
            }
            Value::Array(items) => segment.parse().ok().and_then(|at: usize| items.get(at)).ok_or(true),
            _ => Err(true),
        };
        match next {
            Ok(next) => (node, rest) = (next, tail),
            Err(plain) => return plain,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use hyperty_model::change::apply_with_inverse;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(path: &str) -> Change {
        Change::new(path, ChangeOp::Set(json!(7)))
    }

    #[test]
    fn a_key_with_a_dot_on_the_way_makes_the_value_above_it_be_sent() {
        let data = json!({"a": {"b": 1, "x.y": {"z": 2}}, "list": [{"v.w": 1}]});
        for plain in ["a", "a.b", "a.new", "list.0", "missing.b", "list.0.q"] {
            assert_eq!(as_sent(&data, set(plain)).unwrap(), [set(plain)]);
        }
        for (path, above) in
            [("a.x.y", "a"), ("a.x.y.z", "a"), ("list.0.v.w", "list.0"), ("a.user://e.x/b", "a")]
        {
            let [sent] = &as_sent(&data, set(path)).unwrap()[..] else { panic!("one change") };
            assert_eq!(sent.path.as_str(), above, "{path}");
        }
    }

    proptest! {
        /// However it is sent, the data becomes what the change says, and a change that does not fit is no other.
        #[test]
        fn what_is_sent_does_the_same(
            path in "(a|b|a\\.b|0|user://c\\.d/e)(\\.(a|b|b\\.c|0)){0,2}",
            at in 0_usize..3,
        ) {
            let inner = [json!({"b": {"c": [1]}, "b.c": {"a": 2}}), json!([{"a": 1}, 2]), json!(1)][at].clone();
            let data = json!({"a": inner.clone(), "a.b": {"b": inner}, "user://c.d/e": {"a.b": 1, "a": {}}});
            let mut expected = data.clone();
            let fits = apply_with_inverse(&mut expected, &set(&path)).is_ok();
            let mut got = data.clone();
            match as_sent(&data, set(&path)) {
                Ok(changes) => {
                    let outcome: Result<Vec<()>, _> = changes.iter().map(|change| apply(&mut got, change)).collect();
                    prop_assert_eq!(outcome.is_ok(), fits);
                }
                Err(_) => prop_assert!(!fits),
            }
            prop_assert_eq!(got, expected);
        }
    }
}
