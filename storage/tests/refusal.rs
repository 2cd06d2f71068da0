//! What is not served: files that are no store, newer, damaged, or in use.

use std::fs;
use std::path::Path;

use hyperty_conformance::suites::storage::TempDir;
use hyperty_storage::{Batch, DurableTables, OpenError, StorageError, Tables, durable, flush_and_close};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redb::{Database, TableDefinition};

const T: &str = "cases/v1";

fn store(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("hyperty.redb")
}

fn refusal(path: &Path) -> OpenError {
    DurableTables::open(path).expect_err("it is refused")
}

async fn filled(path: &Path) {
    let tables = DurableTables::open(path).unwrap();
    let rows = |batch: Batch, i: u32| batch.put(T, i.to_be_bytes(), format!("value {i}").repeat(20));
    tables.commit((0..500).fold(Batch::new(), rows));
    flush_and_close(&tables).await.unwrap();
}

#[tokio::test]
async fn a_store_has_one_owner_at_a_time() {
    let dir = TempDir::new();
    let first = DurableTables::open(store(&dir)).unwrap();
    let error = refusal(&store(&dir));
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("stop the other process"), "{error}");
    first.close();
    let second = DurableTables::open(store(&dir)).unwrap();
    assert!(matches!(refusal(&store(&dir)), OpenError::Locked { .. }));
    drop((first, second));
    DurableTables::open(store(&dir)).unwrap();
}

#[test]
fn two_that_make_the_same_store_do_not_disturb_each_other() {
    let dir = TempDir::new();
    let path = store(&dir);
    for _ in 0..20 {
        let _ = fs::remove_file(&path);
        let openings: Vec<_> = (0..3)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || DurableTables::open(path))
            })
            .collect();
        let opened: Vec<_> = openings.into_iter().map(|opening| opening.join().unwrap()).collect();
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{opened:?}");
        assert!(opened.iter().flat_map(|o| o.as_ref().err()).all(|e| matches!(e, OpenError::Locked { .. })));
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hyperty.redb"]);
}

#[test]
fn what_is_no_store_is_left_alone() {
    let dir = TempDir::new();
    let path = store(&dir);
    for content in [&b""[..], b"x", &[0; 10_000], b"SQLite format 3\0 and more", &[b'x'; 5_000_000]] {
        fs::write(&path, content).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
        assert!(error.to_string().contains("choose another path"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert!(matches!(refusal(dir.path()), OpenError::NotAStore { .. }));
    let below_a_file = path.join("below").join("hyperty.redb");
    assert!(matches!(refusal(&below_a_file), OpenError::Io { .. }));
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = TempDir::new();
    let database = Database::create(store(&dir)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u32, u32>::new("theirs")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refusal(&store(&dir));
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_format_is_refused_by_number() {
    let dir = TempDir::new();
    filled(&store(&dir)).await;
    let database = Database::create(store(&dir)).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = TableDefinition::<&str, u64>::new("hyperty/meta");
    transaction.open_table(meta).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refusal(&store(&dir));
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("use the version that wrote it"), "{error}");
}

#[tokio::test]
async fn a_store_whose_making_was_interrupted_is_made_again() {
    let dir = TempDir::new();
    fs::write(dir.path().join("hyperty.redb.new"), b"cut off in the mid").unwrap();
    filled(&store(&dir)).await;
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(DurableTables::open(store(&dir)).unwrap().scan(T, b"").unwrap().len(), 500);
}

/// INV-DOM-6: a file with changed or missing bytes is refused, or all of it is as it was.
#[test]
fn a_damaged_file_is_never_served_in_part() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = TempDir::new();
    runtime.block_on(filled(&store(&dir)));
    let whole = fs::read(store(&dir)).unwrap();
    let rows = DurableTables::open(store(&dir)).unwrap().scan(T, b"").unwrap();
    let damage = (0..whole.len(), proptest::collection::vec(any::<u8>(), 0..64), 0..4u8);
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let refused = std::cell::Cell::new(0);
    let outcome = runner.run(&damage, |(at, bytes, how)| {
        let mut content = whole.clone();
        match how {
            0 => content.truncate(at),
            // Where the rows are, and not only somewhere in the much larger file.
            1 => content[at % 0x4000..][..bytes.len()].copy_from_slice(&bytes),
            _ => content.iter_mut().skip(at).zip(&bytes).for_each(|(old, new)| *old = *new),
        }
        fs::write(store(&dir), &content).unwrap();
        match DurableTables::open(store(&dir)) {
            Ok(tables) => prop_assert_eq!(tables.scan(T, b"").unwrap(), rows.clone()),
            Err(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) => refused.set(refused.get() + 1),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(refused.get() > 20, "only {} of 150 damages were met by anybody", refused.get());
}

/// Whatever happens to the file of an open store, its owner gets errors and goes on.
#[tokio::test]
async fn a_file_destroyed_while_it_is_open_is_an_error_and_not_a_panic() {
    let dir = TempDir::new();
    filled(&store(&dir)).await;
    let tables = DurableTables::open(store(&dir)).unwrap();
    fs::OpenOptions::new().write(true).open(store(&dir)).unwrap().set_len(0).unwrap();
    for i in 0..200u32 {
        // What is in memory may still be served; nothing may panic or hang.
        let _ = tables.get(T, &i.to_be_bytes());
        let ticket = tables.commit(Batch::new().put(T, i.to_be_bytes(), [7; 100]));
        if durable(&tables, ticket).await.is_err() {
            break;
        }
    }
    let _ = tables.scan(T, b"");
    tables.close();
    assert_eq!(tables.get(T, b"a"), tables.get(T, b"b"));
    assert!(matches!(
        tables.get(T, b"a"),
        Err(StorageError::Closed | StorageError::Io(_) | StorageError::Damaged(_))
    ));
}
