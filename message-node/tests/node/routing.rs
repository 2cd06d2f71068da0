//! Delivery (protocol 5.14): who gets what, and what becomes of what nobody gets.

use std::sync::Arc;

use hyperty_message_node::NodeConfig;
use hyperty_storage::MemoryTables;
use serde_json::{Value, json};

use crate::support::{Client, DOMAIN, MN, REG, assert_refused, code, node, reason, runtime, start, versions};

const O: &str = "comm://example.com/1";
const CHANGES: &str = "comm://example.com/1/changes";
const SUBSCRIPTION: &str = "comm://example.com/1/subscription";
const CHILDREN: &str = "comm://example.com/1/children/resources";

#[tokio::test(start_paused = true)]
async fn a_publication_reaches_each_other_listener_once_inv_mn_1() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    reporter.subscribe(&[O, SUBSCRIPTION, CHANGES]).await;
    let mut observers = Vec::new();
    for index in 0..5 {
        let mut observer = Client::open(&node, &format!("observer-{index}")).await;
        observer.subscribe(&[CHANGES, CHANGES]).await;
        observer.subscribe(&[CHANGES]).await;
        observers.push(observer);
    }
    reporter.publish(O, 1).await;
    for observer in &mut observers {
        assert_eq!(versions(&observer.drain().await), [1]);
    }
    reporter.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_session_arrive_in_order_inv_mn_2() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    let (sm, to) = (reporter.sm(), observer.sm());
    let mut sent = Vec::new();
    for version in 1..=300 {
        reporter.publish(O, version).await;
        sent.push(reporter.send("read", &sm, &to, json!({})).await - 1);
        sent.push(sent.last().unwrap() + 1);
    }
    let got: Vec<_> = observer.drain().await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert_eq!(got, sent);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_an_unsubscribe_inv_mn_3() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES, CHILDREN]).await;
    reporter.publish(O, 1).await;
    assert_eq!(versions(&observer.drain().await), [1]);
    assert_eq!(code(&observer.unsubscribe(&[CHANGES]).await), 200);
    assert_eq!(
        code(&observer.unsubscribe(&[CHANGES, "comm://example.com/never"]).await),
        200,
        "unknown is no fault"
    );
    reporter.publish(O, 2).await;
    observer.quiet().await;
    let (runtime, _) = observer.lose().await;
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(node.stats().routes, 0, "{runtime} is over");
}

#[tokio::test(start_paused = true)]
async fn every_request_gets_an_answer_inv_mn_4() {
    let node = node();
    let mut asker = Client::open(&node, "asker").await;
    let (sm, hyperty) = (asker.sm(), "hyperty://example.com/asker");
    let nowhere = [
        "hyperty://example.com/nobody",
        "hyperty-runtime://example.com/nobody/sm",
        O,
        SUBSCRIPTION,
        "domain://idm.example.com",
        "domain://msg-node.elsewhere.org/sm",
        "comm://elsewhere.org/1",
        "user://example.com/alice",
        "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/X",
    ];
    for to in nowhere {
        for kind in ["create", "read", "subscribe", "update", "delete", "unsubscribe", "forward", "execute"] {
            let answer = asker.request(kind, &sm, to, json!({})).await;
            assert_refused(&answer, 404, "no-route", to);
        }
        // What asks for no answer gets none.
        asker.send("response", &sm, to, json!({"code": 200})).await;
        asker.send("event", hyperty, to, json!({})).await;
        asker.quiet().await;
    }
    for tail in ["changes", "status", "observers", "children/x", "children"] {
        asker.send("update", hyperty, &format!("{O}/{tail}"), json!({"version": 1})).await;
        asker.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn components_of_a_runtime_and_its_hyperties_are_reached_by_whole_segments_inv_mn_5() {
    let node = node();
    let mut one = Client::open(&node, "1").await;
    let mut twelve = Client::open(&node, "12").await;
    for path in ["", "/sm", "/registry", "/a/b/c"] {
        let (from, to) = (one.sm(), format!("{}{path}", twelve.runtime));
        one.send("read", &from, &to, json!({})).await;
        assert_eq!(twelve.recv().await["to"], to);
    }
    // A hyperty is reached where it spoke from first; another session cannot speak as it.
    let hyperty = "hyperty://example.com/h";
    twelve.send("read", hyperty, &one.sm(), json!({})).await;
    assert_eq!(one.recv().await["from"], hyperty);
    let from = one.sm();
    one.send("forward", &from, hyperty, json!({})).await;
    assert_eq!(twelve.recv().await["to"], hyperty);
    let twelve_sm = twelve.sm();
    for stolen in [hyperty, &twelve.runtime.clone(), &twelve_sm] {
        let answer = one.request("read", stolen, &twelve_sm, json!({})).await;
        assert_refused(&answer, 403, "forbidden", &twelve_sm);
    }
    let answer = one.subscribe(&[hyperty]).await;
    assert_refused(&answer, 403, "forbidden", MN);
    assert_refused(&one.subscribe(&[&twelve_sm]).await, 403, "forbidden", MN);
    twelve.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn responses_go_by_their_addressee_and_ids_round_trip_inv_mn_6() {
    let node = node();
    let mut asker = Client::open(&node, "asker").await;
    let mut owner = Client::open(&node, "owner").await;
    owner.subscribe(&[O, SUBSCRIPTION]).await;
    for id in ["1", "\"1\"", "\"abc\"", "9007199254740993"] {
        let (sm, kind) = (asker.sm(), "subscribe");
        asker
            .send_text(format!(r#"{{"id":{id},"type":"{kind}","from":"{sm}","to":"{SUBSCRIPTION}"}}"#))
            .await;
        assert!(owner.recv_text().await.contains(&format!(r#""id":{id},"#)));
        let answer = format!(
            r#"{{"id":{id},"type":"response","from":"{SUBSCRIPTION}","to":"{sm}","body":{{"code":200,"x":[1.0,-0]}}}}"#
        );
        owner.send_text(answer.clone()).await;
        assert_eq!(asker.recv_text().await, answer, "as it came, byte for byte");
        // The node's own answers repeat it too.
        asker.send_text(format!(r#"{{"id":{id},"type":"READ","from":"{sm}","to":"hyperty://x/y"}}"#)).await;
        assert!(asker.recv_text().await.contains(&format!(r#""id":{id},"#)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_addressees_is_one_message_for_each() {
    let node = node();
    let mut sender = Client::open(&node, "sender").await;
    let mut one = Client::open(&node, "one").await;
    let mut two = Client::open(&node, "two").await;
    let to = json!([one.sm(), two.sm(), "hyperty://example.com/nobody"]);
    let message = json!({"id": 7, "type": "read", "from": sender.sm(), "to": to, "body": {"x": 1}});
    sender.send_text(message.to_string()).await;
    for receiver in [&mut one, &mut two] {
        let got = receiver.recv().await;
        assert_eq!(
            (&got["id"], &got["to"], &got["body"]["x"]),
            (&json!(7), &json!(receiver.sm()), &json!(1))
        );
    }
    assert_refused(&sender.recv().await, 404, "no-route", "hyperty://example.com/nobody");
}

#[tokio::test(start_paused = true)]
async fn a_relay_changes_nothing_but_auth_and_via() {
    let node = node();
    let sender = Client::open(&node, "sender").await;
    let mut receiver = Client::open(&node, "receiver").await;
    let (from, to) = (sender.sm(), receiver.sm());
    let plain = format!(
        r#"{{ "to":"{to}","x":[1.50, {{"a":null}}],"id":1,"from":"{from}","type":"Read","body":{{"b": "\u00e9", "identity":"user://x/y"}} }}"#
    );
    sender.send_text(plain.clone()).await;
    assert_eq!(receiver.recv_text().await, plain);

    let proof = sender.proof();
    let marked = json!({"id": 2, "type": "read", "from": from, "to": to,
        "body": {"auth": true, "via": [proof, "runtime://example.com/protostub/9"], "keep": 1}});
    sender.send_text(marked.to_string()).await;
    let got = receiver.recv().await;
    assert_eq!(got["body"], json!({"via": ["runtime://example.com/protostub/9", sender.runtime], "keep": 1}));
}

#[tokio::test(start_paused = true)]
async fn what_has_been_somewhere_does_not_go_there_again_inv_msg_4() {
    let node = node();
    let mut sender = Client::open(&node, "sender").await;
    let mut been = Client::open(&node, "been").await;
    let mut other = Client::open(&node, "other").await;
    for client in [&mut been, &mut other] {
        client.subscribe(&[CHILDREN]).await;
    }
    let hyperty = "hyperty://example.com/child";
    sender.send("create", hyperty, CHILDREN, json!({"via": [runtime("been")], "resource": "x"})).await;
    assert_eq!(other.recv().await["body"]["resource"], "x");
    let (from, to) = (sender.sm(), been.sm());
    sender.send("read", &from, &to, json!({"via": runtime("been")})).await;
    let far: Vec<_> = (0..16).map(|hop| format!("runtime://example.com/protostub/{hop}")).collect();
    sender.send("read", &from, &to, json!({"via": far})).await;
    been.quiet().await;
    assert_eq!(node.stats().looped, 3);
    // Nor back to who sent it: whoever waits for an answer is told.
    let own = sender.request("read", &from, &format!("{}/unknown", sender.runtime), json!({})).await;
    assert_eq!(code(&own), 404);
}

#[tokio::test(start_paused = true)]
async fn older_forms_of_the_list_are_understood() {
    let node = node();
    let mut client = Client::open(&node, "client").await;
    let sm = client.sm();
    let forms = [
        json!({"subscribe": ["comm://example.com/a/changes"]}),
        json!({"resources": ["comm://example.com/b/changes"], "subscribe": ["comm://example.com/c/changes"]}),
        json!({"resource": "comm://example.com/d/changes", "childrenResources": ["comm://example.com/d/children/x"]}),
        json!({"resource": "comm://example.com/e/changes", "source": "hyperty://example.com/whoever"}),
    ];
    for form in forms {
        assert_eq!(code(&client.request("subscribe", &sm, MN, form).await), 200);
    }
    assert_eq!(node.stats().routes, 6);
    let all = json!({"unsubscribe": ["comm://example.com/a/changes"], "resources": ["comm://example.com/b/changes"]});
    assert_eq!(code(&client.request("unsubscribe", &sm, MN, all).await), 200);
    assert_eq!(node.stats().routes, 4);
    for empty in [json!({}), json!({"resources": []}), Value::Null, json!({"resources": ["no url"]})] {
        for kind in ["subscribe", "unsubscribe"] {
            let answer = client.request(kind, &sm, MN, empty.clone()).await;
            assert_eq!(code(&answer), 400, "{answer}");
        }
    }
    for url in ["user://example.com/alice", "mn:/session", "https://example.com/schema"] {
        assert_eq!(code(&client.subscribe(&[url]).await), 400, "{url}");
    }
    assert_eq!(code(&client.subscribe(&[REG]).await), 403);
    assert_eq!(code(&client.request("read", &sm, MN, json!({})).await), 400);
    assert_eq!(node.stats().routes, 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_and_its_askers_are_told() {
    let mut config = hyperty_message_node::NodeConfig::new(crate::support::DOMAIN);
    config.limits.queue = hyperty_model::queue::QueueLimits { count: 200, bytes: 1 << 20 };
    let node = crate::support::start(config, std::sync::Arc::new(hyperty_storage::MemoryTables::new()));
    let mut asker = Client::open(&node, "asker").await;
    let mut other = Client::open(&node, "other").await;
    let mut deaf = Client::open(&node, "deaf").await;
    deaf.subscribe(&[CHANGES]).await;
    other.subscribe(&[CHANGES]).await;
    // Updates alone only collapse.
    for version in 1..=1000 {
        asker.publish(O, version).await;
        assert_eq!(versions(&other.drain().await), [version], "and delay nobody");
    }
    assert!(node.stats().conflated > 0);
    assert_eq!(node.stats().overflowed, 0);
    // Requests do not: the connection is cut, and whoever asked is told. Two ask, so that the news fit their queues.
    let mut second = Client::open(&node, "second").await;
    let to = deaf.sm();
    let mut told = Vec::new();
    for _ in 0..250 {
        for client in [&mut asker, &mut second] {
            client.send("read", &client.sm(), &to, json!({})).await;
            told.extend(client.drain().await);
        }
    }
    assert_eq!(node.stats().overflowed, 1);
    let handed = deaf.closed().await;
    let updates = versions(&handed);
    assert!(updates.is_sorted() && updates.len() < 300, "{} updates", updates.len());
    let answered = told.iter().filter(|answer| code(answer) == 404 && reason(answer) == "no-route").count();
    assert_eq!(answered, told.len());
    let read = handed.iter().filter(|message| message["type"] == "read").count();
    // What was on its way through the connection may be lost with it: its senders find that out by their timeout.
    assert!(answered + read >= 500 - 200 - 64, "{answered} told, {read} read");
}

#[tokio::test(start_paused = true)]
async fn a_message_longer_than_the_queue_closes_no_session_to_what_comes_behind_it_m15() {
    for behind in [false, true] {
        // As an operator may set it who lets whole objects travel in one message.
        let mut config = NodeConfig::new(DOMAIN);
        config.limits.message.bytes = 2 * hyperty_model::queue::QUEUE_BYTES_MAX;
        let node = start(config, Arc::new(MemoryTables::new()));
        let mut asker = Client::open(&node, "asker").await;
        let mut busy = Client::open(&node, "busy").await;
        let (from, to) = (asker.sm(), busy.sm());
        // More than Q_OUT in one message; what is in front of it and behind it fits without it.
        let long = json!({"value": "x".repeat(hyperty_model::queue::QUEUE_BYTES_MAX + 1)});
        let mut bodies = vec![json!({}), long, json!({"value": "x".repeat(1 << 20)}), json!({})];
        if behind {
            // The connection has taken all that it can hold, and reads nothing.
            bodies.splice(0..0, std::iter::repeat_n(json!({}), 200));
        }
        let mut ids = Vec::new();
        for body in bodies {
            ids.push(json!(asker.send("execute", &from, &to, body).await));
        }
        assert_eq!(asker.drain().await, [json!(null); 0], "nobody is told of a loss");
        let got: Vec<_> = busy.drain().await.iter().map(|message| message["id"].clone()).collect();
        assert_eq!(got, ids);
        assert_eq!(node.stats().overflowed, 0);
    }
}
