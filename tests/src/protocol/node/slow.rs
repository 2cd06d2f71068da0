//! A receiver that falls behind (protocol 10.3, M15, INV-UPD-3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::NodeCase;
use super::stage::{NodeStage, node_cases};
use crate::protocol::Verdict;
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "M15/newest-update-is-kept" checks ["M15", "INV-UPD-3", "INV-EXT-4"] needs [Conflation] => newest_is_kept;
    }
}

/// Enough to fill what waits for a session (4 MiB) and the buffers of sockets several times.
const UPDATES: u64 = 400;
const BYTES: usize = 64 * 1024;

async fn newest_is_kept(stage: NodeStage) -> Verdict {
    let objects = [stage.object("one"), stage.object("two")];
    let changes = objects.each_ref().map(|object| format!("{object}/changes"));
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&objects[0], &objects[1]]).await?;
    let (mut slow, mut fast) = (stage.open("slow").await?, stage.open("fast").await?);
    for listener in [&mut slow, &mut fast] {
        listener.subscribe(&stage, &[&changes[0], &changes[1]]).await?;
    }
    let filler = "x".repeat(BYTES);
    let mut seen = 0;
    for version in 1..=UPDATES {
        // One object changes all the time, the other only at first: its last change is old, but not superseded.
        let which = usize::from(version == 2);
        let body = json!({"version": version, "attribute": "a", "value": filler});
        alice.send("update", &objects[which], &changes[which], body).await?;
        if version % 20 == 0 {
            // The slow one reads nothing; the fast one has to get all in time.
            seen += alice.fence(&mut fast).await?.len() as u64;
            ensure_eq!("INV-UPD-3", seen, version, "updates at a fast listener beside a slow one");
        }
    }
    let (from, to) = (alice.sm(), slow.sm());
    let asked = alice.send("read", &from, &to, json!({"version": 0})).await?;
    let got = alice.fence(&mut slow).await?;
    let mut versions: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for message in got.iter().filter(|message| message["type"] == "update") {
        let version = message["body"]["version"].as_u64().unwrap_or_default();
        ensure_eq!("M15", message["body"]["value"], json!(filler), "the value of a kept update");
        versions.entry(message["from"].as_str().unwrap_or_default()).or_default().push(version);
    }
    let of = |object: &String| versions.get(object.as_str()).cloned().unwrap_or_default();
    ensure_eq!(
        "M15",
        of(&objects[0]).last(),
        Some(&UPDATES),
        "the newest update of an object that fell behind"
    );
    ensure_eq!("M15", of(&objects[1]), [2], "the only update of an object that did not");
    let rising = of(&objects[0]).windows(2).all(|pair| pair[0] < pair[1]);
    ensure!("INV-MN-2", rising, "updates of one object came as {:?}", of(&objects[0]));
    let request = got.iter().find(|message| message["type"] == "read");
    ensure!("INV-MN-4", request.is_some(), "a request to a slow session was dropped");
    slow.answer(request.unwrap_or(&Value::Null), json!({"code": 200})).await?;
    alice.answer_to(&json!(asked)).await?;
    Ok(())
}
