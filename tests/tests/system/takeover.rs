//! Another hyperty of the same user takes an object over (protocol 5.10.1): in the same runtime after a crash, with
//! observers elsewhere that follow without an action of their own.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_model::{Identity, StatusCode};
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables};
use hyperty_syncher::{Criteria, Reporter, ReporterEvent, ResumeError, WriteError};
use serde_json::json;
use tokio::time::sleep;

use crate::support::{settled, topic};

pub(crate) fn user(name: &str) -> String {
    format!("user://{DOMAIN}/{name}")
}

pub(crate) fn of_user(name: &str) -> Criteria {
    Criteria::default().identity(Identity::of_user(&user(name)))
}

/// A runtime over what another had stored, in which its hyperty is not deployed, but one of another name.
pub(crate) async fn second(
    world: &World,
    name: &'static str,
    tables: &Arc<MemoryTables>,
    owner: &str,
) -> (Runtime, Hyperty) {
    let runtime = world.runtime(name, tables).await;
    runtime.schema(SCHEMA).unwrap();
    let hyperty = runtime.deploy("second").user(&user(owner)).await.unwrap();
    (runtime, hyperty)
}

/// Stops a runtime hard; what it had stored.
pub(crate) fn stopped(party: Party) -> Arc<MemoryTables> {
    let image = Arc::new(party.tables.snapshot());
    party.runtime.abort();
    image
}

/// Lets the next one in who wants to observe.
async fn accept_one(reporter: &Reporter) -> bool {
    let mut events = reporter.events();
    while let Some(event) = events.next().await {
        if let ReporterEvent::Subscription(request) = event {
            request.accept();
            return true;
        }
    }
    false
}

#[tokio::test(start_paused = true)]
async fn another_hyperty_of_the_user_takes_over_and_observers_follow_inv_res_1() {
    let world = World::new(9001);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let url = board.url().clone();
    let mut copy = bob.observe(&board).await;
    board.set("topic", "b").await.unwrap();
    settled(&mut copy, 1).await;
    drop(board);
    let tables = stopped(alice);

    let (runtime, hyperty) = second(&world, "alice", &tables, "alice").await;
    assert!(hyperty.resumed().reporters.is_empty(), "without criteria everybody has what is its own");
    runtime.connected().await;
    let resumed = hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!((resumed.reporters.len(), resumed.missing.len()), (1, 0));
    let board = &resumed.reporters[0];
    assert_eq!((board.url(), board.data()), (&url, topic("b")));
    assert_eq!(
        (board.position().epoch, board.position().version),
        (1, 2),
        "a new epoch, one change: the owner"
    );
    board.set("topic", "c").await.unwrap();
    settled(&mut copy, 3).await;
    while copy.position().epoch == 0 || copy.data() != topic("c") {
        copy.next_event().await.unwrap();
    }
    assert_eq!(copy.position(), board.position());
    // INV-RES-3: twice is once.
    let again = hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!((again.reporters.len(), again.reporters[0].position().epoch), (1, 1));
    // INV-REG-4: the registry names the new Reporter.
    let record = world.node().unwrap().registration(url.as_url()).unwrap();
    assert_eq!((record.reporter.as_ref(), record.epoch), (Some(hyperty.url()), 1));

    // The former hyperty comes back: there is nothing left that is its own.
    let former = runtime.deploy("app").user(&user("alice")).await.unwrap();
    assert!(former.resumed().reporters.is_empty());
}

/// The user of a hyperty is no criterion that it has not named: nobody has to be asked for what is its own.
#[tokio::test(start_paused = true)]
async fn what_is_its_own_is_resumed_without_a_node() {
    let world = World::new(9010);
    let tables = Arc::new(MemoryTables::new());
    let deployed = async |tables: &Arc<MemoryTables>| second(&world, "alice", tables, "alice").await;
    let (runtime, hyperty) = deployed(&tables).await;
    runtime.connected().await;
    let schema = runtime.schema(SCHEMA).unwrap();
    hyperty.create(schema).name("board").data(topic("a")).store(true).await.unwrap();
    let image = Arc::new(tables.snapshot());
    runtime.abort();
    world.stop_node();
    let (_runtime, hyperty) = deployed(&image).await;
    assert_eq!(hyperty.resumed().reporters[0].data(), topic("a"));
}

#[tokio::test(start_paused = true)]
async fn a_takeover_survives_a_crash_of_its_runtime() {
    let world = World::new(9002);
    let alice = Party::new(&world, "alice").await;
    let url = alice.create(topic("a")).await.url().clone();
    let tables = stopped(alice);
    let (runtime, hyperty) = second(&world, "alice", &tables, "alice").await;
    runtime.connected().await;
    let taken = hyperty.resume_by(Criteria::default().resources([url.clone()])).await.unwrap();
    taken.reporters[0].set("topic", "b").await.unwrap();
    let image = Arc::new(tables.snapshot());
    runtime.abort();
    drop((taken, hyperty, runtime));
    let (_runtime, hyperty) = second(&world, "alice", &image, "alice").await;
    let board = &hyperty.resumed().reporters[0];
    assert_eq!((board.url(), board.data(), board.position().epoch), (&url, topic("b"), 1));
}

/// INV-RES-4: nothing of another user is returned, listed, or taken.
#[tokio::test(start_paused = true)]
async fn nobody_takes_what_is_another_users() {
    let world = World::new(9003);
    let alice = Party::new(&world, "alice").await;
    let url = alice.create(topic("a")).await.url().clone();
    let tables = stopped(alice);
    let (runtime, mallory) = second(&world, "alice", &tables, "mallory").await;
    runtime.connected().await;
    let forged = mallory.resume_by(of_user("alice")).await.unwrap_err();
    assert!(matches!(forged, ResumeError::Refused { code: StatusCode::FORBIDDEN, .. }), "{forged}");
    for criteria in [of_user("mallory"), Criteria::default().resources([url.clone()])] {
        let found = mallory.resume_by(criteria).await.unwrap();
        assert!(found.reporters.is_empty() && found.observers.is_empty() && found.missing.is_empty());
    }
    // Neither does one whose user nobody knows.
    let nobody = runtime.deploy("nobody").await.unwrap();
    let found = nobody.resume_by(Criteria::default().resources([url.clone()])).await.unwrap();
    assert!(found.reporters.is_empty());
    let record = world.node().unwrap().registration(url.as_url()).unwrap();
    assert_eq!(record.epoch, 0);
    // It is still there for its owner.
    let owner = runtime.deploy("app").user(&user("alice")).await.unwrap();
    assert_eq!(owner.resumed().reporters[0].url(), &url);
}

#[tokio::test(start_paused = true)]
async fn criteria_choose_by_schema_resource_metadata_and_data() {
    let world = World::new(9004);
    let alice = Party::new(&world, "alice").await;
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let mut urls = Vec::new();
    for (name, n) in [("one", 1), ("two", 2), ("three", 3)] {
        let create = alice.hyperty.create(schema.clone()).name(name).data(json!({"n": n, "more": {"m": n}}));
        urls.push(create.store(true).await.unwrap().url().clone());
    }
    let tables = stopped(alice);
    let (runtime, hyperty) = second(&world, "alice", &tables, "alice").await;
    runtime.connected().await;
    let elsewhere = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Other".parse().unwrap();
    let name = |name: &str| json!({ "name": name }).as_object().unwrap().clone();
    for (criteria, expected) in [
        (Criteria::default().schema(elsewhere), vec![]),
        (Criteria::default().data(json!({"more": {"m": 4}})), vec![]),
        (Criteria::default().like(name("two")), vec![1]),
        (Criteria::default().data(json!({"more": {"m": 3}})), vec![2]),
        (Criteria::default().schema(schema), vec![0, 1, 2]),
    ] {
        let resumed = hyperty.resume_by(criteria.clone()).await.unwrap();
        let mut found: Vec<_> = resumed.reporters.iter().map(|reporter| reporter.url().clone()).collect();
        let mut wanted: Vec<_> = expected.iter().map(|at| urls[*at].clone()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{criteria:?}");
    }
}

/// An object without registration can be taken over in its own runtime only; there nobody else decides.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_registered_is_taken_over_in_its_runtime_without_a_node() {
    let world = World::new(9005);
    let alice = Party::new(&world, "alice").await;
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let create = alice.hyperty.create(schema).domain_registration(false).domain_routing(false).store(true);
    let url = create.await.unwrap().url().clone();
    let tables = stopped(alice);
    world.stop_node();
    let (_runtime, hyperty) = second(&world, "alice", &tables, "alice").await;
    let resumed = hyperty.resume_by(Criteria::default().resources([url.clone()])).await.unwrap();
    assert_eq!((resumed.reporters[0].url(), resumed.reporters[0].position().epoch), (&url, 1));
}

/// Without the registry's yes nobody takes over what is registered: it says who has the latest epoch.
#[tokio::test(start_paused = true)]
async fn without_the_registry_nothing_that_is_registered_is_taken_over() {
    let world = World::new(9006);
    let alice = Party::new(&world, "alice").await;
    let url = alice.create(topic("a")).await.url().clone();
    let tables = stopped(alice);
    world.cut("alice");
    let (runtime, hyperty) = second(&world, "alice", &tables, "alice").await;
    let refused = hyperty.resume_by(Criteria::default().resources([url.clone()])).await.unwrap_err();
    assert!(matches!(refused, ResumeError::Refused { .. } | ResumeError::Timeout), "{refused}");
    world.heal("alice");
    runtime.connected().await;
    let resumed = hyperty.resume_by(Criteria::default().resources([url.clone()])).await.unwrap();
    assert_eq!(resumed.reporters.len(), 1);
}

/// A former Reporter that comes back finds a higher epoch: it reports no longer, and hears what is lost.
#[tokio::test(start_paused = true)]
async fn a_former_reporter_stands_down_and_is_told_what_is_lost_inv_res_5() {
    let world = World::new(9007);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let url = board.url().clone();
    board.set("topic", "b").await.unwrap();
    let mut copy = bob.observe(&board).await;
    // A second device with the same store as of now, as a backup would give it.
    let image = Arc::new(alice.tables.snapshot());
    world.cut("alice");
    sleep(Duration::from_secs(120)).await;
    for text in ["lost", "lost too"] {
        board.set("topic", text).await.unwrap();
    }
    let (tablet, hyperty) = second(&world, "tablet", &image, "alice").await;
    tablet.connected().await;
    let taken = hyperty.resume_by(of_user("alice")).await.unwrap();
    let new = &taken.reporters[0];
    assert_eq!((new.url(), new.data(), new.position().epoch), (&url, topic("b"), 1));
    new.set("topic", "c").await.unwrap();

    let mut events = board.events();
    world.heal("alice");
    let (epoch, reporter, unpublished) = loop {
        let event = tokio::time::timeout(Duration::from_secs(600), events.next()).await.unwrap();
        if let ReporterEvent::Deposed { epoch, reporter, unpublished } = event.unwrap() {
            break (epoch, reporter, unpublished);
        }
    };
    assert_eq!((epoch, reporter.as_ref()), (1, Some(hyperty.url())));
    let lost: Vec<_> = unpublished.unwrap().iter().map(|change| change.value().cloned().unwrap()).collect();
    assert_eq!(lost, [json!("lost"), json!("lost too")]);
    assert!(events.next().await.is_none());
    assert_eq!(board.set("topic", "d").await.unwrap_err(), WriteError::Deposed { epoch: 1 });
    // Nobody saw what it published to nobody; the observer has the new owner's state.
    settled(&mut copy, 3).await;
    while copy.data() != topic("c") {
        copy.next_event().await.unwrap();
    }
    // It may observe.
    let mut mine = loop {
        let subscribing = alice.hyperty.subscribe(&url);
        let (deciding, mine) = tokio::join!(accept_one(new), subscribing);
        assert!(deciding);
        if let Ok(mine) = mine {
            break mine;
        }
    };
    assert_eq!(mine.data(), topic("c"));
    new.set("topic", "e").await.unwrap();
    settled(&mut mine, 4).await;
    // And its runtime does not bring the object back after a restart.
    drop((board, events));
    let alice = alice.crash().await;
    assert!(alice.hyperty.resumed().reporters.is_empty());
}

/// What was offered when it went on elsewhere is nobody's to keep: the end of the offer writes nothing.
#[tokio::test(start_paused = true)]
async fn an_offer_that_ends_behind_a_takeover_does_not_bring_the_object_back_inv_res_5() {
    let world = World::new(9011);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let image = Arc::new(alice.tables.snapshot());
    world.cut("alice");
    sleep(Duration::from_secs(120)).await;
    let (tablet, hyperty) = second(&world, "tablet", &image, "alice").await;
    tablet.connected().await;
    let taken = hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!(taken.reporters.len(), 1);

    let (to, offering) = (bob.hyperty.url().clone(), board.clone());
    let offer = tokio::spawn(async move { offering.delegate(&to).await });
    sleep(Duration::from_secs(1)).await;
    let mut events = board.events();
    world.heal("alice");
    let deposed =
        async { while !matches!(events.next().await, None | Some(ReporterEvent::Deposed { .. })) {} };
    tokio::time::timeout(Duration::from_secs(600), deposed).await.unwrap();
    assert!(offer.await.unwrap().is_err());
    // Longer than an offer lasts.
    sleep(Duration::from_secs(300)).await;
    drop((board, events));
    let alice = alice.crash().await;
    assert!(alice.hyperty.resumed().reporters.is_empty());
}

/// What cannot be kept in time is told to be missing, and then nothing of it is left: neither here nor in the Reporter's
/// list.
#[tokio::test(start_paused = true)]
async fn an_observation_that_is_not_kept_in_time_is_not_gone_on_with_later() {
    let world = World::new(9410);
    let bob = Party::new(&world, "bob").await;
    let board = bob.create(topic("a")).await;
    let tables = Arc::new(FaultyTables::new(MemoryTables::new(), FaultPlan::default()));
    let runtime = world.runtime("alice", &tables).await;
    let phone = runtime.deploy("phone").user(&user("alice")).await.unwrap();
    let tablet = runtime.deploy("tablet").user(&user("alice")).await.unwrap();
    let copy = phone.subscribe(board.url()).store(true).await.unwrap();
    tables.freeze();
    let resumed = tablet.resume_by(of_user("alice")).await;
    assert!(resumed.as_ref().is_ok_and(|all| all.missing == [board.url().clone()]), "{resumed:?}");
    tables.thaw();
    sleep(Duration::from_secs(60)).await;
    let listed: Vec<_> = board.observers().into_iter().map(|entry| entry.url).collect();
    assert_eq!(listed, [phone.url().clone()]);
    // Asked for again it is there.
    let resumed = tablet.resume_by(of_user("alice")).await.unwrap();
    assert_eq!((resumed.observers.len(), board.observers().len()), (1, 2));
    drop(copy);
}
