//! An object changes hands over links on which things take their time and get lost.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::sim::{LinkProfile, Notice, RuntimeSpec, Seat, Sim};
use hyperty_model::{HypertyUrl, ObjectUrl};
use hyperty_runtime::Hyperty;
use hyperty_syncher::{Accept, CloseReason, DelegateError, ObserverEvent, Reporter};
use parking_lot::Mutex;
use serde_json::json;

const DOMAIN: &str = "example.com";

/// What the parties know of each other.
#[derive(Default)]
struct Known {
    object: Mutex<Option<ObjectUrl>>,
    taker: Mutex<Option<HypertyUrl>>,
    /// The last word to the observer that became the owner.
    last: Mutex<Option<ObserverEvent>>,
}

/// INV-DLG-4: what is asked between freeze and commit is passed on to the new owner, and may be there before the grant
/// is. Here it is the new owner itself that asks, because it has missed changes.
#[test]
fn an_observer_that_repairs_while_it_becomes_the_owner_does_not_take_the_object_for_deleted() {
    for seed in 1..=8 {
        let last = last_event_of_the_taker(seed);
        let expected = ObserverEvent::Closed { reason: CloseReason::Reporting };
        assert_eq!(last, Some(expected), "seed {seed}");
    }
}

fn last_event_of_the_taker(seed: u64) -> Option<ObserverEvent> {
    let known = Arc::new(Known::default());
    let (giving, taking) = (Arc::clone(&known), Arc::clone(&known));
    let runtime = |name| RuntimeSpec::new(name, DOMAIN).schema(SCHEMA);
    let builder = Sim::builder(seed)
        .runtime(runtime("alice").hyperty("give", move |alice, seat| give(alice, seat, Arc::clone(&giving))))
        .runtime(runtime("bob").hyperty("take", move |bob, seat| take(bob, seat, Arc::clone(&taking))));
    let done = builder.run(async |sim| {
        sim.sleep(Duration::from_secs(2)).await;
        sim.set_profile("bob", DOMAIN, LinkProfile { loss: 0.5, ..LinkProfile::default() });
        sim.sleep(Duration::from_secs(30)).await;
        Ok(())
    });
    done.unwrap();
    known.last.lock().clone()
}

/// Whoever gives an object away hears what became of it, at whatever moment its runtime is cut off.
#[test]
fn who_is_cut_off_while_it_gives_an_object_away_hears_whose_it_is() {
    for after in (0..24).step_by(2) {
        let known = Arc::new(Known::default());
        let (giving, taking) = (Arc::clone(&known), Arc::clone(&known));
        let runtime = |name| RuntimeSpec::new(name, DOMAIN).schema(SCHEMA);
        let given = Arc::new(Mutex::new(None));
        let outcome = Arc::clone(&given);
        let builder = Sim::builder(1)
            .runtime(runtime("alice").hyperty("give", move |alice: Hyperty, seat: Seat| {
                let (known, outcome) = (Arc::clone(&giving), Arc::clone(&outcome));
                async move {
                    let board = create(&alice, &seat, &known).await;
                    seat.sleep(Duration::from_secs(2)).await;
                    let to = known.taker.lock().clone().expect("bob is there");
                    let given = board.delegate(&to).await;
                    *outcome.lock() = Some(given.map(drop));
                    std::future::pending().await
                }
            }))
            .runtime(runtime("bob").hyperty("take", move |bob, seat| take(bob, seat, Arc::clone(&taking))));
        let done = builder.run(async |sim| {
            while known.object.lock().is_none() {
                sim.sleep(Duration::from_millis(1)).await;
            }
            sim.sleep(Duration::from_secs(2) + Duration::from_millis(after)).await;
            sim.cut("alice", DOMAIN, Notice::Silent);
            sim.sleep(Duration::from_secs(100)).await;
            Ok(())
        });
        done.unwrap();
        let given = given.lock().take();
        let known = matches!(given, Some(Ok(()) | Err(DelegateError::Expired(_))));
        assert!(known, "cut after {after} ms: {given:?}");
    }
}

async fn create(alice: &Hyperty, seat: &Seat, known: &Known) -> Reporter {
    let schema = seat.runtime.schema(SCHEMA).unwrap();
    let create = alice.create(schema).name("n").data(json!({"n": 0})).store(true).accept(Accept::All);
    let board = create.await.unwrap();
    *known.object.lock() = Some(board.url().clone());
    board
}

async fn give(alice: Hyperty, seat: Seat, known: Arc<Known>) {
    let board = create(&alice, &seat, &known).await;
    seat.sleep(Duration::from_secs(3)).await;
    let to = known.taker.lock().clone().expect("bob is there");
    let writing = async {
        for n in 1.. {
            drop(board.set("n", n));
            seat.sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        given = board.delegate(&to) => drop(given.unwrap()),
        () = writing => {}
    }
    std::future::pending().await
}

async fn take(bob: Hyperty, seat: Seat, known: Arc<Known>) {
    *known.taker.lock() = Some(bob.url().clone());
    seat.sleep(Duration::from_secs(1)).await;
    let url = known.object.lock().clone().expect("the object is there");
    let mut copy = bob.subscribe(&url).await.unwrap();
    let mut offers = bob.delegations();
    let taking = async {
        drop(offers.next().await.unwrap().accept().observers(Accept::All).await);
        std::future::pending::<()>().await;
    };
    let looking = async {
        while let Some(event) = copy.next_event().await {
            *known.last.lock() = Some(event);
        }
        std::future::pending::<()>().await;
    };
    tokio::join!(taking, looking);
}
