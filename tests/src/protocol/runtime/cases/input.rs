//! What is malformed, forged, unknown or out of place (protocol 2, M25, INV-MSG-…): it changes nothing, stops nothing,
//! and what can be answered is.

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching};
use crate::protocol::runtime::line::{code, expect_code, is_kind};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-MSG-1/unknown-requests", ["INV-MSG-1", "5.0"], [], unknown_requests),
        case!("INV-MSG-1/from-outside", ["INV-MSG-1", "5.0"], [], from_outside),
        case!("INV-MSG-1/raw-frames", ["INV-MSG-1", "M25"], [Scripted], raw_frames),
        case!("INV-MSG-1/bodies-of-every-kind", ["INV-MSG-1"], [], bodies_of_every_kind),
        case!("INV-MSG-1/malformed-at-an-object", ["INV-MSG-1"], [], malformed_at_an_object),
        case!("INV-MSG-1/malformed-at-an-observer", ["INV-MSG-1", "INV-UPD-1"], [], malformed_at_an_observer),
        case!("INV-MSG-3/answers-nobody-asked-for", ["INV-MSG-3", "INV-MSG-1"], [], answers_nobody_asked_for),
    ]
}

const KINDS: [&str; 11] = [
    "create",
    "read",
    "update",
    "delete",
    "subscribe",
    "unsubscribe",
    "execute",
    "forward",
    "event",
    "handshake",
    "ping",
];

/// Bodies of every shape that is none that is expected.
fn odd_bodies() -> Vec<Value> {
    vec![
        json!({}),
        json!({"resource": 7}),
        json!({"resource": []}),
        json!({"resource": "no url"}),
        json!({"resource": {"a": 1}}),
        json!({"resume": "yes"}),
        json!({"value": []}),
        json!({"value": {"name": 1}}),
        json!({"source": 7, "subscriber": false}),
        json!({"source": "comm://a/not-a-hyperty"}),
        json!({"identity": 7}),
        json!({"criteria": 7}),
        json!({"criteria": {"since": {"epoch": -1, "version": "x"}}}),
        json!({"code": 200}),
        json!({"version": -1, "attribute": 7}),
        json!({"version": 1.5, "attribute": "a", "value": 1}),
        json!({"attribute": "a", "attributeType": "spiral", "operation": "turn"}),
    ]
}

async fn unknown_requests(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (object, own, sm) = (reporting.object.clone(), reporting.line.url.clone(), scene.sm());
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    for kind in KINDS {
        for body in odd_bodies() {
            let id = reporting.line.send(kind, &own, &sm, body.clone());
            if ["event", "handshake", "ping"].contains(&kind) {
                continue;
            }
            let answer = reporting.line.final_answer(&id).await?;
            let refused = code(&answer) >= 400 || body["resume"].is_string();
            ensure!("INV-MSG-1", refused, "{kind} {body} was answered {answer}");
        }
    }
    // Nothing of it has changed anything.
    reporting.line.rest().await;
    reporting.change("n", json!(1)).await?;
    ensure_eq!("INV-MSG-1", watching.update().await?["version"], json!(1), "the next change");
    ensure_eq!("INV-CRE-2", scene.held("comm://").registered.len(), 1, "registered objects");
    Ok(())
}

async fn from_outside(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (object, own) = (reporting.object.clone(), reporting.line.url.clone());
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let mut peer = scene.peer("peer").await?;
    let (sm, stranger) = (scene.sm(), scene.hyperty("elsewhere"));
    let resource = json!({"resource": object});
    for kind in ["create", "read", "delete", "subscribe", "unsubscribe"] {
        let answer = peer.request(kind, &stranger, &sm, resource.clone()).await?;
        ensure!("5.0", code(&answer) >= 400, "a {kind} from another runtime was answered {answer}");
        let resume = json!({"resume": true, "resource": object});
        let answer = peer.request(kind, &stranger, &sm, resume).await?;
        ensure!("5.0", code(&answer) >= 400, "a {kind} from another runtime was answered {answer}");
        ensure!("INV-RES-4", !answer.to_string().contains("topic"), "data in a refusal: {answer}");
    }
    for to in [own.clone(), format!("{}/nothing", scene.url), scene.url.clone()] {
        let id = peer.send("execute", &stranger, &to, json!({"method": "sync", "params": []}));
        if to != own {
            let answer = peer.final_answer(&id).await?;
            ensure!("INV-MSG-1", code(&answer) >= 400, "nobody there, and answered {answer}");
        }
    }
    reporting.line.rest().await;
    reporting.change("n", json!(1)).await?;
    ensure_eq!("5.0", watching.update().await?["version"], json!(1), "the next change");
    Ok(())
}

/// Frames that are no messages, or that two readers could read differently, on the connection itself.
async fn raw_frames(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let (sm, to) = (watching.line.sm(), format!("{object}/subscription"));
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let frames = [
        String::new(),
        "not json".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{\"id\":1".to_owned(),
        "{}".to_owned(),
        format!(r#"{{"id":1,"type":"read","from":"{sm}"}}"#),
        format!(r#"{{"id":1,"type":"nonsense","from":"{sm}","to":"{object}"}}"#),
        format!(r#"{{"id":1,"type":"read","from":"no url","to":"{object}"}}"#),
        format!(r#"{{"id":1,"type":"read","from":"{sm}","to":"{object}","to":"{object}"}}"#),
        format!(
            r#"{{"id":1,"type":"subscribe","from":"{sm}","to":"{to}","body":{{"source":"hyperty://a/1","source":"hyperty://a/2"}}}}"#
        ),
        format!(
            r#"{{"id":1,"type":"subscribe","from":"{sm}","to":"{to}","body":{{"sourc\u0065":"hyperty://a/1"}}}}"#
        ),
        format!(r#"{{"id":1,"type":"read","from":"{sm}","to":"{object}","body":{deep}}}"#),
        format!(r#"{{"id":1,"type":"read","from":"{sm}","to":"{object}","body":{{"x":"{}"}}}}"#, "\\ud800"),
    ];
    for (number, frame) in frames.into_iter().enumerate() {
        // A runtime may answer what is no message, each by its id.
        scene.domain().push(frame.replacen("\"id\":1,", &format!("\"id\":{},", number + 1), 1));
        scene.settle().await;
    }
    let accepted = |m: &Value| is_kind(m, "response") && code(m) == 200;
    watching.line.never("M25", "an acceptance of what is no message", accepted).await?;
    let forward = |m: &Value| is_kind(m, "forward") && m["body"]["from"].to_string().contains("hyperty://a/");
    reporting.line.never("M25", "a question in a doubtful name", forward).await?;
    reporting.change("n", json!(1)).await?;
    ensure_eq!("INV-MSG-1", watching.update().await?["version"], json!(1), "the next change");
    expect_code("INV-MSG-1", &watching.read(None).await?, &[200], "the next read")
}

/// A body is an object. Whoever asks with something else is told that it is none, once, wherever it asked.
async fn bodies_of_every_kind(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({"store": true})).await?;
    let object = reporting.object.clone();
    let mut peer = scene.peer("peer").await?;
    let from = peer.sm();
    for to in [scene.sm(), object.clone(), format!("{object}/subscription")] {
        for kind in KINDS.into_iter().filter(|kind| !["event", "handshake", "ping"].contains(kind)) {
            for body in
                [json!("text"), json!(7), json!(-0.5), json!(true), Value::Null, json!([]), json!([{}])]
            {
                let id = peer.send(kind, &from, &to, body.clone());
                let answer = peer.final_answer(&id).await?;
                ensure_eq!(
                    "INV-MSG-1",
                    code(&answer),
                    400,
                    "the code of the answer to {kind} {body} to {to}"
                );
            }
        }
        let more = peer.rest().await;
        ensure!("INV-MSG-1", more.is_empty(), "more than one answer each from {to}: {more:?}");
    }
    // None at all is an empty one.
    let id = json!(peer.next_id());
    peer.send_message(&json!({"id": id, "type": "create", "from": from, "to": scene.sm()}));
    let answer = peer.final_answer(&id).await?;
    ensure!("5.0", code(&answer) >= 400, "a create without a body was answered {answer}");
    reporting.line.rest().await;
    reporting.change("n", json!(1)).await
}

async fn malformed_at_an_object(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({"store": true})).await?;
    let object = reporting.object.clone();
    let mut peer = scene.peer("peer").await?;
    let (sm, subscription) = (peer.sm(), format!("{object}/subscription"));
    for kind in KINDS.into_iter().filter(|kind| !["event", "handshake", "ping"].contains(kind)) {
        for body in odd_bodies() {
            let id = peer.send(kind, &sm, &subscription, body.clone());
            let answered = async {
                loop {
                    if let Ok(question) = reporting.asked("subscribe").await {
                        reporting.line.answer(&question, json!({"code": 403, "desc": "no"}));
                    }
                }
            };
            let answer = tokio::select! {
                biased;
                answer = peer.final_answer(&id) => answer?,
                () = answered => continue,
            };
            ensure!("INV-MSG-1", code(&answer) >= 400, "{kind} {body} was answered {answer}");
        }
    }
    reporting.line.rest().await;
    reporting.change("n", json!(1)).await?;
    let everything = peer.rest().await;
    let told = everything.iter().find(|message| message.to_string().contains("topic"));
    ensure!("INV-SUB-7", told.is_none(), "one that was never accepted got {told:?}");
    Ok(())
}

async fn malformed_at_an_observer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let channels = [
        format!("{}/changes", author.object),
        format!("{}/children/notes", author.object),
        format!("{}/registration", author.object),
    ];
    for to in &channels {
        for kind in KINDS.into_iter().filter(|kind| *kind != "delete") {
            for mut body in odd_bodies() {
                if let Some(body) = body.as_object_mut() {
                    body.remove("version");
                }
                author.line.send(kind, &author.object, to, body);
            }
        }
    }
    // Whatever it made of that, in the end it has what the author has.
    author.version = 1_000;
    author.log.clear();
    author.publish("n", json!("at last"));
    following.reach_served(scene, &mut author, ("INV-UPD-1", 1_001)).await?;
    following.read(scene).await?;
    ensure_eq!("INV-UPD-1", following.data, author.data, "the copy");
    Ok(())
}

async fn answers_nobody_asked_for(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    // From somebody else, to another id, before and after the right one.
    let wrong =
        json!({"code": 200, "value": {"url": author.object, "version": 99, "data": {"topic": "wrong"}}});
    let answer = |id: &Value, from: &str| json!({"id": id, "type": "response", "from": from, "to": scene.sm(), "body": wrong});
    author.line.send_message(&answer(&json!(424_242), &format!("{}/subscription", author.object)));
    author.line.send_message(&answer(&request["id"], &scene.hyperty("stranger")));
    author.accept(&request);
    let accepted = following.accepted(&id).await?;
    ensure_eq!("INV-MSG-1", accepted["body"]["value"]["version"], json!(0), "the state that was accepted");
    author.line.send_message(&answer(&request["id"], &format!("{}/subscription", author.object)));
    following.line.never("INV-MSG-1", "another answer", |m| is_kind(m, "response") && code(m) >= 200).await?;
    author.publish("n", json!(1));
    ensure_eq!("INV-MSG-3", following.update().await?["version"], json!(1), "the next change");
    Ok(())
}
