//! What goes with an object that changes hands, beside its data.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{Link, World};
use hyperty_runtime::Hyperty;
use hyperty_storage::{DataObjectStorage, MemoryTables, ObjectStore, Role};
use hyperty_syncher::{Accept, DelegateError, Observer, Reporter, ReporterEvent, TakeOverError, WriteError};
use serde_json::json;
use tokio::time::timeout;

use crate::held::Held;
use crate::support::{Party, board_in, settled, topic};
use crate::takeover::{of_user, second, stopped};

pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Gives an object to one who takes it; what that one reports from then on, and what the former Reporter observes.
pub(crate) async fn given(from: &Reporter, to: &Party) -> (Reporter, Observer) {
    let mut offers = to.hyperty.delegations();
    let taking = tokio::spawn(async move {
        let offer = offers.next().await.expect("an offer");
        offer.accept().observers(Accept::All).await.expect("it is taken")
    });
    let copy =
        timeout(PATIENCE, from.delegate(to.hyperty.url())).await.expect("an end").expect("it is given");
    (timeout(PATIENCE, taking).await.expect("an end").unwrap(), copy)
}

pub(crate) fn listed(reporter: &Reporter) -> Vec<String> {
    reporter.observers().into_iter().filter(|entry| !entry.away).map(|entry| entry.url.to_string()).collect()
}

fn sorted(hyperties: &[&Hyperty]) -> Vec<String> {
    let mut urls: Vec<String> = hyperties.iter().map(|hyperty| hyperty.url().to_string()).collect();
    urls.sort();
    urls
}

/// The new Reporter knows from the beginning who observes, the former Reporter among them.
#[tokio::test(start_paused = true)]
async fn the_list_of_observers_goes_with_an_object_that_is_given() {
    let world = World::new(9100);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let _copy = carol.observe(&board).await;
    let (report, _) = given(&board, &bob).await;
    assert_eq!(listed(&report), sorted(&[&alice.hyperty, &carol.hyperty]));
}

/// So does who takes an object over.
#[tokio::test(start_paused = true)]
async fn the_list_of_observers_goes_with_an_object_that_is_taken_over() {
    let world = World::new(9101);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let _copy = bob.observe(&board).await;
    drop(board);
    let tables = stopped(alice);
    let (runtime, hyperty) = second(&world, "alice", &tables, "alice").await;
    runtime.connected().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let resumed = hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!(listed(&resumed.reporters[0]), sorted(&[&bob.hyperty]));
}

/// Stops hard while an object that was accepted is claimed; what is stored then.
async fn stopped_while_claiming(world: &World, board: &Reporter, bob: Party) -> Arc<MemoryTables> {
    let mut offers = bob.hyperty.delegations();
    let (giver, to) = (board.clone(), bob.hyperty.url().clone());
    tokio::spawn(async move { giver.delegate(&to).await });
    let offer = timeout(PATIENCE, offers.next()).await.expect("an end").expect("an offer");
    world.set_link("alice", Link::Stalled);
    let taking = tokio::spawn(offer.accept().into_future());
    tokio::time::sleep(Duration::from_secs(1)).await;
    taking.abort();
    let tables = stopped(bob);
    world.heal("alice");
    tables
}

/// Whoever accepted an object is deployed again long after its runtime is: the object is not served before that by
/// nobody, and is its own then (INV-DLG-7).
#[tokio::test(start_paused = true)]
async fn an_object_waits_for_a_hyperty_that_is_deployed_late_inv_dlg_7() {
    let world = World::new(9105);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let tables = stopped_while_claiming(&world, &board, bob).await;
    let runtime = world.runtime("bob", &tables).await;
    runtime.schema(SCHEMA).unwrap();
    tokio::time::sleep(Duration::from_secs(90)).await;
    let bob = runtime.deploy("app").user("user://example.com/bob").await.unwrap();
    tokio::time::sleep(Duration::from_secs(90)).await;
    let open = |hyperty: &Hyperty| hyperty.reporters().into_iter().filter(|it| !it.is_closed()).count();
    assert_eq!(open(&alice.hyperty) + open(&bob), 1, "it has one owner");
    let owner = alice.hyperty.reporters().into_iter().chain(bob.reporters()).find(|it| !it.is_closed());
    let change = owner.unwrap().set("topic", "b");
    timeout(PATIENCE, change).await.expect("an answer").expect("it takes changes");
}

/// An object is served as soon as it is ours. What its new Reporter has to decide, and is asked before it has the object,
/// waits for it (INV-DLG-4).
#[tokio::test(start_paused = true)]
async fn questions_wait_for_a_reporter_that_does_not_have_the_object_yet_inv_dlg_4() {
    let world = World::new(9106);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (carol, dave) = (Party::new(&world, "carol").await, Party::new(&world, "dave").await);
    let board = alice.create(topic("a")).await;
    let copy = Arc::new(carol.observe(&board).await);
    let mut acting = board.requests();
    tokio::spawn(async move {
        while let Some(request) = acting.next().await {
            request.answer(json!("alice"));
        }
    });
    let tables = stopped_while_claiming(&world, &board, bob).await;
    let bob = Party::over(&world, "bob", tables).await;
    let mut asked = Vec::new();
    for turn in 0..400 {
        let (dave, copy, url) = (dave.hyperty.clone(), Arc::clone(&copy), board.url().clone());
        asked.push(tokio::spawn(async move {
            dave.read(&url).await.map(drop).map_err(|error| error.to_string())
        }));
        // One observer may have a few actions under way.
        if turn % 20 == 0 {
            asked.push(tokio::spawn(async move {
                let answer = copy.request("rename", json!("b")).await;
                answer.map(drop).map_err(|error| error.to_string())
            }));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let Some(report) = bob.hyperty.reporters().pop() else { continue };
        let (mut events, mut requests) = (report.events(), report.requests());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let ReporterEvent::Read(request) = event {
                    request.accept();
                }
            }
        });
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                request.answer(json!("bob"));
            }
        });
        break;
    }
    assert_eq!(bob.hyperty.reporters().len(), 1, "it is given");
    for asked in asked {
        let answer = timeout(PATIENCE, asked).await.expect("an answer").unwrap();
        assert_eq!(answer, Ok(()));
    }
}

/// What a writer told the heir directly, and the former Reporter never took, is not the object's: neither the heir nor an
/// A crash between the takeover and the end of the heir's own observation: it does not observe what it reports.
#[tokio::test(start_paused = true)]
async fn a_crash_leaves_no_observation_of_what_was_taken_over() {
    let world = World::new(9103);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Arc::new(alice.tables.snapshot());
    let (tablet, hyperty) = second(&world, "tablet", &tables, "alice").await;
    tablet.connected().await;
    let copy = hyperty.subscribe(board.url()).store(true).await.unwrap();
    let observed = ObjectStore::new(Arc::new(tables.snapshot())).load(Role::Observer).unwrap();
    world.cut("alice");
    tokio::time::sleep(Duration::from_secs(130)).await;
    let taken = hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!(taken.reporters.len(), 1);
    tablet.abort();
    let image = Arc::new(tables.snapshot());
    ObjectStore::new(Arc::clone(&image) as _).save(&observed[0]);
    drop((copy, taken, hyperty, tablet));
    let (_tablet, hyperty) = second(&world, "tablet", &image, "alice").await;
    assert_eq!((hyperty.resumed().reporters.len(), hyperty.resumed().observers.len()), (1, 0));
    assert_eq!(listed(&hyperty.resumed().reporters[0]), Vec::<String>::new());
    assert!(ObjectStore::new(image).load(Role::Observer).unwrap().is_empty());
}

/// A store that hangs decides whose the object is when nobody waits to hear it any more: what the former Reporter made
/// while it was stopped is answered all the same, and both sides go on as if they had heard (INV-MSG-1).
#[tokio::test(start_paused = true)]
async fn changes_made_while_an_offer_hangs_are_answered_inv_msg_1() {
    let world = World::new(9104);
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let (alice, board) = board_in(&runtime).await;
    let bob = Party::new(&world, "bob").await;
    let mut events = board.events();
    let mut offers = bob.hyperty.delegations();
    let taking = tokio::spawn(async move { offers.next().await.expect("an offer").accept().await });

    tables.hold();
    let giving = tokio::spawn({
        let (board, to) = (board.clone(), bob.hyperty.url().clone());
        async move { board.delegate(&to).await }
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let change = board.set("topic", "too late");
    let gives = timeout(PATIENCE, giving).await.expect("an end").unwrap();
    assert!(matches!(gives, Err(DelegateError::Timeout)), "{gives:?}");
    let takes = timeout(PATIENCE, taking).await.expect("an end").unwrap();
    assert!(matches!(takes, Err(TakeOverError::Timeout)), "{takes:?}");
    tables.let_go();

    assert_eq!(timeout(PATIENCE, change).await.expect("an answer"), Err(WriteError::Delegated));
    let told = async {
        loop {
            match events.next().await {
                Some(ReporterEvent::Delegated { to }) => break to,
                event => assert!(event.is_some(), "it ends without a word"),
            }
        }
    };
    assert_eq!(timeout(PATIENCE, told).await.expect("it is told"), *bob.hyperty.url());
    let mut copy = alice.observers().pop().expect("it observes");
    assert_eq!(copy.data(), topic("a"));
    bob.hyperty.reporters()[0].set("topic", "b").await.unwrap();
    settled(&mut copy, 2).await;
    assert_eq!(copy.data(), topic("b"));
}

/// A store that breaks at that moment leaves nobody waiting: the offer has an end, and so have the changes made meanwhile.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_while_an_object_is_given_keeps_nobody_waiting_inv_msg_1() {
    let world = World::new(9105);
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let (_alice, board) = board_in(&runtime).await;
    let bob = Party::new(&world, "bob").await;
    let mut offers = bob.hyperty.delegations();
    let taking = tokio::spawn(async move { offers.next().await.expect("an offer").accept().await });

    tables.hold();
    let giving = tokio::spawn({
        let (board, to) = (board.clone(), bob.hyperty.url().clone());
        async move { board.delegate(&to).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let change = board.set("topic", "b");
    tables.fail();
    let gives = timeout(Duration::from_secs(5), giving).await.expect("an end").unwrap();
    assert!(
        matches!(&gives, Err(DelegateError::Refused { code: hyperty_model::StatusCode::INTERNAL, .. })),
        "{gives:?}"
    );
    let change = timeout(Duration::from_secs(5), change).await.expect("an answer");
    assert!(matches!(&change, Err(WriteError::StoreFailed { .. })), "{change:?}");
    timeout(PATIENCE, taking).await.expect("an end").unwrap().expect_err("nothing was given");
}

/// Whoever waits for anything at the seat of a former Reporter hears that it is none any more.
#[tokio::test(start_paused = true)]
async fn nobody_waits_on_at_the_seat_of_a_former_reporter() {
    let world = World::new(9106);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let absent = "hyperty://example.com/nobody".parse::<hyperty_model::HypertyUrl>().unwrap();
    let mut answers = board.invite([absent]).await.unwrap();
    let (mut requests, mut changes) = (board.requests(), board.observers_changes());
    let waiting = tokio::spawn({
        let board = board.clone();
        async move {
            let asked = async { while requests.next().await.is_some() {} };
            let listed = async { while changes.next().await.is_some() {} };
            let answered = async { while answers.next().await.is_some() {} };
            tokio::join!(asked, listed, answered, board.backed_up_beyond(None)).3
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _report = given(&board, &bob).await;
    assert_eq!(timeout(PATIENCE, waiting).await.expect("an end").unwrap(), None);
}
