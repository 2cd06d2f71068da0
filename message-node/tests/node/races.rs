//! What must hold while several connections are served by several threads at once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;

use bytes::Bytes;
use hyperty_message_node::{Link, MessageNode, NodeConfig};
use hyperty_model::{SeededIds, SystemClock};
use hyperty_storage::MemoryTables;
use serde_json::{Value, json};

use crate::support::{DOMAIN, MN, runtime};

fn node() -> MessageNode {
    let tables = Arc::new(MemoryTables::new());
    let ids = Arc::new(SeededIds::new(2));
    MessageNode::new(NodeConfig::new(DOMAIN), tables, Arc::new(SystemClock), ids).unwrap().0
}

fn open(node: &MessageNode, name: &str) -> Link {
    let link = node.attach().unwrap();
    send(&link, "open", &runtime(name), "mn:/session", json!({}));
    assert_eq!(take(&link).len(), 1);
    link
}

fn send(link: &Link, kind: &str, from: &str, to: &str, body: Value) {
    let message = json!({"id": 1, "type": kind, "from": from, "to": to, "body": body});
    link.receive(Bytes::from(message.to_string()));
}

/// Whatever is ready now.
fn take(link: &Link) -> Vec<Value> {
    let mut batch = Vec::new();
    loop {
        let before = batch.len();
        let ready =
            pin!(link.next_batch(&mut batch)).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if !ready || batch.len() == before {
            break;
        }
    }
    batch.iter().map(|item| serde_json::from_slice(item.bytes()).unwrap()).collect()
}

/// Nothing is delivered behind the 200 to an `unsubscribe`, however the threads meet (INV-MN-3), and what is
/// delivered is in order (INV-MN-2).
#[test]
fn no_update_overtakes_an_unsubscribe_inv_mn_3() {
    let node = node();
    let object = "comm://example.com/1";
    let changes = format!("{object}/changes");
    let stop = Arc::new(AtomicBool::new(false));
    let published = Arc::new(AtomicU64::new(0));
    let publisher = {
        let (link, stop, published) = (open(&node, "publisher"), Arc::clone(&stop), Arc::clone(&published));
        let changes = changes.clone();
        thread::spawn(move || {
            let mut version = 0;
            while !stop.load(Ordering::Relaxed) {
                version += 1;
                send(&link, "update", object, &changes, json!({"version": version}));
                published.store(version, Ordering::Release);
            }
        })
    };
    let link = open(&node, "observer");
    let sm = format!("{}/sm", runtime("observer"));
    let wait_for_more = |count| {
        let until = published.load(Ordering::Acquire) + count;
        while published.load(Ordering::Acquire) < until {
            thread::yield_now();
        }
    };
    let mut last = 0;
    for _ in 0..300 {
        send(&link, "subscribe", &sm, MN, json!({"resources": [changes]}));
        wait_for_more(3);
        send(&link, "unsubscribe", &sm, MN, json!({"resources": [changes]}));
        let got = take(&link);
        assert_eq!(got.last().unwrap()["type"], "response", "the 200 is the last");
        for update in got.iter().filter(|message| message["type"] == "update") {
            let version = update["body"]["version"].as_u64().unwrap();
            assert!(version > last, "{version} after {last}");
            last = version;
        }
        wait_for_more(3);
        assert_eq!(take(&link), Vec::<Value>::new());
    }
    stop.store(true, Ordering::Relaxed);
    publisher.join().unwrap();
    assert!(last > 0);
}

/// Two sessions that want the same route at the same time: one gets it.
#[test]
fn a_contested_route_has_one_holder_m17() {
    let node = node();
    let links: Vec<_> =
        (0..4).map(|index| (format!("runtime-{index}"), open(&node, &format!("runtime-{index}")))).collect();
    thread::scope(|scope| {
        for (name, link) in &links {
            scope.spawn(move || {
                for index in 0..200 {
                    let urls = json!([
                        format!("comm://example.com/{index}"),
                        format!("comm://example.com/{index}/subscription")
                    ]);
                    send(link, "subscribe", &format!("{}/sm", runtime(name)), MN, json!({"resources": urls}));
                }
            });
        }
    });
    let answers: Vec<_> = links.iter().map(|(_, link)| take(link)).collect();
    for index in 0..200 {
        let codes: Vec<_> =
            answers.iter().map(|answers| answers[index]["body"]["code"].as_u64().unwrap()).collect();
        assert_eq!(codes.iter().filter(|&&code| code == 200).count(), 1, "{codes:?}");
    }
}
