//! What a runtime makes of a limit that its node has.

use hyperty_conformance::party::Party;
use hyperty_conformance::world::World;
use serde_json::json;

/// A runtime that meets its limit of routes says so, leaves nothing behind, and goes on with what it has.
#[tokio::test(start_paused = true)]
async fn a_runtime_at_its_limit_refuses_and_goes_on() {
    let world = World::with_node(950, |mut config| {
        config.limits.routes_per_session = 10;
        config
    });
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let create = || {
        let create = alice.hyperty.create(schema.clone()).name("board").data(json!({"topic": "a"}));
        create.accept(hyperty_syncher::Accept::All)
    };
    let mut boards = Vec::new();
    let refused = loop {
        match create().await {
            Ok(board) => boards.push(board),
            Err(error) => break error,
        }
    };
    assert!((1..=4).contains(&boards.len()), "{}", boards.len());
    assert!(refused.to_string().contains("at most 10 routes"), "{refused}");
    let routes = world.node().unwrap().stats().routes;
    for _ in 0..3 {
        create().await.unwrap_err();
    }
    assert_eq!(world.node().unwrap().stats().routes, routes, "nothing is left behind");
    let mut copy = bob.observe(&boards[0]).await;
    boards[0].set("topic", "b").await.unwrap();
    assert_eq!(copy.next().await.unwrap().value(), Some(&json!("b")));

    // The observer's side: others of its session's routes are used up.
    let world = World::with_node(952, |mut config| {
        config.limits.routes_per_session = 14;
        config
    });
    let mut reporters = Vec::new();
    for name in ["r0", "r1", "r2", "r3", "r4"] {
        let party = Party::new(&world, name).await;
        reporters.push((party.create(json!({"topic": "a"})).await, party));
    }
    let dave = Party::new(&world, "dave").await;
    let mut copies = Vec::new();
    let mut refusals = 0;
    for (board, _) in &reporters {
        match dave.hyperty.subscribe(board.url()).await {
            Ok(copy) => copies.push(copy),
            Err(error) => {
                assert!(error.to_string().contains("at most 14 routes"), "{error}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 0 && !copies.is_empty());
    reporters[0].0.set("topic", "b").await.unwrap();
    assert_eq!(copies[0].next().await.unwrap().value(), Some(&json!("b")));
    // Whoever ends one has room for another.
    let last = reporters.last().unwrap();
    copies.pop().unwrap().unsubscribe().await.unwrap();
    assert_eq!(dave.hyperty.subscribe(last.0.url()).await.unwrap().data(), json!({"topic": "a"}));
}
