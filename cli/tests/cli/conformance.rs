//! `hyperty conformance`, against a node of its own.

use crate::support::{Running, Stage, text};

#[test]
fn a_fresh_node_keeps_every_promise() {
    let stage = Stage::new();
    let url = stage.url.as_str();
    let junit = stage.folder.path("report.xml");
    let arguments = ["conformance", url, "--junit", &junit, "--output", "ndjson"];
    let (mut lines, code, stderr) = Running::start(&arguments).output();
    let failed: Vec<_> = lines.iter().filter(|line| line["outcome"] == "failed").collect();
    assert_eq!((code, failed.len()), (0, 0), "{failed:?} {stderr}");
    let totals = lines.pop().unwrap();
    assert_eq!((&totals["event"], &totals["failed"]), (&"conformance".into(), &0.into()));
    assert!(totals["passed"].as_u64().unwrap() >= 70, "{totals}");
    let report = std::fs::read_to_string(junit).unwrap();
    assert!(report.contains("failures=\"0\"") && report.contains("classname=\"INV-MN-1\""));

    // A second run at the same node is not disturbed by the first; what is not declared is skipped.
    let arguments = ["conformance", url, "--case", "INV-REG", "--without", "registry", "--output", "text"];
    let (lines, code, _) = Running::start(&arguments).output();
    assert_eq!(code, 0);
    assert!(text(&lines[0]["event"]).ends_with("(not declared: registry)"), "{lines:?}");
}

#[test]
fn what_is_not_as_declared_fails_with_its_messages() {
    let stage = Stage::new();
    // The node takes longer messages than is said here.
    let arguments =
        ["conformance", &stage.url, "--case", "5.14/too-long", "--message-limit", "2000", "--patience", "1"];
    let (lines, code, stderr) = Running::start(&arguments).output();
    assert_eq!(code, 1, "{stderr}");
    let failed = &lines[0];
    assert_eq!((&failed["outcome"], &failed["invariant"]), (&"failed".into(), &"5.14".into()));
    assert!(failed["trace"].as_array().unwrap().len() > 5 && failed["seed"].is_u64(), "{failed}");
    let arguments = [&arguments[..], &["--output", "text"]].concat();
    let (lines, code, _) = Running::start(&arguments).output();
    let all: Vec<_> = lines.iter().map(|line| text(&line["event"])).collect();
    assert_eq!(code, 1);
    assert!(all.iter().any(|line| line.starts_with("FAILED 5.14/too-long: 5.14")), "{all:?}");
}

#[test]
fn a_runtime_is_tested_at_a_node() {
    let stage = Stage::new();
    let arguments = ["conformance", &stage.url, "--suite", "runtime", "--case", "INV-CRE"];
    let (lines, code, stderr) = Running::start(&arguments).output();
    assert_eq!(code, 0, "{lines:?} {stderr}");
    let totals = lines.last().unwrap();
    assert_eq!((&totals["suite"], &totals["failed"]), (&"runtime".into(), &0.into()));
    assert!(totals["passed"].as_u64().unwrap() >= 1, "{totals}");
}

#[test]
fn cases_are_listed_and_mistakes_are_told() {
    let (lines, code, _) = Running::start(&["conformance", "--list", "--output", "ndjson"]).output();
    assert_eq!(code, 0);
    assert!(lines.len() >= 80 && lines.iter().all(|line| line["invariants"][0].is_string()));
    let unreachable = ["conformance", "ws://127.0.0.1:9/ws"];
    assert_eq!(Running::start(&unreachable).output().1, 5);
    for wrong in [
        &["conformance"][..],
        &["conformance", "ws://127.0.0.1:9/ws", "--capability", "magic"],
        &["conformance", "ws://127.0.0.1:9/ws", "--suite", "other"],
    ] {
        assert_eq!(Running::start(wrong).output().1, 2, "{wrong:?}");
    }
    let stage = Stage::new();
    assert_eq!(Running::start(&["conformance", &stage.url, "--case", "no-such-case"]).output().1, 2);
}
