//! Writing JSON.

use serde::Serialize;
use serde_json::Value;

/// The JSON of what always has one.
pub(super) fn of(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    write(&mut bytes, value);
    bytes
}

/// Adds a value as `serde_json` writes it. Most of what is stored are strings in which nothing is escaped; to know
/// that at once and copy them is several times faster than to look at each byte, and here it counts.
pub(super) fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => write_text(bytes, text),
        Value::Array(items) => write_list(bytes, items),
        Value::Object(members) => {
            bytes.push(b'{');
            for (at, (key, value)) in members.iter().enumerate() {
                if at > 0 {
                    bytes.push(b',');
                }
                write_text(bytes, key);
                bytes.push(b':');
                write_value(bytes, value);
            }
            bytes.push(b'}');
        }
        scalar => write(bytes, scalar),
    }
}

/// Adds an array.
pub(super) fn write_list(bytes: &mut Vec<u8>, items: &[Value]) {
    bytes.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            bytes.push(b',');
        }
        write_value(bytes, item);
    }
    bytes.push(b']');
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    let escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    // No early end: so the compiler compares many bytes at a time.
    if text.bytes().fold(false, |found, byte| found | escaped(byte)) {
        return write(bytes, text);
    }
    bytes.push(b'"');
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'"');
}

fn write(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    if let Err(error) = serde_json::to_writer(bytes, value) {
        unreachable!("the keys of all maps are text, and memory takes it: {error}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ -~]{0,40}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 6, |inner| {
            let member = (any::<String>(), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Value::from),
                proptest::collection::vec(member, 0..6).prop_map(|all| Value::Object(Map::from_iter(all))),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_written_as_serde_json_writes_them(value in value()) {
            let mut bytes = Vec::new();
            write_value(&mut bytes, &value);
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), value.to_string());
        }
    }
}
