//! What a change of an object is to a storage: the record that is loaded has it (protocol 10.1).

use hyperty_model::Position;
use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::Children;
use hyperty_storage::{ObjectRecord, RecordStatus, Role, StorageError, Ticket};
use serde_json::json;

use super::objects::{Open, append, check, durable};
use super::sample::{change, child, children_name, record, same_but_log, set};

/// INV-DOM-6, INV-DOM-7: an appended change that is durable is part of the record after a restart, whatever it does.
pub(super) fn changes_are_applied_when_it_is_loaded(open: &Open) {
    let mut a =
        record(Role::Reporter, "a", Some(json!({"list": [1, 2, 3], "gone": 1, "user.name": {"x": 1}})));
    let store = open();
    store.save(&a);
    let array = |op| UpdateKind::Change(Change::new("list.1", op));
    let kinds = [
        set("text", json!("ü\u{0}\"\\")),
        set("falsy", json!(null)),
        UpdateKind::Change(Change::new("gone", ChangeOp::Delete)),
        array(ChangeOp::ReplaceElement(json!([0, 1.5e300]))),
        array(ChangeOp::Insert(vec![json!("x"), json!([[]])])),
        array(ChangeOp::Remove(2)),
        set("user.name.x", json!(false)),
        UpdateKind::Metadata { attribute: "name".to_owned(), value: json!("new") },
        set("", json!({"all": "new"})),
    ];
    let mut last = Ticket::default();
    for kind in kinds {
        let body = change(&mut a, kind);
        last = store.append(Role::Reporter, &a.metadata.url, &body).ticket;
        check(&*store, &[&a]);
    }
    durable(&*store, last).expect("it can be written");
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    append(&*store, &mut a, set("after", json!("restart")));
    // Without a version a change is the next.
    let body = UpdateBody { version: None, ..change(&mut a, set("after", json!("that"))) };
    store.append(Role::Reporter, &a.metadata.url, &body);
    drop(store);
    check(&*open(), &[&a]);
}

/// Sooner or later a checkpoint is due; before and after it the same is loaded.
pub(super) fn a_checkpoint_is_asked_for_and_changes_nothing(open: &Open) {
    for whole in [false, true] {
        let store = open();
        let mut a = record(Role::Reporter, if whole { "whole" } else { "part" }, Some(json!({})));
        a.children.create(&children_name("notes"), child("bob", 1, json!({}))).expect("it is new");
        store.save(&a);
        let mut due = 0;
        for i in 0..1000 {
            let kind = match i % 50 {
                0 => UpdateKind::Metadata { attribute: "name".to_owned(), value: json!(i.to_string()) },
                _ => set("counter", json!(i)),
            };
            if append(&*store, &mut a, kind) {
                due += 1;
                if whole {
                    store.save(&a)
                } else {
                    store.checkpoint(&a)
                };
            }
        }
        assert!((1..500).contains(&due), "{due} of 1000 changes of a small object asked for a checkpoint");
        drop(store);
        let found = open().find(Role::Reporter, &a.metadata.url).expect("it can be read");
        assert_eq!(found.map(|found| same_but_log(&found, &a)), Some(Ok(())));
    }
}

/// INV-DOM-6: what is known beside the data is written without touching it.
pub(super) fn saving_metadata_leaves_data_and_children_alone(open: &Open) {
    let store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({"n": 0})));
    store.save_metadata(&a);
    check(&*store, &[&a]);
    append(&*store, &mut a, set("n", json!(1)));
    append(&*store, &mut a, UpdateKind::Metadata { attribute: "name".to_owned(), value: json!("b") });
    a.children.create(&children_name("notes"), child("bob", 1, json!({}))).expect("it is new");
    store.put_child(a.role, &a.metadata.url, &children_name("notes"), &child("bob", 1, json!({})));
    a.status = RecordStatus::Deleting;
    store.save_metadata(&ObjectRecord { data: None, children: Children::default(), ..a.clone() });
    check(&*store, &[&a]);
    append(&*store, &mut a, set("n", json!(2)));
    drop(store);
    check(&*open(), &[&a]);
}

/// INV-RES-6: where the data is not kept, changes of it leave nothing but the position.
pub(super) fn without_data_position_and_metadata_are_kept(open: &Open) {
    let store = open();
    let mut a = record(Role::Observer, "a", None);
    store.save(&a);
    for i in 0..100 {
        append(&*store, &mut a, set("n", json!(i)));
    }
    append(&*store, &mut a, UpdateKind::Metadata { attribute: "tags".to_owned(), value: json!(["x"]) });
    append(&*store, &mut a, UpdateKind::Metadata { attribute: "name".to_owned(), value: json!("b") });
    check(&*store, &[&a]);
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    store.checkpoint(&a);
    append(&*store, &mut a, set("n", json!(0)));
    drop(store);
    check(&*open(), &[&a]);
}

/// M8: history that goes on at another epoch begins with a whole record.
pub(super) fn a_new_epoch_begins_with_a_record(open: &Open) {
    let store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    store.save(&a);
    append(&*store, &mut a, set("n", json!(1)));
    a.position = Position::new(1, 0);
    store.save(&a);
    a.log.clear();
    assert!(!append(&*store, &mut a, set("n", json!(2))));
    assert_eq!(a.position, Position::new(1, 1));
    drop(store);
    check(&*open(), &[&a]);
}

/// A change that does not follow asks for a checkpoint, and until then the record is an error, never a wrong state.
pub(super) fn a_change_out_of_order_is_not_served(open: &Open) {
    let store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    store.save(&a);
    append(&*store, &mut a, set("n", json!(1)));
    let skipped = change(&mut a, set("n", json!(2)));
    assert!(append(&*store, &mut a, set("n", json!(3))));
    let found = store.find(a.role, &a.metadata.url);
    assert!(matches!(found, Err(StorageError::Corrupt { .. })), "{found:?}");
    assert!(store.append(a.role, &a.metadata.url, &skipped).checkpoint_due);
    assert!(store.append(a.role, &a.metadata.url, &UpdateBody::beat(a.position, None)).checkpoint_due);
    store.checkpoint(&a);
    // What was left out cannot be told to anybody.
    a.log.clear();
    check(&*store, &[&a]);
    append(&*store, &mut a, set("n", json!(4)));
    drop(store);
    check(&*open(), &[&a]);
}
