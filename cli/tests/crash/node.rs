//! Message nodes that are killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_conformance::protocol::client::{Client, code};
use hyperty_conformance::protocol::{Patience, Trace};
use hyperty_protostub::{Connector, WebSocketConnector};
use hyperty_storage::operations::check;
use hyperty_storage::{DurableTables, Tables};
use serde_json::{Value, json};

use crate::chance::{Chance, cycles};
use crate::process::{Folder, Process, tell};

const RUNTIME: &str = "hyperty-runtime://localhost/crash";
/// Cycles over one directory; then a new one, so that long runs stay as fast as short ones.
const CYCLES_PER_FOLDER: u32 = 250;

/// What the node acknowledged, and what it may have done without.
#[derive(Default)]
struct Known {
    allocated: BTreeSet<String>,
    registered: BTreeSet<String>,
    deleted: BTreeSet<String>,
    next: u64,
    totals: (usize, usize, usize),
}

/// A request that is under way.
enum Asked {
    Allocation(usize),
    Registration(String),
    Deletion(String),
}

#[test]
fn killed_nodes_give_no_address_twice_and_keep_registrations() {
    let (chance, begun) = (Chance::of(1), Instant::now());
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut left, mut totals) = (cycles(), (0, 0, 0));
    let mut cycle = 0;
    while left > 0 {
        let folder = Folder::new(&format!("node-{cycle}"));
        let mut known = Known::default();
        for _ in 0..left.min(CYCLES_PER_FOLDER) {
            let what = format!("seed {}, cycle {cycle}", chance.seed);
            executor.block_on(run_and_kill(&folder, &chance, &mut known, &what));
            look(&folder, &known, &what);
            cycle += 1;
        }
        left -= left.min(CYCLES_PER_FOLDER);
        totals = (totals.0 + known.totals.0, totals.1 + known.totals.1, totals.2 + known.totals.2);
    }
    let found = json!({"allocated": totals.0, "registered": totals.1, "deleted": totals.2});
    tell("node --data", cycles(), begun, found);
}

async fn run_and_kill(folder: &Folder, chance: &Chance, known: &mut Known, what: &str) {
    let data = folder.text("data");
    let mut node = Process::start(&["node", "--listen", "127.0.0.1:0", "--data", &data]);
    if chance.below(8) == 0 {
        std::thread::sleep(chance.moment(Duration::from_millis(60)));
        drop(node.kill());
        return;
    }
    let listening = node.next();
    let url = listening["url"].as_str().unwrap_or_else(|| panic!("{what}: {listening}"));
    let connection = WebSocketConnector::new(url).connect().await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut client = Client::new("crash", RUNTIME.to_owned(), connection, Trace::new(), Patience::REMOTE);
    client.open().await.unwrap_or_else(|stop| panic!("{what}: {stop:?}"));
    remembers(&mut client, chance, known, what).await;

    let mut asked = Vec::new();
    for _ in 0..1 + chance.below(20) {
        asked.push(ask(&mut client, chance, known, what).await);
    }
    // Answers that come in time; then the end, wherever the others are.
    for _ in 0..chance.below(asked.len() as u64 + 1) {
        match client.within(Patience::REMOTE.answer).await {
            Ok(Some(answer)) => note(known, &mut asked, &answer, what),
            other => panic!("{what}: no answer: {other:?}"),
        }
    }
    std::thread::sleep(chance.moment(Duration::from_millis(4)));
    drop(node.kill());
    // What was answered before it died and is still on its way.
    while let Ok(Some(answer)) = client.within(Patience::REMOTE.answer).await {
        note(known, &mut asked, &answer, what);
    }
    // Of the rest nobody knows; a deletion that is under way may have been made.
    for (_, asked) in asked {
        if let Asked::Deletion(url) = asked {
            known.registered.remove(&url);
        }
    }
}

/// Asks for some of what was acknowledged before.
async fn remembers(client: &mut Client, chance: &Chance, known: &Known, what: &str) {
    let some = |all: &BTreeSet<String>| -> Vec<String> {
        let at = chance.below(all.len().max(1) as u64) as usize;
        all.iter().skip(at).take(2).chain(all.iter().next_back()).cloned().collect()
    };
    for (urls, wanted) in [(some(&known.registered), [200, 408]), (some(&known.deleted), [404, 410])] {
        for url in urls {
            let from = format!("{RUNTIME}/registry");
            let body = json!({"resource": url});
            let answer = client.request("read", &from, "domain://registry.localhost", body).await;
            let answer = answer.unwrap_or_else(|stop| panic!("{what}: {stop:?}"));
            assert!(wanted.contains(&code(&answer)), "{what}: {url}: {answer}");
        }
    }
}

async fn ask(client: &mut Client, chance: &Chance, known: &mut Known, what: &str) -> (u64, Asked) {
    let registry = format!("{RUNTIME}/registry");
    let old = known.registered.iter().nth(chance.below(known.registered.len().max(1) as u64) as usize);
    let sent = match (chance.below(5), old.cloned()) {
        (0, Some(url)) => {
            known.registered.remove(&url);
            let sent = client
                .send("delete", &registry, "domain://registry.localhost", json!({"resource": url}))
                .await;
            (sent, Asked::Deletion(url))
        }
        (0..=2, _) => {
            known.next += 1;
            let url = format!("comm://localhost/{}", known.next);
            let record = json!({"url": url, "runtime": RUNTIME, "status": "live", "expires": 3600,
                "resources": ["chat"], "dataSchemes": ["comm"], "name": url,
                "schema": "hyperty-catalogue://catalogue.localhost/.well-known/dataschema/Test",
                "reporter": "hyperty://localhost/crash", "user": "user://localhost/crash", "guid": "user-guid://crash"});
            let body = json!({"value": record});
            (
                client.send("create", &registry, "domain://registry.localhost", body).await,
                Asked::Registration(url),
            )
        }
        _ => {
            let number = 1 + chance.below(5);
            let from = format!("{RUNTIME}/address-allocation");
            let body = json!({"scheme": "comm", "value": {"number": number}});
            let to = "domain://msg-node.localhost/address-allocation";
            (client.send("create", &from, to, body).await, Asked::Allocation(number as usize))
        }
    };
    (sent.0.unwrap_or_else(|stop| panic!("{what}: {stop:?}")), sent.1)
}

/// An answer counts: it was given when what it says was durable.
fn note(known: &mut Known, asked: &mut Vec<(u64, Asked)>, answer: &Value, what: &str) {
    let Some(at) = asked.iter().position(|(id, _)| answer["id"] == *id) else { return };
    let (_, asked) = asked.remove(at);
    assert_eq!(code(answer), 200, "{what}: {answer}");
    match asked {
        Asked::Allocation(number) => {
            let addresses = answer["body"]["value"]["allocated"].as_array().cloned().unwrap_or_default();
            assert_eq!(addresses.len(), number, "{what}: {answer}");
            for address in addresses {
                let address = address.as_str().unwrap_or_default().to_owned();
                known.totals.0 += 1;
                assert!(known.allocated.insert(address.clone()), "{what}: {address} was given twice");
            }
        }
        Asked::Registration(url) => {
            known.totals.1 += 1;
            known.registered.insert(url);
        }
        Asked::Deletion(url) => {
            known.totals.2 += 1;
            known.deleted.insert(url);
        }
    }
}

/// Looks into the file as the killed node left it.
fn look(folder: &Folder, known: &Known, what: &str) {
    let path = folder.path().join("data").join("node.redb");
    if !path.exists() {
        assert!(known.allocated.is_empty() && known.registered.is_empty(), "{what}: the file is gone");
        return;
    }
    let report = check(&path, &hyperty_message_node::TABLE_CHECKS).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(report.is_sound(), "{what}: {report:?}");
    let tables: Arc<dyn Tables> = Arc::new(DurableTables::open(&path).unwrap());
    let rows = |table: &str| -> BTreeSet<String> {
        let rows = tables.scan(table, b"").expect("the store is open");
        rows.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    };
    let lost = |kept: &BTreeSet<String>, table: &str| {
        let rows = rows(table);
        kept.iter().find(|url| !rows.contains(&url.to_lowercase())).cloned()
    };
    assert_eq!(lost(&known.allocated, "allocations/v1"), None, "{what}: an allocation is lost");
    assert_eq!(lost(&known.registered, "registry/v1"), None, "{what}: a registration is lost");
}
