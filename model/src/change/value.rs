//! Which values the data of an object may hold, and how much room they take.

use serde_json::{Number, Value};

use crate::message::MESSAGE_DEPTH_MAX;

/// Deepest nesting of an object's data, itself included: a snapshot with such data, or a child's among its
/// children, still passes as one message.
pub const DATA_DEPTH_MAX: usize = MESSAGE_DEPTH_MAX - 16;

/// Largest integer, of either sign, that every JSON implementation reads exactly: 2⁵³ (protocol M26).
pub const INTEGER_MAX: u64 = 1 << 53;

/// Why a value cannot be part of an object's data; answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nested deeper than [`DATA_DEPTH_MAX`]; flatten it, or move parts into children.
    #[error("value is nested deeper than {DATA_DEPTH_MAX} levels")]
    TooDeep,
    /// An integer beyond ±2⁵³, which readers that know doubles only would change; send it as a string.
    #[error("integer {0} is beyond ±2^53 and would not survive every JSON reader")]
    Integer(Number),
}

/// Checks that a value survives every implementation: its depth, and its integers (protocol M26).
///
/// # Errors
/// [`ValueError`] names the first thing that does not fit.
pub fn check_value(value: &Value) -> Result<(), ValueError> {
    check(value, DATA_DEPTH_MAX)
}

fn check(value: &Value, levels: usize) -> Result<(), ValueError> {
    match value {
        Value::Number(number) if !is_exact(number) => Err(ValueError::Integer(number.clone())),
        Value::Array(_) | Value::Object(_) if levels == 0 => Err(ValueError::TooDeep),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, levels - 1)),
        Value::Object(map) => map.values().try_for_each(|item| check(item, levels - 1)),
        _ => Ok(()),
    }
}

fn is_exact(number: &Number) -> bool {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    magnitude.is_none_or(|magnitude| magnitude <= INTEGER_MAX)
}

/// Whether a value is nested no deeper than `levels`; stops there, however deep it is.
pub(super) fn fits(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
        Value::Object(map) => levels > 0 && map.values().all(|item| fits(item, levels - 1)),
        _ => true,
    }
}

/// About how many bytes a value takes as JSON text: exact enough to bound a queue, without writing the text.
pub fn approximate_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| approximate_size(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => {
            map.iter().map(|(key, item)| key.len() + 4 + approximate_size(item)).sum::<usize>() + 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_are_exact_up_to_two_to_the_53_in_both_directions() {
        for fits in [json!(INTEGER_MAX), json!(-(1_i64 << 53)), json!(1e300), json!(-0.5), json!(null)] {
            assert_eq!(check_value(&fits), Ok(()), "{fits}");
        }
        for beyond in [json!(INTEGER_MAX + 1), json!(-(1_i64 << 53) - 1), json!(u64::MAX), json!(i64::MIN)] {
            let Value::Number(number) = &beyond else { unreachable!() };
            let hidden = json!({"a": [1, {"b": beyond}]});
            assert_eq!(check_value(&hidden), Err(ValueError::Integer(number.clone())));
        }
    }

    #[test]
    fn depth_counts_containers_and_not_scalars() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(check_value(&nested(DATA_DEPTH_MAX)), Ok(()));
        assert_eq!(check_value(&nested(DATA_DEPTH_MAX + 1)), Err(ValueError::TooDeep));
        assert!(fits(&nested(3), 3) && !fits(&nested(4), 3) && fits(&json!("scalar"), 0));
    }

    #[test]
    fn the_size_is_near_the_length_of_the_text() {
        let value = json!({"name": "station 7", "open": true, "items": [1, 2.5, null, {"a": ""}], "e": {}});
        let text = value.to_string().len();
        let size = approximate_size(&value);
        assert!(size >= text / 2 && size <= text * 2, "{size} for {text} bytes");
    }
}
