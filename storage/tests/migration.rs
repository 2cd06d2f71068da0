//! Files that earlier versions wrote. `data/format-1.jsonl` and `data/format-2.jsonl` hold the rows of such files, as those
//! formats had them: table, key and value, in hexadecimal digits.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hyperty_conformance::suites::storage::TempDir;
use hyperty_conformance::suites::storage::sample::{
    change, child, children_name, full_record, hyperty, object, record, set, subscriber,
};
use hyperty_model::message::UpdateKind;
use hyperty_storage::{
    DataObjectStorage, DurableTables, Entry, Names, ObjectRecord, ObjectStore, Role, SimulatedDisk,
    Subscriber, Tables,
};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::json;

const ROWS: [&str; 2] = [include_str!("data/format-1.jsonl"), include_str!("data/format-2.jsonl")];
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("hyperty/meta");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A file as this format was; `damage` may change a row before it is written.
fn write(path: &Path, format: usize, damage: impl Fn(&str, &mut Vec<u8>)) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format as u64).unwrap();
    for line in ROWS[format - 1].lines() {
        let [table, key, value]: [String; 3] = serde_json::from_str(line).unwrap();
        let mut value = bytes(&value);
        damage(&table, &mut value);
        let rows = TableDefinition::<&[u8], &[u8]>::new(&table);
        transaction.open_table(rows).unwrap().insert(&*bytes(&key), &*value).unwrap();
    }
    transaction.commit().unwrap();
}

/// What was saved when the rows were written.
fn saved() -> (ObjectRecord, ObjectRecord, ObjectRecord) {
    let mut full = full_record();
    full.log.clear();
    full.delegation = None;
    // Files of that format know neither scopes nor invitations.
    full.grants.remove(0);
    full.invitations.clear();
    full.pending = [(0, json!({"id": 7, "type": "create"}))].into();
    let plain = Subscriber { runtime: None, identity: None, ..subscriber("Carol") };
    full.subscriptions = vec![plain, Subscriber { away: true, ..subscriber("bob") }];
    let mut long = record(Role::Reporter, "long", Some(json!({"filler": "x".repeat(10_000)})));
    for i in 0..20 {
        let renamed = UpdateKind::Metadata { attribute: "name".to_owned(), value: json!("renamed") };
        let kind = if i == 7 { renamed } else { set("n", json!(format!("{i}{}", "y".repeat(500)))) };
        change(&mut long, kind);
    }
    let mut seen = record(Role::Observer, "long", None);
    seen.subscriptions = full.subscriptions[1..].to_vec();
    (0..3).for_each(|i| drop(change(&mut seen, set("n", json!(i)))));
    change(&mut seen, UpdateKind::Metadata { attribute: "name".to_owned(), value: json!("renamed") });
    seen.children.create(&children_name("notes"), child("bob", 1, json!({"n": 1}))).unwrap();
    seen.children.create(&children_name("notes"), child("bob", 2, json!({}))).unwrap();
    seen.children.delete(&children_name("notes"), "hyperty://example.com/bob#2", &hyperty("bob")).unwrap();
    (full, long, seen)
}

fn check(tables: Arc<dyn Tables>) {
    let (full, mut long, seen) = saved();
    let store = ObjectStore::new(Arc::clone(&tables));
    assert_eq!(store.load(Role::Reporter).unwrap(), [full, long.clone()]);
    assert_eq!(store.load(Role::Observer).unwrap(), [seen]);
    assert_eq!(
        Names::new(Arc::clone(&tables)).get("runtime").unwrap().as_deref(),
        Some("hyperty-runtime://example.com/laptop")
    );
    // And it goes on.
    let body = change(&mut long, set("n", json!("more")));
    store.append(Role::Reporter, &object("long"), &body);
    assert_eq!(store.find(Role::Reporter, &object("long")).unwrap(), Some(long));
}

fn format(path: &Path) -> u64 {
    let database = Database::open(path).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    meta.get("format").unwrap().unwrap().value()
}

#[test]
fn a_file_of_format_1_is_brought_to_the_present_one_and_kept_beside_it() {
    let dir = TempDir::new();
    let path = dir.path().join("hyperty.redb");
    write(&path, 1, |_, _| ());
    let before = fs::read(&path).unwrap();
    check(Arc::new(DurableTables::open(&path).unwrap()));
    assert!(format(&path) > 1);
    let backup = dir.path().join("hyperty.redb.format-1");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(format(&backup), 1);
    // It is a whole store of its own.
    check(Arc::new(DurableTables::open(&backup).unwrap()));
    check(Arc::new(SimulatedDisk::of(before, 1).open().unwrap()));
    // Once is enough.
    fs::remove_file(&backup).unwrap();
    drop(DurableTables::open(&path).unwrap());
    assert!(!backup.exists());
}

/// Grants, invitations and operations that wait have rows of their own in the present format, and in those before none.
#[test]
fn a_file_of_format_2_is_brought_to_the_present_one_and_kept_beside_it() {
    let dir = TempDir::new();
    let path = dir.path().join("hyperty.redb");
    write(&path, 2, |_, _| ());
    let full = ObjectRecord { delegation: None, pending: Default::default(), ..full_record() };
    assert!(!full.grants.is_empty() && !full.invitations.is_empty());
    let mut seen = record(Role::Observer, "seen", Some(json!({"a": 1})));
    seen.subscriptions = vec![subscriber("bob")];
    seen.pending = [(0, json!({"id": 7, "type": "create"})), (1, json!({"id": 8, "type": "update"}))].into();
    let plain = record(Role::Reporter, "plain", None);
    let before = fs::read(&path).unwrap();
    for tables in [
        Arc::new(DurableTables::open(&path).unwrap()) as Arc<dyn Tables>,
        Arc::new(SimulatedDisk::of(before, 1).open().unwrap()),
    ] {
        let store = ObjectStore::new(tables);
        assert_eq!(store.load(Role::Reporter).unwrap(), [full.clone(), plain.clone()]);
        assert_eq!(store.load(Role::Observer).unwrap(), [seen.clone()]);
        // What was in the row of the object can be taken back, and what is written of the rest leaves it alone.
        let gone =
            [Entry::Revoked(full.grants[0].who.clone()), Entry::Uninvited(full.invitations[0].who.clone())];
        store.put_entries(Role::Reporter, &full.metadata.url, &gone);
        store.save_metadata(&full);
        store.put_entries(Role::Observer, &seen.metadata.url, &[Entry::Answered { number: 0 }]);
        let found = store.find(Role::Reporter, &full.metadata.url).unwrap().unwrap();
        assert_eq!((&found.grants[..], &found.invitations[..]), (&full.grants[1..], &full.invitations[1..]));
        let found = store.find(Role::Observer, &seen.metadata.url).unwrap().unwrap();
        assert_eq!(found.pending.into_keys().collect::<Vec<_>>(), [1]);
    }
    assert_eq!((format(&path), format(&dir.path().join("hyperty.redb.format-2"))), (3, 2));
}

#[test]
fn what_cannot_be_read_is_damaged_after_the_migration_too() {
    let dir = TempDir::new();
    for table in ["objects/v1", "changes/v1", "data/v1"] {
        let path = dir.path().join(table.replace('/', "-"));
        write(&path, 1, |of, row| row.truncate(if of == table { 11 } else { row.len() }));
        let store = ObjectStore::new(Arc::new(DurableTables::open(&path).unwrap()));
        assert!(store.load(Role::Reporter).is_err(), "{table}");
    }
}
