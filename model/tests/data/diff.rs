//! Finding the changes between two documents.

use hyperty_model::change::{Change, ChangeOp, apply, diff};
use hyperty_model::message::{UpdateBody, UpdateKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::{data, edited, value};

/// Applies the changes in the form in which they travel, each on what the one before left.
fn carried_over(before: &Value, changes: &[Change]) -> Value {
    let mut copy = before.clone();
    for change in changes {
        let text = serde_json::to_string(&UpdateBody::new(UpdateKind::Change(change.clone()))).unwrap();
        let body: UpdateBody = serde_json::from_str(&text).unwrap();
        let UpdateKind::Change(received) = &body.kind else { panic!("{text} was read as {:?}", body.kind) };
        apply(&mut copy, received).unwrap_or_else(|error| panic!("{text} on {copy}: {error}"));
    }
    copy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// INV-DOM-3 for whole documents: any two of them.
    #[test]
    fn inv_dom_3_diff_leads_from_any_document_to_any_other(before in data(), after in data()) {
        let changes = diff(&before, &after);
        prop_assert_eq!(carried_over(&before, &changes), after, "{:?}", changes);
    }

    /// INV-DOM-3 where documents have most in common, which is where paths are long.
    #[test]
    fn inv_dom_3_diff_leads_from_a_document_to_what_edits_made_of_it((before, after) in edited()) {
        let changes = diff(&before, &after);
        prop_assert_eq!(carried_over(&before, &changes), after, "{:?}", changes);
        prop_assert!(diff(&before, &before).is_empty());
    }

    #[test]
    fn diff_takes_whatever_it_is_given(before in value(), after in value()) {
        let changes = diff(&before, &after);
        prop_assert_eq!(changes.is_empty(), before == after);
        let mut copy = before;
        let applied = changes.iter().try_for_each(|change| apply(&mut copy, change));
        prop_assert_eq!(applied.is_ok() || !after.is_object(), true);
    }
}

#[track_caller]
fn check(before: Value, after: Value, expected: &[(&str, ChangeOp)]) {
    let changes = diff(&before, &after);
    let found: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.op.clone())).collect();
    assert_eq!(found, expected);
    assert_eq!(carried_over(&before, &changes), after);
}

#[test]
fn only_what_changed_is_sent() {
    let set = |value| ChangeOp::Set(value);
    check(
        json!({"a": 1, "b": {"c": 2, "d": 3}}),
        json!({"a": 1, "b": {"c": 2, "d": 4}}),
        &[("b.d", set(json!(4)))],
    );
    check(json!({"a": 1}), json!({"a": null}), &[("a", set(json!(null)))]);
    check(json!({"a": null, "b": 0}), json!({"b": 0}), &[("a", ChangeOp::Delete)]);
    check(json!({"a": {"x": 1}}), json!({"a": {"y": 1}}), &[("a", set(json!({"y": 1})))]);
    check(json!({"a": {}}), json!({"a": {"y": 1}}), &[("a.y", set(json!(1)))]);
    check(json!({"a": {"": 1, "b": 2}}), json!({"a": {"": 0, "b": 2}}), &[("a.", set(json!(0)))]);
}

#[test]
fn arrays_keep_what_stays_at_both_ends() {
    let insert = ChangeOp::Insert;
    check(json!({"l": [1, 2]}), json!({"l": [1, 2, 3]}), &[("l.2", insert(vec![json!(3)]))]);
    check(json!({"l": [1, 2]}), json!({"l": [0, 1, 2]}), &[("l.0", insert(vec![json!(0)]))]);
    check(json!({"l": [1, 2, 3, 4]}), json!({"l": [1, 4]}), &[("l.1", ChangeOp::Remove(2))]);
    check(json!({"l": [1, 2, 3]}), json!({"l": [1, 9, 3]}), &[("l.1", ChangeOp::ReplaceElement(json!(9)))]);
    check(json!({"l": [[1], [2]]}), json!({"l": [[1], [2, 3]]}), &[("l.1.1", insert(vec![json!(3)]))]);
    check(
        json!({"l": [{"n": 1, "ok": false}, 2]}),
        json!({"l": [{"n": 1, "ok": true}, 2]}),
        &[("l.0.ok", ChangeOp::Set(json!(true)))],
    );
    check(json!({"l": [1, 2, 3]}), json!({"l": [7, 8]}), &[("l", ChangeOp::Set(json!([7, 8])))]);
    check(
        json!({"l": [0, 1, 2, 3]}),
        json!({"l": [0, 7, 8, 9, 3]}),
        &[("l.1", ChangeOp::Remove(2)), ("l.1", insert(vec![json!(7), json!(8), json!(9)]))],
    );
}

#[test]
fn a_window_that_moves_on_is_two_changes() {
    let days = |range: std::ops::Range<u32>| json!({"days": range.map(|day| json!({"day": day})).collect::<Vec<_>>()});
    let day = |number: u32| json!({"day": number});
    check(
        days(0..30),
        days(1..31),
        &[("days.0", ChangeOp::Remove(1)), ("days.29", ChangeOp::Insert(vec![day(30)]))],
    );
    check(
        days(3..33),
        days(1..31),
        &[("days.28", ChangeOp::Remove(2)), ("days.0", ChangeOp::Insert(vec![day(1), day(2)]))],
    );
}

#[test]
fn what_lies_at_or_below_a_dotted_key_is_sent_with_the_object_above() {
    check(
        json!({"u": {"alice@example.com": {"n": 1}, "x": 1}}),
        json!({"u": {"alice@example.com": {"n": 2}, "x": 1}}),
        &[("u", ChangeOp::Set(json!({"alice@example.com": {"n": 2}, "x": 1})))],
    );
    check(
        // In the order of their names, which is that of the changes whether or not a map keeps its own.
        json!({"u": {"a": {"b": 2, "c": 1}, "a.b": 1, "x": 1}}),
        json!({"u": {"a": {"b": 3, "c": 1}, "a.b": 1, "x": 2}}),
        &[("u.a", ChangeOp::Set(json!({"b": 3, "c": 1}))), ("u.x", ChangeOp::Set(json!(2)))],
    );
}

#[test]
fn at_the_root_a_dotted_key_is_named_where_it_can_be_read() {
    let set = ChangeOp::Set;
    check(json!({"a.b": 1, "a": {"b": 2}}), json!({"a.b": 3, "a": {"b": 2}}), &[("a.b", set(json!(3)))]);
    check(json!({"a.b": 1, "a": {"b": 2}}), json!({"a": {"b": 2}}), &[("a.b", ChangeOp::Delete)]);
    check(json!({"z": 1}), json!({"z": 1, "user://x.y/z": 2}), &[("user://x.y/z", set(json!(2)))]);
    check(json!({"z": 1}), json!({"z": 1, "a.b": 2}), &[("", set(json!({"z": 1, "a.b": 2})))]);
    check(json!({"z": 1}), json!({"z": 1, "": 2}), &[("", set(json!({"z": 1, "": 2})))]);
    check(json!({"": {"a": 1}}), json!({"": {"a": 2}}), &[(".a", set(json!(2)))]);
}

#[test]
fn a_path_that_would_be_too_long_is_cut_at_the_object_above() {
    let long = "k".repeat(4_000);
    let before = json!({"a": { long.clone(): { long.clone(): 1, "other": 1 } }});
    let after = json!({"a": { long.clone(): { long.clone(): 2, "other": 1 } }});
    let changes = diff(&before, &after);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path.as_str(), format!("a.{long}"));
    assert_eq!(carried_over(&before, &changes), after);
}
