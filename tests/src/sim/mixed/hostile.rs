//! One who sends what nobody should: frames that are malformed, forged or too long.

use std::time::Duration;

use bytes::Bytes;
use hyperty_model::ObjectUrl;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::admission::Issuer;
use super::judge::{Judge, MARKER};
use crate::sim::{Sim, SimRng};

/// The mean time between two visits.
const BETWEEN_VISITS: Duration = Duration::from_secs(7);

/// What a node of a mixed run takes at most in one frame: little, so that more is soon made.
pub(super) const FRAME_BYTES_MAX: usize = 256 * 1024;

/// Visits nodes for as long as it is polled.
pub(super) async fn visit(sim: &Sim, judge: &Judge, issuer: Option<&Issuer>) {
    let rng = sim.rng("mallory");
    let domains = sim.domains();
    let mut visits = 0;
    loop {
        sleep(rng.around(BETWEEN_VISITS)).await;
        let Some(domain) = rng.pick(&domains) else { return };
        let Some(node) = sim.node(domain) else { continue };
        let Ok((to_node, mut from_node)) = node.channel() else { continue };
        visits += 1;
        sim.note("mallory", format!("visits {domain}"));
        let runtime = format!("hyperty-runtime://{domain}/mallory-{visits}");
        if rng.chance(0.8) {
            // Somebody, but nobody whose objects these are.
            let user = format!("user://{domain}/mallory");
            let token = issuer.filter(|_| rng.chance(0.7)).and_then(|it| it.token(&user, domain, &runtime));
            let body = token.map_or(json!({}), |token| json!({"accessToken": token}));
            send(&to_node, message(&rng, "open", &runtime, "mn:/session", body)).await;
        }
        let boards = judge.boards();
        for _ in 0..1 + rng.below(12) {
            let frame = match rng.pick(&boards) {
                Some(board) => evil(&rng, &runtime, board),
                None => noise(&rng),
            };
            send(&to_node, frame).await;
        }
        // What is answered is of no interest; that something is read is: nobody waits for a peer that does not.
        while let Ok(Some(_)) = timeout(Duration::from_millis(50), from_node.recv()).await {}
    }
}

async fn send(to_node: &mpsc::Sender<Bytes>, frame: Bytes) {
    // A node that closed the connection has had enough.
    let _ = to_node.send(frame).await;
}

fn message(rng: &SimRng, kind: &str, from: &str, to: &str, body: Value) -> Bytes {
    let id = rng.below(100_000);
    json!({"id": id, "type": kind, "from": from, "to": to, "body": body}).to_string().into()
}

/// Bytes that are no message.
fn noise(rng: &SimRng) -> Bytes {
    match rng.below(5) {
        0 => (0..rng.below(200)).map(|_| rng.number() as u8).collect::<Vec<u8>>().into(),
        1 => Bytes::from_static(b"{\"id\":1,\"type\":\"update\",\"from\":"),
        2 => Bytes::from("[".repeat(5_000)),
        3 => Bytes::from_static(b"{\"id\":{},\"type\":[],\"from\":7,\"to\":null,\"body\":\"\"}"),
        _ => Bytes::from(format!("\"{}\"", MARKER.repeat(FRAME_BYTES_MAX / MARKER.len() + 1))),
    }
}

fn evil(rng: &SimRng, runtime: &str, board: &ObjectUrl) -> Bytes {
    let marked = json!({"topic": MARKER, MARKER: [MARKER]});
    let (changes, subscription) = (board.changes().to_string(), board.subscription().to_string());
    let home = board.domain().unwrap_or_default();
    let (notes, own) = (format!("{board}/children/notes"), format!("hyperty://{home}/mallory"));
    let manager = format!("{runtime}/sm");
    let version = rng.below(300);
    let change = json!({"attribute": "topic", "value": MARKER, "version": version, "lastModified": "2026-01-01T00:00:00Z"});
    let child = json!({"resource": format!("{own}#{version}"), "value": {"n": MARKER}});
    match rng.below(14) {
        0..=2 => noise(rng),
        // In the Reporter's name.
        3 => message(rng, "update", board.as_str(), &changes, change),
        4 => message(rng, "delete", board.as_str(), &changes, json!({})),
        5 => message(rng, "delete", &format!("{board}/subscription"), &changes, json!({"resource": board})),
        6 => message(rng, "response", board.as_str(), &manager, json!({"code": 200, "value": marked})),
        // In nobody's.
        7 => message(rng, "update", &own, &changes, change),
        8 => message(rng, "create", &own, &notes, child),
        9 => message(rng, "subscribe", &manager, &subscription, json!({"source": own, "identity": MARKER})),
        10 => message(rng, "unsubscribe", &manager, &subscription, json!({"source": own})),
        11 => {
            message(rng, "read", &own, board.as_str(), json!({"resource": board, "criteria": {"since": {}}}))
        }
        12 => {
            let registry = format!("domain://registry.{home}");
            message(rng, "delete", runtime, &registry, json!({"resource": board}))
        }
        _ => {
            let body = json!({"code": 403, "reason": MARKER, "source": "domain://msg-node.example.com/sm"});
            message(rng, "response", &subscription, &manager, body)
        }
    }
}
