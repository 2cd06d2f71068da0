//! Reporters that are killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_model::{ObjectUrl, Position};
use hyperty_storage::operations::check;
use hyperty_storage::{DataObjectStorage, DurableTables, ObjectRecord, ObjectStore, Role};
use serde_json::{Value, json};

use crate::chance::{Chance, cycles};
use crate::process::{Folder, Process, tell};

const SCHEMA: &str = r#"{"title": "Counter", "type": "object",
    "properties": {"scheme": {"constant": "comm"}, "n": {"type": "integer"}, "filler": {"type": "string"}}}"#;

/// What is known of the object: up to where it was acknowledged, and up to where it may have come.
struct Known {
    url: ObjectUrl,
    acknowledged: u64,
    sent: u64,
    lost: u64,
}

#[test]
fn killed_reporters_keep_what_they_acknowledged() {
    let (chance, folder, begun) = (Chance::of(0), Folder::new("reporter"), Instant::now());
    std::fs::write(folder.text("schema.json"), SCHEMA).unwrap();
    let mut node = Process::start(&["node", "--listen", "127.0.0.1:0"]);
    let node_url = node.next()["url"].as_str().unwrap().to_owned();
    let start = || {
        let (schema, store) = (folder.text("schema.json"), folder.text("store"));
        let arguments =
            ["--schema", &schema, "--store", &store, "--node", &node_url, "--initial", r#"{"n":0}"#];
        Process::start(&[&["report"], &arguments[..]].concat())
    };
    let mut first = start();
    let created = first.next();
    assert_eq!(created["event"], "created", "{created}");
    let url = created["url"].as_str().unwrap().parse().unwrap();
    let mut known = Known { url, acknowledged: 0, sent: 0, lost: 0 };
    drop(first.kill());
    for cycle in 0..cycles() {
        let what = format!("seed {}, cycle {cycle}", chance.seed);
        run_and_kill(start(), &chance, &mut known, &what);
        look(&folder, &mut known, &what);
    }
    let found =
        json!({"version": known.sent, "acknowledged": known.acknowledged, "lost unacknowledged": known.lost});
    tell("report --store", cycles(), begun, found);
}

/// Lets it go on, change a few things, and die.
fn run_and_kill(mut report: Process, chance: &Chance, known: &mut Known, what: &str) {
    if chance.below(8) == 0 {
        // While it starts.
        std::thread::sleep(chance.moment(Duration::from_millis(60)));
        drop(report.kill());
        return;
    }
    let resumed = report.next();
    assert_eq!(resumed["event"], "resumed", "{what}: {resumed}");
    assert_eq!(resumed["url"], known.url.as_str(), "{what}");
    let version = resumed["version"].as_u64().unwrap();
    assert_eq!(version, known.sent, "{what}: what the store held is resumed");
    let lines = 1 + chance.below(40);
    known.sent = version + lines;
    let line = |n: u64| {
        let filler = "x".repeat(chance.below(400) as usize);
        let value = if n.is_multiple_of(7) { json!({"n": n, "filler": filler}) } else { json!(n) };
        match n.is_multiple_of(7) {
            true => json!({"attribute": "", "value": value}).to_string() + "\n",
            false => json!({"attribute": "n", "value": n}).to_string() + "\n",
        }
    };
    report.write(&(version + 1..=known.sent).map(line).collect::<String>());
    for _ in 0..chance.below(lines + 1) {
        note(known, &report.next(), what);
    }
    std::thread::sleep(chance.moment(Duration::from_millis(4)));
    report.kill().iter().for_each(|event| note(known, event, what));
}

fn note(known: &mut Known, event: &Value, what: &str) {
    match event["event"].as_str() {
        Some("published") => {
            let version = event["version"].as_u64().unwrap();
            assert_eq!(version, known.acknowledged.max(version - 1) + 1, "{what}: in order");
            known.acknowledged = version;
        }
        // Of a line that is a whole document, or of the connection.
        Some("resumed" | "disconnected") => {}
        _ => panic!("{what}: {event}"),
    }
}

/// Looks into the file as the killed process left it.
fn look(folder: &Folder, known: &mut Known, what: &str) {
    let path = folder.path().join("store").join("hyperty.redb");
    let report =
        check(&path, &hyperty_runtime::TABLE_CHECKS).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.is_sound() && !report.left_open, "{what}: {report:?}");
    let store = ObjectStore::new(Arc::new(DurableTables::open(&path).unwrap()));
    let found = store.find(Role::Reporter, &known.url).unwrap();
    let ObjectRecord { position, data, log, broken, .. } =
        found.unwrap_or_else(|| panic!("{what}: it is gone"));
    assert_eq!((position.epoch, broken), (0, false), "{what}");
    let version = position.version;
    assert!(
        version >= known.acknowledged,
        "{what}: {} was acknowledged, {version} is there",
        known.acknowledged
    );
    assert!(version <= known.sent, "{what}: only {} were sent, {version} is there", known.sent);
    assert_eq!(data.unwrap_or_default()["n"], version, "{what}: the data of another version");
    let ends = log.last().and_then(|body| body.position()).unwrap_or_default();
    assert_eq!(ends, Position::new(0, version), "{what}: the log");
    known.lost += known.sent - version;
    (known.sent, known.acknowledged) = (version, version);
}
