//! What an operator does: settings, pages, status, stopping a node in order.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Folder, Running, SCHEMA, Stage, replay, set, text};

/// The code and the text of a page.
fn get(url: &str, path: &str) -> (u16, String) {
    let host = url.trim_start_matches("http://").trim_start_matches("ws://").trim_end_matches("/ws");
    let mut socket = TcpStream::connect(host).unwrap();
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn settings_are_shown_with_their_origin_and_checked() {
    let folder = Folder::new();
    let file = folder.path("hyperty.toml");
    std::fs::write(&file, "[node]\ndomain = \"example.com\"\n[node.timers]\ngrace = \"90s\"\n").unwrap();
    let run = |arguments: &[&str]| Running::start(&[arguments, &["--config", &file]].concat()).output();
    let (lines, code, stderr) = run(&["config", "show", "--origin", "--set", "node.timers.ping=3s"]);
    assert_eq!(code, 0, "{stderr}");
    let of = |key: &str| lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(of("node.timers.grace")["value"], "\"1m 30s\"");
    assert_eq!(of("node.timers.grace")["origin"], format!("{file}:4"));
    assert_eq!(
        (&of("node.timers.ping")["value"], &of("node.timers.ping")["origin"]),
        (&json!("\"3s\""), &json!("--set"))
    );
    assert_eq!(of("node.timers.idle")["origin"], "default");

    assert_eq!(run(&["config", "check"]).1, 0);
    std::fs::write(&file, "[node]\nlisten = \"127.0.0.1:0\"\nlimit = 3\n").unwrap();
    for arguments in [["config", "check"].as_slice(), &["node"]] {
        let (_, code, stderr) = run(arguments);
        assert_eq!(code, 2);
        assert!(stderr.contains("hyperty.toml:3: unknown key `node.limit`"), "{stderr}");
        assert!(stderr.contains("\n3 | limit = 3\n  | ^^^^^\n"), "{stderr}");
    }
    let (_, code, stderr) = Running::start(&["config", "check", &folder.path("none.toml")]).output();
    assert!(code == 2 && stderr.contains("none.toml"), "{stderr}");
}

#[test]
fn a_file_sets_what_the_command_line_does_not() {
    let folder = Folder::new();
    let file = folder.path("hyperty.toml");
    std::fs::write(
        &file,
        "[node]\nlisten = \"127.0.0.1:0\"\ndomain = \"a.example\"\nadmin = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut node = Running::start(&["node", "--config", &file]);
    let listening = node.expect("listening");
    assert_eq!(listening["domain"], "a.example");
    assert_eq!(get(&text(&listening["admin"]), "/status").0, 200);
    assert_eq!(get(&text(&listening["url"]), "/status").0, 404, "its pages are elsewhere");
    assert_eq!(get(&text(&listening["url"]), "/healthz"), (200, "ok".to_owned()));
    node.stop();
    let mut node = Running::start(&["node", "--config", &file, "--domain", "b.example", "--admin", "off"]);
    let listening = node.expect("listening");
    assert_eq!((&listening["domain"], &listening["admin"]), (&json!("b.example"), &Value::Null));
    let (_, code, stderr) = Running::start(&["node", "status", "--node", &text(&listening["url"])]).output();
    assert!(code == 4 && stderr.contains("--admin"), "{stderr}");
    node.stop();
}

#[test]
fn a_node_tells_how_it_is() {
    let stage = Stage::new();
    let (report, _) = stage.report(&[]);
    let status = Running::start(&["node", "status", "--node", &stage.url]).output();
    assert_eq!((status.1, status.0[0]["stats"]["live"].as_u64()), (0, Some(1)), "{status:?}");
    let people = Running::start(&["node", "status", "--node", &stage.url, "--output", "text"]).output();
    let lines: Vec<_> = people.0.iter().map(|line| text(&line["event"])).collect();
    assert!(lines[0].starts_with("localhost is ready, up "), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("hyperty-runtime://localhost/")), "{lines:?}");
    report.stop();
    let gone = Running::start(&["node", "status", "--node", "ws://127.0.0.1:1/ws"]).output();
    assert_eq!(gone.1, 5, "{gone:?}");
}

/// Every metric is in the documentation, and the documentation names no other.
#[test]
fn the_documentation_names_the_metrics_there_are() {
    let stage = Stage::new();
    let schema = stage.folder.path("schema.json");
    let mut report = stage.start(&["report", "--schema", &schema, "--admin", "127.0.0.1:0"]);
    let admin = text(&report.expect("admin")["url"]);
    report.expect("created");
    assert_eq!(get(&admin, "/readyz").0, 200);
    let (_, status) = get(&admin, "/status");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        (&status["stats"]["objects_reported"], &status["sessions"][0]["status"]),
        (&json!(1), &json!("live"))
    );
    let names = |metrics: &str| -> BTreeSet<String> {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let named = lines.map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        });
        named.collect()
    };
    let mut served = names(&get(&stage.url, "/metrics").1);
    assert!(served.contains("hyperty_deliveries_total"), "{served:?}");
    served.extend(names(&get(&admin, "/metrics").1));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(path).unwrap();
    // A path of a crate is no metric.
    let is_metric = |word: &&str| word.starts_with("hyperty_") && !word.contains("::");
    let words = page.split('`').filter(is_metric);
    let told = words.map(|word| word.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(served, told);
    report.stop();
}

/// A node is stopped in order and started again, three times and once hard, while a reporter writes as fast as it can:
/// what was acknowledged arrives, in order, at every observer.
#[test]
fn a_node_restarted_under_load_loses_nothing() {
    let folder = Folder::new();
    let data = folder.path("node");
    let start = |listen: &str| {
        let mut node = Running::start(&["node", "--listen", listen, "--data", &data]);
        let listening = node.expect("listening");
        (node, text(&listening["address"]), text(&listening["url"]))
    };
    let (mut node, address, url) = start("127.0.0.1:0");
    let schema = folder.path("schema.json");
    std::fs::write(&schema, SCHEMA).unwrap();
    let store = folder.path("store");
    let mut report = Running::start(&[
        "report",
        "--schema",
        &schema,
        "--store",
        &store,
        "--initial",
        r#"{"count":0}"#,
        "--node",
        &url,
    ]);
    let object = text(&report.expect("created")["url"]);
    let mut observers: Vec<_> =
        (0..3).map(|_| Running::start(&["observe", &object, "--node", &url])).collect();
    let mut seen: Vec<_> = observers.iter_mut().map(|observer| vec![observer.expect("snapshot")]).collect();
    let mut last = 0;
    for restart in 0..4 {
        for _ in 0..300 {
            last += 1;
            report.line(&set("count", json!(last)));
        }
        report.until("published", |event| event["version"] == last - 150);
        if restart < 3 {
            // With zero it left, and said nothing on the way.
            node.stop();
        } else {
            node.kill();
        }
        node = start(&address).0;
    }
    report.until("published", |event| event["version"] == last);
    for (observer, seen) in observers.iter_mut().zip(&mut seen) {
        while seen.last().unwrap()["version"].as_u64() != Some(last) {
            seen.push(observer.next());
        }
        assert_eq!(replay(seen), json!({"count": last}), "in order and without a hole");
    }
    observers.into_iter().for_each(Running::stop);
    report.stop();
    node.stop();
}

/// A short soak, for the command itself; long ones are for whoever wants to know.
#[test]
fn a_soak_loses_nothing_and_leaves_nothing_over() {
    let (lines, code, stderr) = Running::start(&["soak", "--seconds", "6", "--seed", "5"]).output();
    let last = lines.last().unwrap_or_else(|| panic!("nothing was said: {stderr}"));
    assert_eq!((code, &last["event"]), (0, &json!("soaked")), "{last} {stderr}");
    for bad in ["lost", "duplicates", "outOfOrder", "wrong", "leaks"] {
        assert_eq!(last[bad], 0, "{bad}: {last} {stderr}");
    }
    assert!(last["deliveries"].as_u64().unwrap() > 100, "{last}");
    let told: Vec<_> = lines.iter().map(|line| text(&line["event"])).collect();
    assert!(told.contains(&"baseline".to_owned()) && told.contains(&"held".to_owned()), "{told:?}");
}
