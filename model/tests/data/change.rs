//! Applying and undoing changes.

use hyperty_model::change::{
    ApplyError, Change, ChangeOp, DATA_DEPTH_MAX, PATH_BYTES_MAX, apply, apply_with_inverse, resolve,
};
use hyperty_model::message::{UpdateBody, UpdateKind};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::json::{change, data, op, plain_data, value};

/// What the change does, made by hand at a place that is named segment by segment.
fn mutate(document: &mut Value, place: &[String], op: &ChangeOp) -> Option<()> {
    let (last, parents) = place.split_last()?;
    let mut node = document;
    for segment in parents {
        node = match node {
            Value::Object(map) => map.get_mut(segment)?,
            Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match (node, op) {
        (Value::Object(map), ChangeOp::Set(value)) => {
            map.insert(last.clone(), value.clone());
        }
        (Value::Object(map), ChangeOp::Delete) => {
            map.remove(last);
        }
        (Value::Array(items), op) => {
            let at: usize = last.parse().ok()?;
            match op {
                ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) if at < items.len() => {
                    items[at] = value.clone();
                }
                ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) if at == items.len() => {
                    items.push(value.clone());
                }
                ChangeOp::Insert(values) if at <= items.len() => {
                    let tail = items.split_off(at);
                    items.extend(values.iter().cloned().chain(tail));
                }
                ChangeOp::Delete if at < items.len() => {
                    items.remove(at);
                }
                ChangeOp::Remove(count) if at + *count as usize <= items.len() => {
                    (0..*count).for_each(|_| drop(items.remove(at)));
                }
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// Every place of a document, and one more in each container.
fn places(document: &Value) -> Vec<Vec<String>> {
    fn collect(value: &Value, place: &[String], found: &mut Vec<Vec<String>>) {
        let members: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
            }
            _ => return,
        };
        let below = |segment: String| [place, &[segment]].concat();
        found.push(below(members.len().to_string()));
        for (segment, value) in members {
            let place = below(segment);
            collect(value, &place, found);
            found.push(place);
        }
    }
    let mut found = Vec::new();
    collect(document, &[], &mut found);
    // The empty path names the data, not its empty key.
    found.retain(|place| place.as_slice() != [""]);
    found
}

/// The change as a receiver gets it.
fn through_the_wire(change: &Change) -> Change {
    let body = UpdateBody::new(UpdateKind::Change(change.clone()));
    let text = serde_json::to_string(&body).unwrap();
    match serde_json::from_str::<UpdateBody>(&text).unwrap().kind {
        UpdateKind::Change(change) => change,
        other => panic!("{text} was read as {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// INV-DOM-3, with every operation at every kind of place.
    #[test]
    fn inv_dom_3_an_encoded_change_does_what_the_mutation_does(
        before in plain_data(),
        at in any::<Index>(),
        op in op(),
    ) {
        let places = places(&before);
        let place = at.get(&places);
        let change = through_the_wire(&Change::new(place.join("."), op.clone()));
        let mut expected = before.clone();
        let fits = mutate(&mut expected, place, &op).is_some();
        let mut copy = before.clone();
        prop_assert_eq!(apply(&mut copy, &change).is_ok(), fits, "{:?}", change);
        prop_assert_eq!(copy, if fits { expected } else { before });
    }

    #[test]
    fn a_change_is_applied_whole_or_not_at_all_and_can_be_undone(
        before in data(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut copy = before.clone();
        let mut done = Vec::new();
        for change in &changes {
            let unchanged = copy.clone();
            let mut other = copy.clone();
            let result = apply_with_inverse(&mut copy, change);
            prop_assert_eq!(apply(&mut other, change), result.as_ref().map(drop).map_err(Clone::clone));
            prop_assert_eq!(&copy, &other);
            match result {
                Ok(inverse) => done.push(inverse),
                Err(_) => prop_assert_eq!(&copy, &unchanged),
            }
        }
        for inverse in done.into_iter().rev() {
            inverse.undo(&mut copy);
        }
        prop_assert_eq!(copy, before);
    }

    #[test]
    fn what_was_set_is_found_at_its_path(before in data(), change in change(), value in value()) {
        let change = Change { op: ChangeOp::Set(value.clone()), ..change };
        let mut copy = before;
        if apply(&mut copy, &change).is_ok() {
            prop_assert_eq!(resolve(&copy, &change.path), Some(&value));
        }
    }
}

fn failure(document: Value, path: &str, op: ChangeOp) -> ApplyError {
    let mut copy = document.clone();
    let error = apply(&mut copy, &Change::new(path, op)).unwrap_err();
    assert_eq!(copy, document);
    error
}

#[test]
fn what_does_not_fit_says_where_and_why() {
    let document = || json!({"a": {"b": [1, 2]}, "s": "text"});
    let set = || ChangeOp::Set(json!(0));
    assert_eq!(failure(document(), "x.y", set()), ApplyError::Missing("x".into()));
    assert_eq!(failure(document(), "a.b.5.c", set()), ApplyError::Missing("a.b.5".into()));
    assert_eq!(failure(document(), "s.t", set()), ApplyError::Scalar("s".into()));
    assert_eq!(failure(document(), "a.b.0.t.u", set()), ApplyError::Scalar("a.b.0".into()));
    assert_eq!(failure(document(), "a.b", ChangeOp::Remove(1)), ApplyError::NotInArray("a.b".into()));
    let range = |position: &str, count| ApplyError::Range { position: position.into(), count, len: 2 };
    assert_eq!(failure(document(), "a.b.3", set()), range("3", 1));
    assert_eq!(failure(document(), "a.b.01", set()), range("01", 1));
    assert_eq!(failure(document(), "a.b.-1", ChangeOp::Delete), range("-1", 1));
    assert_eq!(failure(document(), "a.b.2", ChangeOp::Delete), range("2", 1));
    assert_eq!(failure(document(), "a.b.1", ChangeOp::Remove(2)), range("1", 2));
    assert_eq!(failure(document(), "a.b.0", ChangeOp::Remove(0)), range("0", 0));
    assert_eq!(failure(document(), "a.b.0", ChangeOp::Remove(u64::MAX)), range("0", u64::MAX));
    for op in [ChangeOp::Delete, ChangeOp::Set(json!([])), ChangeOp::Insert(vec![]), ChangeOp::Remove(1)] {
        assert_eq!(failure(document(), "", op), ApplyError::Root);
    }
    let long = "a".repeat(PATH_BYTES_MAX + 1);
    assert_eq!(failure(document(), &long, set()), ApplyError::PathTooLong(PATH_BYTES_MAX + 1));
}

#[test]
fn data_never_gets_too_deep_to_be_sent() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    let mut document = nested(DATA_DEPTH_MAX - 1);
    let path = vec!["a"; DATA_DEPTH_MAX - 1].join(".");
    apply(&mut document, &Change::new(path.as_str(), ChangeOp::Set(json!([1])))).unwrap();
    assert_eq!(failure(document.clone(), &path, ChangeOp::Set(json!([[]]))), ApplyError::TooDeep);
    assert_eq!(
        failure(document.clone(), &format!("{path}.0"), ChangeOp::Insert(vec![json!({})])),
        ApplyError::TooDeep
    );
    assert_eq!(failure(document, "", ChangeOp::Set(nested(DATA_DEPTH_MAX + 1))), ApplyError::TooDeep);
}

#[test]
fn deleting_what_is_not_there_is_no_failure() {
    let mut document = json!({"a": 1});
    let inverse = apply_with_inverse(&mut document, &Change::new("b", ChangeOp::Delete)).unwrap();
    inverse.undo(&mut document);
    assert_eq!(document, json!({"a": 1}));
}

#[test]
fn undoing_does_not_confuse_a_dotted_key_with_the_path_it_looks_like() {
    let before = json!({"a.b": 1, "a": {"b": 2}});
    let mut document = before.clone();
    let inverse = apply_with_inverse(&mut document, &Change::new("a.b", ChangeOp::Delete)).unwrap();
    assert_eq!(document, json!({"a": {"b": 2}}));
    inverse.undo(&mut document);
    assert_eq!(document, before);
}
