//! A node that is stopped and started again under load, in order or by crash (protocol 5.15, INV-SES-1).

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_syncher::ObserverEvent;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{Party, until};

/// How many changes there are, one every 10 ms; a restart takes 50.
const CHANGES: u64 = 2_000;

/// Far longer than any recovery takes.
const PATIENCE: Duration = Duration::from_secs(600);

async fn restarted(in_order: bool, seed: u64) {
    let world = World::new(seed);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(json!({"n": 0})).await;
    let (mut parties, mut notes, mut reading) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["bob", "carol", "dave", "erin"] {
        let party = Party::new(&world, name).await;
        let mut observer = party.observe(&board).await;
        notes.push(observer.children("notes").unwrap());
        reading.push(tokio::spawn(async move {
            let events = until(&mut observer, CHANGES).await;
            (observer, events)
        }));
        parties.push(party);
    }
    let writing = tokio::spawn({
        let board = board.clone();
        async move {
            let mut last = 0;
            for n in 1..=CHANGES {
                sleep(Duration::from_millis(10)).await;
                last = board
                    .set("n", n)
                    .await
                    .expect("it is acknowledged, whether there is a node or not")
                    .version;
            }
            last
        }
    });
    // A child's operation is answered by the Reporter's side, however often the way there breaks.
    let mut added = Vec::new();
    for round in 0..8 {
        added.push(notes[0].add(json!({"round": round})));
        sleep(Duration::from_millis(2_000 + 37 * round)).await;
        if in_order {
            world.drain_node().await;
        } else {
            world.stop_node();
        }
        sleep(Duration::from_millis(50)).await;
        world.start_node();
    }
    let last = timeout(PATIENCE, writing).await.expect("an end").unwrap();
    assert_eq!(last, CHANGES);
    let mut observers = Vec::new();
    for (reading, party) in reading.into_iter().zip(&parties) {
        // Every change, one by one: what was missed is made up for from the log.
        let (observer, events) = timeout(PATIENCE, reading).await.expect("it has everything").unwrap();
        assert_eq!(observer.data(), json!({"n": last}), "{}", party.name);
        let resyncs = events.iter().filter(|event| matches!(event, ObserverEvent::Resync { .. })).count();
        let changes = events.iter().filter(|event| matches!(event, ObserverEvent::Change(_))).count();
        assert_eq!((resyncs, changes as u64), (0, last), "{}", party.name);
        observers.push(observer);
    }
    for child in added {
        // Unanswered in its time it stays queued, and arrives all the same.
        let _ = timeout(PATIENCE, std::future::IntoFuture::into_future(child)).await.expect("an answer");
    }
    for (notes, party) in notes.iter().zip(&parties) {
        assert_eq!(notes.list().len(), 8, "{}", party.name);
    }
    let stats = world.node().unwrap().stats();
    assert_eq!((stats.sessions, stats.live), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_node_restarted_in_order_under_load_loses_nothing_inv_ses_1() {
    for seed in 0..2 {
        restarted(true, 300 + seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_crashes_under_load_loses_nothing_inv_ses_1() {
    for seed in 0..2 {
        restarted(false, 400 + seed).await;
    }
}
