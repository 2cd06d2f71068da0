//! What an operator does with stores.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Running, Stage, set, text};

fn one(arguments: &[&str]) -> Value {
    let (mut events, code, stderr) = finished(arguments);
    assert_eq!((code, events.len()), (0, 1), "{stderr}");
    events.remove(0)
}

fn finished(arguments: &[&str]) -> (Vec<Value>, i32, String) {
    let mut running = Running::start(arguments);
    running.eof();
    running.output()
}

#[test]
fn a_store_is_checked_backed_up_restored_and_compacted() {
    let stage = Stage::new();
    let (store, backup) = (stage.folder.path("station"), stage.folder.path("backup.jsonl"));
    let (mut report, url) = stage.report(&["--store", &store]);
    for count in 0..50 {
        report.line(&set("count", json!(count)));
    }
    report.until("published", |event| event["version"] == 50);
    let mut observer = stage.start(&["observe", &url]);
    assert_eq!(observer.expect("snapshot")["version"], 50);
    for command in
        [&["store", "check", &store][..], &["store", "export", &store], &["store", "compact", &store]]
    {
        let (events, code, stderr) = finished(command);
        assert_eq!((events.len(), code), (0, 1));
        assert!(stderr.contains("is in use"), "{stderr}");
    }
    report.stop();

    let checked = one(&["store", "check", &store]);
    assert_eq!((&checked["reported"], &checked["damage"]), (&json!(1), &json!(0)));
    let known = checked["tables"].as_array().unwrap().iter().all(|table| table["known"] == true);
    assert!(known, "{checked}");
    let (_, code, stderr) = finished(&["store", "export", &store, "--to", &backup]);
    assert_eq!(code, 0, "{stderr}");
    let (_, code, stderr) = finished(&["store", "export", &store, "--to", &backup]);
    assert_eq!(code, 1, "a backup is not written over: {stderr}");
    let compacted = one(&["store", "compact", &store]);
    assert!(compacted["after"].as_u64() <= compacted["before"].as_u64());

    // It goes on, and what happens now is not in the backup.
    let (mut report, stage) = resumed(stage, &store, &url, 50);
    report.line(&set("count", json!(-1)));
    report.until("published", |event| event["version"] == 51);
    observer.until("change", |event| event["version"] == 51);
    report.stop();

    let (_, code, stderr) = finished(&["store", "import", &store, "--from", &backup]);
    assert_eq!(code, 2, "which file: {stderr}");
    let file = stage.folder.path("station/hyperty.redb");
    let (_, code, stderr) = finished(&["store", "import", &file, "--from", &backup]);
    assert_eq!(code, 1);
    assert!(stderr.contains("not empty"), "{stderr}");
    fs::remove_file(&file).unwrap();
    let imported = one(&["store", "import", &file, "--from", &backup]);
    assert_eq!(imported["report"]["broken"], 1);

    // Observers who have seen more are told of the state that counts.
    let (report, _stage) = resumed(stage, &store, &url, 50);
    let state = observer.until("resync", |_| true);
    assert_eq!((&state["version"], &state["data"]["count"]), (&json!(50), &json!(49)));
    report.stop();
    observer.stop();
}

fn resumed(stage: Stage, store: &str, url: &str, version: u64) -> (Running, Stage) {
    let schema = stage.folder.path("schema.json");
    let mut report = stage.start(&["report", "--schema", &schema, "--store", store]);
    let event = report.expect("resumed");
    assert_eq!((text(&event["url"]).as_str(), event["version"].as_u64()), (url, Some(version)));
    (report, stage)
}

#[test]
fn the_store_of_a_node_too_and_damage_is_an_error() {
    let stage = Stage::new();
    let data = stage.folder.path("data");
    let mut node = Running::start(&["node", "--listen", "127.0.0.1:0", "--data", &data]);
    let url = text(&node.expect("listening")["url"]);
    let schema = stage.folder.path("schema.json");
    let mut report = Running::start(&["report", "--schema", &schema, "--node", &url]);
    report.expect("created");
    report.stop();
    node.stop();
    let checked = one(&["store", "check", &data]);
    assert_eq!(checked["damage"], 0, "{checked}");
    let names: Vec<&Value> =
        checked["tables"].as_array().unwrap().iter().map(|table| &table["name"]).collect();
    assert!(names.contains(&&json!("allocations/v1")) && names.contains(&&json!("registry/v1")), "{names:?}");
    assert!(checked["tables"].as_array().unwrap().iter().all(|table| table["known"] == true), "{checked}");

    let (lines, code, stderr) = finished(&["store", "export", &data]);
    assert_eq!((code, &lines[0]), (0, &json!({"hyperty-store": 3})), "{stderr}");

    let file = stage.folder.path("data/node.redb");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(11).position(|window| window == b"hyperty-run").unwrap();
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    for command in [&["store", "check", &data][..], &["store", "export", &data], &["node", "--data", &data]] {
        let (_, code, stderr) = finished(command);
        assert_eq!(code, 1, "{command:?}");
        assert!(stderr.contains("damaged"), "{stderr}");
    }
    let (_, code, stderr) = finished(&["store", "check", &stage.folder.path("none")]);
    assert_eq!(code, 4, "{stderr}");
}
