//! Processes that end in any way, and go on.

use serde_json::{Value, json};

use crate::support::{Running, Stage, replay, set, text};

#[test]
fn a_killed_reporter_goes_on_and_its_observers_with_it() {
    let stage = Stage::new();
    let store = stage.folder.path("station");
    let (mut report, url) = stage.report(&["--store", &store, "--initial", r#"{"count":-1}"#]);
    let mut observer = stage.start(&["observe", &url]);
    let mut all = vec![observer.expect("snapshot")];
    for count in 0..200 {
        report.line(&set("count", json!(count)));
    }
    // Some are published, some are under way.
    let published = report.until("published", |event| event["version"] == 100);
    report.kill();

    let schema = stage.folder.path("schema.json");
    let arguments = ["report", "--schema", &schema, "--store", &store, "--initial", r#"{"count":7}"#];
    let mut report = stage.start(&arguments);
    let resumed = report.expect("resumed");
    assert_eq!(text(&resumed["url"]), url);
    let version = resumed["version"].as_u64().unwrap();
    assert!(version >= published["version"].as_u64().unwrap(), "what was acknowledged is there: {version}");
    report.line(&set("after", json!("restart")));
    assert_eq!(report.expect("published")["version"], version + 1);

    let is_last = |event: &Value| event["version"] == version + 1;
    loop {
        all.push(observer.next());
        if all.last().is_some_and(is_last) {
            break;
        }
    }
    assert_eq!(replay(&all), json!({"count": version - 1, "after": "restart"}));
    report.stop();
    observer.stop();
}

#[test]
fn a_killed_observer_resumes_with_what_it_stored() {
    let stage = Stage::new();
    let store = stage.folder.path("copy");
    let (mut report, url) = stage.report(&["--initial", r#"{"list":[]}"#]);
    let mut observer = stage.start(&["observe", &url, "--store", &store]);
    observer.expect("snapshot");
    report.line(&set("count", json!(1)));
    observer.until("change", |event| event["version"] == 1);
    observer.kill();
    report.line(&set("count", json!(2)));
    report.until("published", |event| event["version"] == 2);

    let mut observer = stage.start(&["observe", &url, "--store", &store]);
    let resumed = observer.expect("resumed");
    let mut all = vec![observer.expect("snapshot")];
    assert_eq!(resumed["version"], all[0]["version"]);
    report.line(&set("count", json!(3)));
    while all.last().unwrap()["version"] != 3 {
        all.push(observer.next());
    }
    assert_eq!(replay(&all), json!({"count": 3, "list": []}));
    observer.stop();
    report.stop();
}

#[test]
fn a_killed_node_is_waited_for() {
    let folder = crate::support::Folder::new();
    let data = folder.path("node");
    let start = |listen: &str| {
        let mut node = Running::start(&["node", "--listen", listen, "--data", &data]);
        let listening = node.expect("listening");
        (node, text(&listening["address"]), text(&listening["url"]))
    };
    let (node, address, url) = start("127.0.0.1:0");
    let schema = folder.path("schema.json");
    std::fs::write(&schema, crate::support::SCHEMA).unwrap();
    let mut report = Running::start(&["report", "--schema", &schema, "--node", &url]);
    let object = text(&report.expect("created")["url"]);
    let mut observer = Running::start(&["observe", &object, "--node", &url]);
    let mut all = vec![observer.expect("snapshot")];
    node.kill();
    report.line(&set("count", json!(1)));
    report.until("published", |event| event["version"] == 1);

    let (node, ..) = start(&address);
    report.line(&set("count", json!(2)));
    while all.iter().all(|event| event["version"] != 2) {
        all.push(observer.next());
    }
    assert_eq!(replay(&all), json!({"count": 2}));
    observer.stop();
    // Whether the node is there or not, leaving is clean.
    node.kill();
    report.stop();
}

#[test]
fn several_objects_of_one_name_are_not_guessed_at() {
    let stage = Stage::new();
    let store = stage.folder.path("station");
    let (report, one) = stage.report(&["--store", &store, "--name", "one"]);
    report.stop();
    let (report, two) = stage.report(&["--store", &store, "--name", "two"]);
    assert_ne!(one, two);
    report.stop();
    let schema = stage.folder.path("schema.json");
    let mut again = stage.start(&["report", "--schema", &schema, "--store", &store, "--name", "one"]);
    assert_eq!(text(&again.expect("resumed")["url"]), one);
    // Both are served while one is changed.
    assert_eq!(stage.one(&["read", &two])["version"], 0);
    again.stop();
}
