//! What was given up, refused or ended leaves nothing behind: no routes, no children, no observation.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{Link, World};
use hyperty_model::StatusCode;
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables};
use hyperty_syncher::{Accept, ChildError, ChildrenHandle, EVENTS_MAX, Observer, ObserverEvent};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::routes;
use crate::support::{Party, topic};

/// Longer than every retry, and than children that differ take to be settled.
const A_WHILE: Duration = Duration::from_secs(60);

/// Within this everything is answered.
const PATIENCE: Duration = Duration::from_secs(600);

fn ids(children: &ChildrenHandle) -> Vec<String> {
    children.list().iter().map(|child| child.id.clone()).collect()
}

/// What a creation and a subscription asked of a node that was away arrives there when it is back; so does what
/// takes it down.
#[tokio::test(start_paused = true)]
async fn what_was_given_up_while_the_node_was_away_leaves_no_route_inv_cre_2() {
    let world = World::new(150);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    sleep(A_WHILE).await;
    let before = routes(&world);
    world.stop_node();
    let schema = carol.runtime.schema(SCHEMA).unwrap();
    let creating = carol.hyperty.create(schema).name("another").data(topic("b")).store(true).into_future();
    let subscribing = bob.hyperty.subscribe(board.url()).store(true).into_future();
    let (created, subscribed) =
        timeout(PATIENCE, async { tokio::join!(creating, subscribing) }).await.expect("answers in time");
    assert!(created.is_err() && subscribed.is_err(), "{created:?}, {subscribed:?}");
    world.start_node();
    for party in [&alice, &bob, &carol] {
        timeout(PATIENCE, party.runtime.connected()).await.expect("connected again");
    }
    sleep(A_WHILE).await;
    assert_eq!(routes(&world), before);
}

/// Reads all that waits.
async fn read(observer: &mut Observer) -> Vec<ObserverEvent> {
    let mut events = Vec::new();
    while let Ok(event) = timeout(Duration::from_millis(1), observer.next_event()).await {
        events.push(event.expect("the observation goes on"));
    }
    events
}

/// What a reader that lagged was not told of the connection it is told behind the state that takes the place of the
/// events; what it knows it is not told again (INV-UPD-3).
#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_knows_the_connection_and_is_told_it_once() {
    let world = World::new(151);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(json!({"n": 0})).await;
    let mut copy = bob.observe(&board).await;
    let lag = async || {
        for number in 0..=EVENTS_MAX {
            board.set("n", number).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
    };
    let connection = |events: &[ObserverEvent]| -> Vec<ObserverEvent> {
        let told = |event: &&ObserverEvent| {
            matches!(event, ObserverEvent::Disconnected | ObserverEvent::Resumed { .. })
        };
        events.iter().filter(told).cloned().collect()
    };
    world.cut("bob");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(read(&mut copy).await, [ObserverEvent::Disconnected]);
    world.heal("bob");
    timeout(PATIENCE, bob.runtime.connected()).await.expect("connected again");
    sleep(Duration::from_secs(1)).await;
    lag().await;
    let events = read(&mut copy).await;
    assert!(matches!(&events[0], ObserverEvent::Resync { .. }), "{:?}", events[0]);
    let missed = u64::try_from(EVENTS_MAX).unwrap() + 1;
    assert_eq!(connection(&events), [ObserverEvent::Resumed { missed }]);

    world.cut("bob");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(read(&mut copy).await, [ObserverEvent::Disconnected]);
    world.heal("bob");
    timeout(PATIENCE, bob.runtime.connected()).await.expect("connected again");
    sleep(Duration::from_secs(1)).await;
    lag().await;
    world.cut("bob");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(connection(&read(&mut copy).await), [], "it knows that it is cut off");
    world.heal("bob");
    sleep(A_WHILE).await;
    assert!(matches!(connection(&read(&mut copy).await)[..], [ObserverEvent::Resumed { .. }]));
}

/// Refused after a restart, when only the Reporter's side knew that it is forbidden: neither the writer nor what it
/// stored has the child, also if it stops at once.
#[tokio::test(start_paused = true)]
async fn a_refused_child_is_gone_from_its_writer_and_its_disk_inv_chd_2() {
    let world = World::new(152);
    let (alice, mut bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    drop(bob.observe(&board).await);
    for stops_at_once in [false, true] {
        bob = bob.crash().await;
        let mut copy = bob.observer();
        let adding = copy.children("news").unwrap().add(json!({"n": 1})).into_future();
        let refused = timeout(PATIENCE, adding).await.expect("an answer in time");
        assert!(
            matches!(&refused, Err(ChildError::Refused { code: StatusCode::FORBIDDEN, .. })),
            "{refused:?}"
        );
        if stops_at_once {
            drop(copy);
            bob = bob.crash().await;
            copy = bob.observer();
        }
        assert_eq!(ids(&copy.children("news").unwrap()), [""; 0]);
        sleep(A_WHILE).await;
        assert_eq!(ids(&copy.children("news").unwrap()), [""; 0]);
    }
}

/// The Reporter's disk fails: what it refuses is undone at the writer, whose next operation fits what it was before.
#[tokio::test(start_paused = true)]
async fn a_refused_operation_never_was_for_the_next_one_inv_chd_1() {
    let world = World::new(153);
    let start = async |disk: MemoryTables| {
        let tables = Arc::new(FaultyTables::new(disk, FaultPlan::default()));
        let runtime = world.runtime("alice", &tables).await;
        let schema = runtime.schema(SCHEMA).unwrap();
        let hyperty = runtime.deploy("app").await.unwrap();
        (tables, runtime, schema, hyperty)
    };
    let (tables, runtime, schema, hyperty) = start(MemoryTables::new()).await;
    let create = hyperty.create(schema).name("board").data(topic("a")).store(true);
    let board = create.accept(Accept::All).await.unwrap();
    let bob = Party::new(&world, "bob").await;
    let copy = bob.observe(&board).await;
    let neighbour = bob.runtime.deploy("neighbour").await.unwrap();
    let beside = neighbour.subscribe(board.url()).await.unwrap();
    let notes = copy.children("notes").unwrap();
    let first = notes.add(json!({"n": 1})).await.unwrap();
    let second = notes.add(json!({"n": 1})).await.unwrap();

    tables.fail_next();
    let refused = timeout(PATIENCE, async {
        tokio::join!(first.delete().into_future(), second.set("n", 2).into_future())
    });
    let (deleted, set) = refused.await.expect("answers in time");
    for refused in [deleted.map(|()| 0), set] {
        assert!(
            matches!(&refused, Err(ChildError::Refused { code: StatusCode::INTERNAL, .. })),
            "{refused:?}"
        );
    }
    let seen = || -> Vec<(u64, serde_json::Value)> {
        beside.children("notes").unwrap().list().into_iter().map(|note| (note.version, note.data)).collect()
    };
    assert_eq!(seen(), [(0, json!({"n": 1})), (0, json!({"n": 1}))], "shown to others as it was");
    // Asked for now it reaches the same disk; the runtime here has no objection of its own.
    for again in [first.set("n", 3).into_future().await, second.set("n", 3).into_future().await] {
        assert!(matches!(&again, Err(ChildError::Refused { code: StatusCode::INTERNAL, .. })), "{again:?}");
    }
    let disk = tables.inner().snapshot();
    runtime.abort();
    drop((board, hyperty, runtime));
    let (_tables, _runtime, _, hyperty) = start(disk).await;
    sleep(A_WHILE).await;
    assert_eq!(first.set("n", 4).await, Ok(1));
    assert_eq!(second.set("n", 4).await, Ok(1));
    sleep(A_WHILE).await;
    let expected = [(1, json!({"n": 4})), (1, json!({"n": 4}))];
    assert_eq!(seen(), expected);
    let board = hyperty.resumed().reporters.first().expect("it is resumed").clone();
    let reported = board.children("notes").unwrap().list();
    let reported: Vec<_> = reported.into_iter().map(|note| (note.version, note.data)).collect();
    assert_eq!(reported, expected);
}

/// The creation was on its way when the Reporter's runtime stopped, and comes after the deletion.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_overtook_the_creation_holds_after_a_restart_inv_chd_3() {
    let world = World::new(154);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let copy = bob.observe(&board).await;
    let notes = copy.children("notes").unwrap();
    world.set_link("alice", Link::Silent);
    let adding = tokio::spawn(notes.add(json!({"n": 1})).into_future());
    sleep(Duration::from_millis(100)).await;
    drop(board);
    let alice = alice.crash().await;
    world.heal("alice");
    timeout(PATIENCE, alice.runtime.connected()).await.expect("connected again");
    let mine = notes.mine().pop().expect("an own child, under way");
    timeout(PATIENCE, mine.delete().into_future()).await.expect("an answer in time").unwrap();
    drop(adding.await.unwrap());
    let alice = alice.crash().await;
    sleep(A_WHILE).await;
    assert_eq!(ids(&alice.reporter().children("notes").unwrap()), [""; 0]);
    assert_eq!(ids(&notes), [""; 0]);
}

/// Nobody could be told of the deletion; an observer that hears nothing asks. What it was told then is not taken back by
/// a crash right afterwards.
#[tokio::test(start_paused = true)]
async fn an_observation_that_ended_with_its_object_is_not_resumed_inv_del_3() {
    let world = World::new(155);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    world.set_link("alice", Link::Silent);
    timeout(PATIENCE, board.delete()).await.expect("an answer in time").unwrap();
    world.heal("alice");
    while timeout(PATIENCE, copy.next_event()).await.expect("an event in time")
        != Some(ObserverEvent::Deleted)
    {}
    drop(copy);
    let bob = bob.crash().await;
    assert!(bob.hyperty.resumed().observers.is_empty());
}

/// Who observes anew has what the Reporter's side has: nothing of its former observation, its own children included.
#[tokio::test(start_paused = true)]
async fn an_own_child_that_was_lost_meanwhile_is_not_there_for_who_observes_anew() {
    let world = World::new(779);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let copy = bob.observe(&board).await;
    let notes = copy.children("notes").unwrap();
    notes.add(json!({"n": 1})).await.unwrap();
    let before = Arc::new(alice.tables.snapshot());
    let lost = notes.add(json!({"n": 2})).await.unwrap();
    copy.unsubscribe().await.unwrap();
    drop(board);
    alice.runtime.abort();
    drop(alice);
    let alice = Party::over(&world, "alice", before).await;
    alice.reporter().accept(Accept::All);
    let copy = bob.observe(&alice.reporter()).await;
    let numbers = |list: Vec<hyperty_syncher::ChildView>| {
        list.into_iter().map(|child| child.data["n"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(copy.children("notes").unwrap().list()), [json!(1)]);
    // No id is drawn twice all the same.
    let next = copy.children("notes").unwrap().add(json!({"n": 3})).await.unwrap();
    assert_ne!(next.id(), lost.id());
    assert_eq!(numbers(alice.reporter().children("notes").unwrap().list()), [json!(1), json!(3)]);
}
