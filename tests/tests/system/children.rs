//! Children between runtimes.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables};
use hyperty_syncher::{ChildError, ChildOp, ObserverEvent, ObserverState};
use serde_json::json;

use crate::support::{Party, board_in, topic};

#[tokio::test(start_paused = true)]
async fn everybody_has_the_same_children_inv_chd_1_3() {
    let world = World::new(10);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let board = alice.create(topic("a")).await;
    let bobs = bob.observe(&board).await;
    let mut carols = carol.observe(&board).await;

    let mine = board.children("notes").unwrap().add(json!({"by": "alice"})).await.unwrap();
    let note = bobs.children("notes").unwrap().add(json!({"by": "bob"})).await.unwrap();
    note.set("text", "hello").await.unwrap();
    mine.delete().await.unwrap();

    let mut seen = Vec::new();
    while seen.len() < 4 {
        if let Some(ObserverEvent::Child(child)) = carols.next_event().await {
            seen.push((child.op, child.id.to_string()));
        }
    }
    let of = |id: &str, ops: &[ChildOp]| {
        let found: Vec<ChildOp> = seen.iter().filter(|(_, seen)| seen == id).map(|(op, _)| *op).collect();
        assert_eq!(found, ops, "{id}");
    };
    of(mine.id(), &[ChildOp::Create, ChildOp::Delete]);
    of(note.id(), &[ChildOp::Create, ChildOp::Update]);
    for list in [board.children("notes"), bobs.children("notes"), carols.children("notes")] {
        let list = list.unwrap().list();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].data, json!({"by": "bob", "text": "hello"}));
    }
    // The parent's version is not touched (INV-CHD-5), and a later subscriber finds them (INV-CHD-4).
    assert_eq!(board.version(), 0);
    let dave = Party::new(&world, "dave").await;
    let daves = dave.observe(&board).await;
    assert_eq!(daves.children("notes").unwrap().list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn observers_may_not_write_what_the_schema_only_lets_them_read() {
    let world = World::new(11);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let copy = bob.observe(&board).await;
    board.children("news").unwrap().add(json!({"n": 1})).await.unwrap();
    assert!(copy.children("news").unwrap().add(json!({"n": 2})).await.is_err());
    assert_eq!(board.children("news").unwrap().list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ids_are_never_used_again_across_a_restart_inv_dom_5() {
    let world = World::new(12);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let copy = bob.observe(&board).await;
    let notes = copy.children("notes").unwrap();
    let first = notes.add(json!({"n": 1})).await.unwrap().id().to_owned();
    let second = notes.add(json!({"n": 2})).await.unwrap();
    let deleted = second.id().to_owned();
    second.delete().await.unwrap();
    let bob = bob.crash().await;
    let copy = bob.observer();
    let third = copy.children("notes").unwrap().add(json!({"n": 3})).await.unwrap();
    assert_ne!(third.id(), first);
    assert_ne!(third.id(), deleted);
    // Its own children are its own again.
    let own: Vec<_> =
        copy.children("notes").unwrap().mine().iter().map(|child| child.id().to_owned()).collect();
    assert!(own.contains(&first) && own.contains(&third.id().to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_operation_made_while_cut_off_arrives_once_connected_again() {
    let world = World::new(13);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    world.cut("bob");
    while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
    // Unanswered in its time, and kept.
    assert!(copy.children("notes").unwrap().add(json!({"n": 1})).await.is_err());
    assert_eq!(board.children("notes").unwrap().list().len(), 0);
    let mut events = board.events();
    world.heal("bob");
    while let Some(event) = events.next().await {
        if matches!(event, hyperty_syncher::ReporterEvent::Child(_)) {
            break;
        }
    }
    assert_eq!(board.children("notes").unwrap().list()[0].data, json!({"n": 1}));
}

/// The Reporter lost the operation and says so in the snapshot of a repair; then the operation is sent again (M18).
#[tokio::test(start_paused = true)]
async fn a_child_that_was_lost_on_the_way_comes_again_to_everybody_inv_chd_1() {
    for stopped in [false, true] {
        let world = World::new(14);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = alice.create(topic("a")).await;
        let (bobs, carols) = (bob.observe(&board).await, carol.observe(&board).await);
        drop(bobs.children("notes").unwrap().add(json!({"n": 1})));
        if stopped {
            world.stop_node();
        }
        // A change that is lost too, so that everybody repairs.
        drop(board.set("topic", "b"));
        drop(board);
        let alice = alice.crash().await;
        if stopped {
            world.start_node();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let board = alice.reporter();
        for list in [board.children("notes"), bobs.children("notes"), carols.children("notes")] {
            let list = list.unwrap().list();
            assert_eq!(list.len(), 1, "stopped: {stopped}, {list:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_its_writer_lost_is_its_own_again_inv_chd_7() {
    let world = World::new(19);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let observer = bob.observe(&board).await;
    // What bob's disk has when his machine stops: the note was on its way already, but not on disk.
    let image = bob.tables.snapshot();
    let notes = observer.children("notes").unwrap();
    let note = notes.add(json!({"n": 1})).await.unwrap();
    note.set("n", 2).await.unwrap();
    let id = note.id().to_owned();
    drop((note, notes, observer));
    bob.runtime.abort();
    drop(bob);

    let bob = Party::over(&world, "bob", Arc::new(image)).await;
    let mut observer = bob.observer();
    while observer.state() != ObserverState::Live {
        observer.next_event().await.unwrap();
    }
    let notes = observer.children("notes").unwrap();
    let mine = notes.mine();
    assert_eq!(mine.iter().map(|child| child.id()).collect::<Vec<_>>(), [id.as_str()]);
    assert_eq!(mine[0].data(), json!({"n": 2}));
    mine[0].set("n", 3).await.unwrap();
    assert_ne!(notes.add(json!({"n": 4})).await.unwrap().id(), id, "an id is never used again");
    let data = |child: &hyperty_syncher::ChildView| child.data["n"].clone();
    let all: Vec<_> = board.children("notes").unwrap().list().iter().map(data).collect();
    assert_eq!(all, [json!(3), json!(4)]);
}

/// A child whose creation was lost with both sides is written again by its writer before that has been sent again: what
/// is refused because the creation is not there yet is no answer.
#[tokio::test(start_paused = true)]
async fn an_operation_waits_behind_those_of_a_former_session_inv_chd_1() {
    let world = World::new(20);
    let tables = Arc::new(FaultyTables::new(MemoryTables::new(), FaultPlan::default()));
    let runtime = world.runtime("alice", &tables).await;
    let (alice, board) = board_in(&runtime).await;
    let bob = Party::new(&world, "bob").await;
    let copy = bob.observe(&board).await;
    tables.freeze();
    drop(copy.children("notes").unwrap().add(json!({"n": 1})));
    drop(copy);
    let bob = bob.crash().await;
    let disk = Arc::new(tables.inner().snapshot());
    runtime.abort();
    drop((board, alice, runtime));
    let runtime = world.runtime("alice", &disk).await;
    let alice = runtime.deploy("app").await.unwrap();
    let notes = bob.observer().children("notes").unwrap();
    let done = notes.mine()[0].set("n", 2).await;
    assert!(matches!(done, Ok(_) | Err(ChildError::Unanswered)), "{done:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let board = alice.resumed().reporters[0].clone();
    for list in [board.children("notes").unwrap(), notes] {
        let data: Vec<_> = list.list().into_iter().map(|child| child.data).collect();
        assert_eq!(data, [json!({"n": 2})]);
    }
}
