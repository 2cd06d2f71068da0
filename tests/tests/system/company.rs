//! Hyperties of one runtime that observe the same object share its copy, and nothing that happens to one of them
//! takes anything from the others.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_message_bus::MiniBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Identity, MessageType, StatusCode, Url};
use hyperty_syncher::{Accept, Criteria, ReporterEvent, SubscribeError, SubscriptionRequest};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Party, topic};
use crate::takeover::{second, stopped, user};

/// More than a change takes, and far less than a copy that hears nothing waits before it asks.
const SOON: Duration = Duration::from_secs(2);

/// While one waits for the Reporter's decision another one is refused: that is no end of the object.
#[tokio::test(start_paused = true)]
async fn who_is_refused_takes_nothing_from_one_who_still_waits_inv_sub_3() {
    let world = World::new(9300);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    board.accept(Accept::Ask);
    let other = bob.runtime.deploy("other").await.unwrap();
    let mut events = board.events();
    let mut next = async |who: &hyperty_model::HypertyUrl| -> SubscriptionRequest {
        loop {
            let event = timeout(SOON, events.next()).await.expect("a question in time");
            match event.expect("the object goes on") {
                ReporterEvent::Subscription(request) if request.hyperty() == who => return request,
                _ => {}
            }
        }
    };
    let url = board.url().clone();
    let waiting = tokio::spawn({
        let (hyperty, url) = (bob.hyperty.clone(), url.clone());
        async move { hyperty.subscribe(&url).await }
    });
    let undecided = next(bob.hyperty.url()).await;
    let refused = tokio::spawn({
        let other = other.clone();
        async move { other.subscribe(&url).await }
    });
    next(other.url()).await.reject("not you");
    let refused = refused.await.unwrap();
    assert!(
        matches!(refused, Err(SubscribeError::Refused { code: StatusCode::FORBIDDEN, .. })),
        "{refused:?}"
    );
    undecided.accept();
    let mut copy = waiting.await.unwrap().expect("it is accepted");
    board.set("topic", "b").await.unwrap();
    timeout(SOON, copy.next()).await.expect("a change in time").expect("the observation goes on");
    assert_eq!(copy.data(), topic("b"));
    let observers: Vec<_> = board.observers().into_iter().map(|entry| entry.url).collect();
    assert_eq!(observers, [bob.hyperty.url().clone()]);
}

/// After a restart somebody else observes the object first: who observed it before goes on all the same, also after
/// another restart.
#[tokio::test(start_paused = true)]
async fn a_new_observer_takes_no_place_of_one_that_is_not_back_yet_inv_res_2() {
    let world = World::new(9301);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    drop(bob.observe(&board).await);
    let tables = stopped(bob);
    for round in ["b", "c"] {
        let image = Arc::new(tables.snapshot());
        let runtime = world.runtime("bob", &image).await;
        runtime.schema(SCHEMA).unwrap();
        runtime.connected().await;
        let early = runtime.deploy("early").await.unwrap();
        let _beside = early.subscribe(board.url()).store(true).await.unwrap();
        if round == "c" {
            let kept = Arc::new(image.snapshot());
            runtime.abort();
            let runtime = world.runtime("bob", &kept).await;
            runtime.connected().await;
            goes_on(&runtime, &board, "d").await;
            continue;
        }
        goes_on(&runtime, &board, round).await;
        runtime.abort();
    }
}

async fn goes_on(runtime: &hyperty_runtime::Runtime, board: &hyperty_syncher::Reporter, text: &str) {
    runtime.schema(SCHEMA).unwrap();
    let hyperty = runtime.deploy("app").user(&user("bob")).await.unwrap();
    let mut copy = hyperty.resumed().observers.first().expect("it observes still").clone();
    tokio::time::sleep(SOON).await;
    board.set("topic", text).await.unwrap();
    while copy.data() != topic(text) {
        timeout(SOON, copy.next_event()).await.expect("a change in time").expect("the observation goes on");
    }
}

/// What another hyperty of the user observed is gone on with when the session is live already: the stream comes at once.
#[tokio::test(start_paused = true)]
async fn an_observation_that_another_hyperty_goes_on_with_gets_the_stream_inv_res_2() {
    let world = World::new(9302);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    drop(bob.observe(&board).await);
    let former = bob.hyperty.url().clone();
    let tables = stopped(bob);
    // Longer than the node keeps what a lost session had.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (runtime, hyperty) = second(&world, "bob", &tables, "bob").await;
    runtime.connected().await;
    tokio::time::sleep(SOON).await;
    let resumed = hyperty.resume_by(Criteria::default().subscriber(former)).await.unwrap();
    let mut copy = resumed.observers.first().expect("it goes on with it").clone();
    tokio::time::sleep(SOON).await;
    board.set("topic", "b").await.unwrap();
    while copy.data() != topic("b") {
        timeout(SOON, copy.next_event()).await.expect("a change in time").expect("the observation goes on");
    }
}

/// What follows up by itself, however much it is and however long it takes, is not what keeps requests waiting.
#[tokio::test(start_paused = true)]
async fn objects_whose_registration_waits_for_the_node_keep_nobody_waiting_inv_msg_1() {
    let world = World::new(9303);
    let alice = Party::new(&world, "alice").await;
    let mut boards = Vec::new();
    for text in ["a", "b", "c", "d", "e", "f"] {
        boards.push(alice.create(topic(text)).await.url().clone());
    }
    let tables = stopped(alice);
    world.cut("alice");
    let mut config = hyperty_runtime::SyncManagerConfig::default();
    config.procedures_max = 4;
    let runtime = world.runtime_with("alice", &tables, |builder| builder.sync_manager(config)).await;
    runtime.schema(SCHEMA).unwrap();
    let hyperty = runtime.deploy("app").user(&user("alice")).await.unwrap();
    assert_eq!(hyperty.resumed().reporters.len(), boards.len());
    tokio::time::sleep(SOON).await;
    for url in &boards {
        let read = timeout(SOON, hyperty.read(url)).await.expect("an answer in time");
        assert_eq!(read.expect("it is its own").metadata.url, *url);
    }
}

/// Nobody's observation is ended by who only says that it is somebody: a Sync Manager, or the message node.
#[tokio::test(start_paused = true)]
async fn a_neighbour_ends_nobodys_observation_in_anothers_name_inv_uns_2() {
    let world = World::new(9304);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let _copy = bob.observe(&board).await;
    let beside = alice.runtime.deploy("beside").await.unwrap();
    let _here = beside.subscribe(board.url()).await.unwrap();
    let before = board.observers();
    assert_eq!(before.len(), 2);
    let neighbour = "hyperty://example.com/neighbour".parse().unwrap();
    let neighbour = MiniBus::new(alice.runtime.bus(), neighbour).unwrap();
    let claims = [
        (bob.runtime.url().sync_manager(), json!({"source": bob.hyperty.url()})),
        (alice.runtime.url().sync_manager(), json!({"source": beside.url()})),
        (neighbour.url().as_url().clone(), json!({"source": beside.url()})),
        (
            "domain://msg-node.example.com/sm".parse().unwrap(),
            json!({"source": bob.runtime.url(), "reason": "session-ended"}),
        ),
    ];
    for (from, body) in claims {
        let to = board.url().subscription();
        neighbour.post(neighbour.new_message(MessageType::Unsubscribe, &from, &to, Body::of(body)));
        tokio::time::sleep(SOON).await;
        assert_eq!(board.observers(), before, "{from}");
    }
}

/// What its Sync Manager may tell a Reporter or an observer (that somebody else reports now, to stop, that it is
/// removed), no neighbour tells it in the name of that Sync Manager, and none answers in it.
#[tokio::test(start_paused = true)]
async fn a_neighbour_commands_nobody_in_the_name_of_their_sync_manager_inv_msg_6() {
    let world = World::new(9306);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let beside = alice.runtime.deploy("beside").await.unwrap();
    let here = beside.subscribe(board.url()).await.unwrap();
    let neighbour = "hyperty://example.com/neighbour".parse().unwrap();
    let neighbour = MiniBus::new(alice.runtime.bus(), neighbour).unwrap();
    let manager = alice.runtime.url().sync_manager();
    let (reporter, observer) = (alice.hyperty.url().as_url(), beside.url().as_url());
    let object = board.url();
    let claims = [
        (MessageType::Event, reporter, json!({"resource": object, "epoch": 9})),
        (MessageType::Execute, reporter, json!({"resource": object, "method": "freeze", "delegation": "d"})),
        (MessageType::Unsubscribe, observer, json!({"resource": object, "reason": "removed"})),
        (MessageType::Unsubscribe, observer, json!({"resource": object})),
        (MessageType::Delete, observer, json!({"resource": object})),
    ];
    let count = claims.len() as u64;
    for (kind, to, body) in claims {
        let message = neighbour.new_message(kind, &manager, to, Body::of(body));
        match kind.is_request() {
            true => assert_eq!(neighbour.request(message).await.code(), StatusCode::FORBIDDEN, "{kind}"),
            false => neighbour.post(message),
        }
        tokio::time::sleep(SOON).await;
        board.set("topic", kind.as_str()).await.unwrap();
        assert_eq!(here.data()["topic"], kind.as_str(), "after {kind}");
    }
    assert_eq!(alice.runtime.bus().counters().not_its_name, count);
}

/// Nobody gets in by naming a user that it is not of, as who resumes may do to its own Sync Manager.
#[tokio::test(start_paused = true)]
async fn a_neighbour_observes_nothing_in_another_users_name() {
    let world = World::new(9305);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    board.accept(Accept::None);
    let _answers = board.invite([Url::parse(&user("bob")).unwrap()]).await.unwrap();
    let neighbour = "hyperty://example.com/neighbour".parse().unwrap();
    let neighbour = MiniBus::new(alice.runtime.bus(), neighbour).unwrap();
    let url = neighbour.url().as_url();
    for resume in [false, true] {
        let body = json!({"source": url, "identity": Identity::of_user(&user("bob")), "resume": resume});
        let to = board.url().subscription();
        let asking = neighbour.new_message(MessageType::Subscribe, url, &to, Body::of(body));
        let answer = neighbour.request(asking).await;
        assert_eq!(answer.decode::<ResponseBody>().unwrap().code, StatusCode::FORBIDDEN, "{resume}");
        assert!(board.observers().is_empty());
    }
}
