//! Objects far larger than a message (protocol 5.5.2, 10.5): they are observed, repaired and resumed as small ones are,
//! in parts that leave room for everything else. The node of these worlds closes a connection on which anything longer
//! than a message comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::message::{MESSAGE_BYTES_MAX, ReadBody, ResponseBody};
use hyperty_model::parts::{Piece, WHOLE_BYTES_MAX};
use hyperty_model::{Message, MessageType, StatusCode};
use hyperty_sync_manager::SyncManagerConfig;
use hyperty_syncher::{
    Accept, ChildError, CreateError, Observer, ObserverEvent, ObserverState, Reporter, WriteError,
};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::spy::Spy;
use crate::support::{Party, settled, topic};

const TEN_MEGABYTES: usize = 10_000_000;
const A_WHILE: Duration = Duration::from_secs(30);

/// Data of about so many bytes: text that has to be escaped, in pieces of a thousand.
pub(crate) fn large(bytes: usize) -> Value {
    let text = format!("{}\"\\ö\n", "x".repeat(995));
    let pieces = (0..bytes / 1_010).map(|at| (format!("piece{at}"), Value::from(text.as_str())));
    Value::Object(pieces.chain([("topic".to_owned(), json!("a"))]).collect::<Map<_, _>>())
}

/// How many messages each way are longer than a message may be, and how many parts were fetched.
pub(crate) fn judge(spy: &Spy) -> usize {
    let long = |message: &Message| message.is_remote() && message.wire().len() > MESSAGE_BYTES_MAX;
    assert!(spy.incoming(long).is_empty() && spy.outgoing(long).is_empty(), "longer than a message");
    spy.outgoing(|message| message.decode::<ReadBody>().is_ok_and(|body| body.part.is_some())).len()
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_of_data_are_observed_repaired_and_resumed_inv_read_2() {
    let world = World::new(901);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(large(TEN_MEGABYTES)).await;
    let spy = Spy::on(bob.runtime.bus());
    let mut copy = bob.observe(&board).await;
    assert_eq!(copy.data(), board.data());
    let parts = judge(&spy);
    assert!(parts >= TEN_MEGABYTES / 50_000, "{parts} parts");
    assert_eq!((alice.runtime.stats().answers_in_parts, bob.runtime.stats().joined), (1, 1));

    // A change goes as ever, and so does what was missed.
    board.set("topic", "b").await.unwrap();
    settled(&mut copy, 1).await;
    world.cut("bob");
    board.set("topic", "c").await.unwrap();
    world.heal("bob");
    settled(&mut copy, 2).await;
    assert_eq!(copy.data(), board.data());
    assert_eq!(judge(&spy), parts, "a repair by changes fetches none");

    // The observer's copy is stored; what it missed meanwhile is all it gets.
    drop((copy, spy));
    world.cut("bob");
    board.set("topic", "d").await.unwrap();
    let bob = bob.crash().await;
    let spy = Spy::on(bob.runtime.bus());
    world.heal("bob");
    let mut copy = bob.observer();
    settled(&mut copy, 3).await;
    assert_eq!(copy.data(), board.data());
    assert_eq!(judge(&spy), 0);

    // The Reporter comes back with all of it, and gives it to whoever has nothing.
    drop(board);
    let alice = alice.crash().await;
    let board = alice.reporter();
    board.accept(Accept::All);
    let carol = Party::new(&world, "carol").await;
    let late = carol.observe(&board).await;
    assert_eq!(late.data(), board.data());
    assert_eq!(carol.hyperty.read(board.url()).await.unwrap().data, board.data());
}

/// 200 children of 50 kB, half of them the Reporter's.
#[tokio::test(start_paused = true)]
async fn ten_megabytes_of_children_reach_both_sides_inv_chd_1() {
    let world = World::new(902);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let copy = bob.observe(&board).await;
    for notes in [board.children("notes").unwrap(), copy.children("notes").unwrap()] {
        for n in 0..100 {
            notes.add(json!({"n": n, "text": "y".repeat(50_000)})).await.unwrap();
        }
    }
    let carol = Party::new(&world, "carol").await;
    let spy = Spy::on(carol.runtime.bus());
    let late = carol.observe(&board).await;
    let all = board.children("notes").unwrap().list();
    assert_eq!(all.len(), 200);
    assert_eq!(late.children("notes").unwrap().list(), all);
    assert!(judge(&spy) >= 200);
    sleep(A_WHILE).await;
    assert_eq!(copy.children("notes").unwrap().list(), all);

    // Children travel with every repair: so this one, by changes, has parts too.
    drop(late);
    world.cut("carol");
    board.set("topic", "b").await.unwrap();
    let carol = carol.crash().await;
    let spy = Spy::on(carol.runtime.bus());
    world.heal("carol");
    let mut late = carol.observer();
    settled(&mut late, 1).await;
    assert!(judge(&spy) > 0);
    assert_eq!(late.children("notes").unwrap().list(), all);
}

/// A change that no message can carry is announced, and fetched: as a change while the log has it, else as a state.
#[tokio::test(start_paused = true)]
async fn a_change_larger_than_a_message_arrives_inv_ext_2() {
    let world = World::new(903);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let near = alice.runtime.deploy("near").await.unwrap();
    let mut beside = near.subscribe(board.url()).await.unwrap();
    let mut copy = bob.observe(&board).await;
    let spy = Spy::on(bob.runtime.bus());
    for (version, bytes) in [(1, 240_000), (2, 300_000), (3, 900_000), (4, 5_000_000), (5, 10)] {
        board.set("text", "z".repeat(bytes)).await.unwrap();
        settled(&mut copy, version).await;
        settled(&mut beside, version).await;
        assert_eq!((copy.data(), beside.data()), (board.data(), board.data()));
    }
    judge(&spy);
    let stats = alice.runtime.stats();
    assert_eq!(stats.announced_only, 3);
    assert_eq!((stats.answered_by_changes, stats.answered_by_snapshot), (2, 1));
    // What was fetched as a change was told as one.
    let mut told = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_millis(1), copy.next_event()).await {
        told.push(event);
    }
    assert!(!told.iter().any(|event| matches!(event, ObserverEvent::Disconnected)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_and_nothing_changes() {
    let world = World::new(904);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let create = alice.hyperty.create(schema).name("board").data(large(WHOLE_BYTES_MAX + 500_000));
    let refused = create.await.expect_err("too large");
    assert!(matches!(&refused, CreateError::Refused { code: StatusCode::BAD_REQUEST, .. }), "{refused:?}");

    let board = alice.create(topic("a")).await;
    let refused = board.set("text", "x".repeat(WHOLE_BYTES_MAX + 1)).await.expect_err("too large");
    assert!(matches!(&refused, WriteError::Refused { code: StatusCode::BAD_REQUEST, .. }), "{refused:?}");
    assert_eq!((board.data(), board.version()), (topic("a"), 0));

    let copy = bob.observe(&board).await;
    for notes in [board.children("notes").unwrap(), copy.children("notes").unwrap()] {
        let refused = notes.add(json!({"text": "x".repeat(MESSAGE_BYTES_MAX)})).await.expect_err("too large");
        assert!(matches!(&refused, ChildError::Refused { code: StatusCode::BAD_REQUEST, .. }), "{refused:?}");
        let child = notes.add(json!({"text": "x".repeat(MESSAGE_BYTES_MAX - 10_000)})).await.unwrap();
        child.delete().await.unwrap();
    }
    sleep(A_WHILE).await;
    assert!(board.children("notes").unwrap().list().is_empty());
    assert_eq!(copy.state(), ObserverState::Live);

    // Grown by small changes beyond what can be given: whoever comes is told why.
    for at in 0..9 {
        board.set(format!("text{at}").as_str(), "x".repeat(2_000_000)).await.unwrap();
    }
    let carol = Party::new(&world, "carol").await;
    let refused = carol.hyperty.subscribe(board.url()).await.expect_err("larger than can be given");
    assert!(refused.to_string().contains("more than can be sent"), "{refused}");
}

/// Loses answers that bring a part of this number, so many of them.
struct Loses {
    part: u64,
    left: AtomicUsize,
    most: Arc<Mutex<Flight>>,
}

/// Parts asked for and not answered.
#[derive(Default)]
struct Flight {
    now: usize,
    most: usize,
}

impl Interceptor for Loses {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let asked = message.decode::<ReadBody>().is_ok_and(|body| body.part.is_some());
        if message.kind() == MessageType::Read && direction == Direction::Outgoing && asked {
            let mut flight = self.most.lock();
            flight.now += 1;
            flight.most = flight.most.max(flight.now);
        }
        let piece = message.decode::<ResponseBody>().ok().and_then(|body| Piece::of(&body));
        let Some(piece) = piece.filter(|_| direction == Direction::Incoming) else {
            return Verdict::Pass(message);
        };
        if piece.transfer.is_none() || piece.part > 1 {
            let mut flight = self.most.lock();
            flight.now = flight.now.saturating_sub(1);
        }
        let lose = |left: usize| left.checked_sub(1);
        let lost = piece.part == self.part
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lose).is_ok();
        if lost { Verdict::Drop } else { Verdict::Pass(message) }
    }
}

/// A part that is lost is asked for again; one that never comes fails the whole, and the next try has all. No more
/// parts are under way than are allowed, however many objects are fetched.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_lost_comes_again_and_few_are_under_way_inv_read_2() {
    let world = World::new(905);
    let alice = Party::new(&world, "alice").await;
    let boards: Vec<Reporter> =
        futures_util::future::join_all((0..3).map(|_| alice.create(large(1_000_000)))).await;
    for (name, left, tries) in [("bob", 2, 1), ("carol", 3, 2)] {
        let party = Party::new(&world, name).await;
        let most = Arc::default();
        let loses = Loses { part: 7, left: AtomicUsize::new(left), most: Arc::clone(&most) };
        party.runtime.bus().add_interceptor(Arc::new(loses));
        for _ in 1..tries {
            let failed = party.hyperty.subscribe(boards[0].url()).await.expect_err("a part never comes");
            assert!(failed.to_string().contains("in time"), "{failed}");
            sleep(A_WHILE).await;
            assert_eq!(alice.runtime.stats().observers_dropped, 0);
        }
        let copies = boards.iter().map(|board| party.observe(board));
        let copies: Vec<Observer> = futures_util::future::join_all(copies).await;
        for (copy, board) in copies.iter().zip(&boards) {
            assert_eq!(copy.data(), board.data());
        }
        let most = most.lock().most;
        // Those whose answer was lost count until the end of the test.
        assert!(most <= SyncManagerConfig::default().parts_in_flight + left, "{most} parts under way");
    }
}

/// Parts are for whom they were offered, as long as the object and the transfer are there.
#[tokio::test(start_paused = true)]
async fn parts_are_for_whom_they_are_offered_inv_read_1() {
    let world = World::new(906);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let eve = Party::new(&world, "eve").await;
    let board = alice.create(large(1_000_000)).await;
    let spy = Spy::on(bob.runtime.bus());
    let copy = bob.hyperty.subscribe(board.url()).await.unwrap();
    let asked = spy.outgoing(|message| message.decode::<ReadBody>().is_ok_and(|body| body.part.is_some()));
    let body = asked.first().expect("a part that was fetched").decode::<ReadBody>().unwrap();
    let ask = async |party: &Party, body: ReadBody| {
        let sm = hyperty_model::Url::parse(&format!("{}/sm", party.runtime.url())).unwrap();
        let bus = party.runtime.bus();
        let message = bus.new_message(MessageType::Read, &sm, board.url().as_url(), body);
        let answer = bus.request(message).await.decode::<ResponseBody>().unwrap();
        (answer.code, Piece::of(&answer).is_some())
    };
    let part = |part| ReadBody { part: Some(part), ..ReadBody::clone(&body) };
    assert_eq!(ask(&bob, part(3)).await, (StatusCode::OK, true));
    assert_eq!(ask(&eve, part(3)).await, (StatusCode::NOT_FOUND, false), "offered to somebody else");
    assert_eq!(ask(&bob, part(0)).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&bob, part(10_000)).await.0, StatusCode::BAD_REQUEST);
    let other = ReadBody { transfer: Some("another".to_owned()), ..part(2) };
    assert_eq!(ask(&bob, other).await.0, StatusCode::NOT_FOUND);
    let without = ReadBody { part: None, ..part(2) };
    assert_eq!(ask(&bob, without).await.0, StatusCode::BAD_REQUEST);
    copy.unsubscribe().await.unwrap();
    assert_eq!(ask(&bob, part(3)).await, (StatusCode::UNAUTHORIZED, false), "it has left");
    sleep(SyncManagerConfig::default().transfer_kept + A_WHILE).await;
    assert_eq!(ask(&bob, part(3)).await, (StatusCode::NOT_FOUND, false), "long ago");
}
