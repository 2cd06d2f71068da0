//! Crashes and long absences around the backup (protocol 5.19, 5.10): of who takes over after each of its messages, of the
//! node, and days later; and observations on another device.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::world::World;
use hyperty_model::Position;
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables};
use hyperty_syncher::{Criteria, ResumeError};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::backup::{AFTERWARDS, Device, GONE, backed_up, is_backed_up, kept, same};
use crate::delegation_crash::stop_after;
use crate::support::topic;
use crate::takeover::{of_user, user};

/// The taker stops after each of its messages; then it, or another device, goes on: with everything that was saved, and
/// there is one owner.
#[tokio::test(start_paused = true)]
async fn the_taker_crashes_after_each_message_inv_res_7() {
    let mut before_the_end = 0;
    for after in 0..16 {
        let world = World::new(9_320 + after);
        let phone = Device::new(&world, "phone", "alice").await;
        let bob = Party::new(&world, "bob").await;
        let board = phone.create(topic("a")).await;
        let url = board.url().clone();
        let copy = bob.observe(&board).await;
        board.set("n", 3).await.unwrap();
        is_backed_up(&board).await;
        let image = phone.stop();
        sleep(GONE).await;

        let tablet = Device::new(&world, "tablet", "alice").await;
        timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
        let stopped = stop_after(&tablet.runtime, after);
        let resuming = tablet.hyperty.resume_by(of_user("alice"));
        tokio::select! {
            biased;
            () = stopped.notified() => before_the_end += 1,
            resumed = resuming => drop(resumed.unwrap()),
        }
        let tablet = if after % 2 == 0 {
            // The same device, over what it had stored by then.
            tablet.crash(&world).await
        } else {
            tablet.stop();
            sleep(GONE).await;
            Device::new(&world, "watch", "alice").await
        };
        timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
        sleep(GONE).await;
        let mut all = tablet.hyperty.reporters();
        if all.is_empty() {
            let resumed = tablet.hyperty.resume_by(of_user("alice")).await.unwrap();
            assert!(resumed.missing.is_empty(), "after {after} messages {resumed:?}");
            all = resumed.reporters;
        }
        assert_eq!(all.len(), 1, "after {after} messages");
        let board = &all[0];
        assert_eq!(board.url(), &url);
        assert_eq!(board.with_data(|data| data["n"].clone()), json!(3), "after {after} messages");
        timeout(AFTERWARDS, board.set("topic", "b")).await.unwrap().unwrap();
        same(&copy, board).await;
        // INV-RES-5: the first device, if it comes back, is none of the owners.
        let phone = Device::over(&world, "phone", "alice", image).await;
        sleep(AFTERWARDS).await;
        let open = phone.hyperty.reporters().into_iter().filter(|reporter| !reporter.is_closed()).count();
        assert_eq!(open, 0, "after {after} messages");
        timeout(AFTERWARDS, board.set("topic", "c")).await.unwrap().unwrap();
        same(&copy, board).await;
    }
    assert!(before_the_end > 4, "the crash came before the end {before_the_end} times only");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_node_loses_no_record_and_what_was_due_is_saved_after_it() {
    let world = World::new(9305);
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(topic("a")).await;
    is_backed_up(&board).await;
    world.stop_node();
    board.set("topic", "while the node was away").await.unwrap();
    sleep(GONE).await;
    assert_eq!(board.backed_up(), Some(Position::new(0, 0)));
    world.start_node();
    is_backed_up(&board).await;
    phone.stop();
    world.stop_node();
    world.start_node();
    sleep(GONE).await;
    let tablet = Device::new(&world, "tablet", "alice").await;
    timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
    // Between the list and the end of the takeover.
    let stopped = stop_after(&tablet.runtime, 4);
    let resuming = tablet.hyperty.resume_by(of_user("alice"));
    tokio::select! {
        biased;
        () = stopped.notified() => {}
        _ = resuming => {}
    }
    world.stop_node();
    world.start_node();
    let tablet = tablet.crash(&world).await;
    sleep(GONE).await;
    let board = match tablet.hyperty.reporters().first() {
        Some(board) => board.clone(),
        None => tablet.take_over().await,
    };
    assert_eq!(board.data(), topic("while the node was away"));
}

/// Long after the registration was forgotten the address is still the lost device's: the user may go on.
#[tokio::test(start_paused = true)]
async fn days_later_another_device_still_goes_on() {
    let world = World::new(9314);
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(topic("a")).await;
    let url = board.url().clone();
    is_backed_up(&board).await;
    phone.stop();
    sleep(GONE).await;
    world.pass(Duration::from_secs(3 * 24 * 3600)).await;
    assert!(world.node().unwrap().registration(url.as_url()).is_none(), "nobody remembers it");
    let tablet = Device::new(&world, "tablet", "alice").await;
    let board = tablet.take_over().await;
    board.set("topic", "b").await.unwrap();
    is_backed_up(&board).await;
    let record = world.node().unwrap().registration(url.as_url()).unwrap();
    assert_eq!((record.epoch, record.user), (1, Some(user("alice"))));
    let criteria = Criteria::default().resources([url]);
    assert_eq!(tablet.hyperty.resume_by(criteria).await.unwrap().reporters.len(), 1);
}

/// INV-RES-2 over a backup: who observed on a lost device observes on the next, with routes of its own at the node.
#[tokio::test(start_paused = true)]
async fn an_observation_is_gone_on_with_on_another_device_inv_res_2() {
    let world = World::new(9313);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let other = alice.create(topic("other")).await;
    let phone = Device::new(&world, "phone", "bob").await;
    let copy = phone.hyperty.subscribe(board.url()).store(true).await.unwrap();
    let second = phone.hyperty.subscribe(other.url()).backup(true).await.unwrap();
    let third = phone.hyperty.subscribe(other.url()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(kept(&world), 2);
    // Changes are no reason to save it again.
    let saves = phone.runtime.stats().backed_up;
    for n in 0..20 {
        board.set("n", n).await.unwrap();
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(phone.runtime.stats().backed_up, saves);
    drop((copy, second, third));
    phone.stop();
    sleep(GONE).await;
    board.set("topic", "meanwhile").await.unwrap();

    let tablet = Device::new(&world, "tablet", "bob").await;
    timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
    let routes = world.node().unwrap().stats().routes;
    let resumed = tablet.hyperty.resume_by(of_user("bob")).await.unwrap();
    assert_eq!((resumed.observers.len(), resumed.reporters.len(), resumed.missing.len()), (2, 0, 0));
    assert!(world.node().unwrap().stats().routes > routes, "its routes are at the node");
    let copy = resumed.observers.iter().find(|copy| copy.url() == board.url()).unwrap();
    same(copy, &board).await;
    board.set("topic", "afterwards").await.unwrap();
    same(copy, &board).await;
    // The records are this device's now, and the lost one's are gone.
    sleep(Duration::from_secs(30)).await;
    assert_eq!(kept(&world), 2);
    let again = tablet.hyperty.resume_by(of_user("bob")).await.unwrap();
    assert_eq!(again.observers.len(), 2, "INV-RES-3");
    copy.clone().unsubscribe().await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(kept(&world), 1, "who has left is not kept");
    // What is deleted meanwhile is nobody's to observe.
    tablet.stop();
    other.delete().await.unwrap();
    sleep(GONE).await;
    let watch = Device::new(&world, "watch", "bob").await;
    timeout(AFTERWARDS, watch.runtime.connected()).await.unwrap();
    let resumed = watch.hyperty.resume_by(of_user("bob")).await;
    assert!(resumed.is_err() || resumed.is_ok_and(|all| all.observers.is_empty()));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(kept(&world), 0);
}

/// A device whose store hangs takes nothing: what it cannot keep it does not claim, and whoever has the object keeps it.
#[tokio::test(start_paused = true)]
async fn a_taker_that_cannot_keep_an_object_leaves_it_where_it_is() {
    let world = World::new(9330);
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(topic("a")).await;
    let url = board.url().clone();
    board.set("n", 3).await.unwrap();
    is_backed_up(&board).await;
    let image = phone.stop();
    sleep(GONE).await;

    let tables = Arc::new(FaultyTables::new(MemoryTables::new(), FaultPlan::default()));
    let tablet = world.runtime_with("tablet", &tables, backed_up).await;
    let hyperty = tablet.deploy("tablet").user(&user("alice")).await.unwrap();
    timeout(AFTERWARDS, tablet.connected()).await.unwrap();
    tables.freeze();
    let refused = hyperty.resume_by(of_user("alice")).await.unwrap_err();
    assert_eq!(refused, ResumeError::Timeout);
    assert_eq!(world.node().unwrap().registration(url.as_url()).unwrap().epoch, 0);
    tablet.abort();
    sleep(GONE).await;

    let phone = Device::over(&world, "phone", "alice", image).await;
    sleep(AFTERWARDS).await;
    let board = phone.hyperty.reporters().into_iter().find(|board| !board.is_closed()).expect("it is there");
    assert_eq!((board.url(), board.with_data(|data| data["n"].clone())), (&url, json!(3)));
    timeout(AFTERWARDS, board.set("n", 4)).await.unwrap().unwrap();
}
