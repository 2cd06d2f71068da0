//! What is decoded, and what survives it.

use bytes::Bytes;
use hyperty_model::message::{Decoded, Limits, RECIPIENTS_MAX, ResponseBody, salvage_header};
use hyperty_model::{Body, Message, MessageId, MessageType, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::*;

proptest! {
    #[test]
    fn a_message_survives_the_wire(id in id(), kind in kind(), from in address(), to in address(), body in members(json())) {
        let body = Value::Object(body.into_iter().collect());
        // Members that only a frame made by somebody else could have twice cannot occur in a map.
        let message = Message::new(id, kind, from, to, Body::of(body));
        let copy = one(message.wire());
        prop_assert_eq!(essence(&copy), essence(&message));
        prop_assert_eq!(copy.wire(), message.wire());
    }

    #[test]
    fn a_header_is_read_in_any_layout_and_the_frame_is_kept(
        id in id(), kind in kind(), from in address(), to in address(), body in json().prop_filter("an object", Value::is_object),
        unknown in members(json()), order in any::<prop::sample::Index>(), space in space(), escapes: u8, upper: bool,
    ) {
        let write = |bit: u8, text: &str| if escapes >> bit & 1 == 1 { escaped(text) } else { Value::from(text).to_string() };
        let kind_text = if upper { kind.as_str().to_uppercase() } else { kind.as_str().to_owned() };
        let known = ["id", "type", "from", "to", "body"];
        let mut all: Vec<(String, String)> = vec![
            (write(0, "id"), serde_json::to_string(&id).unwrap()),
            (write(1, "type"), write(2, &kind_text)),
            (write(3, "from"), write(4, from.as_str())),
            (write(5, "to"), write(6, to.as_str())),
            (write(7, "body"), body.to_string()),
        ];
        for (name, value) in unknown {
            if !known.contains(&name.as_str()) {
                all.push((Value::from(name).to_string(), value.to_string()));
            }
        }
        let turn = order.index(all.len());
        all.rotate_left(turn);
        let members: Vec<String> = all.iter().map(|(name, text)| format!("{space}{name}{space}:{space}{text}{space}")).collect();
        let frame = format!("{space}{{{}}}{space}", members.join(","));

        let message = one(&frame);
        prop_assert_eq!(message.wire(), &frame, "INV-MSG-5");
        prop_assert!(*message.body().raw() == body.to_string());
        let expected = Message::new(id, kind, from, to, Body::of(body));
        prop_assert_eq!(essence(&message), essence(&expected));
    }

    #[test]
    fn an_id_comes_back_as_it_was_sent_inv_msg_2_inv_mn_6(text in "\"[!#-\\[\\]-~]{0,12}\"|-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE]-?[0-9]{1,2})?") {
        let request = one(format!(r#"{{"id":{text},"type":"read","from":"hyperty://a/1","to":"comm://a/o"}}"#));
        let reply = request.reply(ResponseBody::ok());
        let wanted = format!(r#"{{"id":{text},"type":"response","from":"comm://a/o","to":"hyperty://a/1","body":"#);
        prop_assert!(reply.wire().starts_with(wanted.as_bytes()), "{:?}", reply.wire());
        let answered = one(reply.wire());
        prop_assert_eq!(answered.id(), request.id());
    }

    #[test]
    fn every_double_arrives_as_it_left_m26(bits: u64, mantissa: u64, exponent in -330..310i32) {
        let texts = [
            serde_json::to_string(&f64::from_bits(bits)).unwrap(),
            format!("{mantissa}e{exponent}"),
            format!("0.{mantissa}"),
        ];
        for text in texts {
            let Ok(expected) = text.parse::<f64>() else { continue };
            if !expected.is_finite() {
                continue;
            }
            let message = one(format!(r#"{{"id":1,"type":"read","from":"a:b","to":"a:b","body":{{"v":{text}}}}}"#));
            let read = message.decode::<Value>().unwrap()["v"].as_f64().unwrap();
            prop_assert_eq!(read.to_bits(), expected.to_bits(), "{}", text);
            let relayed = Message::new(1, MessageType::Read, url("a:b"), url("a:b"), Body::of(json!({ "v": read })));
            let read = one(relayed.wire()).decode::<Value>().unwrap()["v"].as_f64().unwrap();
            prop_assert_eq!(read.to_bits(), expected.to_bits(), "{}", text);
        }
    }

    #[test]
    fn what_is_decoded_can_be_decoded_by_its_addressee(frame in "\\PC{0,60}", body in "[{}\\[\\]\",:a-c0-2\\\\ -]{0,20}") {
        for text in [frame, format!(r#"{{"id":1,"type":"read","from":"a:b","to":"a:b","body":{{{body}}}}}"#)] {
            for message in decode(&text).into_iter().flatten() {
                prop_assert!(message.decode::<Value>().is_ok(), "{}", text);
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}

#[test]
fn an_absent_body_is_an_empty_object() {
    let message = one(r#"{"id":1,"type":"open","from":"hyperty-runtime://a/1","to":"mn:/session"}"#);
    assert_eq!(&message.body().raw()[..], b"{}");
    assert!(message.hops().is_empty() && !message.is_remote() && message.sender().is_none());
}

#[test]
fn the_body_is_a_slice_of_the_frame() {
    let frame = Bytes::from(r#"{"id":1,"type":"read","from":"a:b","to":"a:b","body":{"a":1}}"#);
    let Ok(Decoded::One(message)) = Message::from_frame(frame.clone(), &Limits::default()) else { panic!() };
    let inside = frame.as_ptr_range();
    assert!(inside.contains(&message.body().raw().as_ptr()) && inside.contains(&message.wire().as_ptr()));
}

#[test]
fn a_list_of_addresses_is_one_message_for_each() {
    let frame = r#"{"id":"7","type":"read","from":"hyperty://a/1","x":{"y":1},"to":["comm://a/o","comm://a/p","comm://A/o"],"body":{"via":"runtime://a/1"}}"#;
    let Ok(Decoded::Many(messages)) = decode(frame) else { panic!() };
    assert_eq!(messages.len(), 2, "an address that is there twice gets one message");
    for (message, to) in messages.iter().zip(["comm://a/o", "comm://a/p"]) {
        assert_eq!(message.to().as_str(), to);
        assert_eq!(message.id(), &MessageId::from(7));
        assert_eq!(message.via(), [url("runtime://a/1")]);
        let list = r#"["comm://a/o","comm://a/p","comm://A/o"]"#;
        assert_eq!(message.wire(), &frame.replace(list, &format!("\"{to}\"")));
    }
    assert_eq!(decode(frame).unwrap().into_iter().count(), 2);
}

#[test]
fn a_list_of_addresses_is_no_way_to_make_much_of_little() {
    let to = |count: usize| (0..count).map(|at| format!("\"a:b{at}\"")).collect::<Vec<_>>().join(",");
    let frame = |to: &str| format!(r#"{{"id":1,"type":"read","from":"a:b","to":[{to}]}}"#);
    assert_eq!(decode(frame(&to(RECIPIENTS_MAX))).unwrap().into_iter().count(), RECIPIENTS_MAX);
    assert!(decode(frame(&to(RECIPIENTS_MAX + 1))).is_err());
    assert!(decode(frame(&["\"a:b\""; RECIPIENTS_MAX + 1].join(","))).is_err());
    assert_eq!(decode(frame("")).unwrap_err().to_string(), "bad request: missing to");
    for wrong in ["1", "\"a:b\",null", "[\"a:b\"]", "\"no url\""] {
        assert!(decode(frame(wrong)).is_err(), "{wrong}");
    }
    // Each address counts as a frame of its own.
    let frame = Bytes::from(frame(&to(10)));
    let limits = |bytes| Limits { bytes, ..Limits::default() };
    assert!(Message::from_frame(frame.clone(), &limits(frame.len() * 10)).is_ok());
    assert!(Message::from_frame(frame.clone(), &limits(frame.len() * 10 - 1)).is_err());
}

#[test]
fn errors_can_be_answered_as_far_as_the_header_was_read() {
    let header =
        |rest: &str| format!(r#"{{"id":"7","type":"create","from":"hyperty://a/1","to":"comm://a/o"{rest}"#);
    let salvaged = |frame: &str| {
        assert!(decode(frame).is_err(), "{frame}");
        salvage_header(frame.as_bytes())
            .map(|(id, from, to)| (id.to_string(), from.to_string(), to.to_string()))
    };
    let wanted = Some(("7".to_owned(), "hyperty://a/1".to_owned(), "comm://a/o".to_owned()));
    for rest in
        [r#","body":{"a":01}}"#, r#","body":[]}"#, r#","body":{"auth":1,"auth":2}}"#, "", r#","id":8}"#, "}}"]
    {
        assert_eq!(salvaged(&header(rest)), wanted, "{rest}");
    }
    let deep = header(&format!(r#","body":{{"a":{}"#, "[".repeat(1000)));
    assert_eq!(salvaged(&deep), wanted);
    assert_eq!(salvaged(&header("}").replace("create", "no type")), wanted);
    // A map that is sorted by its keys has the body first.
    let first = |body: &str| {
        format!(r#"{{"body":{body},"from":"hyperty://a/1","id":"7","to":"comm://a/o","type":"create"}}"#)
    };
    let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let escapes = [r#"{"a":"\ud800"}"#, r#"{"via":[],"via":[]}"#, r#"{"a":"\"}{"}}"#];
    for body in
        ["1", "-", "true", "null", r#""text""#, "[]", "[01]", "nonsense", &nested].into_iter().chain(escapes)
    {
        let frame = first(body);
        assert_eq!(salvaged(&frame), wanted.clone().filter(|_| !body.ends_with("}}")), "{body:.40}");
    }
    assert_eq!(salvaged(&first(r#"["never ends]"#)), None);
    let list = header(r#","body":1}"#).replace(r#""comm://a/o""#, r#"["comm://a/o","comm://a/p"]"#);
    assert_eq!(salvaged(&list), wanted);
    // A response to a response would never end.
    assert_eq!(salvaged(&header(r#","body":1}"#).replace("create", "response")), None);
    assert_eq!(salvaged(&header(r#","body":1}"#).replace("comm://a/o", "no url")), None);
    // An id that no message may have is not said back.
    for id in ["1e9992", "07", "-", "[]x"] {
        assert_eq!(salvaged(&header(r#","body":1}"#).replace(r#""7""#, id)), None, "{id}");
    }
    assert_eq!(salvaged(""), None);
    let mut text = header(r#","body":{"a":"?"}}"#).into_bytes();
    let at = text.iter().position(|&byte| byte == b'?').unwrap();
    text[at] = 0xff;
    assert!(decode(&text).is_err());
    assert!(salvage_header(&text).is_some());
}

#[test]
fn every_error_is_a_bad_request() {
    assert_eq!(decode("").unwrap_err().code(), StatusCode::BAD_REQUEST);
}
