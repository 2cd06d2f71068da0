//! What is refused, and with which words.

use bytes::Bytes;
use hyperty_model::Message;
use hyperty_model::message::{DecodeError, Limits, MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::support::*;

const HEADER: [(&str, &str); 4] =
    [("id", "7"), ("type", "\"read\""), ("from", "\"hyperty://a/1\""), ("to", "\"comm://a/o\"")];
const RESERVED: [&str; 4] = ["via", "identity", "auth", "source"];

fn frame_of(members: &[(&str, &str)]) -> String {
    let members: Vec<_> = members.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
    object(&members, "")
}

fn with_body(body: &str) -> String {
    frame_of(&[&HEADER[..], &[("body", body)]].concat())
}

proptest! {
    #[test]
    fn a_header_member_that_is_there_twice_is_refused_m25(at in 0..5usize, place in 0..6usize, escape: bool, same: bool) {
        let mut members: Vec<(String, String)> =
            HEADER.iter().map(|(name, text)| (Value::from(*name).to_string(), text.to_string())).collect();
        members.push(("\"body\"".to_owned(), "{}".to_owned()));
        let (name, text) = members[at].clone();
        let text = if same { text } else { "\"hyperty://other/1\"".to_owned() };
        let bare = name.trim_matches('"').to_owned();
        members.insert(place, (if escape { escaped(&bare) } else { name }, text));
        let frame = members.iter().map(|(name, text)| format!("{name}:{text}")).collect::<Vec<_>>().join(",");
        let error = decode(format!("{{{frame}}}")).unwrap_err();
        let refused = matches!(&error, DecodeError::Duplicate(name) if *name == bare)
            // The other body came first and is none.
            || (bare == "body" && matches!(error, DecodeError::Malformed { field: "body", .. }));
        prop_assert!(refused, "{}", error);
    }

    #[test]
    fn reserved_members_of_the_body_have_one_spelling_and_one_place_m25(
        name in select(&RESERVED[..]), others in members(json()), escape_at: prop::sample::Index, place: prop::sample::Index,
    ) {
        let mut members: Vec<(String, String)> = others
            .iter()
            .filter(|(other, _)| !RESERVED.contains(&other.as_str()))
            .map(|(name, value)| (Value::from(name.as_str()).to_string(), value.to_string()))
            .collect();
        let mut body = |name: String| {
            members.insert(place.index(members.len() + 1), (name, "{\"via\":1,\"via\":2}".to_owned()));
            members.iter().map(|(name, text)| format!("{name}:{text}")).collect::<Vec<_>>().join(",")
        };
        let plain = body(format!("\"{name}\""));
        // Deeper down the names are free.
        let once = with_body(&format!("{{{plain}}}"));
        prop_assert!(decode(once).is_ok());
        let at = escape_at.index(name.len());
        let twice = body(format!("\"{name}\""));
        let spelt = format!("{{\"{}\\u{:04x}{}\":1}}", &name[..at], name.as_bytes()[at], &name[at + 1..]);
        for body in [format!("{{{twice}}}"), spelt] {
            prop_assert_eq!(decode(with_body(&body)).unwrap_err(), DecodeError::Reserved(name), "{}", body);
        }
    }

    #[test]
    fn a_broken_frame_is_never_a_message(cut: prop::sample::Index, byte in select(&b"\"{}[],:\\\x00\xff"[..])) {
        let whole = with_body(r#"{"a":"b\u00e9","c":[1.5,{"d":null}]}"#).into_bytes();
        let at = cut.index(whole.len());
        prop_assert!(decode(&whole[..at]).is_err());
        let mut broken = whole.clone();
        broken.insert(at, byte);
        if serde_json::from_slice::<Value>(&broken).is_err() {
            prop_assert!(decode(&broken).is_err(), "{}", String::from_utf8_lossy(&broken));
        }
    }
}

#[test]
fn a_missing_header_member_is_named() {
    for at in 0..HEADER.len() {
        let mut members = HEADER.to_vec();
        let (name, _) = members.remove(at);
        assert_eq!(
            decode(frame_of(&members)).unwrap_err().to_string(),
            format!("bad request: missing {name}")
        );
    }
}

#[test]
fn a_malformed_header_member_is_named() {
    let cases = [
        ("id", &["null", "true", "{}", "[1]"][..]),
        ("type", &["null", "1", "[\"read\"]"]),
        ("from", &["null", "1", "\"no url\"", "[\"a:b\"]", "{}"]),
        ("to", &["null", "1", "\"no url\"", "{}", "[1]"]),
    ];
    for (field, texts) in cases {
        for text in texts {
            let members = HEADER.map(|(name, own)| (name, if name == field { text } else { own }));
            let error = decode(frame_of(&members)).unwrap_err();
            assert!(
                matches!(&error, DecodeError::Malformed { field: named, .. } if *named == field),
                "{field} {text}: {error}"
            );
        }
    }
    let long = format!("\"{}\"", "x".repeat(200));
    assert!(decode(frame_of(&[("id", &long), HEADER[1], HEADER[2], HEADER[3]])).is_err());
    let unknown =
        decode(frame_of(&[HEADER[0], ("type", "\"Frobnicate\""), HEADER[2], HEADER[3]])).unwrap_err();
    assert_eq!(unknown, DecodeError::UnknownType("Frobnicate".to_owned()));
    for body in ["null", "1", "[]", "\"x\""] {
        let error = decode(with_body(body)).unwrap_err();
        assert_eq!(error.to_string(), "bad request: malformed body: not an object");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    let whole = with_body("{}");
    let frames = [
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{}{}",
        "\u{feff}{}",
        "{\"id\":1,}",
        "{'id':1}",
        "nul",
        "{\"a\":tru}",
    ];
    for frame in frames.map(str::to_owned).into_iter().chain([
        format!("{whole}x"),
        format!("{whole},"),
        whole.replace("7", "07"),
    ]) {
        let error = decode(&frame).unwrap_err();
        assert!(matches!(error, DecodeError::Syntax { .. }), "{frame}: {error}");
    }
    assert_eq!(decode("{}").unwrap_err(), DecodeError::Missing("id"));
    let latin = [b"{\"x\":\"", &[0xe9][..], b"\"}"].concat();
    assert_eq!(decode(latin).unwrap_err(), DecodeError::NotUtf8 { at: 6 });
}

#[test]
fn size_is_limited() {
    let frame = |length: usize| Bytes::from(with_body(&format!("{{\"a\":\"{}\"}}", "x".repeat(length))));
    let limits = Limits { bytes: 200, ..Limits::default() };
    let room = 200 - frame(0).len();
    assert!(Message::from_frame(frame(room), &limits).is_ok());
    let error = Message::from_frame(frame(room + 1), &limits).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { bytes: 201, max: 200 });
    assert_eq!(Limits::default().bytes, MESSAGE_BYTES_MAX);
}

#[test]
fn nesting_is_limited_wherever_it_is() {
    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }
    let limited = |frame: String, depth: usize| {
        Message::from_frame(frame.into(), &Limits { depth, ..Limits::default() })
    };
    for (inside, frame) in [
        (2, (|depth| with_body(&format!("{{\"a\":{}}}", nested(depth)))) as fn(usize) -> String),
        (2, |depth| with_body(&format!("{{\"identity\":{}}}", nested(depth)))),
        (1, |depth| frame_of(&[&HEADER[..], &[("x", &nested(depth))]].concat())),
    ] {
        assert!(decode(frame(MESSAGE_DEPTH_MAX - inside)).is_ok());
        let error = decode(frame(MESSAGE_DEPTH_MAX - inside + 1)).unwrap_err();
        assert_eq!(error, DecodeError::TooDeep { max: MESSAGE_DEPTH_MAX });
        // 128 is the end, whatever is configured; the body can then still be read.
        let message = limited(frame(128 - inside), 1000).unwrap().into_iter().next().unwrap();
        assert!(message.decode::<Value>().is_ok());
        assert!(limited(frame(128 - inside + 1), 1000).is_err());
    }
    assert!(limited(with_body("{}"), 1).is_err());
    assert!(limited(with_body("{}"), 2).is_ok());
}
