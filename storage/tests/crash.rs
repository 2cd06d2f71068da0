//! INV-DOM-6, INV-DOM-7: kill -9 at any moment keeps every change that was reported durable, and none in part.
//!
//! The parent runs this same test binary as a child that writes without end and prints what is durable; it kills the
//! child at a random moment, opens the store, and checks. The store goes on from one cycle to the next.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hyperty_conformance::suites::storage::TempDir;
use hyperty_conformance::suites::storage::sample::{change, child, children_name, object, record, set};
use hyperty_model::{Ids, Position, SeededIds};
use hyperty_storage::{
    Batch, DataObjectStorage, DurableTables, ObjectRecord, ObjectStore, Role, Tables, reached,
};
use serde_json::json;

/// Where the child writes; the test that is the child does nothing without it.
const CHILD: &str = "HYPERTY_STORAGE_CRASH_DIR";
const CYCLES: usize = 20;
const OBJECTS: u64 = 5;
const PLAIN: &str = "plain/v1";

fn path(dir: &Path) -> PathBuf {
    dir.join("hyperty.redb")
}

#[test]
fn what_was_reported_durable_survives_a_kill() {
    let (dir, ids) = (TempDir::new(), SeededIds::new(7));
    let mut durable = 0;
    for cycle in 0..CYCLES {
        // Now and then before it could write anything: while the store is made, or opened after the last kill.
        let acknowledgements = (ids.random() % 40) as usize;
        durable = run_and_kill(dir.path(), acknowledgements).max(durable);
        let found = check(dir.path());
        assert!(found >= durable, "cycle {cycle}: {durable} was reported durable, {found} is there");
        durable = found;
    }
    assert!(durable > 100, "the child wrote too little for the test to mean anything: {durable}");
}

/// Starts a child, kills it after so many lines, and returns the last number that it reported.
fn run_and_kill(dir: &Path, acknowledgements: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test runs"))
        .args(["--exact", "writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test can be run");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let reported = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
    let last = reported.take(acknowledgements).last().unwrap_or_default();
    child.kill().expect("it runs until it is killed");
    child.wait().expect("it was killed");
    last
}

/// Opens the store; returns the number of the last round that is there.
fn check(dir: &Path) -> u64 {
    if !path(dir).exists() {
        return 0;
    }
    let tables = Arc::new(DurableTables::open(path(dir)).expect("a kill does no damage"));
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    let number = |key: &[u8]| {
        let bytes = tables.get(PLAIN, key).expect("it can be read");
        bytes.map_or(0, |bytes| u64::from_be_bytes((*bytes).try_into().expect("eight bytes")))
    };
    let round = number(b"a");
    assert_eq!(number(b"b"), round, "a batch in part");
    for record in store.load(Role::Reporter).expect("no record is damaged") {
        let version = record.position.version;
        let data = record.data.as_ref().expect("it is kept");
        assert_eq!(data["n"], json!(version), "{}", record.metadata.url);
        assert_eq!(data["list"].as_array().map(Vec::len), Some(version as usize % 10));
        // Written before the plain rows of the same round, so at least as far.
        let index: u64 = record.metadata.name.parse().expect("a number");
        let rounds = (round + OBJECTS - 1 - index) / OBJECTS;
        assert!(
            version >= rounds,
            "{} stands at {version}, after {rounds} of its rounds",
            record.metadata.url
        );
        assert!(record.children.len() as u64 >= rounds, "children are missing");
    }
    round
}

/// The child.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let tables = Arc::new(DurableTables::open(path(&dir)).expect("a kill does no damage"));
    let store = ObjectStore::new(Arc::clone(&tables) as _);
    let mut records = store.load(Role::Reporter).expect("no record is damaged");
    for index in records.len() as u64..OBJECTS {
        let record = record(Role::Reporter, &index.to_string(), Some(json!({"n": 0, "list": []})));
        store.save(&record);
        records.push(record);
    }
    records.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut rounds = tables
        .get(PLAIN, b"a")
        .expect("it can be read")
        .map_or(0, |bytes| u64::from_be_bytes((*bytes).try_into().expect("eight bytes")));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    loop {
        // Some alone, some together.
        for _ in 0..1 + rounds % 7 {
            write(&store, &mut records[(rounds % OBJECTS) as usize]);
            rounds += 1;
            let number = rounds.to_be_bytes();
            tables.commit(Batch::new().put(PLAIN, "a", number).put(PLAIN, "b", number));
        }
        let all = tables.commit(Batch::new());
        runtime.block_on(reached(tables.progress(), all)).expect("it can be written");
        let mut out = std::io::stdout().lock();
        // The parent may have stopped reading and be about to kill.
        let _ = writeln!(out, "durable {rounds}").and_then(|()| out.flush());
    }
}

fn write(store: &ObjectStore, record: &mut ObjectRecord) {
    let version = record.position.version + 1;
    let list: Vec<u64> = (0..version % 10).collect();
    let whole = json!({"n": version, "list": list, "filler": "x".repeat(version as usize % 300)});
    let change = change(record, set("", whole));
    assert_eq!(record.position, Position::new(0, version));
    let url = object(&record.metadata.name);
    let entry = child("bob", version, json!({}));
    record.children.create(&children_name("notes"), entry.clone()).expect("it is new");
    store.put_child(Role::Reporter, &url, &children_name("notes"), &entry);
    if store.append(Role::Reporter, &url, &change).checkpoint_due {
        store.checkpoint(record);
    }
}
