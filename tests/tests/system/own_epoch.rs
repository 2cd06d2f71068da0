//! A runtime had an epoch accepted by the registry and lost its power before it kept it: nobody uses that epoch. It goes
//! on above it, and nobody hears of that before it is durable (M8, INV-RES-5).

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::peer::{Peer, code};
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_syncher::Accept;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::held::Held;
use crate::support::topic;
use crate::takeover::user;

/// Longer than a node keeps a lost session, so that a new one can be opened, and long enough to register again.
const A_WHILE: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn an_epoch_above_an_unused_one_is_kept_before_anybody_hears_of_it_inv_res_5() {
    let world = World::new(9101);
    let tables = Arc::new(Held::new());
    let runtime = world.runtime("alice", &tables).await;
    let alice = runtime.deploy("app").user(&user("alice")).await.unwrap();
    let schema = runtime.schema(SCHEMA).unwrap();
    let create = alice.create(schema).name("b").data(topic("a")).store(true).accept(Accept::All);
    let board = create.await.unwrap();
    let url = board.url().clone();
    let bob = Party::new(&world, "bob").await;
    let mut copy = bob.observe(&board).await;
    board.set("topic", "b").await.unwrap();

    // Its runtime takes epoch 4, and does not know of it afterwards.
    world.cut("alice");
    sleep(A_WHILE).await;
    let node = world.node().unwrap();
    let mut past = Peer::open(&node, "alice").await;
    let registry = format!("domain://registry.{DOMAIN}");
    let from = format!("{}/registry", past.runtime);
    let claim = json!({"resource": url, "value": {"status": "live", "epoch": 4, "user": user("alice")}});
    let answer = past.request("update", &from, &registry, claim).await;
    assert_eq!(code(&answer), 200, "{answer}");
    drop(past);

    tables.hold();
    world.heal("alice");
    sleep(A_WHILE).await;
    assert_eq!(node.registration(url.as_url()).unwrap().epoch, 4, "told before it was durable");
    assert_eq!(board.position().epoch, 0);
    while let Ok(Some(event)) = timeout(Duration::from_secs(1), copy.next_event()).await {
        drop(event);
    }
    assert_eq!(copy.position().epoch, 0, "an observer heard of it before it was durable");
    // What is written meanwhile takes its turn behind it.
    let mut writing = Box::pin(board.set("topic", "c").into_future());
    assert!(timeout(Duration::from_secs(1), &mut writing).await.is_err());

    tables.let_go();
    timeout(A_WHILE, writing).await.expect("an answer in time").unwrap();
    sleep(A_WHILE).await;
    assert_eq!(node.registration(url.as_url()).unwrap().epoch, 5);
    while copy.data() != topic("c") {
        timeout(A_WHILE, copy.next_event()).await.expect("the change").unwrap();
    }
    assert_eq!((copy.position().epoch, copy.version()), (5, 2));
    assert_eq!(runtime.stats().epochs_raised, 1);
}
