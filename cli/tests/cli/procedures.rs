//! Who is let in, asked to leave, found, asked, and given an object: several processes.

use serde_json::{Value, json};

use crate::support::{Folder, Running, SCHEMA, Stage, set, text, until};

const ALICE: &str = "user://localhost/alice";
const BOB: &str = "user://localhost/bob";
const EVE: &str = "user://localhost/eve";

/// Starts to wait, and returns the address under which it does.
fn waiting(stage: &Stage, arguments: &[&str]) -> (Running, String) {
    let mut running = stage.start(arguments);
    let address = text(&running.expect("waiting")["hyperty"]);
    (running, address)
}

/// The last word of somebody who is invited.
fn last_word(reporter: &mut Running) -> u64 {
    reporter.until("invitee", |event| event["provisional"] == false)["code"].as_u64().unwrap()
}

#[test]
fn who_is_invited_observes_until_removed_and_nobody_else() {
    let stage = Stage::new();
    let (mut alice, object) = stage.report(&["--accept", "none", "--user", ALICE]);
    let store = stage.folder.path("bob");
    let as_bob = ["observe", "--invited", "--store", &store, "--user", BOB];
    let (mut bob, address) = waiting(&stage, &as_bob);
    for stranger in [["observe", &object], ["read", &object], ["observe", &object]] {
        let (events, code, stderr) = stage.run(&[&stranger[..], &["--user", EVE]].concat());
        assert_eq!((code, events.len()), (3, 0), "{stderr}");
    }
    alice.line(&json!({"invite": address, "children": false, "until": "1h"}).to_string());
    alice.until("inviting", |event| event["line"] == 1);
    let invited = bob.expect("invited");
    assert_eq!((&invited["url"], &invited["user"]), (&json!(object), &json!(ALICE)));
    assert_eq!(invited["children"], false);
    assert_eq!(last_word(&mut alice), 200);
    bob.expect("snapshot");
    alice.line(&set("count", json!(1)));
    assert_eq!(bob.expect("change")["value"], 1);
    alice.line(r#"{"observers":true}"#);
    let observers = alice.until("observers", |_| true);
    assert_eq!(observers["observers"][0]["user"], BOB);
    // An observer is removed, not uninvited.
    alice.line(&json!({"revoke": address}).to_string());
    assert_eq!(alice.until("rejected", |_| true)["code"], 409);
    bob.stop();
    // It is not invited again: the store knows.
    let mut bob = stage.start(&as_bob);
    bob.expect("resumed");
    bob.expect("snapshot");
    alice.line(&json!({"remove": address}).to_string());
    alice.until("removed", |event| event["observer"] == json!(address));
    alice.line(&set("count", json!(2)));
    alice.until("published", |event| event["version"] == 2);
    let (events, code, stderr) = bob.output();
    assert_eq!(code, 3, "{stderr}");
    assert!(events.iter().all(|event| event["event"] != "change"), "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "closed", "{events:?}");
    for command in ["read", "observe"] {
        let (events, code, stderr) = stage.run(&[command, &object, "--store", &store, "--user", BOB]);
        assert_eq!((code, events.len()), (3, 0), "{command}: {stderr}");
    }
    alice.stop();
}

#[test]
fn an_invitation_is_declined_taken_back_or_never_arrives() {
    let stage = Stage::new();
    let (mut alice, _) = stage.report(&["--accept", "none"]);
    let (bob, address) = waiting(&stage, &["observe", "--invited", "--decline", "not today"]);
    alice.line(&json!({"invite": [address]}).to_string());
    assert_eq!(last_word(&mut alice), 406);
    let (events, code, stderr) = bob.output();
    assert_eq!((code, events.last().unwrap()["event"].as_str()), (0, Some("declined")), "{stderr}");
    alice.line(&json!({"revoke": address}).to_string());
    assert_eq!(alice.until("rejected", |_| true)["code"], 404);
    // Whoever is not there is invited all the same, and it can be taken back.
    let absent = json!("hyperty://localhost/absent");
    alice.line(&json!({"invite": absent}).to_string());
    alice.until("inviting", |event| event["invitees"] == json!([absent]));
    alice.line(&json!({"revoke": absent}).to_string());
    alice.until("revoked", |event| event["invitee"] == absent);
    alice.stop();
}

#[test]
fn an_object_is_given_away_and_its_first_reporter_killed_at_once() {
    let stage = Stage::new();
    let (first, second) = (stage.folder.path("first"), stage.folder.path("second"));
    let (mut alice, object) = stage.report(&["--store", &first]);
    let mut observer = stage.start(&["observe", &object]);
    observer.expect("snapshot");
    alice.line(&set("count", json!(1)));
    observer.expect("change");
    let schema = stage.folder.path("schema.json");
    let taking = ["report", "--schema", &schema, "--store", &second, "--delegated"];
    let (mut bob, address) = waiting(&stage, &taking);
    alice.line(&json!({"delegate": address}).to_string());
    alice.until("delegated", |event| event["url"] == json!(object) && event["to"] == json!(address));
    alice.kill();
    assert_eq!(bob.expect("offered")["url"], json!(object));
    bob.expect("resumed");
    bob.line(&set("count", json!(2)));
    bob.expect("published");
    assert_eq!(observer.until("change", |event| event["attribute"] == "count")["value"], 2);
    // The former Reporter is an observer now, and does not report a second object by mistake.
    let (events, code, stderr) =
        stage.run(&["report", "--schema", &schema, "--store", &first, "--exit-at-eof"]);
    assert!(events.iter().all(|event| event["event"] != "created"), "{events:?}");
    assert_eq!(code, 2, "{events:?} {stderr}");
    assert!(stderr.contains(&object), "{stderr}");
    let mut alice = stage.start(&["observe", &object, "--store", &first]);
    assert_eq!(alice.until("snapshot", |_| true)["url"], json!(object));
    // The new one goes on after a crash of its own, by the same command.
    bob.kill();
    let mut bob = stage.start(&taking);
    bob.expect("resumed");
    bob.line(&set("count", json!(3)));
    for observer in [&mut observer, &mut alice] {
        observer.until("change", |event| event["value"] == 3);
    }
    bob.stop();
}

#[test]
fn another_device_of_the_user_takes_over_and_the_first_stands_down() {
    let stage = Stage::new();
    let schema = stage.folder.path("schema.json");
    let (laptop, phone) = (stage.folder.path("laptop"), stage.folder.path("phone"));
    let (mut first, object) = stage.report(&["--store", &laptop, "--user", ALICE]);
    let mut observer = stage.start(&["observe", &object]);
    observer.expect("snapshot");
    first.line(&set("count", json!(1)));
    first.expect("published");
    first.stop();
    let backup = stage.folder.path("backup");
    let run = |arguments: &[&str]| {
        let (_, code, stderr) = Running::start(arguments).output();
        assert_eq!(code, 0, "{stderr}");
    };
    run(&["store", "export", &laptop, "--to", &backup]);
    let file = format!("{phone}/hyperty.redb");
    run(&["store", "import", &file, "--from", &backup, "--new-device"]);
    let take = ["report", "--schema", &schema, "--store", &phone, "--take-over"];
    // What is live is not taken from anybody.
    let schema_of = ["report", "--schema", &schema, "--user", ALICE, "--store"];
    let mut first = stage.start(&[&schema_of[..], &[&laptop]].concat());
    first.expect("resumed");
    // The registry knows that it is back.
    assert_eq!(stage.run(&["discover", &object, "--status", "live", "--watch", "--count", "1"]).1, 0);
    let (_, code, stderr) = stage.run(&[&take[..], &["--user", ALICE]].concat());
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("is live"), "{stderr}");
    first.stop();
    // It is Alice's, and nobody takes it who is somebody else, or nobody.
    assert_eq!(stage.run(&[&take[..], &["--user", BOB]].concat()).1, 4);
    assert_eq!(stage.run(&take).1, 2);
    let mut second = stage.start(&[&take[..], &["--user", ALICE]].concat());
    assert_eq!(second.expect("resumed")["url"], json!(object));
    second.line(&set("count", json!(2)));
    second.expect("published");
    // As a change, or in the state of the new epoch.
    while !matches!(observer.next(), event if event["value"] == 2 || event["data"]["count"] == 2) {}
    let (events, code, stderr) = stage.start(&[&schema_of[..], &[&laptop]].concat()).output();
    assert_eq!(code, 3, "{stderr}");
    assert!(events.iter().any(|event| event["event"] == "deposed"), "{events:?}");
    second.stop();
}

/// The laptop is lost with its store; the phone goes on with what the node keeps, also after a restart of the node.
#[test]
fn another_device_with_an_empty_store_takes_over_from_the_backup() {
    let folder = Folder::new();
    std::fs::write(folder.path("schema.json"), SCHEMA).unwrap();
    let schema = folder.path("schema.json");
    let data = folder.path("node");
    let grace = ["--set", "node.timers.grace=1s"];
    let node = |listen: &str| {
        let mut node = Running::start(&[&["node", "--listen", listen, "--data", &data], &grace[..]].concat());
        let url = text(&node.expect("listening")["url"]);
        (node, url)
    };
    let (first_node, url) = node("127.0.0.1:0");
    let at_node = ["--node", &url, "--user", ALICE];
    let start = |arguments: &[&str]| Running::start(&[arguments, &at_node].concat());
    let (laptop, phone) = (folder.path("laptop"), folder.path("phone"));
    let mut first = start(&["report", "--schema", &schema, "--store", &laptop, "--backup"]);
    let object = text(&first.expect("created")["url"]);
    first.line(&set("count", json!(1)));
    first.until("backup", |event| event["version"] == 1);
    let take = ["report", "--schema", &schema, "--store", &phone, "--take-over", "--exit-at-eof"];
    let mut early = start(&take);
    early.eof();
    let (_, code, stderr) = early.output();
    assert_eq!((code, stderr.contains("is live in")), (1, true), "{stderr}");
    first.kill();
    std::fs::remove_dir_all(&laptop).unwrap();
    first_node.stop();
    let address = url.trim_start_matches("ws://").trim_end_matches("/ws").to_owned();
    let (second_node, _) = node(&address);
    // The node knows that the laptop is gone once its grace is over.
    let is_gone = || {
        let mut looking = Running::start(&["discover", &object, "--node", &url]);
        looking.eof();
        looking.output().0.iter().any(|found| found["status"] == "disconnected")
    };
    until("the laptop is gone", is_gone);
    let mut stranger = Running::start(&[&take[..], &["--node", &url, "--user", EVE]].concat());
    stranger.eof();
    assert_eq!(stranger.output().1, 4, "it is not Eve's");
    std::fs::remove_dir_all(&phone).unwrap();
    let mut second = start(&take[..6]);
    let resumed = second.expect("resumed");
    assert_eq!((&resumed["url"], &resumed["version"]), (&json!(object), &json!(2)));
    second.until("backup", |event| event["epoch"] == 1);
    second.line(&set("count", json!(2)));
    second.until("published", |_| true);
    let mut reader = start(&["read", &object]);
    reader.eof();
    let (events, code, stderr) = reader.output();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(events[0]["data"]["count"], 2, "{events:?}");
    second.stop();
    second_node.stop();
}

/// Bob's laptop is lost; what it observed is observed by his phone, which had never heard of it.
#[test]
fn another_device_with_an_empty_store_observes_what_the_first_one_did() {
    let stage = Stage::new();
    let (mut alice, object) = stage.report(&["--user", ALICE]);
    let (laptop, phone) = (stage.folder.path("laptop"), stage.folder.path("phone"));
    let observe = ["observe", "--user", BOB, "--backup"];
    let mut first = stage.start(&[&observe[..], &[object.as_str(), "--store", &laptop]].concat());
    assert_eq!(first.expect("snapshot")["url"], json!(object));
    let take = ["observe", "--take-over", "--until-version", "0"];
    // The node is told a moment later.
    until("the backup knows", || {
        let (events, code, stderr) = stage.run(&[&take[..], &["--user", BOB]].concat());
        assert!([0, 4].contains(&code), "{stderr}");
        events.iter().any(|event| event["event"] == "snapshot" && event["url"] == json!(object))
    });
    first.kill();
    std::fs::remove_dir_all(&laptop).unwrap();
    let (_, code, stderr) = stage.run(&[&take[..], &["--user", EVE]].concat());
    assert_eq!((code, stderr.contains("no device of")), (4, true), "{stderr}");
    let (_, code, stderr) = stage.run(&take);
    assert_eq!((code, stderr.contains("needs --user")), (2, true), "{stderr}");
    let again = [&observe[..], &["--take-over", "--store", &phone, &object]].concat();
    for version in 1..3 {
        let mut second = stage.start(&again);
        assert_eq!(second.until("snapshot", |_| true)["version"], json!(version - 1));
        alice.line(&set("count", json!(version)));
        assert_eq!(second.until("change", |_| true)["version"], json!(version));
        second.stop();
    }
    alice.stop();
}

#[test]
fn what_is_registered_is_found() {
    let stage = Stage::new();
    let (alice, object) = stage.report(&["--user", ALICE, "--name", "standup"]);
    let found = |arguments: &[&str]| {
        let (events, code, stderr) = stage.run(&[&["discover"], arguments].concat());
        let urls: Vec<Value> = events.iter().map(|event| event["url"].clone()).collect();
        (urls, code, stderr)
    };
    for query in [&[ALICE][..], &["standup"], &[&object], &["--scheme", "comm"], &[ALICE, "--objects"]] {
        let (urls, code, stderr) = found(query);
        assert_eq!((code, urls), (0, vec![json!(object)]), "{query:?}: {stderr}");
    }
    for query in [&[BOB][..], &["retrospective"], &["standup", "--status", "disconnected"]] {
        let (urls, code, stderr) = found(query);
        assert_eq!((code, urls.len()), (4, 0), "{query:?}: {stderr}");
    }
    let mut watch = stage.start(&["discover", ALICE, "--watch", "--count", "2"]);
    assert_eq!(watch.expect("found")["status"], "live");
    alice.stop();
    assert_eq!(watch.expect("status")["status"], "disconnected");
    let (_, code, stderr) = watch.output();
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn the_reporter_does_what_it_is_asked_or_says_why_not() {
    let stage = Stage::new();
    let (mut alice, object) = stage.report(&["--requests"]);
    let ask = stage.start(&["request", &object, "count", r#"{"by":2}"#, "--user", BOB]);
    let request = alice.until("request", |event| event["method"] == "count");
    assert_eq!(request["params"], json!([{"by": 2}]));
    alice.line(&json!({"answer": request["request"], "value": {"count": 2}}).to_string());
    let (events, code, stderr) = ask.output();
    assert_eq!((code, &events[0]["value"]), (0, &json!({"count": 2})), "{stderr}");
    let ask = stage.start(&["request", &object, "count", "--user", BOB]);
    let request = alice.until("request", |_| true);
    let line = json!({"answer": request["request"], "code": 403, "reason": "not you"});
    alice.line(&line.to_string());
    let (_, code, stderr) = ask.output();
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("not you"), "{stderr}");
    alice.line(&line.to_string());
    assert_eq!(alice.until("rejected", |_| true)["code"], 404, "answered already");
    alice.stop();
}
