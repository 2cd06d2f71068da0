//! Thousands of sessions that come at once: everybody has a turn before anybody has the next (protocol 5.15).

use std::sync::Arc;

use hyperty_message_node::NodeConfig;
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, DOMAIN, SESSION, code, start};

const FLEET: usize = 5_000;
const TURNS: usize = 6;

/// How far each is, and the greatest distance there was between the first and the last.
struct Race {
    /// How many have had so many turns.
    at: [usize; TURNS + 1],
    widest: usize,
}

impl Race {
    fn step(&mut self, turn: usize) {
        self.at[turn] -= 1;
        self.at[turn + 1] += 1;
        let last = self.at.iter().position(|&count| count > 0).unwrap_or_default();
        let first = self.at.iter().rposition(|&count| count > 0).unwrap_or_default();
        self.widest = self.widest.max(first - last);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_starves_while_others_go_round() {
    let config = NodeConfig::new(DOMAIN);
    let queue = config.limits.queue;
    let node = start(config, Arc::new(MemoryTables::new()));
    let race = Arc::new(Mutex::new(Race { at: [0; TURNS + 1], widest: 0 }));
    race.lock().at[0] = FLEET;
    // One of them has much more to say than the others, and says it all at once.
    let mut hog = Client::open(&node, "hog").await;
    let hogging = tokio::spawn(async move {
        let sm = hog.sm();
        for _ in 0..20_000 {
            hog.send("update", "comm://example.com/hog", "comm://example.com/hog/changes", json!({})).await;
        }
        code(&hog.request("read", &sm, "hyperty://example.com/nobody", json!({})).await)
    });
    let mut fleet = JoinSet::new();
    for number in 0..FLEET {
        let (node, race) = (node.clone(), Arc::clone(&race));
        fleet.spawn(async move {
            let mut client = Client::connect(&node, &format!("ship-{number}"));
            let from = client.runtime.clone();
            assert_eq!(code(&client.request("open", &from, SESSION, Value::Null).await), 200);
            race.lock().step(0);
            let urls: Vec<_> =
                (0..10).map(|route| format!("comm://example.com/{number}-{route}/changes")).collect();
            let urls: Vec<_> = urls.iter().map(String::as_str).collect();
            for turn in 1..TURNS {
                assert_eq!(code(&client.subscribe(&urls).await), 200);
                race.lock().step(turn);
            }
            client
        });
    }
    let mut most = 0;
    let mut ships = Vec::new();
    while let Some(ship) = fleet.join_next().await {
        // Looking at all sessions is dear.
        if ships.len() % 500 == 0 {
            most = most.max(node.stats().queued_bytes);
        }
        ships.push(ship.unwrap());
    }
    assert_eq!(hogging.await.unwrap(), 404);
    let race = race.lock();
    assert_eq!(race.at[TURNS], FLEET);
    assert!(race.widest <= 2, "somebody was {} turns ahead of somebody else", race.widest);
    assert!(most < queue.bytes, "{most} bytes waited: one answer each at most");
    let stats = node.stats();
    assert_eq!((stats.sessions, stats.routes), (FLEET + 1, 10 * FLEET));
}
