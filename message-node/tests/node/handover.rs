//! Whose a route is, and how it changes hands (M16, M17).

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::NodeConfig;
use hyperty_storage::{MemoryTables, Tables};
use serde_json::json;
use tokio::time::sleep;

use crate::authority::{CHILDREN_TAIL, changes};
use crate::support::{Client, DOMAIN, MN, REG, assert_refused, code, node, runtime, start, versions};

/// Route `O` belongs to who holds it, live or graced (M17); its allocation outlives the node (M16).
#[tokio::test(start_paused = true)]
async fn a_held_route_is_not_given_to_another_m17() {
    let tables: Arc<dyn Tables> = Arc::new(MemoryTables::new());
    let node = start(NodeConfig::new(DOMAIN), Arc::clone(&tables));
    let mut owner = Client::open(&node, "owner").await;
    let mut thief = Client::open(&node, "thief").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    let subscription = format!("{object}/subscription");
    assert_refused(&thief.subscribe(&[&changes(&object), &object]).await, 409, "held", MN);
    assert_refused(&thief.subscribe(&[&subscription]).await, 409, "held", MN);
    owner.subscribe(&[&object, &subscription]).await;
    let routes = node.stats().routes;
    assert_eq!(code(&thief.subscribe(&[&changes(&object), &object]).await), 409);
    assert_eq!(node.stats().routes, routes, "nothing of a refused list has an effect");
    owner.lose().await;
    assert_eq!(code(&thief.subscribe(&[&object]).await), 409, "graced");
    sleep(Duration::from_secs(61)).await;
    assert_eq!(code(&thief.subscribe(&[&object]).await), 409, "allocated");

    let node = start(NodeConfig::new(DOMAIN), tables);
    let mut thief = Client::open(&node, "thief").await;
    assert_eq!(code(&thief.subscribe(&[&object]).await), 409, "after a restart");
    thief.publish(&object, 1).await;
    assert_eq!(code(&thief.recv().await), 403);
    let mut owner = Client::open(&node, "owner").await;
    assert_eq!(code(&owner.subscribe(&[&object]).await), 200);

    // What was never allocated is whoever's came first.
    let free = "comm://example.com/free";
    assert_eq!(code(&owner.subscribe(&[free]).await), 200);
    assert_eq!(code(&thief.subscribe(&[free]).await), 409);
    owner.unsubscribe(&[free]).await;
    assert_eq!(code(&thief.subscribe(&[free]).await), 200);
}

#[tokio::test(start_paused = true)]
async fn a_higher_epoch_in_the_registry_moves_the_route_m17() {
    let node = node();
    let mut old = Client::open(&node, "old").await;
    let mut new = Client::open(&node, "new").await;
    let object = old.allocate("comm", 1).await.remove(0);
    old.subscribe(&[&object]).await;
    assert_eq!(code(&register(&mut old, &object, 3).await), 200);
    assert_ne!(code(&register(&mut new, &object, 3).await), 200);
    assert_eq!(code(&new.subscribe(&[&object]).await), 409);
    assert_eq!(code(&register(&mut new, &object, 4).await), 200);
    assert_eq!(code(&new.subscribe(&[&object]).await), 200);
    // From now on everything is the new holder's.
    let mut reader = Client::open(&node, "reader").await;
    reader.send("read", &reader.sm(), &object, json!({})).await;
    assert_eq!(new.recv().await["to"], object);
    old.publish(&object, 1).await;
    assert_eq!(code(&old.recv().await), 403);
    assert_eq!(code(&old.subscribe(&[&object]).await), 409);
    old.quiet().await;
}

/// Registering what its owner let lapse is no reason to be given its route (M17).
#[tokio::test(start_paused = true)]
async fn the_same_epoch_in_the_registry_moves_nothing_m17() {
    let node = node();
    let mut old = Client::open(&node, "old").await;
    let mut new = Client::open(&node, "new").await;
    let object = old.allocate("comm", 1).await.remove(0);
    assert_eq!(code(&register(&mut old, &object, 0).await), 200);
    old.subscribe(&[&object]).await;
    let from = format!("{}/registry", old.runtime);
    let lapsed = json!({"resource": object, "value": "disconnected", "attribute": "status"});
    assert_eq!(code(&old.request("update", &from, REG, lapsed).await), 200);
    assert_eq!(code(&register(&mut new, &object, 0).await), 200);
    assert_eq!(code(&new.subscribe(&[&object]).await), 409, "held");
    old.unsubscribe(&[&object]).await;
    assert_eq!(code(&new.subscribe(&[&object]).await), 409, "allocated");
}

async fn register(client: &mut Client, object: &str, epoch: u64) -> serde_json::Value {
    let value = json!({
        "url": object, "runtime": client.runtime, "status": "live", "resources": ["chat"], "dataSchemes": ["comm"],
        "schema": "hyperty-catalogue://example.com/.well-known/dataschema/X", "name": "x", "expires": 60,
        "reporter": format!("hyperty://example.com/{}", client.runtime.rsplit('/').next().unwrap()),
        "user": "user://example.com/u", "guid": "user-guid://u", "epoch": epoch,
    });
    let from = format!("{}/registry", client.runtime);
    client.request("create", &from, REG, json!({"value": value})).await
}

#[tokio::test(start_paused = true)]
async fn the_holder_may_give_a_route_away_m17() {
    let node = node();
    let mut old = Client::open(&node, "old").await;
    let mut new = Client::open(&node, "new").await;
    let mut observer = Client::open(&node, "observer").await;
    let object = old.allocate("comm", 1).await.remove(0);
    let (subscription, children) = (format!("{object}/subscription"), format!("{object}/{CHILDREN_TAIL}"));
    observer.subscribe(&[&changes(&object)]).await;
    let list = json!([object, subscription, children]);
    let not_held =
        new.request("subscribe", &new.sm(), MN, json!({"resources": list, "transfer": new.runtime})).await;
    assert_refused(&not_held, 403, "forbidden", MN);
    old.subscribe(&[&object, &subscription, &children]).await;
    let absent = json!({"resources": list, "transfer": runtime("absent")});
    assert_refused(&old.request("subscribe", &old.sm(), MN, absent).await, 404, "no-route", MN);
    old.publish(&object, 1).await;
    let transfer = json!({"resources": list, "transfer": new.runtime});
    assert_eq!(code(&old.request("subscribe", &old.sm(), MN, transfer).await), 200);
    old.publish(&object, 2).await;
    assert_eq!(code(&old.recv().await), 403);
    new.publish(&object, 3).await;
    assert_eq!(versions(&observer.drain().await), [1, 3]);
    assert_eq!(code(&new.subscribe(&[&object, &subscription]).await), 200);
    assert_eq!(code(&old.subscribe(&[&object]).await), 409);
}

/// What was given away is the receiver's for good: after a restart of the node, and to release (M17).
#[tokio::test(start_paused = true)]
async fn what_was_transferred_or_taken_over_is_allocated_to_its_holder_m17() {
    for takeover in [false, true] {
        let tables: Arc<dyn Tables> = Arc::new(MemoryTables::new());
        let node = start(NodeConfig::new(DOMAIN), Arc::clone(&tables));
        let mut old = Client::open(&node, "old").await;
        let mut new = Client::open(&node, "new").await;
        let object = old.allocate("comm", 1).await.remove(0);
        old.subscribe(&[&object]).await;
        if takeover {
            register(&mut old, &object, 3).await;
            register(&mut new, &object, 4).await;
            assert_eq!(code(&new.subscribe(&[&object]).await), 200);
        } else {
            let body = json!({"resources": [object], "transfer": new.runtime});
            assert_eq!(code(&old.request("subscribe", &old.sm(), MN, body).await), 200);
        }
        node.stop();
        let node = start(NodeConfig::new(DOMAIN), tables);
        let mut old = Client::open(&node, "old").await;
        let mut new = Client::open(&node, "new").await;
        assert_eq!(code(&old.subscribe(&[&object]).await), 409, "takeover: {takeover}");
        let release = json!({"resource": [object]});
        let from = |client: &Client| format!("{}/address-allocation", client.runtime);
        let answer = old.request("delete", &from(&old), crate::support::MNA, release.clone()).await;
        assert_eq!(code(&answer), 403, "{answer}");
        assert_eq!(code(&new.subscribe(&[&object]).await), 200);
        assert_eq!(code(&new.request("delete", &from(&new), crate::support::MNA, release).await), 200);
    }
}
