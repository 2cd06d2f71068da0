//! What the buffered mode may lose, and that it never does so in silence (protocol M8).

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_conformance::suites::storage::TempDir;
use hyperty_conformance::suites::storage::sample::{change, record, set};
use hyperty_storage::{
    Batch, DataObjectStorage, Durability, DurableTables, ObjectRecord, ObjectStore, Role, SimulatedDisk,
    Tables, Torn, durable, flush, flush_and_close,
};
use serde_json::json;

const T: &str = "cases/v1";
const LONG: Durability = Durability::Buffered { sync_every: Duration::from_secs(60) };
const SHORT: Durability = Durability::Buffered { sync_every: Duration::from_millis(5) };

fn only(store: &ObjectStore) -> ObjectRecord {
    let records = store.load(Role::Reporter).unwrap();
    assert_eq!(records.len(), 1);
    records.into_iter().next().unwrap()
}

#[tokio::test]
async fn it_acknowledges_at_once_and_syncs_after_its_interval() {
    let dir = TempDir::new();
    let path = dir.path().join("hyperty.redb");
    let tables = DurableTables::open_with(&path, LONG).unwrap();
    for i in 0..100u8 {
        let ticket = tables.commit(Batch::new().append(T, "a", [i]));
        assert_eq!(tables.progress().borrow().durable, ticket);
        assert_eq!(tables.get(T, b"a").unwrap().map(|row| row.len()), Some(usize::from(i) + 1));
    }
    // Closed at once: what waits is lost.
    tables.close();
    let tables = DurableTables::open_with(&path, SHORT).unwrap();
    assert_eq!(tables.get(T, b"a").unwrap(), None);
    let before = std::fs::read(&path).unwrap();
    tables.commit(Batch::new().put(T, "b", "synced"));
    let begun = Instant::now();
    while std::fs::read(&path).unwrap() == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was written");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_barrier_waits_for_the_disk_and_so_does_what_follows_it() {
    let disk = SimulatedDisk::new(1);
    let tables = disk.open_with(LONG).unwrap();
    let first = tables.commit(Batch::new().put(T, "a", "1"));
    assert_eq!(tables.progress().borrow().durable, first);
    let barrier = tables.barrier();
    let after = tables.commit(Batch::new().put(T, "b", "1"));
    assert_eq!(tables.progress().borrow().durable, first);
    tables.sync().unwrap();
    assert_eq!(tables.progress().borrow().durable, after);
    assert!(first < barrier && barrier < after);
    let next = tables.commit(Batch::new().put(T, "c", "1"));
    assert_eq!(tables.progress().borrow().durable, next, "at once again");
    disk.crash(Torn::Nothing);
    assert_eq!(disk.open().unwrap().scan(T, b"").unwrap().len(), 2);

    // The same in a file.
    let dir = TempDir::new();
    let path = dir.path().join("hyperty.redb");
    let tables = DurableTables::open_with(&path, LONG).unwrap();
    tables.commit(Batch::new().put(T, "a", "1"));
    flush(&tables).await.unwrap();
    let later = tables.commit(Batch::new().put(T, "b", "1"));
    assert_eq!(tables.progress().borrow().durable, later);
    flush_and_close(&tables).await.unwrap();
    assert_eq!(DurableTables::open(&path).unwrap().scan(T, b"").unwrap().len(), 2);
}

#[test]
fn a_bad_end_is_told_of_each_record_until_it_is_saved_m8() {
    let disk = SimulatedDisk::new(1);
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    let tables = Arc::new(disk.open_with(LONG).unwrap());
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    store.save(&a);
    tables.sync().unwrap();
    assert!(!only(&store).broken);
    let lost = change(&mut a.clone(), set("n", json!(1)));
    let ticket = store.append(Role::Reporter, &a.metadata.url, &lost).ticket;
    assert_eq!(tables.progress().borrow().durable, ticket, "it was acknowledged");
    disk.crash(Torn::Nothing);

    // Whatever it is opened as, and however often.
    for durability in [Durability::Durable, LONG, Durability::Durable] {
        let tables = Arc::new(disk.open_with(durability).unwrap());
        let store = ObjectStore::new(Arc::clone(&tables) as _);
        let found = only(&store);
        assert!(found.broken);
        assert_eq!(found.position, a.position);
        // What is written beside it changes nothing.
        store.save_metadata(&found);
        store.checkpoint(&found);
        drop(store);
        drop(tables);
    }
    let tables = Arc::new(disk.open().unwrap());
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    a.position.epoch += 1;
    store.save(&a);
    assert!(!only(&store).broken);
    // A new object has lost nothing.
    store.remove(Role::Reporter, &a.metadata.url);
    store.save(&a);
    drop(store);
    drop(tables);
    let store = ObjectStore::new(Arc::new(disk.open().unwrap()));
    assert_eq!(only(&store), a);
}

#[test]
fn a_good_end_breaks_nothing_and_a_durable_store_never_does() {
    let disk = SimulatedDisk::new(1);
    let a = record(Role::Reporter, "a", Some(json!({})));
    ObjectStore::new(Arc::new(disk.open_with(LONG).unwrap())).save(&a);
    assert_eq!(only(&ObjectStore::new(Arc::new(disk.open_with(LONG).unwrap()))), a);
    let tables = Arc::new(disk.open().unwrap());
    disk.crash(Torn::Tail);
    drop(tables);
    assert_eq!(only(&ObjectStore::new(Arc::new(disk.open().unwrap()))), a);
}

#[tokio::test]
async fn a_file_says_so_too() {
    let dir = TempDir::new();
    let (path, copy) = (dir.path().join("hyperty.redb"), dir.path().join("copy.redb"));
    let a = record(Role::Reporter, "a", Some(json!({})));
    let tables = Arc::new(DurableTables::open_with(&path, LONG).unwrap());
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    let ticket = store.save(&a);
    durable(&*tables, ticket).await.unwrap();
    flush(&*tables).await.unwrap();
    // What a process that is killed now would leave.
    std::fs::copy(&path, &copy).unwrap();
    drop(store);
    drop(tables);
    assert!(only(&ObjectStore::new(Arc::new(DurableTables::open(&copy).unwrap()))).broken);
    assert!(!only(&ObjectStore::new(Arc::new(DurableTables::open(&path).unwrap()))).broken);
}
