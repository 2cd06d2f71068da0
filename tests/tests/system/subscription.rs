//! What a subscription costs, what it gives and to whom, and what is left when it ends (protocol 5.3 to 5.6).

use std::collections::BTreeSet;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_model::{Message, MessageType};
use hyperty_runtime::Hyperty;
use hyperty_storage::Role;
use hyperty_syncher::{Accept, Observer, ObserverEvent, Reporter, ReporterEvent, SubscribeError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::spy::{NODE, Spy, json_body, received, registered, routes, stored, text};
use crate::support::{Party, topic, until};

/// Longer than any exchange.
const PATIENCE: Duration = Duration::from_secs(120);

async fn subscribe(hyperty: &Hyperty, board: &Reporter) -> Result<Observer, SubscribeError> {
    timeout(PATIENCE, hyperty.subscribe(board.url())).await.expect("an answer in time")
}

async fn deploy_some(party: &Party, count: usize) -> Vec<Hyperty> {
    let mut hyperties = Vec::new();
    for number in 0..count {
        hyperties.push(party.runtime.deploy(&format!("observer-{number}")).await.unwrap());
    }
    hyperties
}

/// The answers to a hyperty that entered the bus of its runtime, as bodies. All belong to one request.
fn answers(spy: &Spy, hyperty: &Hyperty) -> Vec<Value> {
    let own = |m: &Message| m.kind() == MessageType::Response && m.to() == hyperty.url().as_url();
    let all = spy.outgoing(own);
    let ids: BTreeSet<String> = all.iter().map(|message| message.id().to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    all.iter().map(json_body).collect()
}

fn codes(answers: &[Value]) -> Vec<u64> {
    answers.iter().map(|answer| answer["code"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_answered_100_once_then_200_once_inv_sub_2() {
    let world = World::new(60);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    for (runtime, hyperty) in [(&bob.runtime, &bob.hyperty), (&alice.runtime, &neighbour)] {
        let spy = Spy::on(runtime.bus());
        let _copy = subscribe(hyperty, &board).await.unwrap();
        sleep(PATIENCE).await;
        let answers = answers(&spy, hyperty);
        assert_eq!(codes(&answers), [100, 200]);
        for answer in &answers {
            let names: BTreeSet<_> =
                answer["childrenResources"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(names, BTreeSet::from(["news", "notes"]), "{answer}");
        }
        assert_eq!(answers[1]["value"]["data"], topic("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_subscription_is_answered_finally_once_inv_sub_2() {
    let world = World::new(61);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    let refused = async |party: &Party, hyperty: &Hyperty, expected: u64| {
        let spy = Spy::on(party.runtime.bus());
        assert!(subscribe(hyperty, &board).await.is_err());
        sleep(PATIENCE).await;
        let codes = codes(&answers(&spy, hyperty));
        assert_eq!(codes.last(), Some(&expected), "{codes:?}");
        assert!(codes.len() == 1 || codes[..] == [100, expected], "{codes:?}");
    };
    // The application refuses, at once and by silence.
    for accept in [Accept::None, Accept::Ask] {
        board.accept(accept);
        refused(&bob, &bob.hyperty, 403).await;
        refused(&alice, &neighbour, 403).await;
    }
    world.cut("alice");
    sleep(Duration::from_secs(1)).await;
    refused(&bob, &bob.hyperty, 408).await;
    world.heal("alice");
    sleep(Duration::from_secs(60)).await;
    board.delete().await.unwrap();
    let spy = Spy::on(bob.runtime.bus());
    assert!(subscribe(&bob.hyperty, &board).await.is_err());
    let codes = codes(&answers(&spy, &bob.hyperty));
    assert!(matches!(codes[..], [404] | [410] | [100, 404] | [100, 410]), "{codes:?}");
}

/// INV-UNS-3: and the routes are there exactly as long as anybody observes.
#[tokio::test(start_paused = true)]
async fn many_observers_of_a_runtime_cost_one_route_and_one_frame_inv_sub_4_inv_uns_3() {
    const COUNT: usize = 5;
    let world = World::new(62);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let hyperties = deploy_some(&bob, COUNT).await;
    let (before, spy) = (routes(&world), Spy::on(bob.runtime.bus()));
    // All at once: none may find routes half made, nor make them twice.
    let subscribing: Vec<_> =
        hyperties.iter().map(|hyperty| tokio::spawn(hyperty.subscribe(board.url()).into_future())).collect();
    let mut copies = Vec::new();
    for one in subscribing {
        copies.push(timeout(PATIENCE, one).await.unwrap().unwrap().unwrap());
    }
    // The channels of the children are listened to by the Reporter's runtime already.
    assert_eq!(routes(&world), before + 1);
    let to_node = |kind| spy.outgoing(move |m| m.kind() == kind && m.to().as_str() == NODE);
    let mut asked: Vec<String> = Vec::new();
    for message in to_node(MessageType::Subscribe) {
        asked.extend(json_body(&message)["resources"].as_array().unwrap().iter().map(|url| url.to_string()));
    }
    asked.sort();
    let tails = ["changes", "children/news", "children/notes"];
    let mut expected = tails.map(|tail| json!(format!("{}/{tail}", board.url())).to_string());
    expected.sort();
    assert_eq!(asked, expected, "each address is asked for once");

    spy.clear();
    let delivered = world.node().unwrap().stats().delivered;
    board.set("topic", "b").await.unwrap();
    for copy in &mut copies {
        let events = until(copy, 1).await;
        let changes = events.iter().filter(|event| matches!(event, ObserverEvent::Change(_))).count();
        assert_eq!((changes, copy.data()), (1, topic("b")));
    }
    let of_object = |message: &Message| *message.to() == board.url().changes();
    assert_eq!(spy.incoming(of_object).len(), 1, "one frame for all of them");
    assert_eq!(world.node().unwrap().stats().delivered, delivered + 1);

    while let Some(leaving) = copies.pop() {
        assert_eq!(routes(&world), before + 1, "{} still observe", copies.len() + 1);
        assert!(to_node(MessageType::Unsubscribe).is_empty());
        timeout(PATIENCE, leaving.unsubscribe()).await.unwrap().unwrap();
    }
    assert_eq!(routes(&world), before);
    assert_eq!(to_node(MessageType::Unsubscribe).len(), 1);
    spy.clear();
    board.set("topic", "c").await.unwrap();
    sleep(PATIENCE).await;
    assert!(spy.incoming(of_object).is_empty());
    // The channels that both runtimes listened to are still the Reporter's.
    let carol = Party::new(&world, "carol").await;
    let copy = subscribe(&carol.hyperty, &board).await.unwrap();
    copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    assert_eq!(board.children("notes").unwrap().list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn within_a_runtime_neither_node_nor_stub_is_used_inv_sub_6() {
    let world = World::new(63);
    let alice = Party::new(&world, "alice").await;
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let first = alice.create(topic("a")).await;
    let create = || {
        let create = alice.hyperty.create(alice.runtime.schema(SCHEMA).unwrap()).data(topic("a"));
        create.store(true).domain_registration(false).domain_routing(false).accept(Accept::All).into_future()
    };
    // Connected, the node hears nothing; cut off, nothing is missed, and nobody waits.
    let started = Instant::now();
    let mut board = None;
    for cut in [false, true] {
        if cut {
            world.cut("alice");
            tokio::task::yield_now().await;
        }
        let heard = received(&world);
        for board in [first.clone(), board.insert(create().await.unwrap()).clone()] {
            let mut copy = subscribe(&neighbour, &board).await.unwrap();
            board.set("topic", "b").await.unwrap();
            until(&mut copy, board.version()).await;
            copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
            assert_eq!(neighbour.read(board.url()).await.unwrap().data, topic("b"));
            copy.unsubscribe().await.unwrap();
            board.set("topic", "a").await.unwrap();
        }
        assert_eq!(received(&world), heard);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_admitted_gets_no_data_inv_sub_7() {
    let world = World::new(64);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("secret-0")).await;
    board.accept(Accept::Ask);
    let mut events = board.events();
    let spy = Spy::on(bob.runtime.bus());
    let home = Spy::on(alice.runtime.bus());
    for hyperty in [&bob.hyperty, &neighbour] {
        let waiting = tokio::spawn(hyperty.subscribe(board.url()).into_future());
        let request = loop {
            match timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
                ReporterEvent::Subscription(request) => break request,
                _ => continue,
            }
        };
        // While the application thinks about it, the object goes on.
        board.set("topic", "secret-1").await.unwrap();
        board.children("notes").unwrap().add(json!({"text": "secret-2"})).await.unwrap();
        request.reject("not you");
        assert!(waiting.await.unwrap().is_err());
        assert!(hyperty.observers().is_empty());
        board.set("topic", "secret-3").await.unwrap();
        board.children("notes").unwrap().add(json!({"text": "secret-4"})).await.unwrap();
        sleep(PATIENCE).await;
    }
    let told = spy.incoming(|message| text(message).contains("secret"));
    assert!(told.is_empty(), "{told:?}");
    let told = home.outgoing(|m| m.to() == neighbour.url().as_url() && text(m).contains("secret"));
    assert!(told.is_empty(), "{told:?}");
    assert!(stored(&bob, Role::Observer).is_empty());
    // Both ways in are open: the object is public, the user is admitted beforehand.
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let public = alice
        .hyperty
        .create(schema.clone())
        .data(topic("secret-5"))
        .public_observation(true)
        .accept(Accept::None);
    let public = public.await.unwrap();
    let granted = alice.hyperty.create(schema).data(topic("secret-6")).accept(Accept::None);
    let user: hyperty_model::Url = format!("user://{DOMAIN}/bob").parse().unwrap();
    let granted = granted.authorise([user]).await.unwrap();
    assert_eq!(subscribe(&bob.hyperty, &public).await.unwrap().data(), topic("secret-5"));
    assert_eq!(subscribe(&bob.hyperty, &granted).await.unwrap().data(), topic("secret-6"));
    assert_eq!(subscribe(&neighbour, &public).await.unwrap().data(), topic("secret-5"));
    assert!(subscribe(&neighbour, &granted).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_of_an_observer_that_left_stays_with_the_reporter_inv_uns_2() {
    let world = World::new(68);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    let mut events = board.events();
    let copies = [bob.observe(&board).await, subscribe(&neighbour, &board).await.unwrap()];
    assert_eq!(stored(&alice, Role::Reporter)[0].subscriptions.len(), 2);
    for copy in &copies {
        timeout(PATIENCE, copy.unsubscribe()).await.unwrap().unwrap();
    }
    let mut left = Vec::new();
    while left.len() < 2 {
        if let Some(ReporterEvent::Left { hyperty }) = timeout(PATIENCE, events.next()).await.unwrap() {
            left.push(hyperty);
        }
    }
    assert_eq!(left, [bob.hyperty.url().clone(), neighbour.url().clone()]);
    assert!(stored(&alice, Role::Reporter)[0].subscriptions.is_empty());
    assert!(stored(&bob, Role::Observer).is_empty());
    // No route leads to a stub any more: changes, children and beats stay at home.
    sleep(Duration::from_secs(5)).await;
    let heard = Spy::on(alice.runtime.bus());
    let before = received(&world);
    board.set("topic", "b").await.unwrap();
    board.children("notes").unwrap().add(json!({"text": 1})).await.unwrap();
    assert_eq!(received(&world), before);
    sleep(Duration::from_secs(20)).await;
    assert!(heard.outgoing(|m| text(m).contains("\"attributeType\":\"position\"")).is_empty());
    // Nor after a restart.
    drop((board, events, copies));
    let alice = alice.crash().await;
    alice.reporter().set("topic", "c").await.unwrap();
    assert!(stored(&alice, Role::Reporter)[0].subscriptions.is_empty());
    assert_eq!(registered(&bob, alice.reporter().url()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn leaving_works_with_the_reporter_away_inv_uns_4() {
    let world = World::new(69);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let before = routes(&world);
    let board = alice.create(topic("a")).await;
    let with_object = routes(&world);
    let copy = bob.observe(&board).await;
    assert_eq!(routes(&world), with_object + 1);
    world.cut("alice");
    timeout(PATIENCE, copy.unsubscribe()).await.unwrap().unwrap();
    assert!(nobody_observes(&bob));
    assert_eq!(routes(&world), with_object);
    // And with the node away, too; then nothing brings the observation back.
    world.heal("alice");
    sleep(Duration::from_secs(60)).await;
    let copy = bob.observe(&board).await;
    world.cut("bob");
    timeout(PATIENCE, copy.unsubscribe()).await.unwrap().unwrap();
    assert!(nobody_observes(&bob));
    world.heal("bob");
    sleep(PATIENCE).await;
    assert_eq!(routes(&world), with_object);
    // The Reporter heard of it when that was possible again.
    assert!(stored(&alice, Role::Reporter)[0].subscriptions.is_empty());
    let bob = bob.crash().await;
    assert!(bob.hyperty.resumed().observers.is_empty());
    // The Reporter's runtime is gone for good.
    let copy = bob.observe(&board).await;
    drop(board);
    alice.runtime.abort();
    drop(alice);
    sleep(Duration::from_secs(90)).await;
    timeout(PATIENCE, copy.unsubscribe()).await.unwrap().unwrap();
    assert!(nobody_observes(&bob));
    assert_eq!(routes(&world), before);
}

/// Nothing is kept but that somebody has left, until the Reporter's side has heard of it.
fn nobody_observes(party: &Party) -> bool {
    let records = stored(party, Role::Observer);
    records.iter().flat_map(|record| &record.subscriptions).all(|subscriber| subscriber.left.is_some())
}
