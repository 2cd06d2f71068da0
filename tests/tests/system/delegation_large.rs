//! Objects larger than a message change hands too (protocol 5.11 step 8, 10.5): what is given is fetched in parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::Direction;
use hyperty_model::message::ReadBody;
use hyperty_model::parts::WHOLE_BYTES_MAX;
use hyperty_model::{Message, Position};
use hyperty_sync_manager::SyncManagerConfig;
use hyperty_syncher::{ChildrenHandle, DelegateError};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::bulk::{judge, large};
use crate::delegation::{PATIENCE, accepting, given, versions};
use crate::spy::{Spy, gate};
use crate::support::{Party, settled};

fn listed(handle: &ChildrenHandle) -> Vec<(String, serde_json::Value)> {
    handle.list().into_iter().map(|child| (child.id.as_str().to_owned(), child.data.clone())).collect()
}

fn is_part(message: &Message) -> bool {
    message.decode::<ReadBody>().is_ok_and(|body| body.part.is_some())
}

#[tokio::test(start_paused = true)]
async fn large_objects_and_their_children_are_given_in_parts_inv_dlg_2_inv_dlg_3() {
    for (bytes, children) in [(1_000_000, 3), (9_000_000, 10)] {
        let world = World::new(910);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = alice.create(large(bytes)).await;
        let mut copy = carol.observe(&board).await;
        for n in 0..children {
            let note = json!({"n": n, "text": "y".repeat(50_000)});
            board.children("notes").unwrap().add(note.clone()).await.unwrap();
            copy.children("notes").unwrap().add(note).await.unwrap();
        }
        board.set("n", 1).await.unwrap();
        let (data, notes) = (board.data(), listed(&board.children("notes").unwrap()));
        let spies = [Spy::on(alice.runtime.bus()), Spy::on(bob.runtime.bus())];
        let (mut former, report) = given(&board, &bob).await;
        assert_eq!((report.data(), report.position()), (data, Position::new(1, 2)));
        assert_eq!(listed(&report.children("notes").unwrap()), notes);
        let parts = spies.map(|spy| judge(&spy));
        assert!(parts[1] >= bytes / 50_000, "{parts:?}");
        report.set("topic", "b").await.unwrap();
        assert_eq!(versions(&mut copy, 3).await, [1, 2, 3]);
        settled(&mut former, 3).await;
        assert_eq!((copy.data(), former.data()), (report.data(), report.data()));
        assert_eq!(alice.runtime.stats().given, 1);
        // The new owner has all of it on its own disk.
        drop((former, board, report));
        alice.runtime.abort();
        let bob = bob.crash().await;
        let report = bob.reporter();
        assert_eq!((report.data(), report.position()), (copy.data(), Position::new(1, 3)));
        assert_eq!(listed(&report.children("notes").unwrap()), notes);
    }
}

/// The giving side crashes, and parts are lost, while the new owner fetches: what it has begun is of no use, and it
/// claims again.
#[tokio::test(start_paused = true)]
async fn a_large_gift_survives_a_crash_while_it_is_fetched_inv_dlg_7() {
    for lost_from in [1, 4, 9] {
        let world = World::new(920 + lost_from);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = alice.create(large(1_000_000)).await;
        let mut copy = carol.observe(&board).await;
        board.set("n", 1).await.unwrap();
        let (data, fetched) = (board.data(), Arc::new(AtomicU64::new(0)));
        let (count, stopped) = (Arc::clone(&fetched), Arc::new(tokio::sync::Notify::new()));
        let stop = Arc::clone(&stopped);
        gate(alice.runtime.bus(), move |direction, message| {
            let lost = direction == Direction::Incoming
                && is_part(message)
                && count.fetch_add(1, Ordering::SeqCst) + 1 >= lost_from;
            if lost {
                stop.notify_one();
            }
            !lost
        });
        let taking = accepting(&bob);
        let (from, to) = (board.clone(), bob.hyperty.url().clone());
        let giving = tokio::spawn(async move { from.delegate(&to).await });
        timeout(PATIENCE, stopped.notified()).await.expect("parts are fetched");
        giving.abort();
        drop(board);
        let alice = alice.crash().await;
        let report = timeout(PATIENCE, taking).await.expect("an end").unwrap();
        assert_eq!((report.data(), report.position()), (data, Position::new(1, 2)));
        sleep(Duration::from_secs(60)).await;
        assert!(alice.hyperty.reporters().iter().all(|reporter| reporter.is_closed()));
        report.set("topic", "b").await.unwrap();
        assert_eq!(versions(&mut copy, 3).await, [1, 2, 3]);
        let mut former = alice.observer();
        settled(&mut former, 3).await;
        assert_eq!(former.data(), report.data());
    }
}

/// Larger than anything that is sent in parts it cannot leave its runtime; it stays where it is (INV-DLG-5).
#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_parts_stays() {
    let world = World::new(930);
    let mut tight = SyncManagerConfig::default();
    tight.whole_bytes_max = 400_000;
    assert!(tight.whole_bytes_max < WHOLE_BYTES_MAX);
    let alice = Party::with(&world, "alice", |builder| builder.sync_manager(tight)).await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(large(385_000)).await;
    let offers = accepting(&bob);
    let refused = timeout(PATIENCE, board.delegate(bob.hyperty.url())).await.unwrap().unwrap_err();
    assert!(matches!(&refused, DelegateError::Refused { code, .. } if code.0 == 412), "{refused:?}");
    offers.abort();
    board.set("topic", "still hers").await.unwrap();
    assert_eq!(board.position(), Position::new(0, 1));
}
