//! Frames: what is accepted is JSON, says what it says to any other reader, and is relayed without loss.

use bytes::Bytes;
use hyperty_model::message::{
    Decoded, HOPS_MAX, Limits, RECIPIENTS_MAX, ResponseBody, Rewrite, salvage_header,
};
use hyperty_model::{Message, StatusCode, Url};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Decodes a frame.
pub fn work(data: &[u8]) {
    let _ = decode(data);
}

fn decode(data: &[u8]) -> Result<Decoded, hyperty_model::message::DecodeError> {
    // As on a connection of a node: a mebibyte, so that a list of addresses is not multiplied without end.
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    Message::from_frame(Bytes::copy_from_slice(data), &limits)
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    match decode(data) {
        Err(error) => {
            assert_eq!(error.code(), StatusCode::BAD_REQUEST);
            assert!(!error.to_string().is_empty(), "an error says what is wrong");
            // What an answer to it is addressed by can be written.
            if let Some((id, from, to)) = salvage_header(data) {
                let again = Message::new(id.clone(), hyperty_model::MessageType::Read, from, to, Value::Null);
                assert_eq!(again.id(), &id);
            }
        }
        Ok(Decoded::One(message)) => {
            assert_eq!(&**message.wire(), data, "a message that came is kept as it came");
            check(message);
        }
        Ok(Decoded::Many(messages)) => {
            assert!((1..=RECIPIENTS_MAX).contains(&messages.len()), "{} addresses", messages.len());
            messages.into_iter().for_each(check);
        }
    }
}

fn check(message: Message) {
    let wire = message.wire().clone();
    serde_json::from_slice::<IgnoredAny>(&wire).expect("what is accepted is JSON");
    let again = one(&wire);
    assert_eq!(header(&again), header(&message), "a frame says the same twice");
    let read = serde_json::from_slice::<Value>(&wire).ok();
    if let Some(value) = &read {
        agrees(&message, value);
    }
    answered(&message);
    relayed(&message, read.as_ref());
}

fn one(wire: &Bytes) -> Message {
    match Message::from_frame(wire.clone(), &Limits::default()) {
        Ok(Decoded::One(message)) => message,
        other => panic!("a message is read again as {other:?}"),
    }
}

fn header(message: &Message) -> (String, String, Url, Url) {
    let kind = message.kind().as_str().to_owned();
    (message.id().to_string(), kind, message.from().clone(), message.to().clone())
}

/// Another reader of JSON finds the same header (protocol M25).
fn agrees(message: &Message, value: &Value) {
    let text =
        |member: &str| value[member].as_str().unwrap_or_else(|| panic!("{member} is no text: {value}"));
    assert!(text("type").eq_ignore_ascii_case(message.kind().as_str()), "type of {value}");
    for (member, url) in [("from", message.from()), ("to", message.to())] {
        assert_eq!(Url::parse(text(member)).as_ref(), Ok(url), "{member} of {value}");
    }
    if let Some(id) = value["id"].as_str() {
        assert_eq!(message.id(), &hyperty_model::MessageId::from_text(id), "id of {value}");
    }
    let body: Value = serde_json::from_slice(message.body().raw()).expect("a part of JSON is JSON");
    let expected = value.get("body").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    assert_eq!(body, expected, "body of {value}");
}

/// An answer repeats the id as it was, and goes back (INV-MSG-2).
fn answered(message: &Message) {
    let answer = one(message.reply(ResponseBody::ok()).wire());
    assert_eq!(answer.id(), message.id());
    assert_eq!((answer.from(), answer.to()), (message.to(), message.from()));
    let raw = |wire: &Bytes| {
        serde_json::from_slice::<Map<String, Value>>(wire).ok().map(|mut map| map.remove("id"))
    };
    if let (Some(sent), Some(back)) = (raw(message.wire()), raw(answer.wire())) {
        assert_eq!(sent, back, "an id comes back as it was sent");
    }
}

/// What a relay does not change stays as it came (INV-MSG-5).
fn relayed(message: &Message, read: Option<&Value>) {
    let stub = Url::parse("hyperty-runtime://relay.example/protostub/1").expect("it is an address");
    let mut hops = message.via();
    // With more it would go no further, and nobody reads more.
    hops.truncate(HOPS_MAX - 1);
    hops.push(stub.clone());
    let rewrite = Rewrite { strip_auth: true, via: Some(&hops), ..Rewrite::default() };
    let out = message.clone().relayed(&rewrite).expect("what came as a frame is relayed");
    let out = one(out.wire());
    assert_eq!(header(&out), header(message));
    assert_eq!(out.via(), hops, "the way that was written is the way that is read");
    if let Some(read) = read {
        let mut expected = read.clone();
        if expected.get("body").is_none_or(Value::is_null) {
            expected["body"] = Value::Object(Map::new());
        }
        let mut found: Value = serde_json::from_slice(out.wire()).expect("a relay writes JSON");
        for value in [&mut expected, &mut found] {
            let body = value["body"].as_object_mut().expect("a body is an object");
            body.remove("via");
            body.remove("auth");
        }
        assert_eq!(found, expected, "a relay changed more than it should");
    }
    let inbound = message.clone().into_inbound(&stub).expect("what came as a frame is taken in");
    assert_eq!(
        inbound.hops().last(),
        inbound.hops().iter().find(|hop| **hop == stub).or(inbound.hops().last())
    );
    let body: Value = serde_json::from_slice(inbound.body().raw()).unwrap_or_default();
    assert!(body.get("auth").is_none(), "auth came in: {body}");
}
