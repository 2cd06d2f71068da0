//! A row that does not hold what it must is an error that names it, never a wrong or shorter history.

use std::sync::Arc;

use hyperty_conformance::suites::storage::sample::{change, child, children_name, record, set};
use hyperty_storage::{
    Batch, DataObjectStorage, MemoryTables, Names, ObjectStore, Role, StorageError, Tables,
};
use serde_json::json;

const OBJECT: &[u8] = b"rcomm://example.com/a\0";

/// An object with changes in several rows, children and a deleted child.
fn stored() -> Arc<MemoryTables> {
    let tables = Arc::new(MemoryTables::new());
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    let mut a = record(Role::Reporter, "a", Some(json!({"filler": "x".repeat(10_000)})));
    store.save(&a);
    for i in 0..8 {
        let body = change(&mut a, set("n", json!(format!("{i}{}", "y".repeat(300)))));
        store.append(Role::Reporter, &a.metadata.url, &body);
    }
    let name = children_name("notes");
    store.put_child(Role::Reporter, &a.metadata.url, &name, &child("bob", 1, json!({})));
    store.delete_child(Role::Reporter, &a.metadata.url, &name, "hyperty://example.com/bob#2");
    assert!(tables.scan("changes/v2", OBJECT).unwrap().len() > 1);
    tables
}

fn key(rest: &[u8]) -> Vec<u8> {
    [OBJECT, rest].concat()
}

/// Damages the stored object; returns table, key and detail of the error.
#[track_caller]
fn check(damage: impl FnOnce(&MemoryTables) -> Batch) -> (&'static str, String, String) {
    let tables = stored();
    let batch = damage(&tables);
    tables.commit(batch);
    let store = ObjectStore::new(tables);
    let loaded = store.load(Role::Reporter);
    let found = store.find(Role::Reporter, &"comm://example.com/a".parse().unwrap());
    assert_eq!(found.as_ref().err(), loaded.as_ref().err());
    match loaded {
        Err(StorageError::Corrupt { table, key, detail }) => (table, key, detail),
        other => panic!("served: {other:?}"),
    }
}

fn cut(tables: &MemoryTables, table: &'static str, key: &[u8], bytes: usize) -> Batch {
    let row = tables.get(table, key).unwrap().expect("it is there");
    Batch::new().put(table, key, &row[..row.len() - bytes])
}

#[test]
fn a_missing_row_is_named() {
    let (table, key, detail) = check(|_| Batch::new().delete("changes/v2", self::key(&1u64.to_be_bytes())));
    assert_eq!(table, "changes/v2");
    assert!(key.starts_with("reported comm://example.com/a "), "{key}");
    assert!(detail.contains("change 1 is missing"), "{detail}");
    let (table, key, _) = check(|_| Batch::new().delete("data/v1", OBJECT));
    assert_eq!((table, &*key), ("data/v1", "reported comm://example.com/a"));
}

#[test]
fn a_hole_in_the_history_is_named() {
    let first = key(&1u64.to_be_bytes());
    let (table, _, detail) = check(|tables| {
        let row = tables.get("changes/v2", &first).unwrap().unwrap();
        let length = u32::from_be_bytes(row[..4].try_into().unwrap()) as usize;
        Batch::new().put("changes/v2", &first, &row[4 + length..])
    });
    assert_eq!(table, "changes/v2");
    assert!(detail.contains("change 1 is missing: there is 2"), "{detail}");
    // Data that is newer than the last change.
    let (_, _, detail) = check(|tables| {
        let mut row = tables.get("data/v1", OBJECT).unwrap().unwrap().to_vec();
        row[15] = 9;
        Batch::new().put("data/v1", OBJECT, row)
    });
    assert!(detail.contains("change 0.9 is missing: the data is at 0.9"), "{detail}");
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    let first = key(&1u64.to_be_bytes());
    for bytes in [1, 200, 329] {
        let (table, _, _) = check(|tables| cut(tables, "changes/v2", &first, bytes));
        assert_eq!(table, "changes/v2");
    }
    assert_eq!(check(|tables| cut(tables, "data/v1", OBJECT, 1)).0, "data/v1");
    assert_eq!(check(|_| Batch::new().put("data/v1", OBJECT, [0; 23])).0, "data/v1");
    assert_eq!(check(|tables| cut(tables, "objects/v1", OBJECT, 1)).0, "objects/v1");
    assert_eq!(check(|_| Batch::new().put("changes/v2", &first, "")).0, "changes/v2");
    assert_eq!(check(|_| Batch::new().put("changes/v2", key(b"abcde"), "x")).0, "changes/v2");
    let unknown = [&[0, 0, 0, 21][..], &[0; 7], &[9], &[0xff; 8], &[77, 0, 0, 0, 0]].concat();
    let (_, _, detail) = check(|tables| {
        let (last, _) = tables.scan("changes/v2", OBJECT).unwrap().pop().unwrap();
        Batch::new().append("changes/v2", last, unknown)
    });
    assert!(detail.contains("cannot be read"), "{detail}");
}

#[test]
fn a_child_that_cannot_be_read_is_named() {
    let bob = b"notes\0hyperty://example.com/bob#1";
    let (table, named, _) = check(|tables| cut(tables, "children/v1", &key(bob), 1));
    assert_eq!(
        (table, &*named),
        ("children/v1", "reported comm://example.com/a notes hyperty://example.com/bob#1")
    );
    assert_eq!(check(|_| Batch::new().put("children/v1", key(b"notes"), "{}")).0, "children/v1");
    assert_eq!(
        check(|_| Batch::new().put("children/v1", key(bob), "{\"value\":{\"url\":3}}")).0,
        "children/v1"
    );
    assert_eq!(check(|_| Batch::new().put("children/v1", key(b"notes\0"), "{\"ids\":3}")).0, "children/v1");
}

#[test]
fn a_change_that_does_not_fit_is_named() {
    let tables = Arc::new(MemoryTables::new());
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    let mut a = record(Role::Observer, "a", Some(json!({"list": [1]})));
    store.save(&a);
    let fits = change(&mut a, set("list.0", json!(2)));
    store.append(Role::Observer, &a.metadata.url, &fits);
    let other_data = [&[0; 24][..], br#"{"list":3}"#].concat();
    tables.commit(Batch::new().put("data/v1", b"ocomm://example.com/a\0", other_data));
    let error = store.load(Role::Observer).unwrap_err();
    assert!(error.to_string().contains("change 1 does not fit"), "{error}");
}

#[test]
fn rows_of_an_object_that_is_not_stored_disturb_nobody() {
    let tables = stored();
    tables.commit(Batch::new().put("changes/v2", b"rcomm://example.com/0\0abcd", "x"));
    let store = ObjectStore::new(tables);
    assert_eq!(store.load(Role::Reporter).unwrap().len(), 1);
}

#[test]
fn a_name_that_is_not_text_is_named() {
    let tables = Arc::new(MemoryTables::new());
    tables.commit(Batch::new().put("runtime/v1", "hyperty/a", [0xff]));
    let names = Names::new(tables);
    assert_eq!(names.get("hyperty/b"), Ok(None));
    let error = names.get("hyperty/a").unwrap_err();
    assert!(error.to_string().contains("hyperty/a"), "{error}");
}
