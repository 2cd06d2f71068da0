//! The wire form of updates.

use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Identity, Position, Timestamp, Url};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::json::{change, key, scalar, value};

fn kind() -> impl Strategy<Value = UpdateKind> {
    prop_oneof![
        8 => change().prop_map(UpdateKind::Change),
        2 => (key(), value()).prop_map(|(attribute, value)| UpdateKind::Metadata { attribute, value }),
        1 => (option::of("[0-9a-f]{16}"), option::of("[0-9a-f]{16}"))
            .prop_map(|(digest, children)| UpdateKind::Position { digest, children }),
        1 => value().prop_map(UpdateKind::Whole),
        1 => value().prop_map(UpdateKind::Status),
        1 => Just(UpdateKind::Unlocated),
    ]
}

fn body() -> impl Strategy<Value = UpdateBody> {
    let source =
        select(vec!["hyperty://example.com/alice", "hyperty://b/2"]).prop_map(|url| Url::parse(url).unwrap());
    let resource = select(vec!["hyperty://example.com/alice#1", "comm://a/o"]).prop_map(str::to_owned);
    let identity = Just(Identity::of_user("user://example.com/alice"));
    // The formatter of times knows four digits of the year.
    let time = (0_u64..253_402_300_799_999).prop_map(Timestamp::from_millis);
    (
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        option::of(source),
        option::of(resource),
        option::of(time),
        any::<bool>(),
        option::of(identity),
        kind(),
    )
        .prop_map(|(version, epoch, source, resource, last_modified, receipt, identity, kind)| {
            UpdateBody { version, epoch, source, resource, last_modified, receipt, identity, kind }
        })
}

/// Anything with the members of an update, each right, odd or wrong.
fn wire_object() -> impl Strategy<Value = Value> {
    let word =
        |words: &'static [&'static str]| prop_oneof![4 => select(words).prop_map(Value::from), 1 => scalar()];
    let members = (
        option::of(word(&["", "a", "a.b", "status"])),
        option::of(word(&["object", "array", "metadata", "position", "set"])),
        option::of(word(&["add", "remove", "move"])),
        option::of(value()),
        option::of(prop_oneof![4 => any::<u64>().prop_map(Value::from), 1 => scalar()]),
        option::of(word(&["comm://a/o", "hyperty://a/b#1"])),
    );
    members.prop_map(|(attribute, kind, operation, value, version, resource)| {
        let members = [
            ("attribute", attribute),
            ("attributeType", kind),
            ("operation", operation),
            ("value", value),
            ("version", version),
            ("resource", resource),
        ];
        let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    })
}

fn encode(body: &UpdateBody) -> String {
    serde_json::to_string(body).unwrap()
}

fn decode(text: &str) -> UpdateBody {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a reader can know: an epoch of 0 is absent, and a bare value is told apart by what stands beside it.
fn as_read(body: UpdateBody) -> UpdateBody {
    let names_child = body.resource.as_deref().is_some_and(|id| id.contains('#')) || body.version.is_some();
    let kind = match body.kind {
        UpdateKind::Whole(value) | UpdateKind::Status(value) if names_child => UpdateKind::Whole(value),
        UpdateKind::Whole(value) | UpdateKind::Status(value) => UpdateKind::Status(value),
        other => other,
    };
    UpdateBody { kind, epoch: body.epoch.filter(|&epoch| epoch > 0), ..body }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// INV-DOM-3: every value arrives as it was sent, `null` and falsy ones included.
    #[test]
    fn inv_dom_3_updates_survive_the_wire(body in body()) {
        let text = encode(&body);
        let read = decode(&text);
        prop_assert_eq!(encode(&read), text);
        prop_assert_eq!(read, as_read(body));
    }

    #[test]
    fn whatever_is_understood_is_written_so_that_it_is_understood_the_same(wire in wire_object()) {
        if let Ok(read) = serde_json::from_value::<UpdateBody>(wire) {
            prop_assert_eq!(decode(&encode(&read)), read);
        }
    }

    #[test]
    fn every_double_survives(double in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
        let change = Change::new("a", ChangeOp::Set(json!(double)));
        let read = decode(&encode(&UpdateBody::new(UpdateKind::Change(change))));
        let UpdateKind::Change(Change { op: ChangeOp::Set(value), .. }) = read.kind else { panic!() };
        prop_assert_eq!(value.as_f64().unwrap().to_bits(), double.to_bits());
    }
}

fn read(wire: Value) -> UpdateKind {
    serde_json::from_value::<UpdateBody>(wire).unwrap().kind
}

fn changed(path: &str, op: ChangeOp) -> UpdateKind {
    UpdateKind::Change(Change::new(path, op))
}

/// The table of protocol 3.3.
#[test]
fn each_kind_of_change_has_its_form() {
    let forms = [
        (json!({"attribute": "a", "value": null}), changed("a", ChangeOp::Set(json!(null)))),
        (json!({"attribute": "a", "value": false}), changed("a", ChangeOp::Set(json!(false)))),
        (json!({"attribute": "a"}), changed("a", ChangeOp::Delete)),
        (
            json!({"attribute": "a.1", "attributeType": "array", "value": [1]}),
            changed("a.1", ChangeOp::ReplaceElement(json!([1]))),
        ),
        (
            json!({"attribute": "a.1", "attributeType": "array", "operation": "add", "value": [[1], null]}),
            changed("a.1", ChangeOp::Insert(vec![json!([1]), json!(null)])),
        ),
        (
            json!({"attribute": "a.1", "attributeType": "array", "operation": "remove", "value": 2}),
            changed("a.1", ChangeOp::Remove(2)),
        ),
        (
            json!({"attribute": "tags", "attributeType": "metadata", "value": ["x"]}),
            UpdateKind::Metadata { attribute: "tags".into(), value: json!(["x"]) },
        ),
        (
            json!({"attributeType": "position", "digest": "0f"}),
            UpdateKind::Position { digest: Some("0f".into()), children: None },
        ),
        (json!({"value": "live"}), UpdateKind::Status(json!("live"))),
        (json!({"resource": "comm://a/o", "value": "live"}), UpdateKind::Status(json!("live"))),
        (json!({"resource": "hyperty://a/b#1", "value": {"t": 1}}), UpdateKind::Whole(json!({"t": 1}))),
        (json!({"version": 4, "value": {"t": 1}}), UpdateKind::Whole(json!({"t": 1}))),
        (json!({"attribute": "", "value": {}}), changed("", ChangeOp::Set(json!({})))),
    ];
    for (wire, kind) in forms {
        assert_eq!(read(wire.clone()), kind, "{wire}");
        let body: UpdateBody = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&body).unwrap(), wire);
    }
}

#[test]
fn other_spellings_are_accepted() {
    let add = |value: Value| json!({"attribute": "a.0", "attributeType": "array", "operation": "add", "value": value});
    assert_eq!(read(add(json!("x"))), changed("a.0", ChangeOp::Insert(vec![json!("x")])));
    let remove = json!({"attribute": "a.0", "attributeType": "array", "operation": "remove"});
    assert_eq!(read(remove), changed("a.0", ChangeOp::Remove(1)));
    let object = json!({"attribute": "a", "attributeType": "object", "value": 1});
    assert_eq!(read(object), changed("a", ChangeOp::Set(json!(1))));
    let old = json!({"attribute": "a", "operation": "remove", "value": "the old one"});
    assert_eq!(read(old), changed("a", ChangeOp::Delete));
    let registry = json!({"value": "live", "attribute": "status", "unknown": [1]});
    assert_eq!(read(registry), changed("status", ChangeOp::Set(json!("live"))));
}

#[test]
fn what_cannot_be_carried_out_is_unlocated() {
    for wire in [
        json!({"version": 3, "attributeType": "array", "operation": "add", "value": [1]}),
        json!({"version": 3}),
        json!({"attribute": "a.0", "attributeType": "array", "operation": "add"}),
        json!({"attribute": "a.0", "attributeType": "array", "operation": "remove", "value": 0}),
        json!({"attribute": "a.0", "attributeType": "array", "operation": "remove", "value": "x"}),
        json!({"attribute": "a.0", "attributeType": "array"}),
        json!({"attribute": "a.0", "attributeType": "array", "operation": "move", "value": 1}),
        json!({"attribute": "a", "attributeType": "set", "value": 1}),
        json!({"attributeType": "metadata", "value": 1}),
    ] {
        assert_eq!(read(wire.clone()), UpdateKind::Unlocated, "{wire}");
    }
}

#[test]
fn malformed_updates_are_refused() {
    for wire in [
        json!([]),
        json!("x"),
        json!({"version": "x"}),
        json!({"version": -1}),
        json!({"attribute": 1}),
        json!({"source": "no url"}),
    ] {
        assert!(serde_json::from_value::<UpdateBody>(wire.clone()).is_err(), "{wire}");
    }
    assert!(serde_json::from_str::<UpdateBody>(r#"{"value":1,"value":2}"#).is_err());
}

#[test]
fn a_position_is_written_without_epoch_0() {
    let beat = UpdateBody::beat(Position::new(0, 7), None);
    assert_eq!(encode(&beat), r#"{"version":7,"attributeType":"position"}"#);
    let beat = UpdateBody::beat(Position::new(2, 7), None);
    assert_eq!(encode(&beat), r#"{"version":7,"epoch":2,"attributeType":"position"}"#);
    assert_eq!(decode(&encode(&beat)).position(), Some(Position::new(2, 7)));
}
