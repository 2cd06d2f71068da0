//! Inputs that fit a target well enough to get far.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::words::{ADDRESSES, BODY_WORDS, RULE_WORDS, SCHEMA_WORDS, TYPES};

/// JSON made of these words, in any place.
fn words(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
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
    (id, prop::sample::select(TYPES.to_vec()), address(), to, words(BODY_WORDS), any::<bool>()).prop_map(
        |(id, kind, from, to, body, spaced)| {
            let message = json!({"id": id, "type": kind, "from": from, "to": to, "body": body});
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
            let mut claims = json!({"sub": sub, "aud": aud, "exp": exp});
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

/// Requests to a backup, most of them nearly well-formed.
fn backup() -> impl Strategy<Value = Vec<u8>> {
    let object = prop::sample::select(vec!["hers", "HERS", "eves", "nobodys"]);
    let user = prop::sample::select(vec![
        json!("user://example.com/alice"),
        json!({"userProfile": {"userURL": "user://example.com/alice", "guid": "user-guid://1"}}),
        json!({"userProfile": {"guid": "user-guid://1"}}),
        json!("user://example.com/eve"),
        json!({}),
    ]);
    let role = prop::sample::select(vec!["reporter", "observer"]);
    let parts = proptest::option::weighted(0.3, (1..4_u64, 1..4_u64, 0..9_u64));
    let text = proptest::option::weighted(0.8, "[a-c]{0,3}");
    let body = (object, user, role, (0..3_u64, 0..3_u64), text, parts).prop_map(
        |(object, user, role, (epoch, version), text, parts)| {
            let mut body = json!({
                "resource": format!("comm://example.com/{object}"), "role": role, "user": user,
                "epoch": epoch, "version": version,
            });
            if let Some(text) = text {
                body["text"] = text.into();
            }
            if let Some((part, parts, bytes)) = parts {
                body["part"] = part.into();
                body["parts"] = parts.into();
                body["bytes"] = bytes.into();
                body["transfer"] = "t".into();
            }
            body
        },
    );
    let list = prop::sample::select(vec!["reporter", "observer"])
        .prop_map(|role| json!({"role": role, "user": "user://example.com/alice"}));
    let body = prop_oneof![8 => body, 1 => list, 1 => words(BODY_WORDS)];
    let line = ("[pte]", "[crd]", body).prop_map(|(device, kind, body)| format!("{device}{kind}{body}"));
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n").into_bytes())
}

/// What fits a target well enough to get far.
pub(crate) fn fitting(name: &str) -> BoxedStrategy<Vec<u8>> {
    let text = |value: Value| value.to_string().into_bytes();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    match name {
        "envelope" => message().prop_map(String::into_bytes).boxed(),
        "bodies" => words(BODY_WORDS).prop_map(text).boxed(),
        "schema" => words(SCHEMA_WORDS).prop_map(text).boxed(),
        "policy" => words(RULE_WORDS).prop_map(text).boxed(),
        "token" => claims().boxed(),
        "session" | "stub" => lines().boxed(),
        "backup" => backup().boxed(),
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
