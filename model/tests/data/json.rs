//! Documents to test with: few keys, so that they collide, and among them those that make paths hard to read.

use hyperty_model::change::{Change, ChangeOp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

const KEYS: [&str; 18] = [
    "",
    "a",
    "b",
    "0",
    "1",
    "a.b",
    "a.",
    ".b",
    ".",
    "a.b.c",
    "b.0",
    "user://x",
    "user://x.y/z",
    "user://x.y/z.identity",
    "user://x.identity.name",
    "ключ",
    "🜁.é",
    "identity",
];

pub(crate) fn key() -> impl Strategy<Value = String> {
    prop_oneof![12 => select(&KEYS[..]).prop_map(str::to_owned), 1 => any::<String>(), 4 => "[ab]"]
}

pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::ANY.prop_map(|double| json!(double)),
        select(vec!["", "a", "0", "x.y"]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            3 => prop::collection::vec((key(), inner.clone()), 0..5).prop_map(object_of),
            2 => prop::collection::vec(inner, 0..6).prop_map(Value::Array),
        ]
    })
}

/// What can be the data of an object.
pub(crate) fn data() -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), value()), 0..6).prop_map(object_of)
}

/// The same without keys that hold dots: every place has one path.
pub(crate) fn plain_data() -> impl Strategy<Value = Value> {
    data().prop_map(without_dots)
}

fn without_dots(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.into_iter().map(|(key, value)| (key.replace('.', "-"), without_dots(value)));
            Value::Object(members.collect())
        }
        Value::Array(items) => items.into_iter().map(without_dots).collect(),
        scalar => scalar,
    }
}

fn object_of(members: Vec<(String, Value)>) -> Value {
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}

/// A small edit of a document, made without paths: some container of it gets, loses or exchanges a member.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    container: Index,
    member: Index,
    key: String,
    value: Value,
    kind: u8,
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    (any::<Index>(), any::<Index>(), key(), value(), any::<u8>())
        .prop_map(|(container, member, key, value, kind)| Edit { container, member, key, value, kind })
}

impl Edit {
    pub(crate) fn make(&self, document: &mut Value) {
        let count = containers(document);
        match nth_container(document, &mut self.container.index(count)) {
            Some(Value::Object(map)) => self.in_object(map),
            Some(Value::Array(items)) => self.in_array(items),
            _ => unreachable!("the root is a container"),
        }
    }

    fn in_object(&self, map: &mut Map<String, Value>) {
        let present =
            (!map.is_empty()).then(|| map.keys().nth(self.member.index(map.len())).cloned()).flatten();
        match (self.kind % 3, present) {
            (0, Some(key)) => drop(map.remove(&key)),
            (1, Some(key)) => drop(map.insert(key, self.value.clone())),
            _ => drop(map.insert(self.key.clone(), self.value.clone())),
        }
    }

    fn in_array(&self, items: &mut Vec<Value>) {
        let at = self.member.index(items.len() + 1);
        match self.kind % 5 {
            0 if at < items.len() => drop(items.remove(at)),
            1 if at < items.len() => items[at] = self.value.clone(),
            2 if at < items.len() => items.rotate_left(at),
            3 => drop(items.drain(..at)),
            _ => items.insert(at, self.value.clone()),
        }
    }
}

fn containers(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(containers).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(containers).sum::<usize>(),
        _ => 0,
    }
}

fn nth_container<'a>(value: &'a mut Value, n: &mut usize) -> Option<&'a mut Value> {
    if !value.is_object() && !value.is_array() {
        return None;
    }
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Object(map) => map.values_mut().find_map(|inner| nth_container(inner, n)),
        Value::Array(items) => items.iter_mut().find_map(|inner| nth_container(inner, n)),
        _ => None,
    }
}

/// A document and what edits made of it.
pub(crate) fn edited() -> impl Strategy<Value = (Value, Value)> {
    (data(), prop::collection::vec(edit(), 0..5)).prop_map(|(before, edits)| {
        let mut after = before.clone();
        edits.iter().for_each(|edit| edit.make(&mut after));
        (before, after)
    })
}

/// A change that often fits and often does not.
pub(crate) fn change() -> impl Strategy<Value = Change> {
    let segment = prop_oneof![3 => key(), 2 => (0_usize..4).prop_map(|at| at.to_string())];
    let path = prop::collection::vec(segment, 0..4).prop_map(|segments| segments.join("."));
    (path, op()).prop_map(|(path, op)| Change::new(path, op))
}

pub(crate) fn op() -> impl Strategy<Value = ChangeOp> {
    prop_oneof![
        4 => value().prop_map(ChangeOp::Set),
        2 => Just(ChangeOp::Delete),
        2 => value().prop_map(ChangeOp::ReplaceElement),
        2 => prop::collection::vec(value(), 0..4).prop_map(ChangeOp::Insert),
        2 => (1_u64..5).prop_map(ChangeOp::Remove),
    ]
}
