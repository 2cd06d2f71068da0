//! Rules looked at before they are in force.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[cfg(not(feature = "cedar"))]
use crate::support::SCHEMA;
use crate::support::{Folder, Running, Stage, text};

const RULES: &str = r#"
[groups]
team = ["user://example.com/bob", "user://example.com/carol"]

[[rule]]
name = "closed at night"
decision = false
reason = "come tomorrow"
condition = { attribute = "time", operator = "between", params = ["22:00", "06:00"] }

[[rule]]
name = "the team may look"
decision = true
points = ["subscribe", "read"]
condition = { attribute = "source", operator = "in", params = ["group:team"] }
"#;

/// Runs the command with lines to read; what it printed, its exit code and its logs.
fn run(arguments: &[&str], lines: &[&str]) -> (Vec<Value>, i32, String) {
    let mut running = Running::start(&[&["policy"], arguments].concat());
    for line in lines {
        running.line(line);
    }
    running.eof();
    running.output()
}

fn rules(name: &str, rules: &str) -> (Folder, String) {
    let folder = Folder::new();
    let file = folder.path(name);
    std::fs::write(&file, rules).unwrap();
    (folder, file)
}

#[test]
fn the_verdict_on_one_request_is_the_exit_code() {
    let (_folder, file) = rules("rules.toml", RULES);
    let test = |more: &[&str]| {
        let (mut events, code, stderr) = run(&[&["test", &file, "--point"], more].concat(), &[]);
        assert_eq!(events.len(), 1, "{stderr}");
        (events.remove(0), code, stderr)
    };
    let (bob, noon, night) = ("user://example.com/bob", "2026-11-22T12:00:00Z", "2026-11-22T23:00:00Z");
    let (permitted, code, _) = test(&["subscribe", "--user", bob, "--time", noon]);
    assert_eq!(
        (code, &permitted["decision"], &permitted["by"]),
        (0, &json!("permit"), &json!("the team may look"))
    );
    let (denied, code, stderr) = test(&["subscribe", "--user", bob, "--time", night]);
    assert_eq!((code, &denied["decision"], &denied["by"]), (3, &json!("deny"), &json!("closed at night")));
    assert_eq!(denied["reason"], "come tomorrow");
    assert!(stderr.contains("come tomorrow"), "{stderr}");
    let (open, code, _) = test(&["subscribe", "--user", "user://example.com/eve", "--time", noon]);
    assert_eq!((code, &open["decision"], &open["by"]), (4, &json!("not-applicable"), &Value::Null));
    // Each rule says what became of it, in their order.
    let why: Vec<String> = open["rules"].as_array().unwrap().iter().map(|rule| text(&rule["why"])).collect();
    assert_eq!(why, ["does not apply: its condition does not hold"; 2]);
    let (_, code, _) = test(&["create", "--user", bob, "--time", noon]);
    assert_eq!(code, 4);
}

#[test]
fn requests_from_stdin_have_a_verdict_each_until_one_makes_no_sense() {
    let (_folder, file) = rules("rules.toml", RULES);
    let bob = r#"{"point":"read","user":"user://example.com/bob","time":"2026-11-22T12:00:00Z"}"#;
    let night = r#"{"point":"delete","actor":"hyperty://example.com/1","time":"2026-11-22T05:00:00Z"}"#;
    let (events, code, stderr) = run(&["test", &file], &[bob, "", night]);
    let decisions: Vec<&Value> = events.iter().map(|event| &event["decision"]).collect();
    assert_eq!((code, decisions), (0, vec![&json!("permit"), &json!("deny")]), "{stderr}");
    for broken in
        ["read", r#"{"point":"reed"}"#, r#"{"point":"read","usr":"x"}"#, r#"{"point":"read","actor":"x"}"#]
    {
        let (events, code, stderr) = run(&["test", &file], &[bob, broken]);
        assert_eq!((events.len(), code), (1, 2), "{broken}: {stderr}");
        assert!(stderr.contains("line 2"), "{broken}: {stderr}");
    }
}

#[test]
fn a_check_counts_sound_rules_and_says_where_others_are_wrong() {
    let (_folder, file) = rules("rules.toml", RULES);
    let (events, code, stderr) = run(&["check", &file], &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(events, [json!({"event": "checked", "rules": 2, "algorithm": "blockOverrides"})]);
    let nobody = RULES.replace("group:team", "group:nobody");
    for (name, text, says) in [
        ("rules.toml", "[[rule]]\nname = 3\n", "line 2"),
        ("rules.toml", nobody.as_str(), "nobody"),
        ("rules.json", RULES, "line 2"),
    ] {
        let (_folder, file) = rules(name, text);
        for command in ["check", "test"] {
            let (events, code, stderr) = run(&[command, &file], &[]);
            assert_eq!((events.len(), code), (0, 2), "{stderr}");
            assert!(stderr.contains(says) && stderr.contains(name), "{stderr}");
        }
    }
    let (_, code, stderr) = run(&["check", "/nowhere/rules.toml"], &[]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("/nowhere/rules.toml"), "{stderr}");
}

const POLICIES: &str = r#"
@id("the team may look")
permit (principal in User::"user://example.com/bob", action in [Action::"subscribe", Action::"read"], resource);

@id("closed at night")
@reason("come tomorrow")
forbid (principal, action, resource) when { context.time.clock >= 2200 || context.time.clock < 600 };
"#;

#[cfg(not(feature = "cedar"))]
#[test]
fn cedar_is_for_commands_that_are_built_with_it() {
    let (folder, file) = rules("team.cedar", POLICIES);
    let schema = folder.path("schema.json");
    std::fs::write(&schema, SCHEMA).unwrap();
    for command in [
        &["policy", "check", &file][..],
        &["policy", "test", &file],
        &["report", "--schema", &schema, "--policy", &file],
        &["observe", "comm://localhost/1", "--policy", &file],
        &["node", "--listen", "127.0.0.1:0", "--discovery", &file],
    ] {
        let mut running = Running::start(command);
        running.eof();
        let (events, code, stderr) = running.output();
        assert_eq!((events.len(), code), (0, 2), "{command:?}: {stderr}");
        assert!(stderr.contains("--features cedar"), "{command:?}: {stderr}");
    }
}

/// A report that everybody may read is read by whom the file lets, as soon as that says so.
fn a_report_is_decided_by(name: &str, of: impl Fn(&str) -> String) {
    let stage = Stage::new();
    let (_folder, file) = rules(name, &of("user://localhost/bob"));
    let (alice, object) = stage.report(&["--policy", &file, "--accept", "all"]);
    let read = |who: &str| stage.run(&["read", &object, "--user", &format!("user://localhost/{who}")]);
    let (_, code, stderr) = read("bob");
    assert_eq!(code, 0, "{stderr}");
    let (_, code, stderr) = read("eve");
    assert_eq!(code, 3, "{stderr}");
    std::fs::write(&file, of("user://localhost/eve")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while read("eve").1 != 0 {
        assert!(Instant::now() < deadline, "the file is read again");
    }
    assert_eq!(read("bob").1, 3);
    alice.stop();
}

#[test]
fn a_report_is_decided_by_rules() {
    a_report_is_decided_by("rules.toml", |who| {
        format!(
            "algorithm = \"allowOverrides\"\n[[rule]]\nname = \"one\"\ndecision = true\npoints = [\"read\"]\n\
             condition = {{ attribute = \"source\", operator = \"in\", params = [\"{who}\"] }}\n\
             [[rule]]\nname = \"others\"\ndecision = false\npoints = [\"read\"]\n"
        )
    });
}

#[cfg(feature = "cedar")]
#[test]
fn a_report_is_decided_by_cedar() {
    a_report_is_decided_by("policies.cedar", |who| {
        format!(
            "forbid (principal, action == Action::\"read\", resource) unless {{ principal in User::\"{who}\" }};"
        )
    });
}

/// What a search at a node finds of others.
#[test]
fn a_node_shows_what_it_is_told_to_show() {
    let hide = "[[rule]]\nname = \"boards are private\"\ndecision = false\npoints = [\"discover\"]\n\
                condition = { attribute = \"scheme\", operator = \"equals\", params = \"comm\" }\n";
    let (rules, file) = rules("discovery.toml", hide);
    for (shown, of_eve) in [("open", 0), ("same-user", 4), (file.as_str(), 4)] {
        let stage = Stage::with(Folder::new(), &["--discovery", shown]);
        let (alice, object) = stage.report(&["--user", "user://localhost/alice", "--name", "standup"]);
        for (who, code) in [("alice", 0), ("eve", of_eve)] {
            let user = format!("user://localhost/{who}");
            let (_, got, stderr) = stage.run(&["discover", "standup", "--user", &user]);
            assert_eq!(got, code, "{shown} {who}: {stderr}");
            assert_eq!(stage.run(&["discover", &object, "--user", &user]).1, 0, "{shown} {who}");
        }
        alice.stop();
    }
    drop(rules);
    let (_, code, stderr) = Running::start(&["node", "--discovery", "friends"]).output();
    assert_eq!(code, 2);
    assert!(stderr.contains("same-user"), "{stderr}");
}

#[cfg(feature = "cedar")]
#[test]
fn cedar_policies_are_checked_and_tested_as_rules_are() {
    let (_folder, file) = rules("team.cedar", POLICIES);
    let (events, code, stderr) = run(&["check", &file], &[]);
    assert_eq!((code, &events[0]["rules"]), (0, &json!(2)), "{stderr}");
    let line = |name: &str, hour: u8| {
        format!(
            r#"{{"point":"read","user":"user://example.com/{name}","time":"2026-11-22T{hour:02}:00:00Z"}}"#
        )
    };
    let (bob, eve, night) = (line("bob", 12), line("eve", 12), line("bob", 23));
    let (events, code, stderr) = run(&["test", &file], &[&bob, &eve, &night]);
    assert_eq!(code, 0, "{stderr}");
    let told: Vec<_> = events.iter().map(|event| (text(&event["decision"]), event["by"].clone())).collect();
    let expected = [
        ("permit", json!("the team may look")),
        ("not-applicable", Value::Null),
        ("deny", json!("closed at night")),
    ];
    assert_eq!(told, expected.map(|(decision, by)| (decision.to_owned(), by)));
    assert_eq!(events[2]["reason"], "come tomorrow");
    assert_eq!(events[2]["rules"][0]["why"], "applies, but another stands before it");

    // What could fail is told by the check; the test shows what comes of it.
    let (_folder, careless) =
        rules("x.cedar", "permit (principal, action, resource)\nwhen { resource.domain == \"x\" };");
    let (_, code, stderr) = run(&["check", &careless], &[]);
    assert_eq!(code, 2);
    assert!(stderr.contains("line 2"), "{stderr}");
    let (events, code, _) = run(&["test", &careless, "--point", "resume"], &[]);
    assert_eq!((code, &events[0]["decision"]), (3, &json!("deny")));
    assert!(text(&events[0]["rules"][0]["why"]).contains("cannot be evaluated"), "{}", events[0]);
}
