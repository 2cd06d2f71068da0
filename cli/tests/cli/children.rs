//! Children: everybody writes their own.

use serde_json::json;

use crate::support::{Stage, text};

#[test]
fn a_child_lives_and_only_its_writer_changes_it() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&[]);
    let mut observer = stage.start(&["observe", &url]);
    observer.expect("snapshot");
    let mut watch = stage.start(&["child", "watch", &url, "notes", "--count", "3"]);
    let mine = stage.folder.path("mine");

    let added = stage.one(&["child", "add", &url, "notes", r#"{"text":"helo"}"#, "--store", &mine]);
    assert_eq!((&added["op"], &added["data"]), (&json!("create"), &json!({"text": "helo"})));
    let id = text(&added["id"]);
    for running in [&mut report, &mut observer] {
        assert_eq!(running.expect("child")["id"], added["id"]);
    }

    let changed = stage.one(&["child", "set", &url, "notes", &id, "text", r#""hello""#, "--store", &mine]);
    assert_eq!((&changed["op"], &changed["data"]), (&json!("update"), &json!({"text": "hello"})));
    let listed = stage.one(&["child", "list", &url, "notes"]);
    assert_eq!((&listed["id"], &listed["data"]), (&added["id"], &changed["data"]));
    assert_eq!(stage.one(&["read", &url])["children"]["notes"][&id]["data"], changed["data"]);

    let other = stage.folder.path("other");
    let (_, code, stderr) = stage.run(&["child", "set", &url, "notes", &id, "text", "1", "--store", &other]);
    assert_eq!(code, 3, "{stderr}");
    assert_eq!(stage.one(&["child", "delete", &url, "notes", &id, "--store", &mine])["op"], "delete");
    let (_, code, _) = stage.run(&["child", "delete", &url, "notes", &id, "--store", &mine]);
    assert_eq!(code, 4);

    for op in ["update", "delete"] {
        assert_eq!(observer.expect("child")["op"], op);
    }
    let (events, code, stderr) = watch.output_of_children();
    assert_eq!((events, code), (vec![json!("create"), json!("update"), json!("delete")], 0), "{stderr}");
    observer.stop();
    report.stop();
}

#[test]
fn the_reporter_has_children_too_and_names_are_those_of_the_schema() {
    let stage = Stage::new();
    let store = stage.folder.path("station");
    let (report, url) = stage.report(&["--store", &store]);
    let (_, code, stderr) = stage.run(&["child", "add", &url, "news", "{}"]);
    assert_eq!(code, 4, "{stderr}");
    let (_, code, _) = stage.run(&["child", "add", &url, "notes", "{"]);
    assert_eq!(code, 2);
    report.stop();
    let added = stage.one(&["child", "add", &url, "notes", r#"{"by":"reporter"}"#, "--store", &store]);
    assert_eq!(added["data"], json!({"by": "reporter"}));
    assert_eq!(stage.one(&["child", "list", &url, "notes", "--store", &store])["id"], added["id"]);
}

impl crate::support::Running {
    /// The operations on children it printed until it ended.
    fn output_of_children(&mut self) -> (Vec<serde_json::Value>, i32, String) {
        let mut operations = Vec::new();
        while operations.len() < 3 {
            operations.push(self.expect("child")["op"].clone());
        }
        let (code, stderr) = self.wait();
        (operations, code.unwrap(), stderr)
    }
}
