//! The facts of protocol 5.14 that the public test-suite and the widespread WebSocket stub rely on.

use serde_json::{Value, json};

use crate::support::{Client, MN, MNA, REG, SESSION, code, node};

const STUB_A: &str = "hyperty-runtime://example.com/protostub/a/1";
const STUB_B: &str = "hyperty-runtime://example.com/protostub/b/1";

async fn suite_client(node: &hyperty_message_node::MessageNode, name: &str) -> Client {
    let mut client = Client::connect(node, name);
    client.runtime = format!("runtime://example.com/{name}");
    assert_eq!(code(&client.try_open().await), 200);
    client
}

#[tokio::test(start_paused = true)]
async fn requests_from_a_stub_url_are_answered_to_it() {
    let node = node();
    let mut client = suite_client(&node, "a").await;
    let id_forms = ["1", "\"1\""];
    for id in id_forms {
        let body = r#"{"resources":["comm://example.com/1/changes"],"source":"hyperty-runtime://example.com/protostub/a"}"#;
        client
            .send_text(format!(
                r#"{{"id":{id},"type":"subscribe","from":"{STUB_A}","to":"{MN}","body":{body}}}"#
            ))
            .await;
        let answer = client.recv().await;
        assert_eq!((&answer["to"], &answer["from"]), (&json!(STUB_A), &json!(MN)));
        assert_eq!((code(&answer), answer["id"].to_string()), (200, id.to_owned()));
    }
    let without = json!({"resources": ["comm://example.com/1/changes"]});
    assert_eq!(code(&client.request("subscribe", STUB_A, MN, without.clone()).await), 200);
    assert_eq!(code(&client.request("unsubscribe", STUB_A, MN, without).await), 200);
}

#[tokio::test(start_paused = true)]
async fn an_update_by_the_allocating_session_reaches_two_subscribers() {
    let node = node();
    let mut publisher = suite_client(&node, "publisher").await;
    let mut one = suite_client(&node, "a").await;
    let mut two = suite_client(&node, "b").await;
    let body = json!({"scheme": "comm", "value": {"number": 1}});
    let answer = publisher.request("create", "hyperty-runtime://example.com/protostub/p", MNA, body).await;
    let object = answer["body"]["value"]["allocated"][0].as_str().unwrap().to_owned();
    let changes = format!("{object}/changes");
    for (client, stub) in [(&mut one, STUB_A), (&mut two, STUB_B)] {
        let body = json!({"resources": [changes], "source": stub});
        assert_eq!(code(&client.request("subscribe", stub, MN, body).await), 200);
    }
    publisher.send("update", &object, &changes, json!({"value": "x"})).await;
    for client in [&mut one, &mut two] {
        let got = client.recv().await;
        assert_eq!(
            (&got["from"], &got["to"], &got["body"]["value"]),
            (&json!(object), &json!(changes), &json!("x"))
        );
    }
    publisher.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn addresses_are_allocated_and_released_by_a_later_session_of_the_runtime() {
    let node = node();
    let mut client = suite_client(&node, "a").await;
    let mut lists = Vec::new();
    for scheme in ["comm", "hyperty"] {
        for (number, key) in [(1, None), (3, None), (4, Some("my-key"))] {
            let mut value = json!({"number": number});
            if let Some(key) = key {
                value["allocationKey"] = json!(key);
            }
            let answer =
                client.request("create", STUB_A, MNA, json!({"scheme": scheme, "value": value})).await;
            assert_eq!(code(&answer), 200);
            assert_eq!((&answer["from"], &answer["to"]), (&json!(MNA), &json!(STUB_A)));
            let list: Vec<String> =
                serde_json::from_value(answer["body"]["value"]["allocated"].clone()).unwrap();
            assert_eq!(list.len(), number);
            assert!(list.iter().all(|url| url.starts_with(&format!("{scheme}://example.com/"))));
            lists.push(list);
        }
    }
    let from = client.runtime.clone();
    client.send("close", &from, SESSION, Value::Null).await;
    client.closed().await;

    let mut later = suite_client(&node, "a").await;
    let plain = json!({"childrenResources": lists[0]});
    let nested = json!({"childrenResources": [lists[1]]});
    for body in [plain, nested, json!({"resource": "my-key"})] {
        assert_eq!(code(&later.request("delete", STUB_A, MNA, body.clone()).await), 200);
        assert_eq!(code(&later.request("delete", STUB_A, MNA, body).await), 200, "twice is once");
    }
    // What another runtime has is not released by this one.
    let mut other = suite_client(&node, "b").await;
    let answer = other.request("delete", STUB_B, MNA, json!({"childrenResources": lists[3]})).await;
    assert_eq!(code(&answer), 403);
}

#[tokio::test(start_paused = true)]
async fn hyperties_are_registered_and_found() {
    let node = node();
    let mut client = suite_client(&node, "a").await;
    let allocated =
        client.request("create", STUB_A, MNA, json!({"scheme": "hyperty", "value": {"number": 1}})).await;
    let address = allocated["body"]["value"]["allocated"][0].as_str().unwrap().to_owned();
    let record = json!({
        "url": address, "user": "user://example.com/foo", "descriptor": "hyperty-catalogue://example.com/x",
        "expires": 1200, "resources": ["chat", "voice"], "dataSchemes": ["comm"], "status": "created",
        "runtime": client.runtime,
    });
    let answer = client.request("create", STUB_A, REG, json!({"value": record})).await;
    assert_eq!(code(&answer), 200, "{answer}");
    let user = "user://example.com/foo";
    let queries = [
        json!({"resource": user}),
        json!({"resource": user, "criteria": {"dataSchemes": ["comm"]}}),
        json!({"resource": user, "criteria": {"resources": ["chat"]}}),
        json!({"resource": user, "criteria": {"resources": ["chat"], "dataSchemes": ["comm"]}}),
        json!({"resource": address}),
    ];
    for query in queries {
        let answer = client.request("read", STUB_A, REG, query.clone()).await;
        assert_eq!(code(&answer), 200, "{query}");
        assert_eq!(answer["body"]["value"][&address]["url"], json!(address), "{query}: {answer}");
    }
    let unknown =
        client.request("read", STUB_A, REG, json!({"resource": "hyperty://example.com/none"})).await;
    assert_eq!(code(&unknown), 404);
    assert_ne!(crate::support::reason(&unknown), "no-route", "the registry was reached");
    for body in [json!({"resource": address}), json!({"resource": address, "value": {"status": "live"}})] {
        assert_eq!(code(&client.request("update", STUB_A, REG, body).await), 200);
    }
    let gone = json!({"resource": address, "value": "disconnected", "attribute": "status"});
    assert_eq!(code(&client.request("update", STUB_A, &format!("{REG}/"), gone).await), 200);
    assert_eq!(code(&client.request("read", STUB_A, REG, json!({"resource": address})).await), 408);
}

/// The stub drops what comes with its own `via`, and every frame it sends has one.
#[tokio::test(start_paused = true)]
async fn answers_do_not_repeat_via() {
    let node = node();
    let mut client = suite_client(&node, "a").await;
    let mut other = suite_client(&node, "b").await;
    let via = client.proof();
    for to in [MN, REG, MNA, "hyperty://example.com/none"] {
        let answer = client.request("read", STUB_A, to, json!({"resources": ["x"], "via": via})).await;
        assert!(answer["body"].get("via").is_none(), "{answer}");
    }
    let to = other.runtime.clone();
    client.send("read", STUB_A, &to, json!({"via": via})).await;
    assert_eq!(other.recv().await["body"]["via"], json!([client.runtime]), "and no token gets out");
}
