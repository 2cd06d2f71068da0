//! Bad lines, bad files, bad arguments.

use serde_json::{Value, json};

use crate::support::{Running, Stage, set};

#[test]
fn a_bad_line_spoils_no_other() {
    for store in [None, Some("station")] {
        let stage = Stage::new();
        let store = store.map(|store| stage.folder.path(store));
        let more: Vec<&str> = store.iter().flat_map(|store| ["--store", store]).collect();
        let (mut report, url) = stage.report(&[&more[..], &["--initial", r#"{"list":[]}"#]].concat());
        let append = |line: u64| {
            json!({"attribute": "list.0", "attributeType": "array", "operation": "add", "value": [line]})
                .to_string()
        };
        let bad = [
            ("{", 400),
            (r#"{"attribute":"count","value":"many"}"#, 400),
            (r#"{"attribute":"no.such.way","value":1}"#, 400),
            (r#"{"data":[]}"#, 400),
            (r#"{"value":1}"#, 400),
        ];
        // Good and bad lines in turn, all under way at a time.
        let mut line = 0;
        let (mut good, mut rejected) = (Vec::new(), Vec::new());
        for round in 0..30 {
            let (text, code) = bad[round % bad.len()];
            for text in [append(line + 1), text.to_owned(), append(line + 3)] {
                line += 1;
                report.line(&text);
                if line % 3 == 2 { rejected.push((line, code)) } else { good.push(line) }
            }
        }
        let (mut published, mut refused) = (Vec::new(), Vec::new());
        while published.len() + refused.len() < line as usize {
            let event = report.next();
            let number = event["line"].as_u64().unwrap();
            match event["event"].as_str().unwrap() {
                "published" => published.push(number),
                "rejected" => refused.push((number, event["code"].as_u64().unwrap())),
                _ => panic!("{event}"),
            }
        }
        refused.sort_unstable();
        assert_eq!(published, good, "every good line, in order");
        assert_eq!(refused, rejected);
        let list: Vec<&u64> = good.iter().rev().collect();
        assert_eq!(stage.one(&["read", &url])["data"], json!({ "list": list }), "and none twice");
        report.stop();
    }
}

#[test]
fn of_a_refused_document_what_was_published_stays() {
    let stage = Stage::new();
    let (mut report, url) = stage.report(&["--initial", r#"{"a":1,"z":1}"#]);
    report.line(r#"{"data":{"a":2,"count":"many","z":2}}"#);
    report.line(&set("b", json!(3)));
    let rejected = report.until("rejected", |_| true);
    assert_eq!((&rejected["line"], &rejected["code"]), (&json!(1), &json!(400)));
    let version = report.until("published", |event| event["line"] == 2)["version"].as_u64().unwrap();
    let read = stage.one(&["read", &url]);
    assert_eq!((read["version"].as_u64(), &read["data"]["b"]), (Some(version), &json!(3)));
    assert_eq!(read["data"].get("count"), None);
    // Each version was announced: so many of the document's changes were made.
    let made = ["a", "z"].iter().filter(|member| read["data"][**member] == 2).count() as u64;
    assert_eq!(made, version - 1);
    report.stop();
}

#[test]
fn rejected_lines_are_an_error_in_the_end_if_the_end_is_wished_for() {
    let stage = Stage::new();
    let (mut report, _) = stage.report(&["--exit-at-eof"]);
    report.line("nonsense");
    report.line(&set("count", json!(1)));
    report.eof();
    let (events, code, stderr) = report.output();
    let names: Vec<&Value> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!((names, code), (vec![&json!("rejected"), &json!("published")], 1));
    assert!(stderr.contains("line 1"), "{stderr}");
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors() {
    let stage = Stage::new();
    let (schema, broken) = (stage.folder.path("schema.json"), stage.folder.path("broken.json"));
    std::fs::write(&broken, "{").unwrap();
    let usage: [&[&str]; 9] = [
        &["observe"],
        &["observe", "no-url"],
        &["report"],
        &["report", "--schema", "/no/such/file"],
        &["report", "--schema", &broken],
        &["report", "--schema", &schema, "--initial", "{"],
        &["report", "--schema", &schema, "--accept", "bob"],
        &["read", "comm://localhost/1", "--timeout", "soon"],
        &["delete", "comm://localhost/1"],
    ];
    for arguments in usage {
        let (events, code, stderr) = stage.run(arguments);
        assert_eq!((code, events.len()), (2, 0), "{arguments:?} {stderr}");
        assert!(!stderr.is_empty());
    }
    let (_, code, stderr) = stage.run(&["report", "--schema", &schema, "--initial", r#"{"count":"many"}"#]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("/count"), "says where: {stderr}");
}

#[test]
fn a_taken_address_is_said() {
    let stage = Stage::new();
    let address = stage.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let (_, code, stderr) = Running::start(&["node", "--listen", address]).output();
    assert_eq!(code, 1);
    assert!(stderr.contains(address), "{stderr}");
}
