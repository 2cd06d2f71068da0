//! What the backup keeps (protocol 5.19).

use std::time::Duration;

use hyperty_conformance::world::DOMAIN;
use hyperty_message_node::BackupLimits;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{Scene, Trying, plain, told};

const BACKUP: &str = "domain://msg-node.example.com/backup";

pub(crate) const RECORD_BYTES: usize = 4_000;
pub(crate) const KEPT_SECONDS: usize = 60;
pub(crate) const LIMITS: BackupLimits = BackupLimits {
    records_per_user: 10,
    bytes_per_user: 20_000,
    record_bytes: RECORD_BYTES,
    records: 16,
    upload_bytes: 7_000,
    uploads_per_runtime: 2,
    upload_kept: Duration::from_secs(KEPT_SECONDS as u64),
};

/// An observation of the `i`th object; those are anybody's.
fn observation(i: usize, user: usize, text: &str) -> Value {
    json!({
        "resource": format!("comm://{DOMAIN}/{i}"), "role": "observer", "user": format!("user://{DOMAIN}/{user}"),
        "epoch": 0, "version": 0, "text": text,
    })
}

async fn ask(scene: &mut Scene, body: Value) -> crate::Told {
    let from = format!("{}/backup", scene.eve.runtime);
    told(&scene.eve.request("create", &from, BACKUP, body).await)
}

/// The first part of two of a record of so many bytes.
async fn begin(scene: &mut Scene, i: usize, bytes: usize) -> crate::Told {
    let mut body = observation(i, 0, "x");
    for (member, value) in [("part", json!(1)), ("parts", json!(2)), ("bytes", json!(bytes))] {
        body[member] = value;
    }
    body["transfer"] = json!(format!("t{i}"));
    ask(scene, body).await
}

pub(crate) fn record(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move { ask(scene, observation(0, 0, &"x".repeat(n))).await })
}

pub(crate) fn records_of_a_user(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut last = plain(0, "");
        for i in 0..n {
            last = ask(scene, observation(i, 0, "x")).await;
        }
        // What is kept may be replaced, and others have room.
        assert_eq!(ask(scene, observation(0, 0, "y")).await.0, 200);
        assert_eq!(ask(scene, observation(0, 1, "x")).await.0, 200);
        last
    })
}

pub(crate) fn bytes_of_a_user(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let (mut last, mut left) = (plain(0, ""), n);
        for i in 0.. {
            let bytes = left.min(RECORD_BYTES);
            last = ask(scene, observation(i, 0, &"x".repeat(bytes))).await;
            left -= bytes;
            if left == 0 || last.0 != 200 {
                break;
            }
        }
        // In the place of a larger one there is room.
        assert_eq!(ask(scene, observation(0, 0, "y")).await.0, 200);
        last
    })
}

pub(crate) fn records(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut last = plain(0, "");
        for i in 0..n {
            last = ask(scene, observation(i, i, "x")).await;
        }
        assert_eq!(ask(scene, observation(0, 0, "y")).await.0, 200);
        assert!(scene.world.node().unwrap().stats().backups <= LIMITS.records);
        last
    })
}

pub(crate) fn bytes_under_way(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let (mut last, mut left) = (plain(0, ""), n);
        for i in 0.. {
            let bytes = left.min(RECORD_BYTES);
            last = begin(scene, i, bytes).await;
            left -= bytes;
            if left == 0 || last.0 != 200 {
                break;
            }
        }
        last
    })
}

pub(crate) fn records_under_way(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut last = plain(0, "");
        for i in 0..n {
            last = begin(scene, i, 10).await;
        }
        last
    })
}

/// In seconds: what waits as long as it may is there still.
pub(crate) fn kept_waiting(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        assert_eq!(begin(scene, 0, 10).await.0, 200);
        sleep(Duration::from_secs(n as u64) - Duration::from_millis(1)).await;
        let rest =
            json!({"user": format!("user://{DOMAIN}/0"), "transfer": "t0", "part": 2, "text": "123456789"});
        ask(scene, rest).await
    })
}
