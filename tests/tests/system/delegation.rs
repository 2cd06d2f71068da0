//! An object changes hands (protocol 5.11), from its offer to the first change of the new Reporter.

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_model::Position;
use hyperty_syncher::{
    Accept, DelegateError, Observer, ObserverEvent, Reporter, ReporterEvent, ReporterState, WriteError,
};
use serde_json::json;
use tokio::time::timeout;

use crate::spy::registered;
use crate::support::{Party, settled, topic};

/// Far longer than anything takes; time is paused, so it costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Whoever is offered something takes it.
pub(crate) fn accepting(party: &Party) -> tokio::task::JoinHandle<Reporter> {
    let mut offers = party.hyperty.delegations();
    tokio::spawn(async move {
        let offer = timeout(PATIENCE, offers.next()).await.expect("an offer in time").expect("an offer");
        offer.accept().observers(Accept::All).await.expect("it is taken over")
    })
}

pub(crate) async fn given(from: &Reporter, to: &Party) -> (Observer, Reporter) {
    let taking = accepting(to);
    let observer =
        timeout(PATIENCE, from.delegate(to.hyperty.url())).await.expect("an end").expect("it is given");
    (observer, timeout(PATIENCE, taking).await.expect("an end").unwrap())
}

/// The events until a version, without those that say nothing of versions.
pub(crate) async fn versions(observer: &mut Observer, version: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| *last < version) {
        let event = timeout(PATIENCE, observer.next_event()).await.expect("an event in time");
        match event.expect("the observation goes on") {
            ObserverEvent::Change(change) => seen.push(change.version),
            ObserverEvent::Metadata { version, attribute, .. } => {
                assert_eq!(attribute, "reporter");
                seen.push(version);
            }
            ObserverEvent::Resync { version, .. } => panic!("a resync at {version} after {seen:?}"),
            _ => {}
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn an_object_changes_hands_and_no_observer_misses_a_change_inv_dlg_2_inv_dlg_3_inv_dlg_6() {
    let world = World::new(900);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let mut copy = carol.observe(&board).await;
    for n in 1..=5 {
        drop(board.set("n", n));
    }
    let (mut former, report) = given(&board, &bob).await;
    assert_eq!(report.data(), json!({"topic": "a", "n": 5}));
    assert_eq!(report.position(), Position::new(1, 6));
    report.set("topic", "b").await.unwrap();
    report.set("topic", "c").await.unwrap();
    assert_eq!(versions(&mut copy, 8).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((copy.data(), copy.position()), (json!({"topic": "c", "n": 5}), Position::new(1, 8)));
    assert_eq!(copy.metadata().reporter, *bob.hyperty.url());
    settled(&mut former, 8).await;
    assert_eq!((former.data(), former.position()), (copy.data(), Position::new(1, 8)));

    // The former Reporter has nothing left to say.
    assert!(board.is_closed());
    assert_eq!(board.state(), ReporterState::Closed);
    assert_eq!(board.set("topic", "mine").await, Err(WriteError::Delegated));
    let mut events = board.events();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(ReporterEvent::Delegated { to }) if to == *bob.hyperty.url()));
    let refused = board.delete().await.unwrap_err();
    assert!(format!("{refused}").contains("403"), "{refused}");
    assert_eq!(registered(&carol, board.url()).await, (200, Some("live".to_owned())));
    let dave = Party::new(&world, "dave").await;
    let mut late = dave.observe(&report).await;
    assert_eq!((late.data(), late.metadata().reporter), (copy.data(), bob.hyperty.url().clone()));
    assert_eq!((alice.runtime.stats().given, bob.runtime.stats().taken), (1, 1));

    // And the new one deletes it.
    report.delete().await.unwrap();
    for observer in [&mut copy, &mut former, &mut late] {
        while timeout(PATIENCE, observer.next_event()).await.unwrap() != Some(ObserverEvent::Deleted) {}
    }
    assert_eq!(registered(&carol, board.url()).await.0, 410);
}

#[tokio::test(start_paused = true)]
async fn who_declines_leaves_everything_as_it_was_inv_dlg_5() {
    let world = World::new(901);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    let mut offers = bob.hyperty.delegations();
    let deciding = tokio::spawn(async move { offers.next().await.unwrap().reject("no time") });
    let refused = timeout(PATIENCE, board.delegate(bob.hyperty.url())).await.unwrap().unwrap_err();
    assert_eq!(refused, DelegateError::Declined("no time".to_owned()));
    deciding.await.unwrap();
    // Nobody decides.
    let refused = timeout(PATIENCE, board.delegate(bob.hyperty.url())).await.unwrap().unwrap_err();
    assert!(matches!(refused, DelegateError::Declined(_)), "{refused:?}");
    board.set("topic", "b").await.unwrap();
    assert_eq!(versions(&mut copy, 1).await, [1]);
    assert_eq!(copy.position(), Position::new(0, 1));
}

/// Who observes an object may become its Reporter, and give it back.
#[tokio::test(start_paused = true)]
async fn an_observer_takes_over_and_gives_the_object_on() {
    let world = World::new(902);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let mut watched = bob.observe(&board).await;
    let mut copy = carol.observe(&board).await;
    let (_former, second) = given(&board, &bob).await;
    while let Some(event) = watched.next_event().await {
        drop(event);
    }
    second.set("topic", "b").await.unwrap();
    let (_, third) = given(&second, &alice).await;
    assert_eq!(third.position(), Position::new(2, 3));
    third.set("topic", "c").await.unwrap();
    assert_eq!(versions(&mut copy, 4).await, [1, 2, 3, 4]);
    assert_eq!((copy.data(), copy.position()), (topic("c"), Position::new(2, 4)));
}

/// Former and new Reporter in one runtime: no node is needed.
#[tokio::test(start_paused = true)]
async fn an_object_changes_hands_within_a_runtime() {
    let world = World::new(903);
    let (alice, carol) = (Party::new(&world, "alice").await, Party::new(&world, "carol").await);
    let other = alice.runtime.deploy("other").await.unwrap();
    let board = alice.create(topic("a")).await;
    let mut copy = carol.observe(&board).await;
    let mut offers = other.delegations();
    let taking = tokio::spawn(async move { offers.next().await.unwrap().accept().await.unwrap() });
    let mut former = timeout(PATIENCE, board.delegate(other.url())).await.unwrap().unwrap();
    let report = timeout(PATIENCE, taking).await.unwrap().unwrap();
    report.set("topic", "b").await.unwrap();
    assert_eq!(versions(&mut copy, 2).await, [1, 2]);
    settled(&mut former, 2).await;
    assert_eq!((former.data(), copy.data()), (topic("b"), topic("b")));
    assert_eq!(former.position(), Position::new(1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_former_reporter_is_killed_right_after_and_nobody_misses_it() {
    let world = World::new(904);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let mut copy = carol.observe(&board).await;
    let (former, report) = given(&board, &bob).await;
    alice.runtime.abort();
    drop((former, board, alice));
    report.set("topic", "b").await.unwrap();
    assert_eq!(versions(&mut copy, 2).await, [1, 2]);
    // The new one is stored: it goes on after a crash, in the same epoch.
    drop(report);
    let bob = bob.crash().await;
    let report = bob.reporter();
    assert_eq!((report.position(), report.data()), (Position::new(1, 2), topic("b")));
    report.set("topic", "c").await.unwrap();
    assert_eq!(versions(&mut copy, 3).await, [3]);
}

#[tokio::test(start_paused = true)]
async fn offers_that_come_to_nothing_inv_dlg_5() {
    let world = World::new(905);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let nobody = "hyperty://example.com/nobody".parse().unwrap();
    let refused = timeout(PATIENCE, board.delegate(&nobody)).await.unwrap().unwrap_err();
    assert!(matches!(refused, DelegateError::Expired(_)), "{refused:?}");
    let code = |refused: DelegateError| match refused {
        DelegateError::Refused { code, .. } => code.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(board.delegate(alice.hyperty.url()).await.unwrap_err()), 400);
    // Two at once: one is refused; and a deletion withdraws the other.
    let mut offers = bob.hyperty.delegations();
    let first = tokio::spawn({
        let (board, to) = (board.clone(), bob.hyperty.url().clone());
        async move { board.delegate(&to).await }
    });
    let offer = timeout(PATIENCE, offers.next()).await.unwrap().unwrap();
    assert_eq!((offer.object(), offer.reporter()), (board.url(), alice.hyperty.url()));
    assert_eq!(code(board.delegate(bob.hyperty.url()).await.unwrap_err()), 409);
    board.delete().await.unwrap();
    assert_eq!(code(timeout(PATIENCE, first).await.unwrap().unwrap().unwrap_err()), 410);
    let late = timeout(PATIENCE, std::future::IntoFuture::into_future(offer.accept())).await.unwrap();
    assert!(late.is_err(), "{late:?}");
}

/// INV-CHD-1 across a hand-over: what was added and deleted before is known after, and what is added meanwhile arrives.
#[tokio::test(start_paused = true)]
async fn children_go_with_their_object() {
    let world = World::new(906);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let copy = carol.observe(&board).await;
    let own = board.children("notes").unwrap().add(json!({"by": "alice"})).await.unwrap();
    let gone = copy.children("notes").unwrap().add(json!({"by": "carol"})).await.unwrap();
    gone.delete().await.unwrap();
    let taking = accepting(&bob);
    let giving = tokio::spawn({
        let (board, to) = (board.clone(), bob.hyperty.url().clone());
        async move { board.delegate(&to).await }
    });
    let mut added = Vec::new();
    for n in 0..5 {
        added.push(copy.children("notes").unwrap().add(json!({"n": n})));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let former = timeout(PATIENCE, giving).await.unwrap().unwrap().unwrap();
    let report = timeout(PATIENCE, taking).await.unwrap().unwrap();
    for one in added {
        drop(timeout(PATIENCE, std::future::IntoFuture::into_future(one)).await.unwrap());
    }
    own.set("by", "the former reporter").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let listed = |handle: hyperty_syncher::ChildrenHandle| {
        handle.list().into_iter().map(|child| (child.id.clone(), child.data.clone())).collect::<Vec<_>>()
    };
    let (at_new, at_former, at_carol) = (
        listed(report.children("notes").unwrap()),
        listed(former.children("notes").unwrap()),
        listed(copy.children("notes").unwrap()),
    );
    assert_eq!(at_new.len(), 6, "{at_new:?}");
    assert_eq!((&at_former, &at_carol), (&at_new, &at_new));
}

/// INV-EXT-3: the new Reporter goes on to tell where it stands. What was due for its observation ends when that is taken
/// down, which may be after it has begun to report.
#[tokio::test(start_paused = true)]
async fn who_observed_and_reports_now_goes_on_to_beat() {
    let world = World::new(904);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let (_copy, _bobs) = (carol.observe(&board).await, bob.observe(&board).await);
    let (_former, report) = given(&board, &bob).await;
    report.set("topic", "b").await.unwrap();
    for _ in 0..3 {
        let before = bob.runtime.stats().beats;
        tokio::time::sleep(PATIENCE).await;
        assert!(bob.runtime.stats().beats > before, "it is silent");
    }
}
