//! What is no message, or not one that may be sent, is answered where that is possible, and disturbs nothing
//! (protocol 5.14 step 1, M25).

use serde_json::{Value, json};

use super::NodeCase;
use super::stage::{NodeStage, node_cases, versions};
use crate::protocol::client::{Client, SESSION, code};
use crate::protocol::{Failure, Stop, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-MN-4/malformed-messages" checks ["INV-MN-4", "INV-MSG-1"] needs [] => malformed;
        "INV-MN-4/unknown-types" checks ["INV-MN-4"] needs [] => unknown_types;
        "M25/two-readers-two-messages" checks ["M25"] needs [] => two_readers;
        "5.14/noise" checks ["5.14"] needs [] => noise;
        "5.14/noise-before-open" checks ["5.14"] needs [] => noise_before_open;
        "5.14/session-pseudo-address" checks ["5.14", "INV-MN-4"] needs [] => session_address;
        "5.14/components-and-bad-bodies" checks ["INV-MN-4", "INV-MSG-1"] needs [] => bad_bodies;
        "INV-MSG-1/bodies-of-every-kind" checks ["INV-MSG-1", "INV-MN-4"] needs [] => bodies_of_every_kind;
        "5.14/too-long" checks ["5.14", "INV-MN-4"] needs [Limits] => too_long;
    }
}

/// All that asks for an answer.
const REQUESTS: [&str; 8] =
    ["create", "read", "update", "delete", "subscribe", "unsubscribe", "execute", "forward"];

/// A stream beside which bad things happen.
struct Witness {
    object: String,
    publisher: Client,
    listener: Client,
    version: u64,
}

impl Witness {
    async fn new(stage: &NodeStage) -> Verdict<Witness> {
        let object = stage.object("witness");
        let (mut publisher, mut listener) = (stage.open("publisher").await?, stage.open("listener").await?);
        publisher.subscribe(stage, &[&object]).await?;
        listener.subscribe(stage, &[&format!("{object}/changes")]).await?;
        Ok(Witness { object, publisher, listener, version: 0 })
    }

    /// The stream goes on, and nothing else came to it.
    async fn undisturbed(&mut self, by: &str) -> Verdict {
        self.version += 1;
        self.publisher.publish(&self.object, self.version).await?;
        let got = versions(&self.publisher.fence(&mut self.listener).await?);
        ensure_eq!("INV-MN-1", got, [self.version], "a stream beside {by}");
        let got = self.listener.fence(&mut self.publisher).await?;
        ensure!("INV-MN-5", got.is_empty(), "the publisher of a stream beside {by} received {got:?}");
        Ok(())
    }
}

/// Sends each text as a frame; each has to be answered 400, once, and the session has to go on.
async fn each_is_answered_400(stage: &NodeStage, rule: &'static str, frames: &[String]) -> Verdict {
    let mut witness = Witness::new(stage).await?;
    let mut client = stage.open("client").await?;
    for frame in frames {
        client.send_text(frame.as_str()).await?;
        let shown: String = frame.chars().take(200).collect();
        let answer = match client.answer_to(&json!(5)).await {
            Ok(answer) => answer,
            Err(Stop::Broken(why)) => {
                return Err(Failure::new(rule, format!("no answer to {shown}: {why}")).into());
            }
            Err(other) => return Err(other),
        };
        ensure_eq!(rule, code(&answer), 400, "the code of the answer to {shown}");
        ensure_eq!("M12", answer["to"], json!(client.sm()), "to, of the answer to {shown}");
        let more = client.settled(stage).await?;
        ensure!("INV-MSG-1", more.is_empty(), "more than one answer to {shown}: {more:?}");
        witness.undisturbed(&shown).await?;
    }
    Ok(())
}

/// `"id":5,"from":…,"to":…` of a request to an object that somebody listens to.
fn head(stage: &NodeStage) -> String {
    let (from, to) = (format!("{}/sm", stage.runtime("client")), stage.object("witness"));
    format!(r#""id":5,"from":"{from}","to":"{to}""#)
}

async fn malformed(stage: NodeStage) -> Verdict {
    let head = head(&stage);
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let frames = [
        format!("{{{head}}}"),
        format!(r#"{{{head},"type":7}}"#),
        format!(r#"{{{head},"type":"read","body":7}}"#),
        format!(r#"{{{head},"type":"read","body":"text"}}"#),
        format!(r#"{{{head},"type":"read","body":[]}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":01}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":"\ud800"}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":{deep}}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{}}}}}}"#),
    ];
    each_is_answered_400(&stage, "INV-MN-4", &frames).await
}

async fn unknown_types(stage: NodeStage) -> Verdict {
    let head = head(&stage);
    let frames =
        ["invent", "", "re ad", "null", "subscribed"].map(|kind| format!(r#"{{{head},"type":"{kind}"}}"#));
    each_is_answered_400(&stage, "INV-MN-4", &frames).await
}

async fn two_readers(stage: NodeStage) -> Verdict {
    let head = head(&stage);
    let frames = [
        format!(r#"{{{head},"type":"read","body":{{"identity":"user://a/1","identity":"user://a/2"}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"\u0061uth":true}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"via":[],"via":["x"]}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"s\u006furce":"hyperty://a/1"}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"source":"hyperty://a/1","source":"hyperty://a/2"}}}}"#),
        format!(r#"{{{head},"type":"read","type":"update"}}"#),
    ];
    each_is_answered_400(&stage, "M25", &frames).await
}

/// Frames of which nobody knows whom to answer.
fn nameless(stage: &NodeStage) -> Vec<String> {
    let mut frames: Vec<String> = [
        "",
        " ",
        "{",
        "}",
        "null",
        "true",
        "7",
        "[]",
        "[{}]",
        "\u{0}",
        "hello",
        "{}",
        r#"{"id":1}"#,
        r#"{"id":1,"type":"read"}"#,
        r#"{"id":1,"type":"read","from":"x","to":"y"}"#,
        r#"{"id":1,"type":"read","from":7,"to":8}"#,
        r#"{"id":1,"type":"open","from":null,"to":"mn:/session"}"#,
        r#"{"id":1,"type":"read","from":"hyperty://a/1","to":[]}"#,
    ]
    .map(str::to_owned)
    .into();
    frames.push("[".repeat(100_000));
    // Nor is an answer ever answered, whatever is wrong with it.
    frames.push(format!(r#"{{"id":1,"type":"response","body":7,{}}}"#, &head(stage)[7..]));
    frames.push(format!(r#"{{"id":{},"type":"read"}}"#, "9".repeat(5_000)));
    frames
}

async fn noise(stage: NodeStage) -> Verdict {
    let mut witness = Witness::new(&stage).await?;
    let mut client = stage.open("client").await?;
    for frame in nameless(&stage) {
        let shown: String = frame.chars().take(60).collect();
        client.send_text(frame).await?;
        let got = client.settled(&stage).await?;
        ensure!("5.14", got.iter().all(|answer| code(answer) >= 400), "{shown} was answered {got:?}");
        ensure!("INV-MSG-1", got.len() <= 1, "{shown} was answered more than once: {got:?}");
    }
    witness.undisturbed("noise").await
}

async fn noise_before_open(stage: NodeStage) -> Verdict {
    let mut witness = Witness::new(&stage).await?;
    let mut client = stage.connect("client").await?;
    // Little of it: much may be too much from somebody who is nobody yet.
    for frame in nameless(&stage).into_iter().filter(|frame| frame.len() < 1_024) {
        client.send_text(frame).await?;
    }
    let (from, admission) = (client.runtime.clone(), client.admission.clone());
    client.send("close", &from, SESSION, Value::Null).await?;
    client.send("re-open", &from, SESSION, admission).await?;
    client.rest().await?;
    ensure_eq!("5.14", code(&client.open().await?), 200, "the code of the answer to open after noise");
    witness.undisturbed("noise before open").await
}

async fn session_address(stage: NodeStage) -> Verdict {
    let mut witness = Witness::new(&stage).await?;
    let mut client = stage.open("client").await?;
    let (from, proof) = (client.runtime.clone(), client.proof());
    for (kind, from) in
        [("open", &from), ("open", &proof), ("re-open", &proof), ("create", &from), ("read", &from)]
    {
        let answer = client.request(kind, from, SESSION, Value::Null).await?;
        ensure!("5.14", code(&answer) >= 400, "a second {kind} on a connection was answered {answer}");
    }
    let more = client.settled(&stage).await?;
    ensure!("INV-MSG-1", more.is_empty(), "more than one answer each: {more:?}");
    ensure!("INV-MN-5", client.fence(&mut witness.listener).await?.is_empty(), "the listener heard of it");
    witness.undisturbed("misplaced words on the session").await
}

async fn bad_bodies(stage: NodeStage) -> Verdict {
    let mut witness = Witness::new(&stage).await?;
    let mut client = stage.open("client").await?;
    let from = client.sm();
    let bodies = [
        json!({}),
        json!({"resources": {"a": 1}, "resource": [[[]]], "value": 7, "scheme": 3}),
        json!({"resources": [null], "resource": null, "value": null, "criteria": 5}),
        json!({"resource": "", "value": "", "scheme": "", "attribute": []}),
        json!({"resource": "\u{0}", "value": {"number": -1, "url": 3, "status": {}}}),
        json!({"resource": "/".repeat(500), "value": {"number": 1e300, "url": "x".repeat(2_000)}}),
        json!({"resources": vec!["x"; 300], "childrenResources": vec!["y"; 300]}),
    ];
    for to in [stage.mn(), stage.mna(), stage.reg(), stage.catalogue(), stage.backup()] {
        for kind in REQUESTS {
            for body in &bodies {
                let answer = client.request(kind, &from, &to, body.clone()).await?;
                ensure!("INV-MN-4", code(&answer) >= 200, "{kind} {body} to {to} was answered {answer}");
            }
        }
    }
    let more = client.settled(&stage).await?;
    ensure!("INV-MSG-1", more.is_empty(), "more than one answer each: {more:?}");
    witness.undisturbed("bad bodies").await
}

/// A body is an object. Whatever else it is, and wherever in the message it stands: who asked is told that this is none,
/// once.
async fn bodies_of_every_kind(stage: NodeStage) -> Verdict {
    let mut witness = Witness::new(&stage).await?;
    let mut client = stage.open("client").await?;
    let (from, elsewhere) = (client.sm(), stage.object("nobody"));
    let services = [stage.mn(), stage.mna(), stage.reg(), stage.catalogue(), stage.backup()];
    let mut id = 1_000_000;
    for to in services.iter().chain([&witness.object, &elsewhere]) {
        for kind in REQUESTS {
            let head = format!(r#""from":"{from}","to":"{to}","type":"{kind}""#);
            for body in ["\"text\"", "7", "-0.5", "true", "false", "null", "[]", "[{}]", r#""{}""#] {
                for frame in [
                    format!(r#""body":{body},{head},"id":{id}"#),
                    format!(r#""id":{},{head},"body":{body}"#, id + 1),
                ] {
                    client.send_text(format!("{{{frame}}}")).await?;
                }
                for id in [id, id + 1] {
                    let answer = client.answer_to(&json!(id)).await.map_err(|stop| match stop {
                        Stop::Broken(why) => {
                            Failure::new("INV-MSG-1", format!("{kind} {body} to {to} has no answer: {why}"))
                                .into()
                        }
                        other => other,
                    })?;
                    ensure_eq!(
                        "INV-MN-4",
                        code(&answer),
                        400,
                        "the code of the answer to {kind} {body} to {to}"
                    );
                }
                id += 2;
            }
            if *to == witness.object {
                continue;
            }
            // None at all is an empty one.
            client.send_text(format!(r#"{{"id":{id},{head}}}"#)).await?;
            let answer = client.answer_to(&json!(id)).await?;
            ensure!("INV-MSG-1", code(&answer) >= 200, "{kind} without a body to {to} was answered {answer}");
            id += 1;
        }
        let more = client.settled(&stage).await?;
        ensure!("INV-MSG-1", more.is_empty(), "more than one answer each from {to}: {more:?}");
    }
    let heard = client.fence(&mut witness.publisher).await?;
    ensure!("INV-MN-4", heard.is_empty(), "the holder of an object received {heard:?}");
    witness.undisturbed("bodies that are none").await
}

async fn too_long(stage: NodeStage) -> Verdict {
    let Some(max) = stage.subject.message_bytes_max() else {
        return Err(Stop::Skip("the longest message is not known".to_owned()));
    };
    let mut witness = Witness::new(&stage).await?;
    let mut client = stage.open("client").await?;
    // As long as is allowed, to the byte.
    let (from, to) = (client.sm(), witness.listener.sm());
    let frame = |bytes: usize| {
        let head = format!(r#"{{"id":5,"type":"update","from":"{from}","to":"{to}","body":{{"value":""}}}}"#);
        head.replacen(r#""value":"""#, &format!(r#""value":"{}""#, "x".repeat(bytes - head.len())), 1)
    };
    client.send_text(frame(max)).await?;
    let got = client.fence(&mut witness.listener).await?;
    ensure_eq!("5.14", got.len(), 1, "messages, of one that is as long as it may be");
    // One more, and it is refused: by an answer, or by the end of the connection.
    client.send_text(frame(max + 1)).await?;
    match client.answer_to(&json!(5)).await {
        Ok(answer) => {
            ensure_eq!("5.14", code(&answer), 400, "the code of the answer to a message that is too long");
            ensure!("5.14", client.fence(&mut witness.listener).await?.is_empty(), "it was delivered");
        }
        Err(Stop::Broken(_)) if client.closed().await.is_ok() => {}
        Err(Stop::Broken(_)) => {
            let text = "a message that is too long was not refused, and its sender not thrown out";
            return Err(Failure::new("5.14", text).into());
        }
        Err(other) => return Err(other),
    }
    witness.undisturbed("a message that is too long").await
}
