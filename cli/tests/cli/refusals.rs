//! Who may not, what is not there, and what does not answer.

use crate::support::{Running, Stage};

#[test]
fn who_is_not_accepted_is_told() {
    let stage = Stage::new();
    let (nobody, url) = stage.report(&["--accept", "none"]);
    for command in ["observe", "read"] {
        let (events, code, stderr) = stage.run(&[command, &url]);
        assert_eq!((code, events.len()), (3, 0), "{command}: {stderr}");
    }
    nobody.stop();
    let (some, url) = stage.report(&["--accept", "user://localhost/bob"]);
    assert_eq!(stage.run(&["read", &url, "--user", "user://localhost/eve"]).1, 3);
    assert_eq!(stage.run(&["read", &url, "--user", "user://localhost/bob"]).1, 0);
    some.stop();
}

#[test]
fn what_is_not_there_is_not_found() {
    let stage = Stage::new();
    for command in ["observe", "read"] {
        let (events, code, stderr) = stage.run(&[command, "comm://localhost/no-such"]);
        assert_eq!((code, events.len()), (4, 0), "{command}: {stderr}");
        assert!(stderr.contains("there is no such object"), "{command}: {stderr}");
    }
}

#[test]
fn a_node_of_no_known_protocol_is_not_waited_for() {
    let (events, code, stderr) =
        Running::start(&["read", "comm://localhost/1", "--node", "http://127.0.0.1:9/ws"]).output();
    assert_eq!((code, events.len()), (2, 0), "{stderr}");
    assert!(stderr.contains("it must start with ws:// or wss://"), "{stderr}");
}

#[test]
fn a_node_that_is_not_there_is_said_at_once_and_waited_for() {
    // Nobody listens on the discard port of the loopback interface.
    let unreachable = ["--node", "ws://127.0.0.1:9/ws", "--timeout", "0.5"];
    for command in ["observe", "read"] {
        let arguments = [&[command, "comm://localhost/1"][..], &unreachable].concat();
        let (events, code, stderr) = Running::start(&arguments).output();
        assert_eq!((code, events.len()), (5, 0), "{stderr}");
        assert!(stderr.contains("cannot reach ws://127.0.0.1:9/ws: retrying"), "{stderr}");
    }
}

#[test]
fn an_observation_that_does_not_get_far_enough_is_a_timeout() {
    let stage = Stage::new();
    let (report, url) = stage.report(&[]);
    let (events, code, stderr) = stage.run(&["observe", &url, "--count", "1", "--timeout", "1"]);
    assert_eq!((code, events.len()), (5, 1), "{stderr}");
    report.stop();
}

#[test]
fn a_store_has_one_owner() {
    let stage = Stage::new();
    let store = stage.folder.path("station");
    let (report, url) = stage.report(&["--store", &store]);
    let (_, code, stderr) = stage.run(&["delete", &url, "--store", &store]);
    assert_eq!(code, 1);
    assert!(stderr.contains("in use"), "{stderr}");
    report.stop();
    let (_, code, stderr) = stage.run(&["delete", &url, "--store", &store, "--domain", "example.com"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn interrupted_commands_leave_cleanly() {
    let stage = Stage::new();
    let (report, url) = stage.report(&[]);
    let mut observer = stage.start(&["observe", &url]);
    observer.expect("snapshot");
    observer.signal("-INT");
    assert_eq!(observer.wait().0, Some(0));
    report.signal("-INT");
    let mut report = report;
    assert_eq!(report.wait().0, Some(0));
    stage.node.stop();
}
