//! I6 of a node: its disk hangs from the n-th sync on, or the n-th operation fails, for every n, then the machine
//! crashes. What was answered 200, an allocation or a registration, is there after the restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::NodeConfig;
use hyperty_storage::{DiskFaults, SimulatedDisk, Torn};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Client, DOMAIN, MNA, REG, code, start};

const LATENCY: Duration = Duration::from_millis(2);
const SEED: u64 = 1;

/// What was answered 200.
#[derive(Debug, Default)]
struct Answered {
    allocated: Vec<String>,
    registered: Vec<String>,
}

fn serve(disk: &SimulatedDisk) -> hyperty_message_node::MessageNode {
    let tables = Arc::new(disk.open().unwrap());
    tokio::spawn(tables.run(LATENCY));
    start(NodeConfig::new(DOMAIN), tables)
}

async fn work(client: &mut Client) -> Answered {
    let (mut known, mut asked) = (Answered::default(), BTreeMap::new());
    let mut answers = Vec::new();
    for i in 0..4 {
        let from = format!("{}/address-allocation", client.runtime);
        let body = json!({"scheme": "comm", "value": {"number": 2}});
        client.send("create", &from, MNA, body).await;
        let object = format!("comm://{DOMAIN}/{i}");
        let value = json!({
            "url": object, "runtime": client.runtime, "status": "live", "resources": ["chat"],
            "dataSchemes": ["comm"], "schema": "hyperty-catalogue://example.com/.well-known/dataschema/X",
            "name": "x", "expires": 600, "reporter": "hyperty://example.com/r",
            "user": "user://example.com/u", "guid": "user-guid://u",
        });
        let from = format!("{}/registry", client.runtime);
        let id = client.send("create", &from, REG, json!({"value": value})).await;
        asked.insert(id, object);
        sleep(4 * LATENCY).await;
        answers.extend(client.drain().await);
    }
    sleep(Duration::from_secs(5)).await;
    answers.extend(client.drain().await);
    for answer in answers.iter().filter(|answer| code(answer) == 200) {
        match answer["id"].as_u64().and_then(|id| asked.remove(&id)) {
            Some(object) => known.registered.push(object),
            None => known.allocated.extend(
                serde_json::from_value::<Vec<String>>(answer["body"]["value"]["allocated"].clone()).unwrap(),
            ),
        }
    }
    known
}

/// Plays with a fault that is counted from when the node is up; returns the syncs and operations there were.
async fn play(fault: DiskFaults) -> (u64, u64) {
    let disk = SimulatedDisk::new(SEED);
    let node = serve(&disk);
    let mut client = Client::open(&node, "owner").await;
    let before = (disk.syncs(), disk.operations());
    disk.set_faults(DiskFaults {
        freeze_at_sync: fault.freeze_at_sync.map(|n| n + before.0),
        fail_at_operation: fault.fail_at_operation.map(|n| n + before.1),
    });
    let known = work(&mut client).await;
    let counted = (disk.syncs() - before.0, disk.operations() - before.1);
    if fault == DiskFaults::default() {
        assert_eq!((known.allocated.len(), known.registered.len()), (8, 4), "{known:?}");
    }
    node.stop();
    disk.crash(Torn::Tail);
    disk.set_faults(DiskFaults::default());
    let node = serve(&disk);
    let mut stranger = Client::open(&node, "stranger").await;
    for url in &known.allocated {
        let answer = stranger.request("read", url, &stranger.sm(), Value::Null).await;
        assert_eq!(code(&answer), 403, "{fault:?}: {url} is nobody's any more: {answer}");
    }
    for object in &known.registered {
        let answer = stranger.request("read", &stranger.sm(), REG, json!({"resource": object})).await;
        assert!([200, 408].contains(&code(&answer)), "{fault:?}: {object} is not known any more: {answer}");
    }
    // The node would say so if it knew of none of them.
    let nobodys = format!("comm://{DOMAIN}/never");
    let answer = stranger.request("read", &stranger.sm(), REG, json!({"resource": nobodys})).await;
    assert_eq!(code(&answer), 404, "{answer}");
    let answer = stranger.request("read", &nobodys, &stranger.sm(), Value::Null).await;
    assert_ne!(code(&answer), 403, "{answer}");
    counted
}

#[tokio::test(start_paused = true)]
async fn what_a_node_answered_is_there_whatever_its_disk_did_i6() {
    let (syncs, operations) = play(DiskFaults::default()).await;
    assert!(syncs > 3, "{syncs} syncs");
    for n in 1..=syncs {
        play(DiskFaults { freeze_at_sync: Some(n), ..DiskFaults::default() }).await;
    }
    for n in 1..=operations {
        play(DiskFaults { fail_at_operation: Some(n), ..DiskFaults::default() }).await;
    }
}
