//! Who may listen, where the node enforces it: conforming runtimes do not notice, and nobody else hears anything
//! (protocol 10.4, INV-LSN-1).

use std::time::Duration;

use hyperty_conformance::peer::{Peer, code};
use hyperty_conformance::world::World;
use hyperty_message_node::NodeConfig;
use hyperty_syncher::{Accept, Observer, ObserverEvent, Reporter};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Party, settled, topic};

const MN: &str = "domain://msg-node.example.com/sm";

fn guarded(seed: u64) -> World {
    World::with_node(seed, |config| NodeConfig { enforce_subscriber: Some(true), ..config })
}

/// A session that subscribed all it could of an object.
async fn eavesdropper(world: &World, board: &Reporter) -> Peer {
    let mut eve = Peer::open(&world.node().unwrap(), "eve").await;
    let tails = ["changes", "children/notes", "children/news", "children", "status", "observers"];
    let urls: Vec<String> = tails.iter().map(|tail| format!("{}/{tail}", board.url())).collect();
    let sm = eve.sm();
    assert_eq!(code(&eve.request("subscribe", &sm, MN, json!({"resources": urls})).await), 200);
    eve
}

/// One more version arrives by itself: sooner than any beat or repair would bring it.
async fn flows(board: &Reporter, copy: &mut Observer) {
    let version = board.version() + 1;
    board.set("n", version).await.unwrap();
    let arriving = async {
        while copy.version() < version {
            copy.next_event().await.unwrap();
        }
    };
    timeout(Duration::from_millis(50), arriving)
        .await
        .unwrap_or_else(|_| panic!("version {version} does not come"));
}

async fn came_back(copy: &mut Observer) {
    while !matches!(copy.next_event().await.unwrap(), ObserverEvent::Resumed { .. }) {}
}

#[tokio::test(start_paused = true)]
async fn strangers_hear_nothing_and_observers_all_inv_lsn_1() {
    let world = guarded(70);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let mut eve = eavesdropper(&world, &board).await;
    let mut copy = bob.observe(&board).await;
    flows(&board, &mut copy).await;
    let child = copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    child.set("n", 2).await.unwrap();
    board.children("news").unwrap().add(json!({"n": 1})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await; // Beats and all.
    assert_eq!(eve.drain().await, Vec::<Value>::new());
    // What she writes reaches nobody.
    let hyperty = "hyperty://example.com/eve";
    let notes = format!("{}/children/notes", board.url());
    let body = json!({"resource": format!("{hyperty}#1"), "value": {"n": 666}});
    eve.send("create", hyperty, &notes, body).await;
    assert_eq!(eve.drain().await, Vec::<Value>::new());
    assert_eq!(
        (board.children("notes").unwrap().list().len(), copy.children("notes").unwrap().list().len()),
        (1, 1)
    );
    board.delete().await.unwrap();
    assert_eq!(eve.drain().await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_hears_nothing_inv_lsn_1() {
    let world = guarded(71);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let board =
        alice.hyperty.create(schema).name("board").data(topic("a")).accept(Accept::None).await.unwrap();
    let mut eve = eavesdropper(&world, &board).await;
    let sm = eve.sm();
    let subscription = format!("{}/subscription", board.url());
    let body = json!({"source": "hyperty://example.com/eve", "subscriber": "hyperty://example.com/eve"});
    assert_eq!(code(&eve.request("subscribe", &sm, &subscription, body).await), 403);
    assert!(bob.hyperty.subscribe(board.url()).await.is_err());
    board.set("topic", "b").await.unwrap();
    assert_eq!(eve.drain().await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_hears_at_once_inv_ses_1() {
    let world = guarded(72);
    let (mut alice, mut bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let mut board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    flows(&board, &mut copy).await;
    for round in 0..3 {
        // A connection that is lost for longer than the node keeps a session.
        world.cut("bob");
        tokio::time::sleep(Duration::from_secs(90)).await;
        board.set("topic", format!("cut {round}")).await.unwrap();
        world.heal("bob");
        came_back(&mut copy).await;
        flows(&board, &mut copy).await;
        // The observer's runtime, the Reporter's, the node.
        drop(copy);
        bob = bob.crash().await;
        copy = bob.observer();
        came_back(&mut copy).await;
        flows(&board, &mut copy).await;
        drop(board);
        alice = alice.crash().await;
        board = alice.reporter();
        tokio::time::sleep(Duration::from_secs(5)).await;
        flows(&board, &mut copy).await;
        world.stop_node();
        while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
        world.start_node();
        came_back(&mut copy).await;
        flows(&board, &mut copy).await;
        let mut eve = eavesdropper(&world, &board).await;
        flows(&board, &mut copy).await;
        assert_eq!(eve.drain().await, Vec::<Value>::new(), "{round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_object_is_open_to_all_also_when_the_node_comes_back() {
    let world = guarded(73);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let create = alice.hyperty.create(schema).name("board").data(topic("a")).public_observation(true);
    let board = create.await.unwrap();
    let hidden = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    for _ in 0..2 {
        let mut eve = eavesdropper(&world, &board).await;
        let changes = format!("{}/changes", hidden.url());
        let sm = eve.sm();
        eve.request("subscribe", &sm, MN, json!({"resources": [changes]})).await;
        flows(&board, &mut copy).await;
        hidden.set("n", 1).await.unwrap();
        let heard = eve.drain().await;
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!(heard[0]["from"], board.url().to_string());
        world.stop_node();
        while copy.next_event().await != Some(ObserverEvent::Disconnected) {}
        world.start_node();
        came_back(&mut copy).await;
    }
}

/// Between an observer's read and its place at the node others may write children: they do not stay lost.
#[tokio::test(start_paused = true)]
async fn children_that_pass_while_everybody_comes_back_arrive_i11() {
    for seed in 0..12 {
        let world = guarded(7_400 + seed);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = bob.create(topic("a")).await;
        let copy = alice.observe(&board).await;
        let writer = carol.observe(&board).await;
        let child = writer.children("notes").unwrap().add(json!({"v": 0})).await.unwrap();
        let id = child.id().to_owned();
        world.cut("carol");
        tokio::time::sleep(Duration::from_secs(seed)).await;
        let setting = tokio::spawn(async move { child.set("v", 1).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.stop_node();
        tokio::time::sleep(Duration::from_millis(700 * seed)).await;
        world.start_node();
        world.heal("carol");
        tokio::time::sleep(Duration::from_secs(170)).await;
        let _ = setting.await;
        for (who, list) in [
            ("bob", board.children("notes").unwrap().list()),
            ("alice", copy.children("notes").unwrap().list()),
        ] {
            let child = list.iter().find(|child| child.id == id).unwrap_or_else(|| panic!("{who} {seed}"));
            assert_eq!(child.data, json!({"v": 1}), "{who} {seed}");
        }
        let mut copy = copy;
        board.set("topic", "b").await.unwrap();
        settled(&mut copy, 1).await;
    }
}
