//! Check, export, import and compact, as an operator uses them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperty_conformance::suites::storage::TempDir;
use hyperty_conformance::suites::storage::sample::{
    change, child, children_name, full_record, record, same, set, subscriber,
};
use hyperty_storage::operations::{CheckReport, ImportError, TableCheck, check, compact, export, import};
use hyperty_storage::{
    Batch, DataObjectStorage, Durability, DurableTables, Names, ObjectRecord, ObjectStore, OpenError, Role,
    Tables,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

const OTHER: TableCheck = TableCheck {
    table: "other/v1",
    row: |_, value| if value == b"bad" { Err("it is bad".to_owned()) } else { Ok(()) },
};

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("hyperty.redb")
}

/// A store with something in every table.
fn fill(path: &Path) -> Vec<ObjectRecord> {
    let tables: Arc<dyn Tables> = Arc::new(DurableTables::open(path).unwrap());
    let store = ObjectStore::new(Arc::clone(&tables));
    let mut full = full_record();
    store.save(&full);
    let mut seen = record(Role::Observer, "seen", Some(json!({"filler": "x".repeat(500)})));
    store.save(&seen);
    let mut light = record(Role::Observer, "light", None);
    store.save(&light);
    for i in 0..60 {
        for record in [&mut full, &mut seen, &mut light] {
            let body = change(record, set("n", json!(format!("{i} ü\u{1}"))));
            if store.append(record.role, &record.metadata.url, &body).checkpoint_due {
                store.checkpoint(record);
            }
        }
        let entry = child("bob", 10 + i, json!({"n": i}));
        store.put_child(full.role, &full.metadata.url, &children_name("notes"), &entry);
        let id = entry.value.url.clone();
        full.children.create(&children_name("notes"), entry).unwrap();
        if i % 3 == 0 {
            store.delete_child(full.role, &full.metadata.url, &children_name("notes"), id.as_str());
            let bob = "hyperty://example.com/bob".parse().unwrap();
            full.children.delete(&children_name("notes"), id.as_str(), &bob).unwrap();
        }
    }
    store.put_subscriber(seen.role, &seen.metadata.url, &subscriber("s"));
    seen.subscriptions.push(subscriber("s"));
    Names::new(Arc::clone(&tables)).put("runtime", "hyperty-runtime://example.com/laptop");
    tables.commit(Batch::new().put("other/v1", [0xff, 0], "any"));
    vec![full, light, seen]
}

fn records(path: &Path) -> Vec<ObjectRecord> {
    let store = ObjectStore::new(Arc::new(DurableTables::open(path).unwrap()));
    [Role::Reporter, Role::Observer].iter().flat_map(|role| store.load(*role).unwrap()).collect()
}

#[track_caller]
fn same_all(found: &[ObjectRecord], wanted: &[ObjectRecord]) {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).for_each(|(found, wanted)| assert_eq!(same(found, wanted), Ok(())));
}

fn checked(path: &Path) -> CheckReport {
    check(path, &[OTHER]).unwrap()
}

fn exported(path: &Path) -> Vec<u8> {
    let mut lines = Vec::new();
    export(path, &mut lines).unwrap();
    lines
}

#[test]
fn a_sound_store_is_reported_table_by_table() {
    let dir = TempDir::new();
    fill(&path(&dir));
    let report = checked(&path(&dir));
    assert!(report.is_sound() && !report.left_open, "{report:?}");
    assert_eq!((report.reported, report.observed, report.broken), (1, 2, 0));
    let rows = |name: &str| report.tables.iter().find(|table| table.name == name).map(|table| table.rows);
    assert_eq!(rows("objects/v1"), Some(3));
    assert_eq!(rows("runtime/v1"), Some(1));
    assert!(rows("changes/v2") > Some(1));
    assert!(report.tables.iter().all(|table| table.known && (table.bytes > 0) == (table.rows > 0)));
    let unknown = check(&path(&dir), &[]).unwrap();
    assert!(unknown.is_sound());
    assert!(unknown.tables.iter().any(|table| !table.known));
    assert!(matches!(check(&dir.path().join("none"), &[]), Err(OpenError::Io { .. })));
}

#[test]
fn every_kind_of_damage_to_rows_is_found() {
    const OBJECT: &[u8] = b"rcomm://example.com/full\0";
    let key = |rest: &[u8]| [OBJECT, rest].concat();
    let damages: Vec<(&str, Batch)> = vec![
        ("objects/v1", Batch::new().put("objects/v1", OBJECT, "{}")),
        ("objects/v1", Batch::new().put("objects/v1", "xcomm://example.com/a\0", "{}")),
        ("data/v1", Batch::new().put("data/v1", OBJECT, "short")),
        ("data/v1", Batch::new().put("data/v1", "rcomm://example.com/gone\0", [0; 26])),
        ("changes/v2", Batch::new().put("changes/v2", key(&5u64.to_be_bytes()), "x")),
        (
            "changes/v2",
            Batch::new().delete_range("changes/v2", OBJECT, key(&[0xff])).put(
                "changes/v2",
                "rcomm://example.com/gone\0",
                "x",
            ),
        ),
        ("children/v1", Batch::new().put("children/v1", key(b"notes\0hyperty://example.com/bob#1"), "{}")),
        // Deleted, and there: its tombstone is in the joined row.
        (
            "children/v1",
            Batch::new().put(
                "children/v1",
                key(b"notes\0hyperty://example.com/bob#2"),
                serde_json::to_vec(&child("bob", 2, json!({}))).unwrap(),
            ),
        ),
        (
            "children/v1",
            Batch::new()
                .put("children/v1", key(b"notes\0hyperty://example.com/bob#900"), 7u64.to_be_bytes())
                .put("children/v1", key(b"notes\0hyperty://example.com/bob#901"), 7u64.to_be_bytes()),
        ),
        ("subscribers/v1", Batch::new().put("subscribers/v1", key(b"hyperty://example.com/x"), "{}")),
        (
            "subscribers/v1",
            Batch::new().put(
                "subscribers/v1",
                key(b"hyperty://example.com/x"),
                serde_json::to_vec(&subscriber("y")).unwrap(),
            ),
        ),
        ("entries/v1", Batch::new().put("entries/v1", key(b"grant\0hyperty://example.com/x"), "7")),
        (
            "entries/v1",
            Batch::new().put(
                "entries/v1",
                key(b"grant\0hyperty://example.com/x"),
                "\"hyperty://example.com/y\"",
            ),
        ),
        ("entries/v1", Batch::new().put("entries/v1", key(b"invited\0hyperty://example.com/x"), "{}")),
        ("entries/v1", Batch::new().put("entries/v1", key(b"pending\0some"), "{}")),
        ("entries/v1", Batch::new().put("entries/v1", key(b"pending\x007"), "{}")),
        ("entries/v1", Batch::new().put("entries/v1", key(b"pending\x0000000000000000000007"), "{")),
        ("entries/v1", Batch::new().put("entries/v1", key(b"other\0x"), "{}")),
        ("entries/v1", Batch::new().put("entries/v1", key(b"other"), "{}")),
        ("entries/v1", Batch::new().put("entries/v1", "rcomm://example.com/gone\0grant\0x", "{}")),
        ("store/v1", Batch::new().put("store/v1", "breaks", "many")),
        ("runtime/v1", Batch::new().put("runtime/v1", "name", [0xff])),
        ("other/v1", Batch::new().put("other/v1", "x", "bad")),
    ];
    for (table, damage) in damages {
        let dir = TempDir::new();
        fill(&path(&dir));
        let what = format!("{damage:?}");
        let _ = DurableTables::open(path(&dir)).map(|tables| tables.commit(damage)).unwrap();
        let report = checked(&path(&dir));
        assert!(report.damage > 0, "{what}");
        assert_eq!(report.problems[0].table, table, "{what}: {:?}", report.problems);
    }
}

#[test]
fn what_is_exported_is_imported_and_its_history_counts_as_broken() {
    let dir = TempDir::new();
    let written = fill(&path(&dir));
    let lines = exported(&path(&dir));
    let first = lines.split(|&byte| byte == b'\n').next().unwrap();
    assert_eq!(first, br#"{"hyperty-store":3}"#);

    let new = dir.path().join("new.redb");
    let imported = import(&new, &mut &*lines, &[OTHER]).unwrap();
    assert_eq!((imported.report.broken, imported.report.damage), (3, 0));
    assert_eq!(checked(&new).broken, 3);
    let broken = |record: &ObjectRecord| ObjectRecord { broken: true, ..record.clone() };
    same_all(&records(&new), &written.iter().map(broken).collect::<Vec<_>>());
    same_all(&records(&path(&dir)), &written);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside them");
    // What was saved since is not broken, and is again once it comes from a backup.
    let store = ObjectStore::new(Arc::new(DurableTables::open(&new).unwrap()));
    store.save(&written[0]);
    drop(store);
    assert_eq!(checked(&new).broken, 2);
    let again = dir.path().join("again.redb");
    import(&again, &mut &*exported(&new), &[]).unwrap();
    assert_eq!(checked(&again).broken, 3);
}

#[test]
fn an_import_replaces_nothing_and_leaves_nothing_half_done() {
    let dir = TempDir::new();
    fill(&path(&dir));
    let lines = exported(&path(&dir));
    let before = fs::read(path(&dir)).unwrap();
    let error = import(&path(&dir), &mut &*lines, &[]).unwrap_err();
    assert!(matches!(error, ImportError::NotEmpty { .. }), "{error}");
    assert_eq!(records(&path(&dir)).len(), 3);
    drop(before);

    let new = dir.path().join("new.redb");
    let text = String::from_utf8(lines.clone()).unwrap();
    let changed = text.replacen("Example.com/full", "Example.com/fall", 1);
    let longer = format!("{text}{text}");
    let newer = text.replacen(r#"{"hyperty-store":3}"#, r#"{"hyperty-store":99}"#, 1);
    let without_a_line =
        text.lines().enumerate().filter(|(at, _)| *at != 5).map(|(_, line)| format!("{line}\n"));
    type Expected = fn(&ImportError) -> bool;
    let cases: Vec<(String, Expected)> = vec![
        (changed, |error| matches!(error, ImportError::NotWhole(_))),
        (longer, |error| matches!(error, ImportError::NotWhole(_))),
        (without_a_line.collect(), |error| matches!(error, ImportError::NotWhole(_))),
        (text[..text.len() / 2].to_owned(), |error| {
            matches!(error, ImportError::Malformed { .. } | ImportError::NotWhole(_))
        }),
        (newer, |error| matches!(error, ImportError::Newer { found: 99, .. })),
        (String::new(), |error| matches!(error, ImportError::NotWhole(_))),
        ("nonsense\n".to_owned(), |error| matches!(error, ImportError::Malformed { line: 1, .. })),
    ];
    for (text, wanted) in cases {
        let error = import(&new, &mut text.as_bytes(), &[]).unwrap_err();
        assert!(wanted(&error), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{error}");
    }
    // A damaged store is exported as it is, and not taken.
    let tables = DurableTables::open(path(&dir)).unwrap();
    tables.commit(Batch::new().put("data/v1", "rcomm://example.com/full\0", "short"));
    drop(tables);
    let error = import(&new, &mut &*exported(&path(&dir)), &[]).unwrap_err();
    assert!(matches!(&error, ImportError::Damaged(report) if report.damage == 1), "{error}");
    assert!(!new.exists());
    // An empty store is no loss.
    drop(DurableTables::open(&new).unwrap());
    import(&new, &mut &*lines, &[]).unwrap();
    assert_eq!(records(&new).len(), 3);
}

#[test]
fn compacting_keeps_all_and_gives_space_back() {
    let dir = TempDir::new();
    let written = fill(&path(&dir));
    let tables = DurableTables::open(path(&dir)).unwrap();
    for i in 0..200u8 {
        tables.commit(Batch::new().put("other/v1", [i], vec![i; 20_000]));
    }
    tables.commit(Batch::new().delete_range("other/v1", [0], [0xff]));
    drop(tables);
    let compacted = compact(&path(&dir)).unwrap();
    assert_eq!(compacted.after, fs::metadata(path(&dir)).unwrap().len());
    assert!(compacted.after < compacted.before, "{compacted:?}");
    same_all(&records(&path(&dir)), &written);
}

#[test]
fn a_store_in_use_is_refused_by_all() {
    let dir = TempDir::new();
    let tables = DurableTables::open_with(path(&dir), Durability::Durable).unwrap();
    let path = path(&dir);
    assert!(matches!(check(&path, &[]), Err(OpenError::Locked { .. })));
    let errors = [
        export(&path, &mut Vec::new()).unwrap_err().to_string(),
        import(&path, &mut &b""[..], &[]).unwrap_err().to_string(),
        compact(&path).unwrap_err().to_string(),
    ];
    assert!(errors.iter().all(|error| error.contains("is in use")), "{errors:?}");
    drop(tables);
    check(&path, &[]).unwrap();
}

#[test]
fn a_check_leaves_the_mark_of_a_bad_end() {
    let dir = TempDir::new();
    let copy = dir.path().join("copy.redb");
    let buffered = Durability::Buffered { sync_every: std::time::Duration::from_secs(60) };
    let tables = DurableTables::open_with(path(&dir), buffered).unwrap();
    fs::copy(path(&dir), &copy).unwrap();
    drop(tables);
    assert!(checked(&copy).left_open);
    assert!(checked(&copy).left_open);
    drop(DurableTables::open(&copy).unwrap());
    assert!(!checked(&copy).left_open);
    assert!(!checked(&path(&dir)).left_open);
}

/// INV-DOM-6: a bit that flipped anywhere is found, or nothing that is read depends on it.
#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let dir = TempDir::new();
    let written = fill(&path(&dir));
    compact(&path(&dir)).unwrap();
    let read = records(&path(&dir));
    same_all(&read, &written);
    let whole = fs::read(path(&dir)).unwrap();
    // Most of the file is empty: half of the flips go where something is.
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let bit = prop_oneof![
        (0..whole.len(), 0..8u8),
        proptest::sample::select(used).prop_flat_map(|at| (Just(at), 0..8u8)),
    ];
    let config = Config { cases: 250, failure_persistence: None, ..Config::default() };
    // The same flips each time: how many meet something that is in use is counted below.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let found = std::cell::Cell::new(0);
    let outcome = runner.run(&bit, |(at, bit)| {
        let mut content = whole.clone();
        content[at] ^= 1 << bit;
        fs::write(path(&dir), &content).unwrap();
        match check(&path(&dir), &[OTHER]) {
            Ok(report) if report.is_sound() => prop_assert_eq!(&records(&path(&dir)), &read),
            Ok(_) | Err(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) => {
                found.set(found.get() + 1)
            }
            Err(OpenError::Newer { .. }) => found.set(found.get() + 1),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(found.get() > 40, "only {} of 250 flips were met by anybody", found.get());
}
