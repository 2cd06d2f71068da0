//! What the older implementation's registry client and message node did with registrations.

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_syncher::{DiscoverError, Discoveries, Discovery, Query};
use serde_json::json;
use tokio::time::sleep;

use crate::support::{Party, soon};

/// Reads until this is told.
async fn told(watch: &mut Discoveries, wanted: &Discovery) {
    soon(async { while watch.next().await.expect("the watch goes on") != *wanted {} }).await;
}

/// Rule: a change of status is published to everybody who listens (5.13.5, INV-REG-2).
#[tokio::test(start_paused = true)]
async fn a_change_of_status_reaches_one_of_those_who_watch() {
    let world = World::new(7501);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let object = alice.create(json!({})).await;
    let url = object.url().as_url().clone();
    let mut watches: Vec<Discoveries> = [&bob, &carol, &carol]
        .map(|party| party.hyperty.watch(Query::of_url(url.clone())))
        .into_iter()
        .collect();
    for watch in &mut watches {
        assert!(matches!(soon(watch.next()).await, Some(Discovery::Found(_))));
    }
    world.cut("alice");
    for watch in &mut watches {
        told(watch, &Discovery::Disconnected(url.clone())).await;
    }
    world.heal("alice");
    for watch in &mut watches {
        told(watch, &Discovery::Live(url.clone())).await;
    }
}

/// Rule: what the registry answers 404 to a keep-alive of is registered again (5.13.2); what is deleted is not
/// (INV-REG-3).
#[tokio::test(start_paused = true)]
async fn a_registry_that_forgot_never_hears_of_an_object_again_but_of_deleted_ones() {
    let world = World::new(7502);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (kept, deleted) = (alice.create(json!({})).await, alice.create(json!({})).await);
    let query = |object: &hyperty_syncher::Reporter| Query::of_url(object.url().as_url().clone());
    let gone = query(&deleted);
    deleted.delete().await.unwrap();
    // Longer than any registration lives without being kept alive.
    sleep(Duration::from_secs(4 * 3_600)).await;
    world.stop_node();
    world.start_node();
    sleep(Duration::from_secs(4 * 3_600)).await;
    let found = bob.hyperty.discover(query(&kept)).await.unwrap();
    assert!(found.len() == 1 && found[0].is_live(), "{found:?}");
    let found = bob.hyperty.discover(gone).await;
    assert!(matches!(&found, Err(DiscoverError::Deleted)) || found == Ok(Vec::new()), "{found:?}");
}

/// Rule: what is registered is found by every scheme, by its user, and by the name of its schema (5.13.4, 3.7).
#[tokio::test(start_paused = true)]
async fn objects_are_found_by_one_scheme_alone_and_never_by_their_user() {
    let world = World::new(7503);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let document =
        r#"{"title": "Lamp", "type": "object", "properties": {"scheme": {"constant": "context"}}}"#;
    let lamp = alice.hyperty.create(alice.runtime.schema(document).unwrap()).await.unwrap();
    let board = alice.create(json!({})).await;
    assert_eq!(lamp.url().as_url().scheme(), "context");
    for (query, count) in [
        (Query::of_url(lamp.url().as_url().clone()), 1),
        (Query::of_url(board.url().as_url().clone()), 1),
        (Query::of_scheme("context"), 1),
        (Query::of_user("user://example.com/alice").objects(), 2),
        (Query::of_user("user://example.com/ali").objects(), 0),
    ] {
        let found = bob.hyperty.discover(query.clone()).await.unwrap();
        assert_eq!(found.len(), count, "{query:?}: {found:?}");
    }
}
