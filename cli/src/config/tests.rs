use std::collections::BTreeSet;

use super::*;

fn read(text: &str) -> Result<Effective, Failure> {
    let mut all = Effective { config: Config::default(), file: None, origins: BTreeMap::new() };
    all.read_text(Path::new("hyperty.toml"), text)?;
    all.check()?;
    Ok(all)
}

fn refusal(text: &str) -> String {
    read(text).map(|_| ()).unwrap_err().message
}

#[test]
fn a_file_sets_what_it_names_and_nothing_else() {
    let text = "log = \"info\"\n[node]\nlisten = \"0.0.0.0:80\"\nenforce_publisher = false\n\
                [node.limits]\nsessions = 0x10\nqueue_bytes = \"2 MiB\"\n[node.timers]\ngrace = \"1m 30s\"\n";
    let all = read(text).unwrap();
    let config = &all.config;
    assert_eq!((config.log.as_str(), config.node.listen.port()), ("info", 80));
    assert_eq!((config.node.config.limits.sessions, config.node.config.limits.queue.bytes), (16, 2 << 20));
    assert_eq!(config.node.config.timers.grace, Duration::from_secs(90));
    assert!(!config.node.config.enforce_publisher);
    assert_eq!(config.node.config.timers.idle, hyperty_message_node::IDLE_MAX);
    assert_eq!(all.origin("node.timers.grace").to_string(), "hyperty.toml:9");
    assert_eq!(all.origin("node.timers.idle"), Origin::Default);
}

#[test]
fn what_is_wrong_is_shown_where_it_stands() {
    let unknown = refusal("log = \"warn\"\n\n[node.limits]\n  sesions = 10\n");
    let expected =
        "hyperty.toml:4: unknown key `node.limits.sesions`; known here: sessions, sessions_per_user, ";
    assert!(unknown.starts_with(expected), "{unknown}");
    assert!(unknown.ends_with("\n  |\n4 |   sesions = 10\n  |   ^^^^^^^"), "{unknown}");

    let zero = refusal("[node.limits]\nsessions = 0");
    assert!(
        zero.contains("hyperty.toml:2: `node.limits.sessions`: a whole number from 1 is expected"),
        "{zero}"
    );
    assert!(zero.ends_with("2 | sessions = 0\n  |            ^"), "{zero}");

    let syntax = refusal("[node\nlisten = 1");
    assert!(syntax.starts_with("hyperty.toml:1: ") && syntax.contains("\n1 | [node\n"), "{syntax}");
    assert!(refusal("node = 1").contains("`node` is a table"));
    assert!(refusal("[node]\nlisten = [1]").contains("is a text, a number, true or false"));
    assert!(refusal("\"é\" = 1 # é").contains("unknown key `é`"));
    assert!(
        refusal("[node.timers]\nping = \"1h\"")
            .contains("`node.timers.ping` (hyperty.toml:2) has to be below")
    );
}

#[test]
fn the_environment_stands_over_the_file_and_set_over_both() {
    let mut all = read("[node.timers]\ngrace = \"1s\"\nping = \"2s\"\nopen = \"3s\"\n").unwrap();
    let variable = |name: &str| match name {
        "HYPERTY_NODE_TIMERS_PING" => Some("4s".into()),
        "HYPERTY_NODE_TIMERS_OPEN" => Some("5s".into()),
        "HYPERTY_DOMAIN" => Some("example.com".into()),
        // Set to nothing is not set.
        "HYPERTY_LOG" => Some("".into()),
        _ => None,
    };
    all.environment(&variable).unwrap();
    all.set_one("node.timers.open = 6s").unwrap();
    let timers = &all.config.node.config.timers;
    assert_eq!([timers.grace, timers.ping, timers.open].map(|time| time.as_secs()), [1, 4, 6]);
    let origin = |key| all.origin(key).to_string();
    assert_eq!(origin("node.timers.grace"), "hyperty.toml:2");
    assert_eq!(origin("node.timers.ping"), "environment HYPERTY_NODE_TIMERS_PING");
    assert_eq!((origin("node.timers.open").as_str(), origin("log").as_str()), ("--set", "default"));
    // One variable for both sides of a connection.
    assert_eq!(all.config.node.config.domain, "example.com");
    assert_eq!(all.config.client.domain.as_deref(), Some("example.com"));
    for wrong in ["log", "nothing=1", "node.listen=here"] {
        assert!(all.set_one(wrong).is_err(), "{wrong}");
    }
    let wrong = |name: &str| (name == "HYPERTY_LISTEN").then(|| "here".into());
    let failure = all.environment(&wrong).unwrap_err();
    assert_eq!(failure.message, "HYPERTY_LISTEN=here: an address such as 127.0.0.1:9090 is expected");
}

/// What is shown can be put into a file, and means the same there.
#[test]
fn what_is_shown_is_read_again() {
    let mut all = read("").unwrap();
    let given = [
        "client.user=user://localhost/alice",
        "client.timeout=2500ms",
        "node.data=/var/a b",
        "output=text",
        "node.durability=buffered:250",
    ];
    given.iter().for_each(|text| all.set_one(text).unwrap());
    let values = || SETTINGS.iter().filter_map(|setting| Some((setting.key, all.value(setting)?)));
    let text: String = values().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let again = read(&text).unwrap();
    for setting in SETTINGS {
        assert_eq!(again.value(setting), all.value(setting), "{}", setting.key);
    }
    assert_eq!(again.config.client.timeout, Some(Duration::from_millis(2500)));
}

#[test]
fn keys_and_variables_are_told_apart() {
    let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(keys.len(), SETTINGS.len());
    for setting in SETTINGS {
        assert!(setting.variable.starts_with("HYPERTY_"), "{}", setting.variable);
        let shared = SETTINGS.iter().filter(|other| other.variable == setting.variable).count();
        let by_both = ["HYPERTY_DOMAIN", "HYPERTY_DURABILITY"].contains(&setting.variable);
        assert!(shared == 1 || by_both, "{}", setting.variable);
    }
}

#[test]
fn the_file_of_the_working_directory_comes_before_that_of_the_user() {
    let folder = std::env::temp_dir().join(format!("hyperty-config-{}", std::process::id()));
    let own = folder.join("hyperty");
    std::fs::create_dir_all(&own).unwrap();
    let variable = |name: &str| (name == "XDG_CONFIG_HOME").then(|| folder.clone().into_os_string());
    assert_eq!(found(&variable), None);
    std::fs::write(own.join("hyperty.toml"), "").unwrap();
    assert_eq!(found(&variable), Some(own.join("hyperty.toml")));
    let home = |name: &str| (name == "HOME").then(|| folder.clone().into_os_string());
    assert_eq!(found(&home), None);
    std::fs::remove_dir_all(folder).unwrap();
}

/// The table in the documentation is this list.
#[test]
fn the_documentation_lists_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let text = std::fs::read_to_string(path).unwrap();
    let defaults = read("").unwrap();
    let rows: Vec<_> = SETTINGS
        .iter()
        .map(|setting| {
            let kind = (setting.field)(&mut Config::default()).kind();
            let default = defaults.value(setting).map_or("".to_owned(), |value| format!("`{value}`"));
            format!("| `{}` | {kind} | {default} | `{}` | {} |", setting.key, setting.variable, setting.help)
        })
        .collect();
    let told: Vec<_> =
        text.lines().filter(|line| line.starts_with("| `") && line.contains("`HYPERTY_")).collect();
    assert_eq!(told, rows, "docs/operating.md has to hold exactly:\n{}", rows.join("\n"));
}
