//! Sessions are somebody: admission by token, whom messages speak for, renewal and the end.

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::admission::{
    AdmissionConfig, Claims, IssuerKey, TokenAdmission, UNADMITTED_BYTES_MAX,
};
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{SeededIds, Timestamp};
use hyperty_storage::{MemoryTables, Tables};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Client, DOMAIN, MN, REG, SESSION, assert_refused, code, reason, runtime, start};

const O: &str = "comm://example.com/1";

fn issuer() -> IssuerKey {
    IssuerKey::generate(&SeededIds::new(7))
}

fn config() -> NodeConfig {
    let mut config = NodeConfig::new(DOMAIN);
    config.admission = AdmissionConfig::Tokens(TokenAdmission::new(issuer().public()));
    config
}

fn guarded() -> MessageNode {
    start(config(), Arc::new(MemoryTables::new()))
}

/// Claims for a minute from the start of the test's clock on.
fn claims(user: &str) -> Claims {
    let start = Timestamp::from_millis(1_700_000_000_000);
    Claims::new(&format!("user://{DOMAIN}/{user}"), DOMAIN, start, Duration::from_secs(60))
}

fn token(user: &str) -> String {
    issuer().issue(&claims(user)).unwrap()
}

fn identity(user: &str) -> Value {
    json!({"idp": DOMAIN, "userProfile": {"userURL": format!("user://{DOMAIN}/{user}")}})
}

async fn try_open(client: &mut Client, token: &str) -> Value {
    let from = client.runtime.clone();
    let answer = client.request("open", &from, SESSION, json!({"accessToken": token})).await;
    client.token = answer["body"]["runtimeToken"].as_str().unwrap_or_default().to_owned();
    answer
}

async fn open(node: &MessageNode, name: &str, user: &str) -> Client {
    let mut client = Client::connect(node, name);
    let answer = try_open(&mut client, &token(user)).await;
    assert_eq!(code(&answer), 200, "{answer}");
    client
}

async fn renew(client: &mut Client, token: &str) -> Value {
    let from = client.runtime.clone();
    client.request("update", &from, SESSION, json!({"accessToken": token})).await
}

#[tokio::test(start_paused = true)]
async fn who_has_no_good_token_is_told_why_and_sent_away() {
    let node = guarded();
    let other_audience = {
        let mut claims = claims("alice");
        claims.aud = hyperty_message_node::admission::Audience::One("example.org".to_owned());
        issuer().issue(&claims).unwrap()
    };
    let other_runtime = {
        let mut claims = claims("alice");
        claims.runtimes = Some(vec![runtime("phone").parse().unwrap()]);
        issuer().issue(&claims).unwrap()
    };
    let stranger = IssuerKey::generate(&SeededIds::new(8)).issue(&claims("alice")).unwrap();
    for (body, expected, why) in [
        (json!(null), 401, "token-missing"),
        (json!({"accessToken": 5}), 401, "token-malformed"),
        (json!({"accessToken": "x"}), 401, "token-malformed"),
        (json!({"accessToken": stranger}), 401, "token-issuer"),
        (json!({"accessToken": other_audience}), 401, "token-audience"),
        (json!({"accessToken": other_runtime}), 403, "token-pattern"),
    ] {
        let mut client = Client::connect(&node, "alice");
        let from = client.runtime.clone();
        client.send("open", &from, SESSION, body).await;
        // It may try again, over a connection of its own.
        client.send("open", &from, SESSION, json!({"accessToken": token("alice")})).await;
        let answers = client.closed().await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_refused(&answers[0], expected, why, SESSION);
        assert!(!answers[0]["body"]["desc"].as_str().unwrap().is_empty());
    }
    node.deserted().await;
    assert_eq!((node.stats().opened, node.stats().not_admitted), (0, 6));
    let metrics = node.metrics();
    assert!(metrics.contains("\nhyperty_sessions_refused_total 6\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn what_a_session_sends_speaks_for_its_user_and_nobody_else() {
    let node = guarded();
    let mut alice = open(&node, "a", "alice").await;
    let mut bob = open(&node, "b", "bob").await;
    let hyperty = alice.allocate("hyperty", 1).await.remove(0);
    let own = bob.allocate("hyperty", 1).await.remove(0);
    for kind in ["create", "read", "delete", "subscribe", "unsubscribe", "execute", "forward"] {
        for said in [json!({}), json!({"identity": identity("alice")}), json!({"identity": "user://x/y"})] {
            bob.send(kind, &own, &hyperty, said).await;
            let received = alice.recv().await;
            assert_eq!(received["body"]["identity"], identity("bob"), "{received}");
        }
    }
    // What is no question names who answers, if it names somebody, and gets no longer otherwise.
    for kind in ["response", "event", "update"] {
        bob.send(kind, &own, &hyperty, json!({"identity": identity("alice"), "code": 200})).await;
        assert_eq!(alice.recv().await["body"]["identity"], identity("bob"), "{kind}");
        bob.send(kind, &own, &hyperty, json!({"code": 200})).await;
        assert_eq!(alice.recv().await["body"].get("identity"), None, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_embedded_message_speaks_for_its_sender_too() {
    let node = guarded();
    let mut alice = open(&node, "a", "alice").await;
    let mut bob = open(&node, "b", "bob").await;
    let hyperty = alice.allocate("hyperty", 1).await.remove(0);
    let own = bob.allocate("hyperty", 1).await.remove(0);
    let innermost = json!({"type": "subscribe", "from": "hyperty://example.com/x", "to": O});
    let inner =
        json!({"type": "forward", "body": {"identity": identity("alice"), "message": innermost, "x": 1}});
    bob.send("forward", &own, &hyperty, json!({"message": inner, "via": ["hyperty-runtime://x/y"]})).await;
    let body = alice.recv().await["body"].take();
    assert_eq!(body["identity"], identity("bob"));
    assert_eq!(body["message"]["body"]["identity"], identity("bob"));
    assert_eq!(body["message"]["body"]["message"]["body"]["identity"], identity("bob"));
    assert_eq!(body["message"]["body"]["x"], 1);
    assert_eq!(body["via"], json!(["hyperty-runtime://x/y", runtime("b")]), "it still says how it came");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_asks_nobody_leaves_what_is_said() {
    let node = crate::support::node();
    let mut alice = Client::open(&node, "a").await;
    let mut bob = Client::open(&node, "b").await;
    let hyperty = alice.allocate("hyperty", 1).await.remove(0);
    let own = bob.allocate("hyperty", 1).await.remove(0);
    bob.send("read", &own, &hyperty, json!({"identity": identity("carol")})).await;
    assert_eq!(alice.recv().await["body"]["identity"], identity("carol"));
    let answer = renew(&mut bob, &token("bob")).await;
    assert_eq!(code(&answer), 400, "there is nothing to renew");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_stays_its_first_users_across_sessions_and_restarts() {
    let tables: Arc<dyn Tables> = Arc::new(MemoryTables::new());
    let node = start(config(), Arc::clone(&tables));
    let alice = open(&node, "a", "alice").await;
    let mut thief = Client::connect(&node, "a");
    assert_refused(&try_open(&mut thief, &token("bob")).await, 403, "forbidden", SESSION);
    // Neither while its session waits for a connection, nor when that is over, nor from a node that began anew.
    alice.lose().await;
    let mut thief = Client::connect(&node, "a");
    assert_refused(&try_open(&mut thief, &token("bob")).await, 403, "forbidden", SESSION);
    let node = start(config(), tables);
    let mut thief = Client::connect(&node, "a");
    assert_refused(&try_open(&mut thief, &token("bob")).await, 403, "forbidden", SESSION);
    open(&node, "a", "alice").await;
}

#[tokio::test(start_paused = true)]
async fn coming_back_needs_a_token_of_the_same_user() {
    let node = guarded();
    let alice = open(&node, "a", "alice").await;
    let (runtime_url, secret) = alice.lose().await;
    let proof = format!("{runtime_url}/{secret}");
    for (body, expected, why) in
        [(json!(null), 401, "token-missing"), (json!({"accessToken": token("bob")}), 403, "forbidden")]
    {
        let mut client = Client::connect(&node, "a");
        let answer = client.request("re-open", &proof, SESSION, body).await;
        assert_refused(&answer, expected, why, SESSION);
        client.closed().await;
    }
    let mut client = Client::connect(&node, "a");
    let answer = client.request("re-open", &proof, SESSION, json!({"accessToken": token("alice")})).await;
    assert_eq!((code(&answer), &answer["body"]["expiresIn"]), (200, &json!(59)), "{answer}");
    assert_eq!(node.stats().reopened, 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_told_and_ends_and_a_renewed_one_goes_on() {
    let node = guarded();
    let mut ends = open(&node, "ends", "alice").await;
    let mut stays = open(&node, "stays", "bob").await;
    ends.subscribe(&["comm://example.com/1/changes"]).await;
    sleep(Duration::from_secs(50)).await;
    let mut later = claims("bob");
    later.exp += 3_600;
    let answer = renew(&mut stays, &issuer().issue(&later).unwrap()).await;
    assert_eq!((code(&answer), &answer["body"]["expiresIn"]), (200, &json!(3_610)));
    sleep(Duration::from_millis(19_900)).await;
    assert_eq!(node.stats().live, 2, "the leeway lasts");
    sleep(Duration::from_millis(200)).await;
    let last = ends.closed().await;
    assert_eq!(last.len(), 1);
    assert_eq!((&last[0]["type"], &last[0]["from"]), (&json!("event"), &json!(SESSION)));
    assert_eq!(last[0]["body"]["value"], "expired");
    let stats = node.stats();
    assert_eq!((stats.sessions, stats.routes), (1, 0), "not even graced");
    // The old token opens nothing any more.
    let mut client = Client::connect(&node, "ends");
    assert_refused(&try_open(&mut client, &token("alice")).await, 401, "token-expired", SESSION);
    sleep(Duration::from_secs(3_590)).await;
    assert_eq!(node.stats().sessions, 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(node.stats().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_changes_nothing() {
    let node = guarded();
    let mut alice = open(&node, "a", "alice").await;
    let own = alice.allocate("hyperty", 1).await.remove(0);
    alice.send("read", &own, "hyperty://example.com/none", json!({})).await;
    assert_eq!(code(&alice.recv().await), 404);
    let narrower = {
        let mut claims = claims("alice");
        claims.hyperties = Some(vec!["hyperty://example.com/none".parse().unwrap()]);
        issuer().issue(&claims).unwrap()
    };
    for (given, expected, why) in [
        (token("bob"), 403, "forbidden"),
        ("x".to_owned(), 401, "token-malformed"),
        (narrower, 403, "token-pattern"),
    ] {
        assert_refused(&renew(&mut alice, &given).await, expected, why, SESSION);
    }
    alice.send("read", &own, "hyperty://example.com/none", json!({})).await;
    assert_eq!(code(&alice.recv().await), 404, "the session goes on");
}

#[tokio::test(start_paused = true)]
async fn a_session_speaks_only_as_hyperties_that_its_token_allows() {
    let node = guarded();
    let mut claims = claims("alice");
    claims.hyperties = Some(vec!["hyperty://example.com/alice-*".parse().unwrap()]);
    let mut alice = Client::connect(&node, "a");
    let answer = try_open(&mut alice, &issuer().issue(&claims).unwrap()).await;
    assert_eq!(code(&answer), 200);
    for (hyperty, expected) in [("hyperty://example.com/alice-1", 404), ("hyperty://example.com/bob-1", 403)]
    {
        let answer = alice.request("read", hyperty, "hyperty://example.com/none", json!({})).await;
        assert_eq!(code(&answer), expected, "{answer}");
        let answer = alice.subscribe(&[hyperty]).await;
        assert_eq!(code(&answer), if expected == 404 { 200 } else { 403 }, "{answer}");
    }
    // Without patterns: whatever is of the domain.
    let mut bob = open(&node, "b", "bob").await;
    let answer =
        bob.request("read", "hyperty://example.org/1", "hyperty://example.com/none", json!({})).await;
    assert_eq!((code(&answer), reason(&answer)), (403, "forbidden"));
}

#[tokio::test(start_paused = true)]
async fn who_is_nobody_is_heard_shortly_and_briefly() {
    let node = guarded();
    let begun = Instant::now();
    let mut idle = Client::connect(&node, "idle");
    sleep(Duration::from_secs(1)).await;
    idle.quiet().await;
    idle.closed().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    let mut chatty = Client::connect(&node, "chatty");
    let text = format!("{{\"x\":\"{}\"}}", "y".repeat(UNADMITTED_BYTES_MAX / 4));
    for _ in 0..4 {
        chatty.send_text(text.clone()).await;
    }
    chatty.closed().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2), "at once");
    // With a session more may be said.
    let mut alice = open(&node, "a", "alice").await;
    let long =
        json!({"resources": ["comm://example.com/1/changes"], "x": "y".repeat(2 * UNADMITTED_BYTES_MAX)});
    let sm = alice.sm();
    assert_eq!(code(&alice.request("subscribe", &sm, MN, long).await), 200);
}

#[tokio::test(start_paused = true)]
async fn connections_without_sessions_are_counted() {
    let mut config = config();
    config.limits.unadmitted_links = 3;
    let node = start(config, Arc::new(MemoryTables::new()));
    let first = open(&node, "first", "alice").await;
    let waiting: Vec<_> = (0..3).map(|_| node.attach().unwrap()).collect();
    assert!(node.attach().is_err(), "three have no session");
    drop(waiting);
    let mut others: Vec<_> = (0..3).map(|_| node.attach().unwrap()).collect();
    assert!(node.attach().is_err());
    others.pop();
    open(&node, "second", "alice").await;
    drop(first);
    assert!(node.attach().is_ok());
}

/// A registration says whose an entity is, and people are found by that.
#[tokio::test(start_paused = true)]
async fn nobody_registers_something_as_another_users() {
    let node = guarded();
    let mut bob = open(&node, "b", "bob").await;
    let own = bob.allocate("hyperty", 1).await.remove(0);
    let (sm, at) = (bob.sm(), runtime("b"));
    for (user, expected) in [("bob", 200), ("alice", 403)] {
        let value = json!({"url": own, "runtime": at, "user": format!("user://{DOMAIN}/{user}"), "expires": 60, "descriptor": "x"});
        let answer = bob.request("create", &sm, REG, json!({"value": value})).await;
        assert_eq!(code(&answer), expected, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_has_so_many_sessions_and_a_token_says_how_many_routes() {
    let mut config = config();
    (config.limits.sessions_per_user, config.limits.routes_per_session) = (2, 3);
    let node = start(config, Arc::new(MemoryTables::new()));
    let one = open(&node, "one", "alice").await;
    let two = open(&node, "two", "alice").await;
    let mut three = Client::connect(&node, "three");
    assert_refused(&try_open(&mut three, &token("alice")).await, 500, "limit", SESSION);
    let _bob = open(&node, "bob", "bob").await;
    // One that comes back takes its own place; one that leaves makes room.
    let (runtime, _) = two.lose().await;
    let mut two = Client::connect(&node, "two");
    assert_eq!(runtime, two.runtime);
    assert_eq!(code(&try_open(&mut two, &token("alice")).await), 200);
    let (mut one, mut three) = (one, Client::connect(&node, "three"));
    let proof = one.proof();
    one.send("close", &proof, SESSION, json!(null)).await;
    one.closed().await;
    assert_eq!(code(&try_open(&mut three, &token("alice")).await), 200);

    let urls = |count: usize| (0..count).map(|n| format!("comm://{DOMAIN}/{n}/changes")).collect::<Vec<_>>();
    for (routes, max) in [(None, 3), (Some(5), 5), (Some(1), 1)] {
        for (count, expected) in [(max, 200), (max + 1, 500)] {
            let mut client = Client::connect(&node, &format!("r{max}-{count}"));
            let mut claims = claims(&format!("u{max}-{count}"));
            claims.routes = routes;
            assert_eq!(code(&try_open(&mut client, &issuer().issue(&claims).unwrap()).await), 200);
            let urls = urls(count);
            let answer = client.subscribe(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!(code(&answer), expected, "{routes:?} {count}: {answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_with_tokens_listen_when_they_are_accepted_inv_lsn_1() {
    let node = guarded();
    let mut owner = open(&node, "a", "alice").await;
    let mut bob = open(&node, "b", "bob").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    let changes = format!("{object}/changes");
    assert_eq!(code(&owner.subscribe(&[&object]).await), 200);
    let answer = bob.subscribe(&[&changes]).await;
    assert_eq!((code(&answer), &answer["body"]["enforceSubscriber"]), (200, &json!(true)));
    owner.publish(&object, 1).await;
    bob.quiet().await;
    let body = json!({"resources": [changes], "source": bob.runtime, "grant": true});
    assert_eq!(code(&owner.request("subscribe", &owner.sm(), MN, body).await), 200);
    owner.publish(&object, 2).await;
    assert_eq!(crate::support::versions(&bob.drain().await), [2]);
}
