//! What is sent is kept first: a store that is slow holds it back, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::protocol::runtime::attach;
use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_storage::{DataObjectStorage, MemoryTables, ObjectStore, Role};
use hyperty_syncher::{Accept, ChildError};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::held::Held;
use crate::support::{board_in, topic};

const A_WHILE: Duration = Duration::from_secs(1);

/// What takes so long by the wall clock, and is milliseconds of work, does not end.
const BUSY: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn an_operation_on_a_child_is_kept_before_it_is_sent_inv_dom_5() {
    let world = World::new(50);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("bob", &tables).await;
    runtime.schema(SCHEMA).unwrap();
    let bob = runtime.deploy("app").await.unwrap();
    let copy = bob.subscribe(board.url()).store(true).await.unwrap();

    tables.hold();
    let notes = copy.children("notes").unwrap();
    let mut adding = std::pin::pin!(std::future::IntoFuture::into_future(notes.add(json!({"n": 1}))));
    assert!(timeout(A_WHILE, &mut adding).await.is_err(), "answered before it is kept");
    assert!(board.children("notes").unwrap().list().is_empty(), "sent before it is kept");
    tables.let_go();
    let child = timeout(A_WHILE, adding).await.expect("an answer in time").unwrap();
    assert_eq!(board.children("notes").unwrap().list()[0].id.to_string(), child.id());
}

/// Ids of children are counted for each name. That one child waits for the Reporter's disk is no reason to ask again
/// for another of the same id that is refused, again and again without a pause.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_while_a_child_of_another_name_waits_inv_chd_1() {
    let world = World::new(53);
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let (_alice, board) = board_in(&runtime).await;
    let bob = Party::new(&world, "bob").await;
    drop(bob.observe(&board).await);
    // Whoever comes back has not read the schema yet, and leaves it to the Reporter's side to refuse.
    let bob = bob.crash().await;
    let copy = bob.observer();

    tables.hold();
    let waiting = copy.children("notes").unwrap().add(json!({"n": 1}));
    let refused = copy.children("news").unwrap().add(json!({"n": 2})).into_future();
    // The paused clock stands as long as anything runs: only the wall clock tells who is busy for ever.
    let (tell, busy) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(BUSY);
        tell.send(())
    });
    let answer = tokio::select! {
        biased;
        _ = busy => panic!("asked again and again without a pause"),
        (answer, ()) = async { tokio::join!(refused, tokio::time::sleep(A_WHILE)) } => answer,
    };
    assert!(matches!(answer, Err(ChildError::Refused { code: StatusCode::FORBIDDEN, .. })));
    tables.let_go();
    timeout(A_WHILE, waiting.into_future()).await.expect("an answer in time").unwrap();
}

/// An operation that an observer's store did not keep is refused, was shown to nobody else, and is taken back here.
#[tokio::test(start_paused = true)]
async fn an_operation_on_a_child_that_is_not_kept_is_refused() {
    let world = World::new(52);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("bob", &tables).await;
    runtime.schema(SCHEMA).unwrap();
    let bob = runtime.deploy("app").await.unwrap();
    let copy = bob.subscribe(board.url()).store(true).await.unwrap();
    let neighbour = runtime.deploy("neighbour").await.unwrap();
    let beside = neighbour.subscribe(board.url()).await.unwrap();

    tables.hold();
    let notes = copy.children("notes").unwrap();
    let mut adding = std::pin::pin!(std::future::IntoFuture::into_future(notes.add(json!({"n": 1}))));
    assert!(timeout(A_WHILE, &mut adding).await.is_err(), "answered before it is kept");
    tables.fail();
    let refused = timeout(A_WHILE, adding).await.expect("an answer in time");
    assert!(matches!(&refused, Err(ChildError::Refused { code: StatusCode::INTERNAL, .. })), "{refused:?}");
    let again = timeout(A_WHILE, notes.add(json!({"n": 2})).into_future()).await.expect("an answer in time");
    assert!(matches!(&again, Err(ChildError::Refused { .. })), "{again:?}");
    tokio::time::sleep(A_WHILE).await;
    for seen in [board.children("notes").unwrap(), notes, beside.children("notes").unwrap()] {
        assert!(seen.list().is_empty(), "{:?}", seen.list());
    }
    // The copy itself goes on.
    board.set("topic", "b").await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(copy.data(), topic("b"));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_durable_before_it_is_published_inv_dom_7() {
    let world = World::new(51);
    let bob = Party::new(&world, "bob").await;
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let schema = runtime.schema(SCHEMA).unwrap();
    let alice = runtime.deploy("app").await.unwrap();
    let accept = Accept::All;
    let board = alice.create(schema).name("b").data(topic("a")).store(true).accept(accept).await.unwrap();
    let mut copy = bob.observe(&board).await;

    tables.hold();
    let mut commit = std::pin::pin!(std::future::IntoFuture::into_future(board.set("topic", "b")));
    assert!(timeout(A_WHILE, &mut commit).await.is_err(), "acknowledged before it is durable");
    assert_eq!((board.version(), copy.version()), (1, 0), "published before it is durable");
    tables.let_go();
    timeout(A_WHILE, commit).await.expect("an answer in time").unwrap();
    let change = timeout(A_WHILE, copy.next()).await.expect("a change in time").unwrap();
    assert_eq!(change.version, 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_a_deletion_before_it_is_kept_inv_res_7() {
    let world = World::new(53);
    let bob = Party::new(&world, "bob").await;
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let schema = runtime.schema(SCHEMA).unwrap();
    let alice = runtime.deploy("app").await.unwrap();
    let accept = Accept::All;
    let board = alice.create(schema).name("b").data(topic("a")).store(true).accept(accept).await.unwrap();
    let mut copy = bob.observe(&board).await;

    tables.hold();
    let mut deleting = Box::pin(board.delete());
    assert!(timeout(A_WHILE, &mut deleting).await.is_err(), "deleted before that is kept");
    let read = bob.hyperty.read(board.url()).await.expect_err("it is about to be deleted");
    assert_eq!(read, hyperty_syncher::ReadError::Timeout, "a crash may bring it back");
    assert!(timeout(A_WHILE, copy.next_event()).await.is_err(), "told before it is kept");
    tables.let_go();
    timeout(10 * A_WHILE, deleting).await.expect("an answer in time").unwrap();
    assert_eq!(copy.next_event().await, Some(hyperty_syncher::ObserverEvent::Deleted));
}

/// A crash right after an observer has heard that the object is deleted does not bring it back.
#[tokio::test(start_paused = true)]
async fn that_an_observation_has_ended_is_written_before_its_observer_hears_of_it_inv_del_3() {
    const GUEST: &str = "hyperty://example.com/guest";
    let world = World::new(55);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Arc::new(MemoryTables::new());
    let runtime = world.runtime("bob", &tables).await;
    runtime.schema(SCHEMA).unwrap();
    // What is written by the time at which it is told, and not a moment later.
    let (disk, then) = (Arc::clone(&tables), Arc::new(Mutex::new(None)));
    let told = Arc::clone(&then);
    let receive = move |frame: bytes::Bytes| {
        let message: Value = serde_json::from_slice(&frame).unwrap();
        if message["type"] == "delete" {
            *told.lock() = Some(disk.snapshot());
        }
    };
    let post = attach(runtime.bus(), GUEST, Box::new(receive)).unwrap();
    let body = json!({"resource": board.url(), "store": true});
    let to = format!("{}/sm", runtime.url());
    let subscribe = json!({"id": 1, "type": "subscribe", "from": GUEST, "to": to, "body": body});
    post(subscribe.to_string().into());
    tokio::time::sleep(A_WHILE).await;
    let observed =
        |tables: MemoryTables| ObjectStore::new(Arc::new(tables)).load(Role::Observer).unwrap().len();
    assert_eq!(observed(tables.snapshot()), 1);
    board.delete().await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    let then = then.lock().take().expect("the observer hears of it");
    assert_eq!(observed(then), 0);
}

/// A child operation is seen by nobody (a new observer, a reader, one that comes back) before a crash cannot undo it.
#[tokio::test(start_paused = true)]
async fn nobody_sees_a_child_before_it_is_kept_inv_dom_7() {
    let world = World::new(54);
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let (_alice, board) = board_in(&runtime).await;
    let notes = board.children("notes").unwrap();
    let changed = notes.add(json!({"n": 1})).await.unwrap();
    let deleted = notes.add(json!({"n": 2})).await.unwrap();
    let bob = Party::new(&world, "bob").await;
    let copy = bob.observe(&board).await;
    let before = copy.children("notes").unwrap().list();
    assert_eq!(before.len(), 2);

    for fails in [false, true] {
        tables.hold();
        let mut waiting: Vec<futures_util::future::BoxFuture<'_, bool>> = vec![];
        if !fails {
            let (delete, set) = (deleted.delete().into_future(), changed.set("n", 5).into_future());
            waiting.push(Box::pin(async move { set.await.is_ok() }));
            waiting.push(Box::pin(async move { delete.await.is_ok() }));
        }
        let add = notes.add(json!({"n": 3})).into_future();
        waiting.push(Box::pin(async move { add.await.is_ok() }));
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "answered before it is kept");
        let seen = copy.children("notes").unwrap().list();
        let late = Party::new(&world, if fails { "dave" } else { "carol" }).await;
        let observer = late.hyperty.subscribe(board.url()).await.unwrap();
        assert_eq!(
            observer.children("notes").unwrap().list(),
            seen,
            "shown to a new observer before it is kept"
        );
        let read = late.hyperty.read(board.url()).await.unwrap();
        let mut ids: Vec<_> =
            read.children.iter().map(|(_, id, child)| (id.to_string(), child.value.version)).collect();
        ids.sort();
        let mut expected: Vec<_> = seen.iter().map(|seen| (seen.id.to_string(), seen.version)).collect();
        expected.sort();
        assert_eq!(ids, expected, "read before it is kept");
        if fails {
            tables.fail()
        } else {
            tables.let_go()
        }
        let done = timeout(A_WHILE, waiting).await.expect("answers in time");
        assert!(done.iter().all(|done| *done != fails), "{done:?}");
        tokio::time::sleep(A_WHILE).await;
        let now = copy.children("notes").unwrap().list();
        assert_eq!(now == seen, fails, "{now:?}");
        assert_eq!(notes.list(), now, "the Reporter has what its observers have");
        assert_eq!(observer.children("notes").unwrap().list(), now);
        let read = late.hyperty.read(board.url()).await.unwrap();
        assert_eq!(read.children.len(), now.len(), "what was not kept is not read afterwards");
    }
}
