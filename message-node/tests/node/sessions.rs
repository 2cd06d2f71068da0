//! Sessions: open, re-open, close, lost, over (protocol 5.15, M13, M14).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{self, Client, MN, SESSION, assert_refused, code, node, reason, runtime, versions};

const O: &str = "comm://example.com/1";
const CHANGES: &str = "comm://example.com/1/changes";

#[tokio::test(start_paused = true)]
async fn open_answers_in_the_form_that_stubs_expect() {
    let node = node();
    let client = Client::connect(&node, "alice");
    let mut client = client;
    client
        .send_text(r#"{"id":1,"type":"open","from":"runtime://example.com/alice","to":"mn:/session"}"#)
        .await;
    let answer = client.recv().await;
    assert_eq!(answer["id"], 1);
    assert_eq!((&answer["type"], &answer["from"]), (&json!("response"), &json!(SESSION)));
    assert_eq!(answer["to"], "runtime://example.com/alice");
    assert_eq!(answer["body"]["code"], 200);
    assert_eq!(answer["body"]["runtimeToken"].as_str().unwrap().len(), 32);
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_open_is_answered_403_and_has_no_effect() {
    let node = node();
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;

    let mut early = Client::connect(&node, "early");
    let answer = early.subscribe(&[CHANGES]).await;
    assert_refused(&answer, 403, "forbidden", MN);
    early.publish(O, 1).await;
    assert_eq!(code(&early.recv().await), 403);
    early.send("close", &runtime("observer"), SESSION, Value::Null).await;
    assert_eq!(code(&early.recv().await), 403);
    early.send("response", O, &observer.sm(), json!({"code": 200})).await;
    early.quiet().await;
    observer.quiet().await;
    assert_eq!(node.stats().routes, 1);
    // The connection is as good as before.
    assert_eq!(code(&early.try_open().await), 200);
}

#[tokio::test(start_paused = true)]
async fn frames_may_follow_open_before_it_is_answered() {
    let node = node();
    let mut client = Client::connect(&node, "alice");
    client.send("open", &runtime("alice"), SESSION, Value::Null).await;
    let (sm, urls) = (client.sm(), json!({"resources": [CHANGES]}));
    client.send("subscribe", &sm, MN, urls).await;
    let answers = client.drain().await;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), [200, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_second_open_of_a_live_runtime_is_409_unless_the_token_matches() {
    let node = node();
    let mut first = Client::open(&node, "alice").await;
    let mut second = Client::connect(&node, "alice");
    assert_eq!(code(&second.try_open().await), 409);
    // Neither above nor below a live runtime: one would get what is for the other.
    for name in ["alice/sm", "alice/x"] {
        second.runtime = runtime(name);
        assert_eq!(code(&second.try_open().await), 409, "{name}");
    }
    second.runtime = runtime("alice-2");
    assert_eq!(code(&second.try_open().await), 200, "a longer name is another runtime");
    assert_eq!(code(&second.try_open().await), 409, "one session for one connection");

    let mut third = Client::connect(&node, "alice");
    let answer = third.request("open", &first.proof(), SESSION, Value::Null).await;
    assert_eq!(code(&answer), 200);
    assert_ne!(answer["body"]["runtimeToken"], json!(first.token));
    assert!(first.closed().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_runtime_cannot_open() {
    let node = node();
    for from in
        ["hyperty://example.com/1", "hyperty-runtime://example.com/protostub/1", "runtime://example.com"]
    {
        let mut client = Client::connect(&node, "x");
        client.runtime = from.to_owned();
        assert_refused(&client.try_open().await, 400, "malformed", SESSION);
    }
    let mut client = Client::connect(&node, "x");
    client.runtime = "runtime://2f0e5a".to_owned();
    assert_eq!(code(&client.try_open().await), 200, "an identifier without a dot is legal");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_never_attaches_inv_ses_2() {
    let node = node();
    let mut alice = Client::open(&node, "alice").await;
    let bob = Client::open(&node, "bob").await;
    let wrong =
        ["0".repeat(32), bob.token.clone(), alice.token[..31].to_owned(), format!("{}0", alice.token)];
    for graced in [false, true] {
        let mut thief = Client::connect(&node, "alice");
        for token in &wrong {
            let from = format!("{}/{token}", alice.runtime);
            let answer = thief.request("re-open", &from, SESSION, Value::Null).await;
            assert_eq!(code(&answer), 500);
            assert_eq!(answer["body"]["desc"], "Reconnection fail. Incorrect runtime token!");
        }
        let bare = thief.request("re-open", &alice.runtime, SESSION, Value::Null).await;
        assert_eq!(code(&bare), 500);
        let close = thief.request("close", &alice.proof(), SESSION, Value::Null).await;
        assert_eq!(code(&close), 403, "not even with the right token over another connection");
        if !graced {
            let sm = alice.sm();
            assert_eq!(
                code(&alice.request("subscribe", &sm, MN, json!({"resources": [CHANGES]})).await),
                200
            );
            let (runtime, token) = alice.lose().await;
            alice = Client::connect(&node, "alice");
            (alice.runtime, alice.token) = (runtime, token);
        }
    }
    let proof = alice.proof();
    assert_eq!(code(&alice.request("re-open", &proof, SESSION, Value::Null).await), 200);
}

#[tokio::test(start_paused = true)]
async fn re_open_inherits_routes_and_what_waited() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    let (runtime, token) = observer.lose().await;
    for version in 1..=3 {
        reporter.publish(O, version).await;
    }
    sleep(Duration::from_secs(59)).await;

    let mut observer = Client::connect(&node, "observer");
    (observer.runtime, observer.token) = (runtime, token);
    let proof = observer.proof();
    let answer = observer.request("re-open", &proof, SESSION, Value::Null).await;
    assert_eq!(code(&answer), 200, "first of all");
    assert_eq!(versions(&observer.drain().await), [1, 2, 3]);
    reporter.publish(O, 4).await;
    assert_eq!(versions(&observer.drain().await), [4]);
    // The grace that was over in time does not end the session that was resumed, nor shorten its next grace.
    let (_, token) = observer.lose().await;
    sleep(Duration::from_secs(30)).await;
    reporter.publish(O, 5).await;
    let mut observer = Client::connect(&node, "observer");
    observer.token = token;
    let proof = observer.proof();
    assert_eq!(code(&observer.request("re-open", &proof, SESSION, Value::Null).await), 200);
    assert_eq!(versions(&observer.drain().await), [5]);
    sleep(Duration::from_secs(61)).await;
    reporter.publish(O, 6).await;
    assert_eq!(versions(&observer.drain().await), [6]);
}

#[tokio::test(start_paused = true)]
async fn re_open_over_a_connection_that_looks_alive_takes_it_over() {
    let node = node();
    let mut old = Client::open(&node, "alice").await;
    old.subscribe(&[CHANGES]).await;
    let mut new = Client::connect(&node, "alice");
    let answer = new.request("re-open", &old.proof(), SESSION, Value::Null).await;
    assert_eq!(code(&answer), 200);
    assert!(old.closed().await.is_empty());
    let mut reporter = Client::open(&node, "reporter").await;
    reporter.publish(O, 1).await;
    assert_eq!(versions(&new.drain().await), [1]);
    assert_eq!(node.stats().sessions, 2);
}

#[tokio::test(start_paused = true)]
async fn close_ends_everything_at_once_and_nothing_follows() {
    let node = node();
    let mut alice = Client::open(&node, "alice").await;
    alice.subscribe(&[CHANGES, O]).await;
    let proof = alice.proof();
    alice.send("close", &proof, SESSION, Value::Null).await;
    assert!(alice.closed().await.is_empty());
    assert_eq!((node.stats().sessions, node.stats().routes), (0, 0));
    let mut again = Client::open(&node, "alice").await;
    again.quiet().await;
}

/// The owner of each stream that a session listened to is told when the session is over (M13).
#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_is_told_to_the_owners_m13() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    reporter.subscribe(&[O, "comm://example.com/1/subscription", "comm://example.com/1/children/x"]).await;
    for ending in ["close", "grace"] {
        let mut observer = Client::open(&node, "observer").await;
        observer.subscribe(&[CHANGES, "comm://example.com/1/children/x"]).await;
        let url = observer.runtime.clone();
        if ending == "close" {
            observer.send("close", &url, SESSION, Value::Null).await;
            observer.closed().await;
        } else {
            observer.lose().await;
            sleep(Duration::from_secs(59)).await;
            reporter.quiet().await;
            sleep(Duration::from_secs(2)).await;
        }
        let told = reporter.drain().await;
        assert_eq!(told.len(), 1, "{ending}: {told:?}");
        assert_eq!((&told[0]["type"], &told[0]["from"]), (&json!("unsubscribe"), &json!(MN)));
        assert_eq!(told[0]["to"], "comm://example.com/1/subscription");
        assert_eq!(told[0]["body"], json!({"source": url, "reason": "session-ended"}));
    }
    // The owner's own end is told to nobody.
    let proof = reporter.proof();
    reporter.send("close", &proof, SESSION, Value::Null).await;
    reporter.closed().await;
}

/// A fresh `open` of a graced runtime replaces its session (M14).
#[tokio::test(start_paused = true)]
async fn open_replaces_a_graced_session_m14() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    reporter.subscribe(&[O, "comm://example.com/1/subscription"]).await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    observer.lose().await;
    reporter.publish(O, 1).await;
    let reporter_sm = reporter.sm();
    reporter.send("read", &reporter_sm, &format!("{}/sm", runtime("observer")), json!({})).await;
    reporter.quiet().await;

    let mut observer = Client::open(&node, "observer").await;
    let answer = reporter.recv().await;
    assert_refused(&answer, 404, "no-route", &observer.sm());
    assert_eq!(node.stats().routes, 2, "its routes ended");
    reporter.publish(O, 2).await;
    observer.quiet().await;
    // It comes back to the stream: nobody is told that it left.
    observer.subscribe(&[CHANGES]).await;
    sleep(Duration::from_secs(61)).await;
    reporter.quiet().await;
    // It does not: the owner learns it when there was time enough.
    let (..) = observer.lose().await;
    let mut observer = Client::open(&node, "observer").await;
    sleep(Duration::from_secs(61)).await;
    let told = reporter.drain().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["type"], &told[0]["body"]["reason"]),
        (&json!("unsubscribe"), &json!("session-ended"))
    );
    observer.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_graced_session_keeps_256_messages_and_the_newest_update() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    let (runtime, token) = observer.lose().await;
    for version in 1..=1000 {
        reporter.publish(O, version).await;
    }
    let mut observer = Client::connect(&node, "observer");
    reporter.quiet().await;
    let answer = observer.request("re-open", &format!("{runtime}/{token}"), SESSION, Value::Null).await;
    assert_eq!(code(&answer), 200);
    let kept = versions(&observer.drain().await);
    assert!(kept.len() <= 256, "{}", kept.len());
    assert_eq!(kept.last(), Some(&1000));
    assert!(kept.is_sorted());
}

/// Requests are never dropped silently: when too many wait, all are answered, and the runtime has to open anew.
#[tokio::test(start_paused = true)]
async fn too_many_requests_for_a_graced_session_are_answered() {
    let node = node();
    let mut asker = Client::open(&node, "asker").await;
    let (runtime, token) = Client::open(&node, "gone").await.lose().await;
    let (sm, to) = (asker.sm(), format!("{runtime}/sm"));
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(asker.send("read", &sm, &to, json!({})).await);
    }
    let answers = asker.drain().await;
    let mut answered: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    answered.sort_unstable();
    assert_eq!(answered, ids, "each exactly once");
    answers.iter().for_each(|answer| assert_refused(answer, 404, "no-route", &to));

    let mut back = Client::connect(&node, "gone");
    let answer = back.request("re-open", &format!("{runtime}/{token}"), SESSION, Value::Null).await;
    assert_eq!(code(&answer), 500, "what it missed cannot be told it");
    assert_eq!(code(&back.try_open().await), 200);
    asker.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_session_is_not_kept() {
    let node = node();
    let mut idle = Client::connect(&node, "idle");
    let mut active = Client::open(&node, "active").await;
    sleep(Duration::from_secs(11)).await;
    assert!(idle.closed().await.is_empty());
    active.quiet().await;
    assert_eq!(node.links(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_on_sessions_and_routes_are_answered() {
    let mut config = hyperty_message_node::NodeConfig::new(support::DOMAIN);
    config.limits.sessions = 1;
    config.limits.links = 2;
    config.limits.routes_per_session = 3;
    let node = support::start(config, std::sync::Arc::new(hyperty_storage::MemoryTables::new()));
    let mut first = Client::open(&node, "first").await;
    let mut second = Client::connect(&node, "second");
    assert_refused(&second.try_open().await, 500, "limit", SESSION);
    assert!(node.channel().is_err());
    let [a, b] = ["comm://example.com/a/changes", "comm://example.com/b/changes"];
    assert_eq!(code(&first.subscribe(&[CHANGES, a]).await), 200);
    let refused = first.subscribe(&[b, "comm://example.com/c/changes"]).await;
    assert_refused(&refused, 500, "limit", MN);
    assert_eq!(node.stats().routes, 2, "all or nothing");
    assert_eq!(code(&first.subscribe(&[CHANGES, a, b]).await), 200, "what it has does not count again");
    first.unsubscribe(&[b]).await;
    let bound = first.request("read", "hyperty://example.com/x", "comm://example.com/none", json!({})).await;
    assert_eq!(reason(&bound), "no-route");
    let full = first.request("read", "hyperty://example.com/y", "comm://example.com/none", json!({})).await;
    assert_eq!(reason(&full), "limit");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_closes_its_connections_and_tells_nobody_that_they_left() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    reporter.subscribe(&[O, "comm://example.com/1/subscription"]).await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    node.stop();
    assert!(reporter.closed().await.is_empty());
    assert!(observer.closed().await.is_empty());
    node.deserted().await;
    assert!(node.channel().is_err());
}
