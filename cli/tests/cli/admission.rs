//! Nodes that ask who one is and prove who they are, as processes.

use serde_json::json;

use crate::support::{Folder, Running, SCHEMA, set, text};

/// Runs a command that needs no node; what it printed, its exit code and its logs.
fn run(arguments: &[&str]) -> (Vec<serde_json::Value>, i32, String) {
    let mut running = Running::start(arguments);
    running.eof();
    running.output()
}

/// A folder with the keys of an issuer and a token for each of these users.
fn issued(users: &[&str]) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path("schema.json"), SCHEMA).unwrap();
    let (events, code, stderr) = run(&["keys", "generate", "--out", &folder.path("keys")]);
    assert_eq!((code, events.len()), (0, 1), "{stderr}");
    for user in users {
        issue(&folder, user, user, &[]);
    }
    folder
}

/// Writes a token for a user to a file, with more options over the usual ones.
fn issue(folder: &Folder, user: &str, file: &str, more: &[&str]) {
    let (key, user) = (folder.path("keys/issuer-key.pem"), format!("user://localhost/{user}"));
    let usual = ["token", "issue", "--key", &key, "--user", &user];
    let audience = ["--audience", "localhost"];
    let audience: &[&str] = if more.contains(&"--audience") { &[] } else { &audience };
    let (events, code, stderr) = run(&[&usual[..], audience, more].concat());
    assert_eq!((code, events.len()), (0, 1), "{stderr}");
    std::fs::write(folder.path(file), text(&events[0]["event"])).unwrap();
}

#[test]
fn a_node_with_tls_and_tokens_serves_who_has_one() {
    let folder = issued(&["alice", "bob", "eve"]);
    let (keys, data) = (folder.path("keys/issuer-public.pem"), folder.path("data"));
    let mut node = Running::start(&[
        "node",
        "--listen",
        "127.0.0.1:0",
        "--dev-tls",
        "--data",
        &data,
        "--admission",
        "token",
        "--issuer-keys",
        &keys,
    ]);
    let ca = text(&node.expect("authority")["ca"]);
    let url = text(&node.expect("listening")["url"]);
    assert!(url.starts_with("wss://"), "{url}");
    let access = |user: &str| -> Vec<String> {
        ["--node", &url, "--ca", &ca, "--token", &folder.path(user)].map(str::to_owned).to_vec()
    };
    let with = |arguments: &[&str], access: &[String]| {
        let access: Vec<&str> = access.iter().map(String::as_str).collect();
        Running::start(&[arguments, &access].concat())
    };
    let schema = folder.path("schema.json");
    let report = ["report", "--schema", &schema, "--accept", "user://localhost/bob"];
    let mut alice = with(&report, &access("alice"));
    let object = text(&alice.expect("created")["url"]);
    let mut bob = with(&["observe", &object], &access("bob"));
    bob.expect("snapshot");
    alice.line(&set("count", json!(1)));
    assert_eq!(bob.expect("change")["value"], 1);

    // Eve has a token, and says to be Bob: the node knows better.
    let eve = with(&["read", &object, "--user", "user://localhost/bob"], &access("eve"));
    assert_eq!(eve.output().1, 3);
    // No token, no authority, and no TLS: not let in, not believed, not understood.
    let refused = with(&["read", &object], &access("alice")[..4]).output();
    assert_eq!(refused.1, 3, "{}", refused.2);
    assert!(refused.2.contains("token"), "{}", refused.2);
    let distrusting =
        [&["--timeout", "1"].map(str::to_owned)[..], &access("bob")[..2], &access("bob")[4..]].concat();
    assert_eq!(with(&["read", &object], &distrusting).output().1, 5);
    let plain = url.replace("wss:", "ws:");
    assert_eq!(run(&["read", &object, "--node", &plain, "--timeout", "1"]).1, 5);
    // What is read anew on SIGHUP is no reason to stop.
    node.signal("-HUP");
    alice.line(&set("count", json!(2)));
    assert_eq!(bob.expect("change")["value"], 2);
    bob.stop();
    alice.stop();
    node.stop();
}

#[test]
fn a_token_that_does_not_fit_is_refused_with_its_reason() {
    let folder = issued(&["alice"]);
    issue(&folder, "alice", "elsewhere", &["--audience", "example.org"]);
    issue(&folder, "alice", "other-runtime", &["--runtime", "hyperty-runtime://localhost/alice-*"]);
    issue(&folder, "alice", "brief", &["--expires", "1s"]);
    std::fs::write(folder.path("nonsense"), "nonsense").unwrap();
    let keys = folder.path("keys/issuer-public.pem");
    let mut node =
        Running::start(&["node", "--listen", "127.0.0.1:0", "--admission", "token", "--issuer-keys", &keys]);
    let url = text(&node.expect("listening")["url"]);
    for (token, why) in [
        ("elsewhere", "not for localhost"),
        ("other-runtime", "does not allow the runtime"),
        ("nonsense", "malformed"),
    ] {
        let token = folder.path(token);
        let (_, code, stderr) = run(&["read", "comm://localhost/1", "--node", &url, "--token", &token]);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
    // From stdin, too.
    let mut client = Running::start(&["read", "comm://localhost/1", "--node", &url, "--token", "-"]);
    client.line(&std::fs::read_to_string(folder.path("alice")).unwrap());
    assert_eq!(client.output().1, 4, "let in; there is no such object");
    node.stop();
    // The first has lived its second by now, and more than the leeway is not waited for here.
    let inspect = |token: &str, more: &[&str]| {
        let token = folder.path(token);
        run(&[&["token", "inspect", &token], more].concat())
    };
    let (events, code, _) = inspect("brief", &[]);
    assert_eq!((code, &events[0]["claims"]["sub"]), (0, &json!("user://localhost/alice")));
    assert_eq!(inspect("alice", &["--keys", &keys]).0[0]["valid"], true);
    let (events, code, stderr) = inspect("alice", &["--keys", &keys, "--audience", "example.org"]);
    assert_eq!((code, &events[0]["valid"]), (3, &json!(false)), "{stderr}");
    assert!(stderr.contains("not for example.org"), "{stderr}");
    assert_eq!(inspect("nonsense", &[]).1, 3);
}

#[test]
fn what_would_let_everybody_in_is_not_started_by_mistake() {
    let (_, code, stderr) = run(&["node", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--open"), "{stderr}");
    for how in [&["--open"][..], &["--admission", "open"]] {
        let mut node = Running::start(&[&["node", "--listen", "0.0.0.0:0"], how].concat());
        node.expect("listening");
        node.stop();
    }
    let folder = issued(&[]);
    let public = folder.path("keys/issuer-public.pem");
    let private = folder.path("keys/issuer-key.pem");
    for wrong in [
        &["--admission", "token"][..],
        &["--issuer-keys", &public],
        &["--admission", "token", "--issuer-keys", &private],
        &["--tls-cert", &public],
        &["--dev-tls"],
    ] {
        assert_eq!(run(&[&["node", "--listen", "127.0.0.1:0"], wrong].concat()).1, 2, "{wrong:?}");
    }
    // A key is not replaced by mistake either.
    assert_eq!(run(&["keys", "generate", "--out", &folder.path("keys")]).1, 1);
}

/// Each session of the suite has a token: of a user of its own, or the same for all.
#[test]
fn a_runtime_is_tested_at_a_node_that_admits_by_token() {
    let folder = issued(&["alice"]);
    let keys = folder.path("keys/issuer-public.pem");
    let mut node =
        Running::start(&["node", "--listen", "127.0.0.1:0", "--admission", "token", "--issuer-keys", &keys]);
    let url = text(&node.expect("listening")["url"]);
    let (key, token) = (folder.path("keys/issuer-key.pem"), folder.path("alice"));
    for with in [["--issuer-key", &key], ["--token", &token]] {
        let suite = ["conformance", &url, "--suite", "runtime", "--case", "INV-CRE-1/routes-and-answer"];
        let (lines, code, stderr) = run(&[&suite[..], &with, &["--output", "ndjson"]].concat());
        assert_eq!(code, 0, "{with:?}: {lines:?} {stderr}");
        assert_eq!(lines.last().unwrap()["passed"], 1, "{with:?}");
    }
}
