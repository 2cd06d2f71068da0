//! What an operator sees and does: metrics, readiness, draining.

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::{MessageNode, NodeConfig, Readiness};
use hyperty_model::queue::QueueLimits;
use hyperty_storage::Tables;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::components::SlowTables;
use crate::support::{Client, DOMAIN, MNA, code, node, start, versions};

const O: &str = "comm://example.com/1";
const CHANGES: &str = "comm://example.com/1/changes";

/// The value of a metric without labels.
fn metric(node: &MessageNode, name: &str) -> f64 {
    let text = node.metrics();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn slow_node() -> (Arc<SlowTables>, MessageNode) {
    let tables = SlowTables::new();
    let node = start(NodeConfig::new(DOMAIN), Arc::clone(&tables) as Arc<dyn Tables>);
    (tables, node)
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_happens_and_name_nobody() {
    let node = node();
    let mut reporter = Client::open(&node, "reporter").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    reporter.subscribe(&[O]).await;
    for version in 1..=3 {
        reporter.publish(O, version).await;
    }
    assert_eq!(versions(&observer.drain().await), [1, 2, 3]);
    let sm = observer.sm();
    for body in [
        json!({"criteria": {"since": {"epoch": 0, "version": 1}}}),
        json!({"since": {"version": 1}}),
        json!({}),
        json!({"criteria": {}}),
        json!({"criteria": "all"}),
    ] {
        let kind = if body.get("since").is_some() { "subscribe" } else { "read" };
        observer.send(kind, &sm, O, body).await;
    }
    reporter.drain().await;
    let (_, token) = observer.lose().await;
    let mut observer = Client::connect(&node, "observer");
    observer.token = token;
    let proof = observer.proof();
    assert_eq!(code(&observer.request("re-open", &proof, "mn:/session", json!(null)).await), 200);
    for (name, value) in [
        ("hyperty_sessions", 2.0),
        ("hyperty_sessions_live", 2.0),
        ("hyperty_connections", 2.0),
        ("hyperty_routes", 2.0),
        ("hyperty_sessions_opened_total", 2.0),
        ("hyperty_reconnects_total", 1.0),
        ("hyperty_connections_lost_total", 1.0),
        ("hyperty_sessions_ended_total", 0.0),
        ("hyperty_repairs_total", 2.0),
        ("hyperty_deliveries_total", 8.0),
        ("hyperty_ready", 1.0),
        ("hyperty_store_failed", 0.0),
        ("hyperty_queue_bytes", 0.0),
    ] {
        assert_eq!(metric(&node, name), value, "{name}\n{}", node.metrics());
    }
    let text = node.metrics();
    assert!(text.contains(r#"hyperty_request_seconds_count{service="subscriptions"} 2"#), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let labels = text.lines().filter_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0));
    for label in labels.flat_map(|labels| labels.split(',')) {
        assert!(label.starts_with("service=") || label.starts_with("le="), "{label}");
    }
    for name in ["observer", "reporter", "comm:", "example.com"] {
        assert!(!text.contains(name), "{name} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_latency_of_a_service_is_the_time_to_its_answer_the_store_included() {
    let (tables, node) = slow_node();
    let mut client = Client::open(&node, "client").await;
    let sm = client.sm();
    client.send("create", &sm, MNA, json!({"scheme": "comm", "value": {"number": 1}})).await;
    client.quiet().await;
    assert_eq!((metric(&node, "hyperty_answers_pending"), node.stats().pending), (1.0, 1));
    sleep(Duration::from_secs(2)).await;
    tables.catch_up();
    assert_eq!(code(&client.recv().await), 200);
    let text = node.metrics();
    assert!(text.contains(r#"hyperty_request_seconds_bucket{le="1.0",service="allocation"} 0"#), "{text}");
    assert!(text.contains(r#"hyperty_request_seconds_bucket{le="3.0",service="allocation"} 1"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_store_failed_is_not_ready_and_says_why() {
    let (tables, node) = slow_node();
    assert_eq!(node.readiness(), Readiness::Ready);
    tables.fail();
    let status = node.status();
    let reasons = vec!["store failed: the store is closed".to_owned()];
    assert_eq!(status.readiness, Readiness::NotReady { reasons });
    assert_eq!(status.store.failed.as_deref(), Some("the store is closed"));
    assert_eq!((metric(&node, "hyperty_ready"), metric(&node, "hyperty_store_failed")), (0.0, 1.0));
    // Messages that need no store still pass.
    let mut reporter = Client::open(&node, "reporter").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    reporter.publish(O, 1).await;
    assert_eq!(versions(&observer.drain().await), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_is_not_ready_until_there_is_room() {
    let mut config = NodeConfig::new(DOMAIN);
    config.limits.links = 1;
    let node = start(config, Arc::new(hyperty_storage::MemoryTables::new()));
    let client = Client::open(&node, "client").await;
    assert_eq!(node.readiness(), Readiness::NotReady { reasons: vec!["full".to_owned()] });
    client.lose().await;
    assert_eq!(node.readiness(), Readiness::Ready);
}

/// What is under way is answered before the connections close, and nothing new is taken in.
#[tokio::test(start_paused = true)]
async fn draining_answers_what_is_under_way_and_takes_nothing_in() {
    let (tables, node) = slow_node();
    let mut client = Client::open(&node, "client").await;
    let mut observer = Client::open(&node, "observer").await;
    observer.subscribe(&[CHANGES]).await;
    let sm = client.sm();
    let asked = client.send("create", &sm, MNA, json!({"scheme": "comm", "value": {"number": 1}})).await;
    client.publish(O, 1).await;
    sleep(Duration::from_millis(1)).await;
    let draining = tokio::spawn({
        let node = node.clone();
        async move { node.drain(Duration::from_secs(5)).await }
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(node.readiness(), Readiness::NotReady { reasons: vec!["draining".to_owned()] });
    assert!(node.channel().is_err());
    client.publish(O, 2).await;
    tables.catch_up();
    assert!(draining.await.unwrap());
    let answers = client.closed().await;
    assert_eq!((answers.len(), code(&answers[0]), &answers[0]["id"]), (1, 200, &json!(asked)));
    assert_eq!(versions(&observer.closed().await), [1], "what came later is its sender's to send again");
}

/// A store or a client that hangs holds up the end for the limit and no longer.
#[tokio::test(start_paused = true)]
async fn draining_ends_in_time_whatever_hangs() {
    let (_tables, node) = slow_node();
    let mut client = Client::open(&node, "client").await;
    let mut deaf = Client::open(&node, "deaf").await;
    deaf.subscribe(&[CHANGES]).await;
    for version in 1..=200 {
        client.publish(O, version).await;
    }
    let sm = client.sm();
    client.send("create", &sm, MNA, json!({"scheme": "comm", "value": {"number": 1}})).await;
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let limit = Duration::from_secs(5);
    let drained = timeout(Duration::from_secs(60), node.drain(limit)).await.expect("an end");
    assert!(!drained, "something was left undone");
    assert_eq!(begun.elapsed(), limit * 2);
}

/// INV-EXT-4: whatever is published, a session that reads nothing costs its queue, and the others get everything.
#[tokio::test(start_paused = true)]
async fn a_slow_session_costs_its_queue_and_delays_nobody_inv_ext_4() {
    let mut config = NodeConfig::new(DOMAIN);
    let limits = QueueLimits { count: 500, bytes: 100_000 };
    config.limits.queue = limits;
    let node = start(config, Arc::new(hyperty_storage::MemoryTables::new()));
    let mut reporter = Client::open(&node, "reporter").await;
    let mut quick = Client::open(&node, "quick").await;
    let mut slow = Client::open(&node, "slow").await;
    let objects: Vec<_> = (0..40).map(|object| format!("comm://example.com/{object}")).collect();
    let changes: Vec<_> = objects.iter().map(|object| format!("{object}/changes")).collect();
    let changes: Vec<_> = changes.iter().map(String::as_str).collect();
    quick.subscribe(&changes).await;
    slow.subscribe(&changes).await;
    let begun = Instant::now();
    let mut last = vec![0; objects.len()];
    let mut most = 0;
    for version in 1..=20_000_u64 {
        // Uneven: some objects change often, some rarely, with values of any size.
        let object = usize::try_from(version * version % 7919 % 40).unwrap();
        let value = "x".repeat(usize::try_from(version * 37 % 3_000).unwrap());
        let body = json!({"version": version, "attribute": "a", "value": value});
        reporter.send("update", &objects[object], changes[object], body).await;
        let update = quick.recv().await;
        assert_eq!(update["body"]["version"], version, "at once, in order and without a hole");
        last[object] = version;
        most = most.max(node.stats().queued_bytes);
        assert!(node.stats().queued <= limits.count);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(most <= limits.bytes + 4_000, "{most} bytes");
    let status = node.status();
    assert_eq!(status.sessions[0].runtime, slow.runtime, "who is slow stands first");
    assert!(status.sessions[0].conflated > 1_000, "{status:?}");
    assert_eq!(status.sessions[0].conflated, node.stats().conflated);
    // It gets the newest of every object: that shows it what it missed.
    let got = slow.drain().await;
    for (object, last) in changes.iter().zip(last) {
        let of = got.iter().filter(|update| update["to"] == *object);
        let versions: Vec<_> = of.map(|update| update["body"]["version"].as_u64().unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
        assert_eq!(versions.last(), Some(&last));
    }
}
