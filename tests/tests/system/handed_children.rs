//! The children of an object that changes hands.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::world::{Link, World};
use hyperty_syncher::{ChildError, ChildrenHandle, Observer};
use serde_json::json;
use tokio::time::timeout;

use crate::handed::{PATIENCE, given, listed};
use crate::support::{Party, topic};
use crate::takeover::{of_user, second, stopped};

/// An operation on a child that waits for the former Reporter's side is the new one's to decide.
#[tokio::test(start_paused = true)]
async fn operations_under_way_go_on_when_their_writer_takes_the_object_over() {
    let world = World::new(9102);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let (tablet, hyperty) = second(&world, "tablet", &Arc::new(alice.tables.snapshot()), "alice").await;
    tablet.connected().await;
    let copy = hyperty.subscribe(board.url()).store(true).await.unwrap();
    world.cut("alice");
    let adding = copy.children("notes").unwrap().add(json!({"by": "tablet"}));
    tokio::time::sleep(Duration::from_secs(130)).await;
    let taken = hyperty.resume_by(of_user("alice")).await.unwrap();
    let report = &taken.reporters[0];
    let child = timeout(PATIENCE, adding.into_future()).await.expect("an answer").expect("it is taken");
    child.set("by", "the Reporter").await.unwrap();
    let held = report.children("notes").unwrap().list();
    assert_eq!(held.iter().map(|child| &child.data["by"]).collect::<Vec<_>>(), ["the Reporter"]);
    assert_eq!(listed(report), Vec::<String>::new());
}

/// Who wrote where observers only read may write no more as an observer, but delete what is its own, for everybody.
#[tokio::test(start_paused = true)]
async fn a_former_reporter_may_still_delete_what_it_wrote_inv_chd_1() {
    let world = World::new(9103);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let carols = carol.observe(&board).await;
    let news = board.children("news").unwrap();
    news.add(json!({"n": 1})).await.unwrap();
    news.add(json!({"n": 2})).await.unwrap();
    let (report, copy) = given(&board, &bob).await;

    let mine = copy.children("news").unwrap().mine();
    assert!(matches!(mine[0].set("n", 3).await, Err(ChildError::Refused { code, .. }) if code.0 == 403));
    mine[0].delete().await.expect("it is its own");
    tokio::time::sleep(PATIENCE).await;
    for list in [copy.children("news"), carols.children("news"), report.children("news")] {
        let left: Vec<_> = list.unwrap().list().into_iter().map(|child| child.data).collect();
        assert_eq!(left, [json!({"n": 2})]);
    }
}

/// What its writer did in a former session waits for the Reporter's side, which is this one now: it has it like everybody.
#[tokio::test(start_paused = true)]
async fn operations_of_a_former_session_are_the_writers_own_when_it_takes_over_inv_chd_7() {
    let world = World::new(9105);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Arc::new(alice.tables.snapshot());
    let (tablet, hyperty) = second(&world, "tablet", &tables, "alice").await;
    tablet.connected().await;
    let copy = hyperty.subscribe(board.url()).store(true).await.unwrap();
    let notes = copy.children("notes").unwrap();
    world.cut("alice");
    drop(notes.add(json!({"n": 1})));
    drop(notes.mine()[0].set("n", 2));
    tokio::time::sleep(Duration::from_secs(130)).await;
    let image = Arc::new(tables.snapshot());
    drop((notes, copy, hyperty));
    tablet.abort();

    let (tablet, hyperty) = second(&world, "tablet", &image, "alice").await;
    tablet.connected().await;
    let again = hyperty.resume().await.unwrap();
    let observed = again.observers[0].children("notes").unwrap().list();
    assert_eq!(observed[0].data, json!({"n": 2}), "its own, as it left it");
    let taken = hyperty.resume_by(of_user("alice")).await.unwrap();
    let notes = taken.reporters[0].children("notes").unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(notes.list()[0].data, json!({"n": 2}));
    notes.mine()[0].set("n", 3).await.expect("it goes on from there");
}

/// observer beside it shows it once the object is the heir's (M18, decision 0010).
#[tokio::test(start_paused = true)]
async fn what_the_former_reporter_never_took_goes_when_the_object_is_given_inv_chd_1() {
    let world = World::new(9104);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let dave = Party::new(&world, "dave").await;
    let board = alice.create(topic("a")).await;
    let beside = bob.runtime.deploy("beside").await.unwrap();
    let copies = [bob.observe(&board).await, beside.subscribe(board.url()).await.unwrap()];
    let daves = dave.observe(&board).await.children("notes").unwrap();
    let first = daves.add(json!({"n": 1})).await.unwrap();

    world.set_link("alice", Link::Silent);
    drop(first.set("n", 2));
    drop(daves.add(json!({"n": 3})));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = |copy: &Observer| copy.children("notes").unwrap().list().len();
    assert_eq!(copies.iter().map(told).collect::<Vec<_>>(), [2, 2], "they were told directly");
    stopped(dave);
    world.set_link("alice", Link::Up);
    let (report, former) = given(&board, &bob).await;
    let lists = || {
        let of = |children: ChildrenHandle| -> Vec<_> {
            children.list().into_iter().map(|child| (child.version, child.data)).collect()
        };
        [report.children("notes"), copies[1].children("notes"), former.children("notes")]
            .map(|c| of(c.unwrap()))
    };
    tokio::time::sleep(PATIENCE).await;
    for list in lists() {
        assert_eq!(list, [(0, json!({"n": 1}))]);
    }
}
