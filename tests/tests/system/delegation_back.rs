//! An object that changed hands changes hands again: back to its first Reporter, or on to a third (protocol 5.11); and
//! it goes back of itself where it cannot be hosted (5.11.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::Direction;
use hyperty_model::{Message, MessageType, Position};
use hyperty_storage::{Batch, RecordStatus, Role, Tables};
use hyperty_syncher::{CloseReason, DelegateError, Observer, ObserverEvent, Reporter};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::delegation::{PATIENCE, given, versions};
use crate::spy::{REGISTRY, gate, registered, stored};
use crate::support::{Party, settled, topic};

/// Longer than everything is tried again.
const AFTERWARDS: Duration = Duration::from_secs(300);

fn open(party: &Party) -> Vec<Reporter> {
    party.hyperty.reporters().into_iter().filter(|reporter| !reporter.is_closed()).collect()
}

/// The last event of an observation.
async fn ended(mut observer: Observer) -> CloseReason {
    loop {
        match timeout(PATIENCE, observer.next_event()).await.expect("an event in time") {
            Some(ObserverEvent::Closed { reason }) => return reason,
            Some(_) => {}
            None => panic!("it ends without a word"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn given_back_it_is_the_first_reporters_again_inv_dlg_1_inv_dlg_3_inv_dlg_6() {
    let world = World::new(940);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let mut copy = carol.observe(&board).await;
    let note = copy.children("notes").unwrap().add(json!({"by": "carol"})).await.unwrap();
    let mut at = Position::new(0, 0);
    let (mut hers, mut observing): (Reporter, Option<Observer>) = (board, None);
    for round in 0..3 {
        let (former, his) = given(&hers, &bob).await;
        at = Position::new(at.epoch + 1, at.version + 1);
        assert_eq!(his.position(), at, "round {round}");
        his.set("topic", format!("his {round}")).await.unwrap();
        at.version += 1;
        let (former_of_his, back) = given(&his, &alice).await;
        at = Position::new(at.epoch + 1, at.version + 1);
        // Who observed the object reports it from now on, and who gave it observes it.
        assert_eq!(ended(former).await, CloseReason::Reporting);
        if let Some(before) = observing.replace(former_of_his) {
            assert_eq!(ended(before).await, CloseReason::Reporting);
        }
        assert_eq!((back.position(), back.data()), (at, topic(&format!("his {round}"))));
        back.set("topic", format!("hers {round}")).await.unwrap();
        at.version += 1;
        assert!(hers.is_closed() && his.is_closed());
        note.set("round", round).await.unwrap();
        hers = back;
    }
    assert_eq!(versions(&mut copy, at.version).await, (1..=at.version).collect::<Vec<_>>());
    assert_eq!((copy.data(), copy.position()), (topic("hers 2"), at));
    assert_eq!(copy.metadata().reporter, *alice.hyperty.url());
    let mut observing = observing.expect("the last of his");
    settled(&mut observing, at.version).await;
    assert_eq!(observing.data(), topic("hers 2"));
    assert_eq!(hers.children("notes").unwrap().list()[0].data["round"], 2);
    // One record each, on either disk.
    let kept = |party: &Party, role| stored(party, role).into_iter().map(|it| it.status).collect::<Vec<_>>();
    assert_eq!(kept(&alice, Role::Reporter), [RecordStatus::Live]);
    assert_eq!(kept(&alice, Role::Observer), []);
    assert_eq!(kept(&bob, Role::Reporter), [RecordStatus::Delegated]);
    assert_eq!(kept(&bob, Role::Observer), [RecordStatus::Live]);
    assert_eq!(registered(&carol, hers.url()).await, (200, Some("live".to_owned())));
    drop((hers, observing));
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    assert_eq!((alice.reporter().position(), open(&bob).len()), (at, 0));
    alice.reporter().set("topic", "after").await.unwrap();
    settled(&mut copy, at.version + 1).await;
    let mut his = bob.observer();
    settled(&mut his, at.version + 1).await;
    assert_eq!((copy.data(), his.data()), (topic("after"), topic("after")));
}

/// The one who gives it back dies right before, or right after.
#[tokio::test(start_paused = true)]
async fn who_gives_it_back_dies_inv_dlg_7() {
    for before in [true, false] {
        let world = World::new(941);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = alice.create(topic("a")).await;
        let mut copy = carol.observe(&board).await;
        let (_former, mut his) = given(&board, &bob).await;
        his.set("topic", "his").await.unwrap();
        let mut bob = bob;
        if before {
            drop(his);
            bob = bob.crash().await;
            his = bob.reporter();
            assert_eq!(his.position(), Position::new(1, 2));
        }
        let (_, back) = given(&his, &alice).await;
        bob.runtime.abort();
        drop((bob, his));
        assert_eq!(back.position(), Position::new(2, 3));
        back.set("topic", "hers").await.unwrap();
        match before {
            // Who had not come back to the one that died may be told the state.
            true => settled(&mut copy, 4).await,
            false => assert_eq!(versions(&mut copy, 4).await, [1, 2, 3, 4]),
        }
        assert_eq!((copy.data(), copy.position()), (topic("hers"), Position::new(2, 4)));
        drop((board, back));
        let alice = alice.crash().await;
        assert_eq!(
            (alice.reporter().position(), alice.reporter().data()),
            (Position::new(2, 4), topic("hers"))
        );
        alice.reporter().set("topic", "after").await.unwrap();
        settled(&mut copy, 5).await;
        assert_eq!(copy.data(), topic("after"));
    }
}

/// From one to the next and round again; each former Reporter observes, and half of them are killed on the way.
#[tokio::test(start_paused = true)]
async fn from_hand_to_hand_inv_dlg_1_inv_dlg_3() {
    let world = World::new(942);
    let mut parties = [
        Some(Party::new(&world, "alice").await),
        Some(Party::new(&world, "bob").await),
        Some(Party::new(&world, "carol").await),
    ];
    let dave = Party::new(&world, "dave").await;
    let mut holder = parties[0].as_ref().unwrap().create(topic("start")).await;
    let mut copy = dave.observe(&holder).await;
    let mut at = Position::new(0, 0);
    let mut observing = Vec::new();
    for turn in 1..=7 {
        let (from, to) = ((turn - 1) % 3, turn % 3);
        let (former, next) = given(&holder, parties[to].as_ref().unwrap()).await;
        at = Position::new(at.epoch + 1, at.version + 1);
        assert_eq!(next.position(), at, "turn {turn}");
        next.set("turn", turn).await.unwrap();
        at.version += 1;
        if turn % 2 == 0 {
            drop((former, holder));
            let restarted = parties[from].take().unwrap().crash().await;
            assert_eq!(open(&restarted).len(), 0, "turn {turn}");
            let mut former = restarted.observer();
            settled(&mut former, at.version).await;
            assert_eq!(former.data(), next.data());
            parties[from] = Some(restarted);
            observing.push(former);
        } else {
            observing.push(former);
        }
        holder = next;
    }
    assert_eq!(versions(&mut copy, at.version).await, (1..=at.version).collect::<Vec<_>>());
    assert_eq!((copy.data(), copy.position()), (holder.data(), at));
    for party in parties.iter().flatten() {
        let (report, observe) = (open(party).len(), party.hyperty.observers().len());
        assert_eq!(report + observe, 1, "{}: {report} reported, {observe} observed", party.name);
    }
}

/// A `create` or `update` by which a registry would learn of a new owner.
fn registers(direction: Direction, message: &Message) -> bool {
    direction == Direction::Outgoing
        && message.to().as_str() == REGISTRY
        && message.kind() != MessageType::Read
}

/// The registry refuses the new owner for as long as it tries: what it was given goes back (5.11.5), in an epoch of its
/// own, and nobody has seen the one between. Its crash on the way changes nothing.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_hosted_goes_back_inv_dlg_1_inv_dlg_5() {
    for crash in [None, Some(5), Some(12)] {
        let world = World::new(943);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = alice.create(topic("a")).await;
        let mut copy = carol.observe(&board).await;
        board.set("n", 1).await.unwrap();
        let refuse = |party: &Party| {
            gate(party.runtime.bus(), |direction, message| !registers(direction, message));
        };
        refuse(&bob);
        let mut offers = bob.hyperty.delegations();
        let taking = tokio::spawn(async move { offers.next().await.unwrap().accept().await.map(drop) });
        let (from, to) = (board.clone(), bob.hyperty.url().clone());
        let giving = tokio::spawn(async move { from.delegate(&to).await.map(drop) });
        let written = board.set("n", 2);
        let bob = match crash {
            None => bob,
            Some(seconds) => {
                sleep(Duration::from_secs(seconds)).await;
                let bob = bob.crash().await;
                refuse(&bob);
                bob
            }
        };
        let refused = timeout(PATIENCE, giving).await.unwrap().unwrap();
        match (crash, &refused) {
            (_, Err(DelegateError::Refused { code, .. })) => assert_eq!(code.0, 412, "{refused:?}"),
            // Who gave it away has not waited for the end.
            (Some(_), Ok(())) => {}
            other => panic!("{other:?}"),
        }
        sleep(AFTERWARDS).await;
        if crash.is_none() {
            assert!(timeout(PATIENCE, taking).await.unwrap().unwrap().is_err());
        }
        assert_eq!(open(&bob).len(), 0);
        let owners = open(&alice);
        assert_eq!(owners.len(), 1, "crash {crash:?}: {owners:?}");
        let written = timeout(PATIENCE, written).await.expect("an answer").is_ok();
        let back = &owners[0];
        assert_eq!(back.position().epoch, 2, "crash {crash:?}");
        if written {
            assert_eq!(back.data()["n"], 2, "crash {crash:?}");
        }
        back.set("topic", "after").await.unwrap();
        settled(&mut copy, back.position().version).await;
        assert_eq!((copy.data(), copy.position()), (back.data(), back.position()), "crash {crash:?}");
        assert_eq!(registered(&carol, board.url()).await, (200, Some("live".to_owned())));
        assert_eq!(stored(&bob, Role::Reporter).len(), 0);
        drop(owners);
        let alice = alice.crash().await;
        assert_eq!(alice.reporter().position(), copy.position());
    }
}

/// What came back is ours at once, and cannot be served as long as its schema cannot be read: it is tried again until it
/// can, and nobody forgets it meanwhile (INV-DLG-1).
#[tokio::test(start_paused = true)]
async fn what_came_back_is_served_when_that_can_be_inv_dlg_1() {
    let world = World::new(944);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let url = board.url().clone();
    let mut copy = carol.observe(&board).await;
    gate(bob.runtime.bus(), |direction, message| !registers(direction, message));
    let mut offers = bob.hyperty.delegations();
    let taking = tokio::spawn(async move { offers.next().await.unwrap().accept().await.map(drop) });
    let to = bob.hyperty.url().clone();
    let giving = tokio::spawn(async move { board.delegate(&to).await.map(drop) });
    // Given, and not yet on its way back.
    sleep(Duration::from_secs(5)).await;
    giving.abort();
    let image = Arc::new(alice.tables.snapshot());
    alice.runtime.abort();
    drop(alice);
    // The schema that it had is lost, and nobody gives it another for a while.
    image.commit(Batch::new().delete_range("schemas/v1", [0], [0xff]));

    let runtime = world.runtime("alice", &image).await;
    let readable = Arc::new(AtomicBool::new(false));
    let may_read = Arc::clone(&readable);
    gate(runtime.bus(), move |_, message| {
        may_read.load(Ordering::Relaxed) || !message.to().as_str().contains("catalogue")
    });
    let app = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    sleep(AFTERWARDS).await;
    let kept: Vec<_> = stored(&bob, Role::Reporter).into_iter().map(|record| record.status).collect();
    assert_eq!(kept, [RecordStatus::Returning], "it is given back until it is taken back");
    assert!(app.reporters().iter().all(Reporter::is_closed), "served without its schema");
    readable.store(true, Ordering::Relaxed);
    sleep(AFTERWARDS).await;
    assert!(timeout(PATIENCE, taking).await.unwrap().unwrap().is_err(), "it went back");
    assert_eq!(stored(&bob, Role::Reporter).len(), 0);
    let owners: Vec<_> = app.reporters().into_iter().filter(|reporter| !reporter.is_closed()).collect();
    let [back] = &owners[..] else { panic!("{owners:?}") };
    assert_eq!((back.url(), back.position().epoch), (&url, 2));
    back.set("topic", "after").await.unwrap();
    settled(&mut copy, back.position().version).await;
    assert_eq!((copy.data(), copy.position()), (topic("after"), back.position()));
    assert_eq!(registered(&carol, &url).await, (200, Some("live".to_owned())));
}
