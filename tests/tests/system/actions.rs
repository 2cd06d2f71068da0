//! Observers ask the Reporter's application to do something, and the application sees who observes.

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::MiniBus;
use hyperty_model::message::{ExecuteBody, ResponseBody};
use hyperty_model::{HypertyUrl, Identity, MessageType, StatusCode};
use hyperty_runtime::SyncManagerConfig;
use hyperty_syncher::{ObserverEntry, ObserversChange, REQUEST_BYTES_MAX, RequestError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Party, topic};

/// INV-MSG-1: whatever the application does with a request, its observer gets one answer, in time.
#[tokio::test(start_paused = true)]
async fn every_request_is_answered_once() {
    let world = World::new(721);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let neighbour = alice.runtime.deploy("neighbour").user("user://example.com/neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    let near = neighbour.subscribe(board.url()).await.unwrap();
    let far = bob.observe(&board).await;
    for (copy, user) in [(&near, "neighbour"), (&far, "bob")] {
        // Nobody serves.
        let begun = Instant::now();
        let unserved = copy.request("rename", json!("b")).await;
        assert!(matches!(unserved, Err(RequestError::NotServed(_))), "{unserved:?}");
        assert!(begun.elapsed() <= Duration::from_secs(7), "{:?}", begun.elapsed());

        let serving = {
            let board = board.clone();
            let user = format!("user://example.com/{user}");
            tokio::spawn(async move {
                let mut requests = board.requests();
                while let Some(request) = requests.next().await {
                    assert_eq!(request.identity().and_then(Identity::user), Some(&*user));
                    match (request.method().to_owned().as_str(), request.params().to_vec().as_slice()) {
                        ("rename", [name]) => {
                            board.set("topic", name.clone()).await.unwrap();
                            assert!(request.answer(json!({"renamed": name})));
                        }
                        ("slow", _) => {
                            for _ in 0..10 {
                                sleep(Duration::from_secs(5)).await;
                                assert!(request.progress());
                            }
                            assert!(request.answer(Value::Null));
                        }
                        ("late", _) => {
                            sleep(Duration::from_secs(8)).await;
                            assert!(!request.progress());
                            assert!(!request.answer(Value::Null));
                        }
                        ("drop", _) => drop(request),
                        _ => drop(request.refuse(StatusCode(422), "no such thing")),
                    }
                }
            })
        };
        let done = copy.request("rename", json!("b")).await;
        assert_eq!(done, Ok(json!({"renamed": "b"})));
        assert_eq!(board.data(), topic("b"));
        assert_eq!(copy.request("slow", json!([])).await, Ok(Value::Null));
        let late = copy.request("late", Value::Null).await;
        assert!(matches!(late, Err(RequestError::Timeout(_))), "{late:?}");
        sleep(Duration::from_secs(8)).await;
        let dropped = copy.request("drop", json!([1, 2])).await;
        assert!(matches!(dropped, Err(RequestError::NotServed(_))), "{dropped:?}");
        let refused = copy.request("else", json!([])).await;
        let wanted = RequestError::Refused { code: StatusCode(422), reason: "no such thing".to_owned() };
        assert_eq!(refused, Err(wanted));
        let large = copy.request("rename", json!("x".repeat(REQUEST_BYTES_MAX))).await;
        assert!(matches!(large, Err(RequestError::TooLarge(_))), "{large:?}");
        serving.abort();
        let _ = serving.await;
    }
}

/// Only accepted observers are heard, each in its own name, and no more of them at a time than the limits say.
#[tokio::test(start_paused = true)]
async fn strangers_are_not_heard_and_limits_hold() {
    let world = World::new(722);
    let mut config = SyncManagerConfig::default();
    (config.actions_per_observer_max, config.actions_max) = (2, 3);
    let alice = Party::with(&world, "alice", |builder| builder.sync_manager(config)).await;
    let bob = Party::new(&world, "bob").await;
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let of_bob = bob.observe(&board).await;
    let of_carol = carol.observe(&board).await;

    // A stranger, by the node and in the Reporter's runtime; and one that speaks as somebody else.
    let mut stranger = 0;
    for runtime in [&bob.runtime, &alice.runtime] {
        stranger += 1;
        let url = HypertyUrl::parse(&format!("hyperty://example.com/stranger-{stranger}")).unwrap();
        let minibus = MiniBus::new(runtime.bus(), url.clone()).unwrap();
        for from in [url.as_url(), of_bob_url(&bob).as_url()] {
            let body = ExecuteBody { method: "rename".to_owned(), ..ExecuteBody::default() };
            let message = minibus.new_message(MessageType::Execute, from, board.url(), body);
            let answer = minibus.request(message).timeout(Duration::from_secs(20));
            let code = answer.await.decode::<ResponseBody>().unwrap().code;
            // What is said in another's name is not answered to whoever said it.
            let wanted = if from == url.as_url() { StatusCode::FORBIDDEN } else { StatusCode::TIMEOUT };
            assert!(code == wanted || code == StatusCode::FORBIDDEN, "{from}: {code}");
        }
    }

    let asking = |observer: &hyperty_syncher::Observer| {
        let observer = observer.clone();
        tokio::spawn(async move { observer.request("wait", json!([])).await })
    };
    let under_way = [asking(&of_bob), asking(&of_bob), asking(&of_carol)];
    sleep(Duration::from_secs(1)).await;
    for observer in [&of_bob, &of_carol] {
        let refused = observer.request("more", json!([])).await;
        let is_limit =
            matches!(&refused, Err(RequestError::Refused { code, .. }) if *code == StatusCode::INTERNAL);
        assert!(is_limit, "{refused:?}");
    }
    // Who is removed meanwhile learns nothing of what came of it.
    let mut requests = board.requests();
    let first = requests.next().await.unwrap();
    assert_eq!(first.from(), bob.hyperty.url().as_url());
    board.remove_observer(bob.hyperty.url()).await.unwrap();
    first.answer(json!("secret"));
    for asked in under_way {
        let outcome = timeout(Duration::from_secs(60), asked).await.unwrap().unwrap();
        assert!(outcome.is_err(), "{outcome:?}");
    }
    // All of them are done with.
    let answer = asking(&of_carol);
    let request = loop {
        let request = requests.next().await.unwrap();
        if request.method() == "wait" {
            break request;
        }
    };
    request.answer(json!(1));
    assert_eq!(answer.await.unwrap(), Ok(json!(1)));
    assert_eq!(of_bob.request("rename", json!([])).await, Err(RequestError::Closed));
}

fn of_bob_url(bob: &Party) -> HypertyUrl {
    bob.hyperty.url().clone()
}

/// The object's runtime goes while a request is under way, or is away: one answer all the same.
#[tokio::test(start_paused = true)]
async fn a_request_ends_when_the_reporter_goes() {
    let world = World::new(723);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let of_bob = bob.observe(&board).await;
    let _requests = board.requests();
    let asked = {
        let of_bob = of_bob.clone();
        tokio::spawn(async move { of_bob.request("wait", json!([])).await })
    };
    sleep(Duration::from_secs(1)).await;
    world.cut("alice");
    let begun = Instant::now();
    let outcome = asked.await.unwrap();
    let is_lost = matches!(&outcome, Err(RequestError::Timeout(_) | RequestError::Unreachable(_)));
    assert!(is_lost && begun.elapsed() < Duration::from_secs(16), "{outcome:?}");
    sleep(Duration::from_secs(200)).await;
    let outcome = of_bob.request("wait", json!([])).await;
    assert!(matches!(outcome, Err(RequestError::Unreachable(_))), "{outcome:?}");
    world.heal("alice");
    board.delete().await.unwrap();
    let outcome = of_bob.request("wait", json!([])).await;
    assert_eq!(outcome, Err(RequestError::Closed));
}

/// Protocol 5.3.5: joins and leaves, with identity, of vanished runtimes too, and the whole list after a restart.
#[tokio::test(start_paused = true)]
async fn the_reporter_sees_who_observes() {
    let world = World::new(724);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("a")).await;
    let mut changes = board.observers_changes();
    let of_bob = bob.observe(&board).await;
    let of_carol = carol.hyperty.subscribe(board.url()).await.unwrap();
    let mut told = Vec::new();
    let names = |list: &[ObserverEntry]| {
        let named = |entry: &ObserverEntry| {
            assert!(entry.since.is_some());
            let user = entry.identity.as_ref().and_then(Identity::user).unwrap_or_default();
            (user.rsplit('/').next().unwrap().to_owned(), entry.away)
        };
        let mut names: Vec<_> = list.iter().map(named).collect();
        names.sort();
        names
    };
    assert_eq!(names(&board.observers()), [("bob".to_owned(), false), ("carol".to_owned(), false)]);
    // Bob may come back, Carol did not ask for it.
    for name in ["bob", "carol"] {
        world.cut(name);
    }
    sleep(Duration::from_secs(200)).await;
    assert_eq!(names(&board.observers()), [("bob".to_owned(), true)]);
    world.heal("bob");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(names(&board.observers()), [("bob".to_owned(), false)]);
    of_bob.unsubscribe().await.unwrap();
    assert_eq!(board.observers(), []);
    while let Ok(Some(change)) = timeout(Duration::from_millis(1), changes.next()).await {
        let (word, entry) = match change {
            ObserversChange::Joined(entry) => ("joined", entry),
            ObserversChange::Left(entry) => ("left", entry),
            ObserversChange::Away(entry) => ("away", entry),
            ObserversChange::Back(entry) => ("back", entry),
            other => panic!("{other:?}"),
        };
        told.push(format!("{} {word}", names(&[entry])[0].0));
    }
    let of = |who: &str| told.iter().filter(|line| line.starts_with(who)).cloned().collect::<Vec<_>>();
    assert_eq!(of("bob"), ["bob joined", "bob away", "bob back", "bob left"]);
    assert_eq!(of("carol"), ["carol joined", "carol left"]);
    drop(of_carol);

    let _of_bob = bob.observe(&board).await;
    let since = board.observers()[0].since;
    drop((board, changes));
    let alice = alice.crash().await;
    let board = alice.reporter();
    let list = board.observers();
    assert_eq!(names(&list), [("bob".to_owned(), false)]);
    assert_eq!(list[0].since, since);
}
