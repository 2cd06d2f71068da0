//! Files that somebody might write by mistake: whatever stands in one, it is read, or what is wrong is shown where it
//! stands.

use hyperty_conformance::level::{self, Work};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

fn read(text: &str) -> Result<Effective, Failure> {
    let mut all = Effective { config: Config::default(), file: None, origins: BTreeMap::new() };
    all.read_text(Path::new("hyperty.toml"), text)?;
    all.check()?;
    Ok(all)
}

fn shown(all: &Effective) -> String {
    let values = SETTINGS.iter().filter_map(|setting| Some((setting.key, all.value(setting)?)));
    values.map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn judge(text: &str) {
    match read(text) {
        Ok(all) => {
            let text = shown(&all);
            let again = read(&text)
                .unwrap_or_else(|failure| panic!("{}\nof what is shown:\n{text}", failure.message));
            assert_eq!(shown(&again), text, "what is shown means the same in a file");
        }
        Err(failure) => {
            assert!(!failure.message.is_empty());
            let place = failure.message.strip_prefix("hyperty.toml:").and_then(|rest| rest.split(':').next());
            if let Some(line) = place.and_then(|line| line.parse::<usize>().ok()) {
                assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line} of {text:?}");
            }
        }
    }
}

/// Lines of keys that exist, tables that exist, and values of every kind.
fn file() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    let tables: Vec<&str> =
        SETTINGS.iter().filter_map(|setting| Some(setting.key.rsplit_once('.')?.0)).collect();
    let last: Vec<&str> = keys.iter().map(|key| key.rsplit('.').next().unwrap_or(key)).collect();
    let value = prop_oneof![
        3 => any::<i64>().prop_map(|number| number.to_string()),
        2 => (0..5_u32).prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:?}")),
        1 => any::<bool>().prop_map(|truth| truth.to_string()),
        3 => prop::sample::select(vec!["1s", "250ms", "2 MiB", "999999999999999999h", "0s", "buffered:5", "durable", "text", "ndjson", "127.0.0.1:0", "off", "ws://localhost/ws", ""])
            .prop_map(|text| format!("{text:?}")),
        1 => "\\PC{0,12}",
        1 => Just("[1, {a = \"x\"}]".to_owned()),
    ];
    let line = prop_oneof![
        4 => (prop::sample::select(keys), value.clone()).prop_map(|(key, value)| format!("{key} = {value}")),
        3 => (prop::sample::select(last), value).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => prop::sample::select(tables).prop_map(|table| format!("[{table}]")),
        1 => "\\PC{0,30}",
    ];
    proptest::collection::vec(line, 0..10).prop_map(|lines| lines.join("\n"))
}

#[test]
fn any_file_is_read_or_refused_where_it_is_wrong() {
    let config = ProptestConfig {
        cases: level::of(Work::FuzzCases),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&level::seed().to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let tried = runner.run(&file(), |text| {
        judge(&text);
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("HYPERTY_SEED={}: {failure}", level::seed()));
}
