//! What is no message is answered where that is possible, and disturbs nothing.

use std::sync::Arc;

use hyperty_message_node::NodeConfig;
use hyperty_storage::MemoryTables;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Client, DOMAIN, assert_refused, code, node, start, versions};

const O: &str = "comm://example.com/1";
const CHANGES: &str = "comm://example.com/1/changes";

fn small() -> NodeConfig {
    let mut config = NodeConfig::new(DOMAIN);
    config.limits.message.bytes = 2_000;
    config.limits.message.depth = 10;
    config
}

#[tokio::test(start_paused = true)]
async fn bad_frames_are_answered_400_and_the_session_goes_on() {
    let node = start(small(), Arc::new(MemoryTables::new()));
    let mut client = Client::open(&node, "client").await;
    let mut other = Client::open(&node, "other").await;
    other.subscribe(&[CHANGES]).await;
    let head = format!(r#""id":5,"from":"{}","to":"{O}""#, client.sm());
    let deep = format!("{}{}", "[".repeat(20), "]".repeat(20));
    let frames = [
        format!(r#"{{{head},"type":"invent"}}"#),
        format!("{{{head}}}"),
        format!(r#"{{{head},"type":"read","body":7}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":{deep}}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"a":"{}"}}}}"#, "x".repeat(3_000)),
        format!(r#"{{{head},"type":"read","body":{{"identity":1,"identity":2}}}}"#),
        format!(r#"{{{head},"type":"read","body":{{"\u0061uth":true}}}}"#),
        format!(r#"{{{head},"type":"read","type":"update"}}"#),
    ];
    for frame in &frames {
        client.send_text(frame.as_str()).await;
        let answer = client.recv().await;
        assert_refused(&answer, 400, "malformed", O);
        assert_eq!((&answer["id"], &answer["to"]), (&json!(5), &json!(client.sm())), "{frame}");
    }
    // Where nobody knows whom to answer, nobody is answered.
    for frame in
        ["", "{", "null", "[]", "\u{0}", "{\"id\":1}", "hello", r#"{"id":1,"type":"read","from":"x"}"#]
    {
        client.send_text(frame).await;
    }
    // Nor is an answer answered.
    client.send_text(format!(r#"{{{head},"type":"response","body":7}}"#)).await;
    client.quiet().await;
    client.publish(O, 1).await;
    assert_eq!(versions(&other.drain().await), [1]);
    client.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn bad_frames_before_open_do_no_harm_either() {
    let node = node();
    let mut client = Client::connect(&node, "client");
    client.send_text(r#"{"id":1,"type":"open","from":7,"to":"mn:/session"}"#).await;
    client
        .send_text(
            r#"{"id":1,"type":"opne","from":"hyperty-runtime://example.com/client","to":"mn:/session"}"#,
        )
        .await;
    assert_eq!(code(&client.recv().await), 400);
    assert_eq!(code(&client.try_open().await), 200);
    for kind in ["open", "re-open"] {
        let proof = client.proof();
        assert_eq!(code(&client.request(kind, &proof, "mn:/session", json!({})).await), 409, "{kind}");
    }
    let from = client.runtime.clone();
    assert_eq!(code(&client.request("ping", &from, "mn:/session", json!({})).await), 200);
    assert_eq!(code(&client.request("create", &from, "mn:/session", json!({})).await), 400);
    let wrong =
        client.request("close", "hyperty-runtime://example.com/client/0", "mn:/session", json!({})).await;
    assert_eq!(code(&wrong), 403);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is sent, before or after `open`: the node answers others as before.
    #[test]
    fn no_bytes_disturb_the_node(frames in prop::collection::vec(frame(), 1..20), opened: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let node = start(small(), Arc::new(MemoryTables::new()));
            let mut witness = Client::open(&node, "witness").await;
            witness.subscribe(&[CHANGES]).await;
            let mut client = Client::connect(&node, "client");
            if opened {
                client.try_open().await;
            }
            for frame in frames {
                client.send_text(frame).await;
            }
            client.drain().await;
            witness.drain().await;
            let again = witness.request("read", &witness.sm(), O, json!({})).await;
            prop_assert_eq!(code(&again), 404);
            Ok(())
        })?;
    }
}

/// Messages with something wrong in them, from almost right to noise.
fn frame() -> impl Strategy<Value = String> {
    let url = prop::sample::select(vec![
        "hyperty-runtime://example.com/client",
        "hyperty-runtime://example.com/client/sm",
        "hyperty-runtime://example.com/witness",
        "domain://msg-node.example.com/sm",
        "domain://registry.example.com",
        "domain://catalogue.example.com",
        "domain://msg-node.example.com/address-allocation",
        "comm://example.com/2",
        "comm://example.com/2/changes",
        "mn:/session",
        "nonsense",
    ]);
    let kind = prop::sample::select(vec![
        "open",
        "re-open",
        "subscribe",
        "unsubscribe",
        "create",
        "read",
        "update",
        "delete",
        "response",
        "PING",
        "x",
    ]);
    let body = prop::sample::select(vec![
        r#"{"resources":["comm://example.com/2","comm://example.com/2/changes"]}"#,
        r#"{"resource":"comm://example.com/2","value":{"status":"live"}}"#,
        r#"{"scheme":"comm","value":{"number":3}}"#,
        r#"{"value":7,"resource":[[]]}"#,
        r#"{"via":["x"],"auth":1,"source":{}}"#,
        "[]",
        "{",
    ]);
    let message = (url.clone(), url, kind, body).prop_map(|(from, to, kind, body)| {
        format!(r#"{{"id":1,"type":"{kind}","from":"{from}","to":"{to}","body":{body}}}"#)
    });
    prop_oneof![8 => message, 1 => ".{0,40}"]
}
