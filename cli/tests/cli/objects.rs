//! Report, observe, read and delete.

use serde_json::{Value, json};

use crate::support::{Stage, replay, set, text};

#[test]
fn what_is_reported_is_observed_and_read() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&["--initial", r#"{"list":[1,2,3]}"#]);
    let mut early = stage.start(&["observe", &url, "--until-version", "8"]);
    let first = early.expect("snapshot");
    assert_eq!((&first["version"], &first["data"]), (&json!(0), &json!({"list": [1, 2, 3]})));

    let lines = [
        set("count", json!(1)),
        set("a", json!({"b": null})),
        set("a.b", json!(false)),
        json!({"attribute": "list.1", "attributeType": "array", "operation": "add", "value": ["x", "y"]})
            .to_string(),
        json!({"attribute": "list.0", "attributeType": "array", "operation": "remove", "value": 2})
            .to_string(),
        json!({"attribute": "count"}).to_string(),
        set("name with space", json!("ü")),
    ];
    for line in &lines {
        report.line(line);
    }
    report.line("");
    report.line(&json!({"data": {"list": [], "a": {"b": 0.1}, "name with space": "ü"}}).to_string());
    for version in 1..=7 {
        let published = report.expect("published");
        assert_eq!((&published["version"], &published["line"]), (&json!(version), &json!(version)));
    }
    let whole = report.expect("published");
    assert_eq!(whole["line"], 9, "the empty line is counted, and is no change");

    let (events, code, stderr) = early.output();
    assert_eq!(code, 0, "{stderr}");
    let mut all = vec![first];
    all.extend(events);
    let fields = all.iter().find(|event| event["version"] == 4).unwrap();
    assert_eq!((&fields["attributeType"], &fields["operation"]), (&json!("array"), &json!("add")));
    assert!(fields["lastModified"].is_string());
    let deleted = all.iter().find(|event| event["version"] == 6).unwrap();
    assert_eq!(deleted.get("value"), None, "a deletion has no value");

    let version = report_version(&mut report, &url, &stage);
    let mut late = stage.start(&["observe", &url, "--until-version", &version.to_string()]);
    let snapshot = late.expect("snapshot");
    let expected = json!({"list": [], "a": {"b": 0.1}, "name with space": "ü", "count": 2});
    assert_eq!(snapshot["data"], expected);
    assert_eq!(late.output().1, 0, "the version is reached by the snapshot");
    report.stop();
}

/// Makes one more change, and checks what a reader sees.
fn report_version(report: &mut crate::support::Running, url: &str, stage: &Stage) -> u64 {
    report.line(&set("count", json!(2)));
    let version = report.until("published", |event| event["line"] == 10)["version"].as_u64().unwrap();
    let read = stage.one(&["read", url]);
    assert_eq!((&read["event"], read["version"].as_u64()), (&json!("snapshot"), Some(version)));
    version
}

#[test]
fn the_changes_always_add_up_to_the_object() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&["--initial", r#"{"list":[]}"#]);
    let observers: Vec<_> = (0..2)
        .map(|_| {
            let mut observer = stage.start(&["observe", &url, "--until-version", "600"]);
            let first = observer.expect("snapshot");
            (observer, first)
        })
        .collect();
    for line in 0..300 {
        report.line(&set("count", json!(line)));
        let insert =
            json!({"attribute": "list.0", "attributeType": "array", "operation": "add", "value": [line]});
        report.line(&insert.to_string());
    }
    let list: Vec<i32> = (0..300).rev().collect();
    for (observer, first) in observers {
        let (events, code, stderr) = observer.output();
        assert_eq!(code, 0, "{stderr}");
        let all: Vec<Value> = [vec![first], events].concat();
        assert_eq!(replay(&all), json!({"count": 299, "list": list}));
    }
    report.stop();
}

#[test]
fn a_count_of_changes_ends_an_observation() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&[]);
    let mut observer = stage.start(&["observe", &url, "--count", "2"]);
    observer.expect("snapshot");
    for count in 1..=5 {
        report.line(&set("count", json!(count)));
    }
    let (events, code, _) = observer.output();
    let versions: Vec<&Value> = events.iter().map(|event| &event["version"]).collect();
    assert_eq!((versions, code), (vec![&json!(1), &json!(2)], 0));
}

#[test]
fn the_end_of_input_ends_the_command_only_if_so_wished() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&[]);
    report.line(&set("count", json!(1)));
    report.expect("published");
    report.eof();
    assert_eq!(stage.one(&["read", &url])["version"], 1, "still served");
    report.stop();

    let (mut report, _) = stage.report(&["--exit-at-eof"]);
    for count in 0..50 {
        report.line(&set("count", json!(count)));
    }
    report.eof();
    let (events, code, stderr) = report.output();
    assert_eq!((events.len(), code), (50, 0), "{stderr}");
}

#[test]
fn a_deleted_object_is_gone_for_everybody() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&[]);
    let mut observer = stage.start(&["observe", &url]);
    observer.expect("snapshot");
    report.line(r#"{"delete":true}"#);
    report.until("deleted", |event| text(&event["url"]) == url);
    assert_eq!(report.wait().0, Some(0));
    observer.until("deleted", |_| true);
    assert_eq!(observer.wait().0, Some(0), "to see the end is no failure");
    let (_, code, stderr) = stage.run(&["read", &url]);
    assert_eq!(code, 4, "{stderr}");
}

#[test]
fn a_stored_object_is_deleted_by_its_store_only() {
    let stage = Stage::new();
    let store = stage.folder.path("station");
    let (report, url) = stage.report(&["--store", &store]);
    let mut observer = stage.start(&["observe", &url, "--count", "1"]);
    observer.expect("snapshot");
    report.stop();

    let other = stage.folder.path("other");
    let (_, code, stderr) = stage.run(&["delete", &url, "--store", &other]);
    assert_eq!(code, 4, "{stderr}");
    assert_eq!(stage.one(&["delete", &url, "--store", &store])["event"], "deleted");
    observer.until("deleted", |_| true);
    assert_eq!(observer.wait().0, Some(4), "the change that was waited for never comes");
    let (_, code, _) = stage.run(&["delete", &url, "--store", &store]);
    assert_eq!(code, 4, "deleted once and for all");
}
