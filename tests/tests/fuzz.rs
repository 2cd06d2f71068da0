//! Everything that reads what others wrote, fed with what they might write: the files of `fuzz/corpus`, changed files,
//! and inputs made of the right words in the wrong places. The same functions are driven by cargo-fuzz for as long as
//! one likes; see `fuzz/README.md`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyperty_conformance::fuzz::{TARGETS, Target};
use hyperty_conformance::level::{self, Work};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value};

/// Far longer than the longest of these inputs takes on the slowest machine: what passes it is no longer linear.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Longest input that is made here.
const LENGTH_MAX: usize = 4_096;

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).expect("there is such a target")
}

/// Judges one input, and what the operation takes.
fn feed(target: &Target, data: &[u8]) {
    let begun = Instant::now();
    let took = allocation_counter::measure(|| (target.work)(data));
    let (bytes, calls) = (target.budget.bytes_for(data.len()), target.budget.calls_for(data.len()));
    assert!(
        took.bytes_max <= bytes && took.count_total <= calls,
        "{} bytes of input took {} bytes at once, at most {bytes} may, in {} allocations, at most {calls}",
        data.len(),
        took.bytes_max,
        took.count_total,
    );
    (target.judge)(data);
    assert!(begun.elapsed() < TIME_MAX, "{} bytes of input took {:?}", data.len(), begun.elapsed());
}

/// The files of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a folder is read").path();
            (path.display().to_string(), std::fs::read(&path).expect("a file is read"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 2, "{} is the corpus of nothing", folder.display());
    files
}

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Edit {
    Put(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize, u8),
    Append(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = || any::<usize>();
    let bytes = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 1..5),
        2 => prop::sample::select(vec!["\"", "\\", "{", "}", "[", "]", ",", ":", "\n", "null", "-1", "1e999", "\\u0000", "//"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        3 => (at(), bytes).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        3 => (at(), 1..40_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (at(), 1..40_usize, 1..20_u8).prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
        1 => at().prop_map(Edit::Append),
    ]
}

fn edited(files: &[(String, Vec<u8>)], file: usize, edits: &[Edit]) -> Vec<u8> {
    let mut data = files[file % files.len()].1.clone();
    for edit in edits {
        let place = |at: &usize| at % (data.len() + 1);
        match edit {
            Edit::Put(at, byte) if !data.is_empty() => {
                let at = at % data.len();
                data[at] = *byte;
            }
            Edit::Put(..) => {}
            Edit::Insert(at, bytes) => {
                let at = place(at);
                drop(data.splice(at..at, bytes.iter().copied()));
            }
            Edit::Remove(at, count) => {
                let at = place(at);
                let end = (at + count).min(data.len());
                data.drain(at..end);
            }
            Edit::Repeat(at, count, times) => {
                let at = place(at);
                let part = data[at..(at + count).min(data.len())].repeat(usize::from(*times));
                drop(data.splice(at..at, part));
            }
            Edit::Append(other) => data.extend(&files[other % files.len()].1),
        }
    }
    data.truncate(LENGTH_MAX);
    data
}

/// JSON made of these words, in any place.
fn json(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let word = move || prop::sample::select(words.to_vec()).prop_map(str::to_owned);
    let leaf = prop_oneof![
        6 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => (0..9_u64).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 6, move |inner| {
        let members = proptest::collection::vec((word(), inner.clone()), 0..7);
        prop_oneof![
            1 => proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
            4 => members.prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

const ADDRESSES: [&str; 14] = [
    "hyperty-runtime://example.com/stranger",
    "hyperty-runtime://example.com/stranger/sm",
    "hyperty-runtime://example.com/stranger/registry",
    "hyperty-runtime://example.com/victim",
    "hyperty-runtime://example.com/asked",
    "hyperty-runtime://example.com/asked/sm",
    "comm://example.com/victims",
    "comm://example.com/victims/changes",
    "comm://example.com/victims/children/notes",
    "hyperty://example.com/asked",
    "mn:/session",
    "domain://msg-node.example.com/sm",
    "domain://registry.example.com",
    "domain://catalogue.example.com",
];
const TYPES: [&str; 16] = [
    "create",
    "read",
    "update",
    "delete",
    "subscribe",
    "unsubscribe",
    "response",
    "forward",
    "execute",
    "event",
    "handshake",
    "open",
    "re-open",
    "close",
    "ping",
    "READ",
];
const BODY_WORDS: &[&str] = &[
    "resource",
    "resources",
    "value",
    "version",
    "epoch",
    "attribute",
    "attributeType",
    "operation",
    "add",
    "remove",
    "array",
    "object",
    "position",
    "code",
    "desc",
    "description",
    "reason",
    "source",
    "via",
    "auth",
    "identity",
    "userProfile",
    "userURL",
    "guid",
    "criteria",
    "since",
    "schema",
    "name",
    "data",
    "url",
    "reporter",
    "runtime",
    "status",
    "live",
    "disconnected",
    "expires",
    "number",
    "scheme",
    "comm",
    "childrenObjects",
    "childrenDeleted",
    "childrenResources",
    "subscribe",
    "unsubscribe",
    "authorise",
    "store",
    "resume",
    "type",
    "from",
    "to",
    "user",
    "dataSchemes",
    "changes",
    "recovered",
    "digest",
    "200",
    "a",
    "b",
    "comm://example.com/victims",
    "hyperty://example.com/asked",
    "hyperty://example.com/asked#1",
    "hyperty-runtime://example.com/stranger",
    "user://example.com/alice",
    "https://example.com/S",
    "2026-01-31T12:00:00.000Z",
    "transfer",
    "public",
    "revoke",
];
const SCHEMA_WORDS: &[&str] = &[
    "type",
    "object",
    "array",
    "string",
    "integer",
    "null",
    "properties",
    "required",
    "items",
    "$ref",
    "#",
    "#/$defs/a",
    "$defs",
    "a",
    "b",
    "anyOf",
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "const",
    "constant",
    "enum",
    "pattern",
    "^(a|b)*$",
    "(x+x+)+y",
    "[",
    "patternProperties",
    "additionalProperties",
    "format",
    "date-time",
    "uri",
    "minimum",
    "maxLength",
    "scheme",
    "children",
    "comm",
    "messages",
    "hyperty",
    "$schema",
    "$id",
    "definitions",
    "dependencies",
    "http://json-schema.org/draft-04/schema#",
    "https://json-schema.org/draft/2020-12/schema",
    "observerPermissions",
    "unevaluatedProperties",
    "contains",
    "uniqueItems",
    "propertyNames",
    "$dynamicRef",
    "default",
];
const RULE_WORDS: &[&str] = &[
    "algorithm",
    "blockOverrides",
    "allowOverrides",
    "firstApplicable",
    "groups",
    "rule",
    "name",
    "decision",
    "points",
    "subscribe",
    "read",
    "create",
    "child",
    "condition",
    "and",
    "or",
    "not",
    "attribute",
    "operator",
    "params",
    "source",
    "domain",
    "type",
    "scheme",
    "schema",
    "subscription",
    "date",
    "weekday",
    "time",
    "equals",
    "in",
    "greaterThan",
    "lessThan",
    "between",
    "group:g",
    "g",
    "22:00",
    "06:00",
    "monday",
    "2026-11-22",
    "scope",
    "target",
    "identity",
    "hyperty",
    "global",
    "priority",
    "reason",
    "user://example.com/alice",
    "example.com",
];

fn message() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        4 => any::<u32>().prop_map(Value::from),
        1 => Just(Value::from("6")),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let address = || prop::sample::select(ADDRESSES.to_vec());
    let to = prop_oneof![
        8 => address().prop_map(Value::from),
        1 => proptest::collection::vec(address(), 0..4).prop_map(Value::from),
    ];
    (id, prop::sample::select(TYPES.to_vec()), address(), to, json(BODY_WORDS), any::<bool>()).prop_map(
        |(id, kind, from, to, body, spaced)| {
            let message = serde_json::json!({"id": id, "type": kind, "from": from, "to": to, "body": body});
            if spaced { format!(" {message:#} ").replace('\n', "\t") } else { message.to_string() }
        },
    )
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), proptest::collection::vec(message(), 0..8))
        .prop_map(|(first, lines)| [vec![first], lines.join("\n").into_bytes()].concat())
}

/// Claims around the moment at which tokens are judged.
fn claims() -> impl Strategy<Value = Vec<u8>> {
    let near = || (-60_i64..60).prop_map(|offset| 1_700_000_000 + offset);
    let audience = || prop::sample::select(vec!["example.com", "EXAMPLE.com", "example.org", ""]);
    let audiences = prop_oneof![
        3 => audience().prop_map(Value::from),
        1 => proptest::collection::vec(audience(), 0..3).prop_map(Value::from),
    ];
    let subject = prop::sample::select(vec![
        "user://example.com/alice",
        "user-guid://1",
        "user://",
        "alice",
        "hyperty://a/1",
    ]);
    let pattern = "(hyperty|hyperty-runtime)://(example.com|\\*)/[a-z*]{0,4}(/\\*\\*)?";
    let patterns = proptest::option::of(proptest::collection::vec(pattern, 0..3));
    (subject, audiences, near(), proptest::option::of(near()), patterns).prop_map(
        |(sub, aud, exp, nbf, patterns)| {
            let mut claims = serde_json::json!({"sub": sub, "aud": aud, "exp": exp});
            if let Some(nbf) = nbf {
                claims["nbf"] = nbf.into();
            }
            if let Some(patterns) = patterns {
                claims["hyperties"] = patterns.into();
            }
            claims.to_string().into_bytes()
        },
    )
}

/// What fits a target well enough to get far.
fn fitting(name: &str) -> BoxedStrategy<Vec<u8>> {
    let text = |value: Value| value.to_string().into_bytes();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    match name {
        "envelope" => message().prop_map(String::into_bytes).boxed(),
        "bodies" => json(BODY_WORDS).prop_map(text).boxed(),
        "schema" => json(SCHEMA_WORDS).prop_map(text).boxed(),
        "policy" => json(RULE_WORDS).prop_map(text).boxed(),
        "token" => claims().boxed(),
        "session" | "stub" => lines().boxed(),
        "url" => {
            let url = "[a-zA-Z]{0,1}[a-zA-Z0-9-]{0,6}:/{0,3}[a-zA-Z0-9.-]{0,9}(/[a-z0-9.#_-]{0,5}){0,4}";
            let tail = "(/changes|/children/[a-z]{1,3}|/children|/status|/subscription|/)?";
            proptest::collection::vec((url, tail), 0..8)
                .prop_map(|lines| {
                    lines.into_iter().map(|(url, tail)| url + &tail + "\n").collect::<String>().into_bytes()
                })
                .boxed()
        }
        _ => bytes().boxed(),
    }
}

fn driven(name: &str) {
    let (target, files) = (target(name), corpus(name));
    for (path, data) in &files {
        let fed = std::panic::catch_unwind(|| feed(&target, data));
        assert!(fed.is_ok(), "{path} fails {name}");
    }
    let changed = {
        let files = files.clone();
        (any::<usize>(), proptest::collection::vec(edit(), 1..8))
            .prop_map(move |(file, edits)| edited(&files, file, &edits))
    };
    let input =
        prop_oneof![2 => changed, 2 => fitting(name), 1 => proptest::collection::vec(any::<u8>(), 0..200)];
    let config = Config {
        cases: level::of(Work::FuzzCases),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&level::seed().to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner.run(&input, |data| {
        feed(&target, &data);
        Ok(())
    });
    if let Err(failure) = outcome {
        let text = match &failure {
            proptest::test_runner::TestError::Fail(_, data) => String::from_utf8_lossy(data).into_owned(),
            proptest::test_runner::TestError::Abort(_) => String::new(),
        };
        panic!("{name}, HYPERTY_SEED={}: {failure}\nas text: {text}", level::seed());
    }
}

macro_rules! driven {
    ($($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                driven(stringify!($name));
            }
        )+

        /// Nothing is left out.
        #[test]
        fn every_target_is_driven_and_has_a_door_for_the_fuzzer() {
            let driven = [$(stringify!($name)),+];
            let known = TARGETS.map(|target| target.name);
            assert_eq!(driven, known);
            for name in known {
                let door = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz/fuzz_targets/{name}.rs"));
                let text = std::fs::read_to_string(&door).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(text.contains(&format!("fuzz::{name}::judge(data)")), "{name}");
            }
        }
    };
}

driven!(envelope, bodies, url, change, schema, policy, token, storage, session, stub);

/// The driver can fail: on what a rule forbids, and on what takes too much.
#[test]
fn what_is_wrong_is_found() {
    fn wasteful(data: &[u8]) {
        drop(std::hint::black_box(vec![0_u8; data.len() * 1_000]));
    }
    let greedy = Target { work: wasteful, ..target("url") };
    assert!(std::panic::catch_unwind(|| feed(&greedy, &[b'x'; 4_096])).is_err(), "too much is not noticed");
    let wrong = Target { judge: |data| assert!(data.is_empty()), ..target("url") };
    assert!(std::panic::catch_unwind(|| feed(&wrong, b"x")).is_err(), "a broken rule is not noticed");
}
