//! The forms in which children travel and are stored.

use hyperty_model::object::{ChildId, Children, Metadata, Snapshot};
use serde_json::{Value, json};

use super::children::{entry, hyperty, live, name, through_json};

#[test]
fn every_form_of_children_is_read() {
    let child = |text: &str| json!({"reporter": "hyperty://a/b", "data": {"text": text}, "extra": [1]});
    let forms = json!({
        "heartbeat": 1_700_000_000,
        "notes": {"hyperty://a/b#1": {"value": child("named"), "identity": {"userProfile": {}}}},
        "files": {"children": {"hyperty://a/b#2": child("wrapped"), "heartbeat": 5}, "parent": "comm://a/o", "listener": {}},
        "hyperty://a/b#3": {"value": child("flat")},
        "hyperty://a/b#4": {"url": "hyperty://a/b#4", "reporter": "hyperty://a/b", "children": "notes"},
    });
    let mut children: Children = serde_json::from_value(json!({ "childrenObjects": forms })).unwrap();
    let text = |children: &Children, of: &str, id: &str| {
        children.get(&name(of), id).map(|entry| entry.value.data["text"].clone())
    };
    assert_eq!(children.len(), 4);
    assert_eq!(text(&children, "notes", "hyperty://a/b#1"), Some(json!("named")));
    assert_eq!(text(&children, "files", "hyperty://a/b#2"), Some(json!("wrapped")));
    assert_eq!(text(&children, "notes", "hyperty://a/b#4"), Some(Value::Null));
    assert_eq!(text(&children, "resources", "hyperty://a/b#3"), Some(json!("flat")));
    let entry = children.get(&name("notes"), "hyperty://a/b#1").unwrap();
    assert_eq!((entry.value.extra["extra"].clone(), entry.value.version), (json!([1]), 0));

    children.name_flat(&[name("notes")]);
    assert_eq!(text(&children, "notes", "hyperty://a/b#3"), Some(json!("flat")));
    assert!(children.table(&name("resources")).is_none());
    assert_eq!(live(&through_json(&children)), live(&children));
}

#[test]
fn malformed_children_are_refused() {
    for wrong in [
        json!({"notes": 1}),
        json!({"no name": {}}),
        json!({"notes": {"x#1": {"value": {"data": {}}}}}),
        json!({"notes": {"": {"value": {"reporter": "hyperty://a/b"}}}}),
        json!({"notes": {"x#1": 7}}),
        json!([]),
    ] {
        let wire = json!({ "childrenObjects": wrong });
        assert!(serde_json::from_value::<Children>(wire.clone()).is_err(), "{wire}");
    }
    for nothing in
        [json!({}), json!({"childrenObjects": null}), json!({"childrenObjects": {}, "childrenDeleted": null})]
    {
        assert_eq!(serde_json::from_value::<Children>(nothing).unwrap(), Children::default());
    }
}

#[test]
fn a_snapshot_carries_children_and_tombstones() {
    let (notes, alice) = (name("notes"), hyperty(1));
    let mut children = Children::default();
    for number in 1..=2 {
        children.create(&notes, entry(&ChildId::of(&alice, number), &alice, json!({"n": number}))).unwrap();
    }
    children.delete(&notes, ChildId::of(&alice, 1).as_str(), &alice).unwrap();
    let metadata: Metadata = serde_json::from_value(json!({
        "url": "comm://a/o", "reporter": "hyperty://a/r", "runtime": "runtime://a/r", "schema": "hyperty-catalogue://a/s",
        "name": "o", "created": "2026-01-31T12:00:00.000Z", "lastModified": "2026-01-31T12:00:00.000Z",
    }))
    .unwrap();
    let snapshot = Snapshot { metadata, version: 4, epoch: 1, data: json!({"x": 0.1}), children };
    let wire = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(
        wire["childrenObjects"]["notes"]["hyperty://example.com/h1#2"]["value"]["data"],
        json!({"n": 2})
    );
    assert_eq!(wire["childrenDeleted"]["notes"]["ids"], json!(["hyperty://example.com/h1#1"]));
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
}
