//! Frames and messages to test with.

use bytes::Bytes;
use hyperty_model::message::{DecodeError, Decoded, Limits};
use hyperty_model::{Message, MessageId, MessageType, Url};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn decode(frame: impl AsRef<[u8]>) -> Result<Decoded, DecodeError> {
    Message::from_frame(Bytes::copy_from_slice(frame.as_ref()), &Limits::default())
}

pub(crate) fn one(frame: impl AsRef<[u8]>) -> Message {
    let shown = String::from_utf8_lossy(frame.as_ref()).into_owned();
    match decode(frame) {
        Ok(Decoded::One(message)) => message,
        other => panic!("{shown}: {other:?}"),
    }
}

/// What two messages have in common if they are the same message.
pub(crate) fn essence(message: &Message) -> (MessageId, String, MessageType, String, String, Value) {
    let body = message.decode::<Value>().unwrap();
    // Whether the id is quoted shows in its JSON form only.
    let id = serde_json::to_string(message.id()).unwrap();
    let (from, to) = (message.from().as_str().to_owned(), message.to().as_str().to_owned());
    (message.id().clone(), id, message.kind(), from, to, (*body).clone())
}

pub(crate) fn id() -> impl Strategy<Value = MessageId> {
    prop_oneof![
        any::<u64>().prop_map(MessageId::from),
        any::<u32>().prop_map(|number| MessageId::from_text(&number.to_string())),
        "[ -~\u{e9}\u{1f600}]{0,20}".prop_map(|text| MessageId::from_text(&text)),
    ]
}

pub(crate) fn kind() -> impl Strategy<Value = MessageType> {
    let all = "update response create read delete subscribe unsubscribe forward execute event handshake open re-open close ping";
    select(all.split(' ').map(|name| MessageType::parse(name).unwrap()).collect::<Vec<_>>())
}

pub(crate) fn address() -> impl Strategy<Value = Url> {
    let path = prop_oneof!["[a-z0-9-]{1,20}", "[^/\\x00-\\x1f\\x7f]{1,8}"];
    (select(vec!["hyperty", "comm", "Hyperty-Runtime", "domain"]), "[a-zA-Z0-9.]{1,12}", path)
        .prop_map(|(scheme, domain, path)| url(&format!("{scheme}://{domain}/{path}")))
}

pub(crate) fn json() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("JSON has no such number", |number| number.is_finite());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        finite.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            members(inner).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Members of an object, each name once; some are named like what a relay looks for at the top.
pub(crate) fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(String, Value)>> {
    let name = prop_oneof![
        3 => any::<String>(),
        1 => select(vec!["via", "identity", "auth", "source", "id", "type", "from", "to", "body", ""]).prop_map(str::to_owned),
    ];
    prop::collection::btree_map(name, value, 0..6)
        .prop_map(|members| members.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

/// A JSON object of members that are text already, laid out with the given white space between all tokens.
pub(crate) fn object(members: &[(String, String)], space: &str) -> String {
    let member = |(name, text): &(String, String)| {
        format!("{space}{}{space}:{space}{text}{space}", Value::from(name.as_str()))
    };
    format!("{{{}{}}}", space, members.iter().map(member).collect::<Vec<_>>().join(","))
}

pub(crate) fn space() -> impl Strategy<Value = String> {
    "|[ \\t\\r\\n]{1,3}"
}

/// How others may write a string: with escapes where none are needed.
pub(crate) fn escaped(text: &str) -> String {
    let unit = |unit: u16| format!("\\u{unit:04X}");
    format!("\"{}\"", text.encode_utf16().map(unit).collect::<String>())
}
