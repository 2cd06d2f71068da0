//! What a relay changes, and what it never does.

use std::collections::BTreeMap;

use hyperty_model::message::{HOPS_MAX, IdentityEdit, ResponseBody, Rewrite};
use hyperty_model::{Body, Message, MessageType, StatusCode, Url};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::*;

type Members = BTreeMap<String, Box<RawValue>>;

/// Values as others write them: numbers, escapes and white space that no writer of ours would produce.
fn odd_value() -> impl Strategy<Value = String> {
    select(vec![
        "1.0e2",
        "-0",
        "[ 1 ,\t2 ]",
        r#""\/\u0041""#,
        r#"{ "via" : 1 , "via" : 2 }"#,
        "true",
        "\"}\"",
        "\"\\\"\"",
        "{}",
    ])
    .prop_map(str::to_owned)
}

/// Members of a body, reserved and others, in any order.
fn body() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        select(vec!["via", "identity", "auth", "source"]).prop_map(str::to_owned),
        "[a-e]{1,2}",
        select(vec!["Via", "vi", "auth ", "identity\"", "{", ","]).prop_map(str::to_owned),
    ];
    prop::collection::btree_map(name, odd_value(), 0..6)
        .prop_map(|members| members.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn texts(members: &Members) -> BTreeMap<&str, &str> {
    members.iter().map(|(name, raw)| (name.as_str(), raw.get())).collect()
}

proptest! {
    #[test]
    fn only_what_is_asked_for_changes_inv_msg_5(
        body in prop::option::weighted(0.9, body()), header in prop::collection::btree_map("[f-j]{1,2}", odd_value(), 0..3),
        space in space(), place: prop::sample::Index, identity in 0..3u8, strip_auth: bool, via in prop::option::of(0..3usize),
    ) {
        let mut members: Vec<(String, String)> = vec![
            ("id".to_owned(), "\"7\"".to_owned()),
            ("type".to_owned(), "\"SUBSCRIBE\"".to_owned()),
            ("from".to_owned(), "\"hyperty://a/1\"".to_owned()),
            ("to".to_owned(), "\"comm://a/o\"".to_owned()),
        ];
        members.extend(header);
        if let Some(body) = &body {
            members.insert(place.index(members.len() + 1), ("body".to_owned(), object(body, &space)));
        }
        let frame = format!("{space}{}{space}", object(&members, &space));
        let message = one(&frame);

        let vouched = raw(r#"{"userProfile": {"userURL":"user://a/x"}}"#);
        let urls: Vec<Url> = ["runtime://a/1", "runtime://a/2"].map(url).into_iter().take(via.unwrap_or(0)).collect();
        let rewrite = Rewrite {
            identity: [IdentityEdit::Keep, IdentityEdit::Remove, IdentityEdit::Set(&vouched)][usize::from(identity)],
            strip_auth,
            via: via.map(|_| &urls[..]),
        };
        let relayed = message.clone().relayed(&rewrite).unwrap();

        // The same change made on the members as texts.
        let mut expected: Members = body.iter().flatten().map(|(name, text)| (name.clone(), raw(text))).collect();
        match identity {
            1 => _ = expected.remove("identity"),
            2 => _ = expected.insert("identity".to_owned(), vouched.clone()),
            _ => {}
        }
        if strip_auth {
            expected.remove("auth");
        }
        match via {
            Some(0) => _ = expected.remove("via"),
            Some(_) => _ = expected.insert("via".to_owned(), raw(&json!(urls).to_string())),
            None => {}
        }
        let mut before: Members = serde_json::from_str(&frame).unwrap();
        let mut after: Members = serde_json::from_slice(relayed.wire()).unwrap();
        let (before_body, after_body) = (before.remove("body"), after.remove("body"));
        prop_assert_eq!(texts(&before), texts(&after), "the header stays");
        let after_body: Members = after_body.map(|body| serde_json::from_str(body.get()).unwrap()).unwrap_or_default();
        prop_assert_eq!(texts(&after_body), texts(&expected));

        let before_body: Members = before_body.map(|body| serde_json::from_str(body.get()).unwrap()).unwrap_or_default();
        if texts(&before_body) == texts(&expected) && identity != 2 && urls.is_empty() {
            prop_assert_eq!(relayed.wire().as_ptr(), message.wire().as_ptr(), "nothing to change costs nothing");
        }

        // What is relayed is as good as what was decoded: it can be read, and relayed again.
        prop_assert_eq!(essence(&relayed), essence(&one(relayed.wire())));
        if via.is_some() {
            prop_assert_eq!(relayed.via(), urls);
        }
        let stripped = relayed.relayed(&Rewrite { strip_auth: true, ..Rewrite::default() }).unwrap();
        prop_assert!(stripped.decode::<Value>().unwrap().get("auth").is_none());
    }

    #[test]
    fn whatever_becomes_of_one_frame_the_rest_of_it_is_untouched(body in body(), space in space()) {
        let frame = format!(r#"{{"id":1,"type":"read","from":"a:b","x":[1.0],"to":"a:b","body":{}, "z":0}}"#, object(&body, &space));
        let relayed = one(&frame).relayed(&Rewrite { strip_auth: true, ..Rewrite::default() }).unwrap();
        let kept: Vec<_> = body.into_iter().filter(|(name, _)| name != "auth").collect();
        let tight = |text: &str| text.replace(space.as_str(), "");
        let wanted = frame[..frame.find("\"body\":").unwrap()].to_owned() + "\"body\":" + &object(&kept, &space) + ", \"z\":0}";
        let wire = std::str::from_utf8(relayed.wire()).unwrap();
        if space.is_empty() {
            prop_assert_eq!(wire, wanted);
        } else {
            prop_assert_eq!(tight(wire), tight(&wanted));
        }
    }

    #[test]
    fn a_local_message_is_rewritten_too(body in members(json())) {
        let body = Value::Object(body.into_iter().collect());
        let message = Message::new(1, MessageType::Read, url("a:b"), url("a:b"), Body::of(body.clone()));
        let vouched = raw("\"user://a/x\"");
        let rewrite = Rewrite { identity: IdentityEdit::Set(&vouched), strip_auth: true, via: Some(&[]) };
        let relayed = message.relayed(&rewrite).unwrap();
        let mut expected = body;
        expected["identity"] = json!("user://a/x");
        for gone in ["auth", "via"] {
            expected.as_object_mut().unwrap().remove(gone);
        }
        prop_assert_eq!(&*relayed.decode::<Value>().unwrap(), &expected);
        prop_assert_eq!(essence(&one(relayed.wire())), essence(&relayed));
    }
}

fn remote(body: &str) -> Message {
    one(format!(r#"{{"id":1,"type":"read","from":"hyperty://a/1","to":"comm://a/o","body":{body}}}"#))
}

#[test]
fn via_is_read_as_a_list_or_a_string() {
    assert_eq!(
        remote(r#"{"via":["runtime://a/1","runtime://a/2"]}"#).via(),
        [url("runtime://a/1"), url("runtime://a/2")]
    );
    assert_eq!(remote(r#"{"via":"runtime:\/\/a/1"}"#).via(), [url("runtime://a/1")]);
    assert_eq!(remote(r#"{"via":["runtime://a/1",7,"no url"]}"#).via(), [url("runtime://a/1")]);
    assert_eq!(remote(r#"{"via":7}"#).via(), []);
    assert_eq!(remote(r#"{"a":{"via":["runtime://a/1"]}}"#).via(), []);
    let many = json!({"via": (0..100).map(|at| format!("runtime://a/{at}")).collect::<Vec<_>>()});
    assert_eq!(remote(&many.to_string()).via().len(), HOPS_MAX);
    let local = Message::new(1, MessageType::Read, url("a:b"), url("a:b"), Body::of(json!({"via": ["a:b"]})));
    assert_eq!(local.via(), []);
}

#[test]
fn what_enters_a_runtime_is_stripped_and_knows_its_way() {
    let stub = url("runtime://a/protostub/1");
    let message = remote(r#"{"auth":true,"via":["runtime://a/1"],"x":1}"#).into_inbound(&stub).unwrap();
    assert_eq!(message.hops(), [url("runtime://a/1"), stub.clone()]);
    assert!(message.is_remote());
    assert_eq!(&message.body().raw()[..], br#"{"via":["runtime://a/1"],"x":1}"#);

    let again = remote(r#"{"via":["runtime://a/protostub/1","runtime://a/1"]}"#).into_inbound(&stub).unwrap();
    assert_eq!(again.hops(), [stub.clone(), url("runtime://a/1")]);

    let local = Message::new(1, MessageType::Read, url("a:b"), url("a:b"), Body::of(json!({"auth": true})));
    let local = local.with_sender(url("hyperty://a/1")).into_inbound(&stub).unwrap();
    assert_eq!(*local.decode::<Value>().unwrap(), json!({}));
    assert_eq!((local.hops(), local.sender()), (&[stub][..], None));
}

#[test]
fn a_typed_body_without_anything_to_change_stays_typed() {
    let body = std::sync::Arc::new(ResponseBody::ok());
    let message = Message::new(1, MessageType::Response, url("a:b"), url("a:b"), Body::shared(body.clone()));
    let inbound = message.into_inbound(&url("runtime://a/1")).unwrap();
    assert!(std::sync::Arc::ptr_eq(&inbound.decode::<ResponseBody>().unwrap(), &body));
    assert_eq!(inbound.code(), StatusCode::OK);
}

#[test]
fn a_local_message_that_nobody_could_decode_is_not_relayed() {
    for body in [Body::of(json!(7)), Body::of(json!([]))] {
        let message = Message::new(1, MessageType::Read, url("a:b"), url("a:b"), body);
        assert!(message.relayed(&Rewrite::default()).is_err());
    }
}

#[test]
fn another_address_or_body_makes_another_frame() {
    let message = remote(r#"{"auth":true}"#);
    let moved = message.clone().with_to(url("comm://a/p"));
    assert_eq!(one(moved.wire()).to(), &url("comm://a/p"));
    assert_eq!(one(moved.wire()).body().raw(), message.body().raw());
    let stripped = moved.relayed(&Rewrite { strip_auth: true, ..Rewrite::default() }).unwrap();
    assert_eq!(&stripped.body().raw()[..], b"{}");
    let other = message.clone().with_body(Body::of(json!({"b": 1})));
    assert_eq!(*one(other.wire()).decode::<Value>().unwrap(), json!({"b": 1}));
    let changed = message.with_body(Body::of(json!({"auth": false, "c": 1})));
    let changed = changed.relayed(&Rewrite { strip_auth: true, ..Rewrite::default() }).unwrap();
    assert_eq!(*changed.decode::<Value>().unwrap(), json!({"c": 1}));
}
