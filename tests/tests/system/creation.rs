//! What a creation makes, and what a refused one leaves: nothing (protocol 5.1).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_message_bus::Direction;
use hyperty_model::{ManualClock, Message, MessageType, SeededIds, StatusCode, Timestamp};
use hyperty_policy::Closed;
use hyperty_protostub::{ChannelConnector, ConnectError};
use hyperty_runtime::Runtime;
use hyperty_storage::Role;
use hyperty_syncher::{Accept, CreateError, Reporter, ReporterEvent};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::{Spy, ask, desk, gate, is_taken, json_body, registered, routes, stored, text};
use crate::support::{Party, topic};

/// Longer than any creation, and than every retry after it.
const PATIENCE: Duration = Duration::from_secs(600);

async fn create(party: &Party) -> Result<Reporter, CreateError> {
    let schema = party.runtime.schema(SCHEMA).unwrap();
    let create = party.hyperty.create(schema).name("board").data(topic("a")).store(true).accept(Accept::All);
    timeout(PATIENCE, create).await.expect("an answer in time")
}

#[tokio::test(start_paused = true)]
async fn a_created_object_is_reached_once_from_every_runtime_inv_cre_1() {
    let world = World::new(40);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let spy = Spy::on(alice.runtime.bus());
    let before = routes(&world);
    let board = create(&alice).await.unwrap();
    // O, O/subscription and one channel for each children name.
    assert_eq!(routes(&world), before + 4);
    let asked = spy.outgoing(|m| m.kind() == MessageType::Subscribe && m.to().as_str().ends_with("/sm"));
    assert_eq!(asked.len(), 1, "all routes are set up by one message");

    let mut events = board.events();
    for observer in [&bob.hyperty, &carol.hyperty, &neighbour] {
        let copy = timeout(PATIENCE, observer.subscribe(board.url())).await.unwrap().unwrap();
        assert_eq!(copy.data(), topic("a"));
        let joined = timeout(PATIENCE, events.next()).await.unwrap();
        assert!(
            matches!(&joined, Some(ReporterEvent::Joined { hyperty, .. }) if hyperty == observer.url()),
            "{joined:?}"
        );
        copy.unsubscribe().await.unwrap();
        let left = timeout(PATIENCE, events.next()).await.unwrap();
        assert!(
            matches!(left, Some(ReporterEvent::Left { .. })),
            "joined once, so this comes next: {left:?}"
        );
    }
    let questions = spy.incoming(|message| message.kind() == MessageType::Subscribe);
    assert_eq!(questions.len(), 2, "one for each of the other runtimes");
}

#[tokio::test(start_paused = true)]
async fn an_object_without_routing_has_no_route_and_is_reached_at_home_only_inv_cre_1() {
    let world = World::new(41);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let before = routes(&world);
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let board = alice.hyperty.create(schema).data(topic("a")).domain_routing(false).accept(Accept::All);
    let board = board.await.unwrap();
    assert_eq!(routes(&world), before);
    assert!(timeout(PATIENCE, bob.hyperty.subscribe(board.url())).await.unwrap().is_err());
    assert_eq!(routes(&world), before, "a failed subscription leaves no route either");
    assert_eq!(neighbour.subscribe(board.url()).await.unwrap().data(), topic("a"));
}

/// What a refused creation must not have left, and that another one works.
async fn nothing_is_left(world: &World, alice: Party, asker: &Party, before: usize, addresses: &[String]) {
    assert!(stored(&alice, Role::Reporter).is_empty(), "a record");
    assert_eq!(routes(world), before, "routes at the node");
    assert!(alice.hyperty.reporters().is_empty());
    let mut released = Vec::new();
    for address in addresses {
        let object = address.parse().unwrap();
        let (code, status) = registered(asker, &object).await;
        assert!(matches!(code, 404 | 410), "{object} is registered: {code} {status:?}");
        for to in [object.as_url().clone(), object.subscription()] {
            // Not at home either: it goes out, and the node knows nobody.
            let (from, body) = (desk(&alice), json!({"resource": object}));
            let answer = ask(&alice, MessageType::Subscribe, &from, to.as_str(), body).await;
            assert_eq!((answer.code, answer.reason.as_deref()), (StatusCode::NOT_FOUND, Some("no-route")));
        }
        if !is_taken(asker, address).await {
            released.push(address);
        }
    }
    // The rest of the block is for later objects.
    assert_eq!(released.len(), usize::from(!addresses.is_empty()), "{released:?} of {addresses:?}");
    let alice = alice.crash().await;
    assert!(alice.hyperty.resumed().reporters.is_empty(), "a restart brings nothing back");
}

/// Remembers the addresses that the node gave to a runtime.
fn allocated(party: &Party) -> Arc<Mutex<Vec<String>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let target = Arc::clone(&all);
    gate(party.runtime.bus(), move |direction, message| {
        if direction == Direction::Incoming && message.to().as_str().ends_with("/address-allocation") {
            let body = json_body(message);
            let block = body["value"]["allocated"].as_array().cloned().unwrap_or_default();
            target.lock().extend(block.iter().map(|url| url.as_str().unwrap().to_owned()));
        }
        true
    });
    all
}

fn is_step(message: &Message, kind: MessageType, to: &str) -> bool {
    message.kind() == kind && message.to().as_str() == format!("domain://{to}")
}

/// The messages of a creation, in their order.
const STEPS: [(MessageType, &str); 4] = [
    (MessageType::Create, "msg-node.example.com/address-allocation"),
    (MessageType::Create, "catalogue.example.com"),
    (MessageType::Subscribe, "msg-node.example.com/sm"),
    (MessageType::Create, "registry.example.com"),
];

#[tokio::test(start_paused = true)]
async fn a_creation_that_is_refused_at_any_step_leaves_nothing_inv_cre_2() {
    for (kind, to) in STEPS {
        let world = World::new(42);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        alice.runtime.connected().await;
        bob.runtime.connected().await;
        let addresses = allocated(&alice);
        let refused = Arc::new(Mutex::new(0));
        let count = Arc::clone(&refused);
        gate(alice.runtime.bus(), move |_, message| {
            let refuse = is_step(message, kind, to);
            *count.lock() += usize::from(refuse);
            !refuse
        });
        let before = routes(&world);
        assert!(matches!(create(&alice).await, Err(CreateError::Refused { .. })), "{to}");
        assert!(*refused.lock() > 0, "{to} is a step of a creation");
        let addresses = addresses.lock().clone();
        assert!(!addresses.is_empty() || (kind, to) == STEPS[0], "{to}");
        nothing_is_left(&world, alice, &bob, before, &addresses).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_during_which_the_node_is_lost_leaves_nothing_once_it_is_back_inv_cre_2_m27() {
    for (kind, to) in STEPS {
        let world = World::new(43);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        alice.runtime.connected().await;
        bob.runtime.connected().await;
        let addresses = allocated(&alice);
        let stopping = world.clone();
        gate(alice.runtime.bus(), move |_, message| {
            if is_step(message, kind, to) {
                stopping.stop_node();
            }
            true
        });
        let before = routes(&world);
        let refused = create(&alice).await;
        assert!(refused.is_err(), "{to}: {refused:?}");
        assert!(world.node().is_none(), "{to} is a step of a creation");
        world.start_node();
        // A retry may stop the node once more; it is started until nothing is tried any more.
        for _ in 0..30 {
            sleep(Duration::from_secs(20)).await;
            if world.node().is_none() {
                world.start_node();
            }
        }
        let addresses = addresses.lock().clone();
        assert!(!addresses.is_empty() || (kind, to) == STEPS[0], "{to}");
        nothing_is_left(&world, alice, &bob, before, &addresses).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_its_runtime_does_not_survive_is_taken_back_at_the_next_start_inv_cre_2() {
    for (kind, to) in STEPS {
        let world = World::new(44);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        alice.runtime.connected().await;
        bob.runtime.connected().await;
        let addresses = allocated(&alice);
        let (cutting, lost) = (world.clone(), Arc::new(tokio::sync::Notify::new()));
        let notify = Arc::clone(&lost);
        gate(alice.runtime.bus(), move |_, message| {
            if is_step(message, kind, to) {
                cutting.cut("alice");
                notify.notify_one();
            }
            true
        });
        let before = routes(&world);
        tokio::select! {
            created = create(&alice) => panic!("{created:?}"),
            () = lost.notified() => {}
        }
        world.heal("alice");
        let alice = alice.crash().await;
        sleep(Duration::from_secs(120)).await;
        assert!(alice.hyperty.resumed().reporters.is_empty());
        let addresses = addresses.lock().clone();
        assert!(!addresses.is_empty() || (kind, to) == STEPS[0], "{to}");
        nothing_is_left(&world, alice, &bob, before, &addresses).await;
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_violates_the_schema_makes_nobody_be_asked_inv_cre_2() {
    let world = World::new(45);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    alice.runtime.connected().await;
    bob.runtime.connected().await;
    let (before, spy) = (routes(&world), Spy::on(alice.runtime.bus()));
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let refused = alice.hyperty.create(schema.clone()).data(json!({"topic": 5})).store(true).await;
    let Err(CreateError::Refused { code: StatusCode::BAD_REQUEST, reason }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("/topic"), "{reason}");
    let unknown = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Unknown".parse().unwrap();
    let refused = alice.hyperty.create(unknown).data(topic("a")).store(true).await;
    assert!(matches!(refused, Err(CreateError::Refused { code: StatusCode::NOT_FOUND, .. })), "{refused:?}");
    let asked = spy.outgoing(|m| m.to().as_str().starts_with("domain://") && !text(m).contains("Unknown"));
    assert!(asked.is_empty(), "{asked:?}");
    nothing_is_left(&world, alice, &bob, before, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_closed_refuses_before_anybody_is_asked_inv_cre_2() {
    let world = World::new(46);
    let node = world.node().unwrap();
    let connector = ChannelConnector::new(move || {
        node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()))
    });
    let clock = ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
    let runtime = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/closed"))
        .message_node_via(DOMAIN, Arc::new(connector))
        .policy(Closed)
        .clock(Arc::new(clock))
        .ids(Arc::new(SeededIds::new(46)))
        .start()
        .await
        .unwrap();
    runtime.connected().await;
    let hyperty = runtime.deploy("app").await.unwrap();
    let (before, spy) = (routes(&world), Spy::on(runtime.bus()));
    let refused = hyperty.create(runtime.schema(SCHEMA).unwrap()).data(topic("a")).store(true).await;
    assert!(matches!(refused, Err(CreateError::Refused { code: StatusCode::FORBIDDEN, .. })), "{refused:?}");
    assert!(spy.outgoing(|message| message.to().as_str().starts_with("domain://")).is_empty());
    assert_eq!(routes(&world), before);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_never_given_twice_inv_cre_3() {
    let world = World::new(47);
    let (mut alice, mut bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (mut given, mut creations) = (BTreeSet::new(), 0);
    for round in 0..4 {
        let mut boards = Vec::new();
        for _ in 0..12 {
            boards.push(create(&alice).await.unwrap());
            boards.push(create(&bob).await.unwrap());
        }
        creations += boards.len();
        given.extend(boards.iter().map(|board| board.url().to_string()));
        // What is released is not given again, nor what is in use.
        for board in boards.iter().step_by(3) {
            board.delete().await.unwrap();
        }
        drop(boards);
        if round % 2 == 0 {
            (alice, bob) = (alice.crash().await, bob.crash().await);
        }
        if round > 0 {
            world.stop_node();
            world.start_node();
        }
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(given.len(), creations);
}

#[tokio::test(start_paused = true)]
async fn the_registry_knows_an_object_exactly_if_that_was_asked_for_inv_cre_4() {
    let world = World::new(48);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    for registration in [None, Some(true), Some(false)] {
        for routing in [None, Some(true), Some(false)] {
            let mut create = alice.hyperty.create(alice.runtime.schema(SCHEMA).unwrap()).data(topic("a"));
            if let Some(registration) = registration {
                create = create.domain_registration(registration);
            }
            if let Some(routing) = routing {
                create = create.domain_routing(routing);
            }
            let board = create.await.unwrap();
            let live = (200, Some("live".to_owned()));
            let expected = if registration == Some(false) { (404, None) } else { live };
            let now = registered(&bob, board.url()).await;
            assert_eq!(now, expected, "{registration:?} {routing:?}");
            // Nor later.
            sleep(Duration::from_secs(90)).await;
            assert_eq!(registered(&bob, board.url()).await, expected, "{registration:?} {routing:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scheme_and_children_are_those_of_the_schema_inv_cre_5() {
    let world = World::new(49);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let cases = [
        (
            json!({"scheme": {"constant": "comm"}, "children": {"constant": ["a", "b"]}}),
            "comm",
            vec!["a", "b"],
        ),
        (
            json!({"scheme": {"const": "context"}, "children": {"const": ["readings"]}}),
            "context",
            vec!["readings"],
        ),
        (json!({"scheme": {"enum": ["connection"]}}), "connection", vec![]),
        (json!({"scheme": {"enum": ["one", "two"]}, "children": {"constant": []}}), "resource", vec![]),
        (json!({"n": {"type": "number"}}), "resource", vec![]),
    ];
    for (number, (properties, scheme, children)) in cases.into_iter().enumerate() {
        let schema = json!({"title": format!("Case{number}"), "type": "object", "properties": properties});
        let schema = alice.runtime.schema(&schema.to_string()).unwrap();
        let board = alice.hyperty.create(schema).accept(Accept::All).await.unwrap();
        assert_eq!(board.url().as_url().scheme(), scheme);
        let names = |names: Vec<hyperty_model::ChildrenName>| {
            let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(board.children_names()), children);
        // And everywhere else.
        let copy = bob.hyperty.subscribe(board.url()).await.unwrap();
        assert_eq!(names(copy.children_names()), children);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_creation_again_makes_another_object_inv_cre_6() {
    let world = World::new(50);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (first, second) = tokio::join!(create(&alice), create(&alice));
    let boards = [first.unwrap(), second.unwrap(), create(&alice).await.unwrap()];
    let urls: BTreeSet<_> = boards.iter().map(|board| board.url().clone()).collect();
    assert_eq!(urls.len(), 3);
    boards[1].set("topic", "b").await.unwrap();
    boards[0].delete().await.unwrap();
    let read = async |board: &Reporter| bob.hyperty.read(board.url()).await.map(|snapshot| snapshot.data);
    assert!(read(&boards[0]).await.is_err());
    assert_eq!(read(&boards[1]).await.unwrap(), topic("b"));
    assert_eq!(read(&boards[2]).await.unwrap(), topic("a"));
    assert_eq!(registered(&bob, boards[2].url()).await, (200, Some("live".to_owned())));
}
