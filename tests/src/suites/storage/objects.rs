//! What [`DataObjectStorage`] promises, case by case.

use std::sync::Arc;

use hyperty_model::Position;
use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::log::LOG_CHANGES_MAX;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{ChildOutcome, Children};
use hyperty_storage::{
    DataObjectStorage, ObjectRecord, RecordStatus, Role, StorageError, Subscriber, Ticket, reached,
};
use serde_json::json;

use super::sample::{
    change, child, children_name, full_record, hyperty, object, record, same, set, subscriber,
};

/// Where one storage is: each call opens it again and finds what was there. The one opened before is dropped first.
pub type Open = Box<dyn Fn() -> Arc<dyn DataObjectStorage>>;

/// Runs all cases; `fresh` makes an empty place with each call.
pub async fn run(fresh: &dyn Fn() -> Open) {
    an_empty_storage_has_no_records(&fresh());
    a_record_comes_back_as_it_was_saved(&fresh()).await;
    changes_are_applied_when_it_is_loaded(&fresh()).await;
    objects_and_sides_are_apart(&fresh());
    a_checkpoint_is_asked_for_and_changes_nothing(&fresh());
    saving_metadata_leaves_data_and_children_alone(&fresh());
    without_data_position_and_metadata_are_kept(&fresh());
    children_outlive_changes_of_the_object(&fresh());
    deleted_children_stay_deleted(&fresh());
    a_removed_object_leaves_nothing(&fresh());
    a_new_epoch_begins_with_a_record(&fresh());
    a_change_out_of_order_is_not_served(&fresh());
    the_newest_changes_are_kept(&fresh());
    subscribers_come_and_go_one_by_one(&fresh());
}

fn append(store: &dyn DataObjectStorage, record: &mut ObjectRecord, kind: UpdateKind) -> bool {
    let body = change(record, kind);
    store.append(record.role, &record.metadata.url, &body).checkpoint_due
}

/// Loads and finds the same, and nothing else on that side.
#[track_caller]
fn check(store: &dyn DataObjectStorage, wanted: &[&ObjectRecord]) {
    let role = wanted[0].role;
    let mut loaded = store.load(role).expect("it can be read");
    loaded.sort_by(|a, b| a.metadata.url.cmp(&b.metadata.url));
    assert_eq!(loaded.len(), wanted.len());
    for (found, wanted) in loaded.iter().zip(wanted) {
        assert_eq!(Ok(()), same(found, wanted));
    }
    for record in wanted {
        let found = store.find(role, &record.metadata.url).expect("it can be read");
        assert_eq!(Ok(()), same(&found.expect("it is there"), record));
    }
}

/// Nothing was saved: nothing is found, and that is no error.
pub fn an_empty_storage_has_no_records(open: &Open) {
    let store = open();
    assert_eq!(store.load(Role::Reporter), Ok(Vec::new()));
    assert_eq!(store.find(Role::Observer, &object("a")), Ok(None));
    store.remove(Role::Reporter, &object("a"));
    assert_eq!(store.load(Role::Reporter), Ok(Vec::new()));
}

/// Every field survives a restart, and an acknowledged record is durable.
pub async fn a_record_comes_back_as_it_was_saved(open: &Open) {
    let full = full_record();
    let store = open();
    let ticket = store.save(&full);
    assert!(ticket > Ticket::default());
    assert_eq!(reached(store.progress(), ticket).await, Ok(()));
    check(&*store, &[&full]);
    drop(store);
    let store = open();
    check(&*store, &[&full]);
    // The case of a URL is kept, and does not matter for finding it.
    let found = store.find(Role::Reporter, &"COMM://example.COM/full".parse().expect("a URL"));
    assert_eq!(
        found.expect("it can be read").map(|found| found.metadata.url.to_string()),
        Some(full.metadata.url.to_string())
    );
}

/// INV-DOM-6, INV-DOM-7: an appended change that is durable is part of the record after a restart, whatever it does.
pub async fn changes_are_applied_when_it_is_loaded(open: &Open) {
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
    reached(store.progress(), last).await.expect("it can be written");
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

/// One object's rows are never another's, however alike their URLs are.
pub fn objects_and_sides_are_apart(open: &Open) {
    let store = open();
    let mut all: Vec<_> =
        ["a", "a-b", "a/b", "aa", "b"].map(|n| record(Role::Reporter, n, Some(json!({})))).into();
    let mut observed = record(Role::Observer, "a", Some(json!({"observed": true})));
    all.iter().for_each(|record| _ = store.save(record));
    store.save(&observed);
    for record in &mut all {
        append(&*store, record, set("name", json!(record.metadata.name)));
        let entry = child("bob", 1, json!({"of": record.metadata.name}));
        store.put_child(record.role, &record.metadata.url, &children_name("n"), &entry);
        record.children.create(&children_name("n"), entry).expect("it is new");
    }
    append(&*store, &mut observed, set("more", json!(1)));
    all.sort_by(|a, b| a.metadata.url.cmp(&b.metadata.url));
    drop(store);
    let store = open();
    check(&*store, &all.iter().collect::<Vec<_>>());
    check(&*store, &[&observed]);
    store.remove(Role::Reporter, &object("a"));
    all.retain(|record| record.metadata.url != object("a"));
    check(&*store, &all.iter().collect::<Vec<_>>());
    check(&*store, &[&observed]);
}

/// Sooner or later a checkpoint is due; before and after it the same is loaded.
pub fn a_checkpoint_is_asked_for_and_changes_nothing(open: &Open) {
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
        assert_eq!(found.map(|found| same(&found, &a)), Some(Ok(())));
    }
}

/// INV-DOM-6: what is known beside the data is written without touching it.
pub fn saving_metadata_leaves_data_and_children_alone(open: &Open) {
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
pub fn without_data_position_and_metadata_are_kept(open: &Open) {
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

/// INV-DOM-6: children are never dropped by a write of something else.
pub fn children_outlive_changes_of_the_object(open: &Open) {
    let store = open();
    let (mut a, notes) = (record(Role::Observer, "a", Some(json!({}))), children_name("notes"));
    store.save(&a);
    for number in 1..=20 {
        let entry = child("bob", number, json!({"n": number}));
        store.put_child(a.role, &a.metadata.url, &notes, &entry);
        assert_eq!(a.children.create(&notes, entry), Ok(ChildOutcome::Applied));
        append(&*store, &mut a, set("n", json!(number)));
        store.checkpoint(&a);
        check(&*store, &[&a]);
    }
    let mut changed = child("bob", 3, json!({"changed": true}));
    changed.value.version = 1;
    store.put_child(a.role, &a.metadata.url, &notes, &changed);
    let whole =
        UpdateBody { version: Some(1), ..UpdateBody::new(UpdateKind::Whole(json!({"changed": true}))) };
    a.children.update(&notes, changed.value.url.as_str(), &hyperty("bob"), &whole).expect("it is his");
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    // A whole record replaces them.
    a.children = Children::default();
    store.save(&a);
    check(&*store, &[&a]);
}

/// INV-DOM-5: the number of a deleted child is not given again, not even after restarts and very many deletions.
pub fn deleted_children_stay_deleted(open: &Open) {
    let notes = children_name("notes");
    let mut store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    store.save(&a);
    for number in 1..=2_500 {
        let entry = child("bob", number, json!({}));
        store.put_child(a.role, &a.metadata.url, &notes, &entry);
        let id = entry.value.url.clone();
        a.children.create(&notes, entry).expect("it is new");
        if number % 5 > 0 {
            store.delete_child(a.role, &a.metadata.url, &notes, id.as_str());
            a.children.delete(&notes, id.as_str(), &hyperty("bob")).expect("it is his");
        }
        if number % 700 == 0 {
            drop(store);
            store = open();
            check(&*store, &[&a]);
        }
    }
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    let found = store.find(a.role, &a.metadata.url).expect("it can be read").expect("it is there");
    assert_eq!(found.children.next_number(&notes, &hyperty("bob")), 2_501);
    store.save(&a);
    drop(store);
    check(&*open(), &[&a]);
}

/// INV-DEL-1: nothing of a removed object is found again, not even by a new one of the same URL.
pub fn a_removed_object_leaves_nothing(open: &Open) {
    let store = open();
    let mut a = ObjectRecord { position: Position::default(), ..full_record() };
    store.save(&a);
    append(&*store, &mut a, set("n", json!(1)));
    store.delete_child(a.role, &a.metadata.url, &children_name("notes"), "hyperty://example.com/bob#1");
    store.remove(a.role, &a.metadata.url);
    assert_eq!(store.load(a.role), Ok(Vec::new()));
    let again = record(a.role, "full", Some(json!({"new": true})));
    store.save(&again);
    check(&*store, &[&again]);
    drop(store);
    check(&*open(), &[&again]);
}

/// M8: history that goes on at another epoch begins with a whole record.
pub fn a_new_epoch_begins_with_a_record(open: &Open) {
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
pub fn a_change_out_of_order_is_not_served(open: &Open) {
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

/// Protocol 10.1: the newest changes are there after any number of checkpoints and restarts, within their limits, and
/// a whole record replaces them.
pub fn the_newest_changes_are_kept(open: &Open) {
    let mut a = record(Role::Reporter, "a", Some(json!({"filler": "x".repeat(300)})));
    let mut store = open();
    store.save(&a);
    for i in 0..2_600 {
        let kind = match i % 40 {
            0 => UpdateKind::Metadata { attribute: "name".to_owned(), value: json!(i.to_string()) },
            _ => set("n", json!("y".repeat(i % 97))),
        };
        if append(&*store, &mut a, kind) {
            store.checkpoint(&a);
        }
        if i % 500 == 499 {
            check(&*store, &[&a]);
            drop(store);
            store = open();
        }
    }
    let found = store.find(a.role, &a.metadata.url).expect("it can be read").expect("it is there");
    assert!((10..LOG_CHANGES_MAX).contains(&found.log.len()), "{} changes are kept", found.log.len());
    a.log.drain(..a.log.len() - 10);
    store.save(&a);
    append(&*store, &mut a, set("n", json!(0)));
    check(&*store, &[&a]);
    // One that does not lead to where the record stands is not kept.
    store.save(&ObjectRecord { log: a.log[..5].to_vec(), ..a.clone() });
    a.log.clear();
    drop(store);
    check(&*open(), &[&a]);
}

/// Who observes is written one by one, and comes back in order.
pub fn subscribers_come_and_go_one_by_one(open: &Open) {
    let store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    let b = ObjectRecord { subscriptions: vec![subscriber("s5")], ..record(Role::Reporter, "b", None) };
    store.save(&a);
    store.save(&b);
    for name in ["s7", "s3", "s5", "s30", "s3"] {
        store.put_subscriber(a.role, &a.metadata.url, &subscriber(name));
    }
    store.remove_subscriber(a.role, &a.metadata.url, &hyperty("s5"));
    store.remove_subscriber(a.role, &a.metadata.url, &hyperty("nobody"));
    let away = Subscriber { away: true, ..subscriber("s7") };
    store.put_subscriber(a.role, &a.metadata.url, &away);
    a.subscriptions = vec![subscriber("s3"), subscriber("s30"), away];
    check(&*store, &[&a, &b]);
    // They are left alone by what is written of the rest.
    append(&*store, &mut a, set("n", json!(1)));
    store.checkpoint(&a);
    store.save_metadata(&ObjectRecord { subscriptions: Vec::new(), ..a.clone() });
    drop(store);
    let store = open();
    check(&*store, &[&a, &b]);
    a.subscriptions.remove(1);
    store.save(&a);
    store.put_subscriber(a.role, &object("unknown"), &subscriber("s1"));
    drop(store);
    check(&*open(), &[&a, &b]);
}
