//! What the backup of the domain does not keep, or keeps no longer (protocol 5.19).

use std::collections::BTreeSet;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_syncher::{CreateError, Reporter};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::backup::{AFTERWARDS, Device, GONE, is_backed_up, kept};
use crate::support::topic;
use crate::takeover::of_user;

/// A record of L - 1, of L, and of L + 1 bytes: the last one is not kept, the application sees that, and the object goes on.
#[tokio::test(start_paused = true)]
async fn a_record_larger_than_the_limit_is_not_kept_and_the_object_goes_on() {
    const L: usize = 20_000;
    let world = World::with_node(9308, |mut config| {
        config.limits.backup.record_bytes = L;
        config
    });
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(json!({"text": ""})).await;
    is_backed_up(&board).await;
    let fill = async |bytes: i64| {
        board.set("text", "x".repeat(usize::try_from(bytes).unwrap())).await.unwrap();
    };
    // How long it is without the text, at a version and a time of as many digits.
    fill(10_000).await;
    is_backed_up(&board).await;
    let base = i64::try_from(world.node().unwrap().stats().backup_bytes).unwrap() - 10_000;
    for (bytes, fits) in [(L - 1, true), (L, true), (L + 1, false), (10 * L, false), (L - 1, true)] {
        fill(i64::try_from(bytes).unwrap() - base).await;
        if fits {
            // What was refused is offered again after ten minutes.
            sleep(Duration::from_secs(700)).await;
            is_backed_up(&board).await;
            assert_eq!(world.node().unwrap().stats().backup_bytes, bytes as u64);
        } else {
            let before = phone.runtime.stats().backups_failed;
            sleep(Duration::from_secs(700)).await;
            assert!(board.backed_up() < Some(board.position()), "{bytes}");
            assert!(phone.runtime.stats().backups_failed > before);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_or_given_away_is_not_kept() {
    let world = World::new(9309);
    let phone = Device::new(&world, "phone", "alice").await;
    let bob = Party::new(&world, "bob").await;
    let (one, two) = (phone.create(topic("one")).await, phone.create(topic("two")).await);
    is_backed_up(&one).await;
    is_backed_up(&two).await;
    assert_eq!(kept(&world), 2);
    one.delete().await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(kept(&world), 1);
    let mut offers = bob.hyperty.delegations();
    let to = bob.hyperty.url().clone();
    let (given, taken) =
        tokio::join!(two.delegate(&to), async { offers.next().await.unwrap().accept().await });
    given.unwrap();
    let taken = taken.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(kept(&world), 0, "bob's runtime has no backup");
    taken.set("topic", "bob's").await.unwrap();
    phone.stop();
    sleep(GONE).await;
    let tablet = Device::new(&world, "tablet", "alice").await;
    timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
    let resumed = tablet.hyperty.resume_by(of_user("alice")).await.unwrap();
    assert!(resumed.reporters.is_empty() && resumed.missing.is_empty(), "{resumed:?}");
}

/// What is deleted while the node is away is not kept once it is back, and nobody goes on with it.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_out_of_reach_stays_deleted() {
    let world = World::new(9310);
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(topic("a")).await;
    is_backed_up(&board).await;
    world.cut("phone");
    let deleting = tokio::spawn(async move { board.delete().await });
    sleep(Duration::from_secs(10)).await;
    world.heal("phone");
    sleep(AFTERWARDS).await;
    deleting.abort();
    assert_eq!(kept(&world), 0);
    phone.stop();
    sleep(GONE).await;
    let tablet = Device::new(&world, "tablet", "alice").await;
    timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
    let resumed = tablet.hyperty.resume_by(of_user("alice")).await.unwrap();
    assert!(resumed.reporters.is_empty() && resumed.missing.is_empty(), "{resumed:?}");
}

/// Objects that no backup has are told to be missing; one that it has is not.
#[tokio::test(start_paused = true)]
async fn what_nobody_delivers_is_listed() {
    let world = World::new(9311);
    let phone = Device::new(&world, "phone", "alice").await;
    let schema = phone.runtime.schema(SCHEMA).unwrap();
    let kept = phone.create(topic("kept")).await;
    let bare = phone.hyperty.create(schema.clone()).store(true).backup(false).await.unwrap();
    is_backed_up(&kept).await;
    let lost = BTreeSet::from([bare.url().clone()]);
    phone.stop();
    sleep(GONE).await;
    let tablet = Device::new(&world, "tablet", "alice").await;
    timeout(AFTERWARDS, tablet.runtime.connected()).await.unwrap();
    let resumed = tablet.hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!(resumed.reporters.len(), 1);
    assert_eq!(resumed.missing.into_iter().collect::<BTreeSet<_>>(), lost);
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_cannot_be_had_is_refused_at_creation() {
    let world = World::new(9312);
    let refused = |created: Result<Reporter, CreateError>| match created {
        Err(CreateError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    let alice = Party::new(&world, "alice").await;
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let create = alice.hyperty.create(schema.clone()).backup(true);
    assert_eq!(refused(create.await), StatusCode::CONDITION, "no backup here");
    let phone = Device::new(&world, "phone", "alice").await;
    phone.runtime.schema(SCHEMA).unwrap();
    let create = phone.hyperty.create(schema.clone()).backup(true).domain_registration(false);
    assert_eq!(refused(create.await), StatusCode::CONDITION, "nobody could go on with it");
    let nobody = phone.runtime.deploy("nobody").await.unwrap();
    assert_eq!(refused(nobody.create(schema.clone()).backup(true).await), StatusCode::CONDITION, "whose?");
    // Where it is only usual, what cannot be kept is not.
    nobody.create(schema).store(true).await.unwrap();
    sleep(GONE).await;
    assert_eq!(kept(&world), 0);
}

/// What takes its time is answered with what is true by then (M6).
#[tokio::test(start_paused = true)]
async fn whoever_leaves_while_it_resumes_by_criteria_does_not_observe_inv_uns_1() {
    let world = World::new(9317);
    let alice = Party::new(&world, "alice").await;
    let phone = Device::new(&world, "phone", "bob").await;
    let board = alice.create(topic("a")).await;
    let copy = phone.hyperty.subscribe(board.url()).resumable(true).await.unwrap();
    world.cut("phone");
    let (hyperty, leaver) = (phone.hyperty.clone(), copy.clone());
    // The backup cannot be asked: that takes until the deadline of a peer.
    let resuming = async { hyperty.observe_by(of_user("bob")).await };
    let leaving = async {
        sleep(Duration::from_secs(1)).await;
        leaver.unsubscribe().await
    };
    let (resumed, left) = tokio::join!(resuming, leaving);
    left.unwrap();
    assert_eq!(resumed.unwrap().observers.len(), 0);
    assert!(phone.hyperty.observers().is_empty());
}
