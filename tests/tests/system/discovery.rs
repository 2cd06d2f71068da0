//! Finding hyperties and objects (protocol 5.13): by user, schema, resources, scheme, URL and name, live and not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::World;
use hyperty_message_node::{Discovery as Shown, NodeConfig};
use hyperty_model::Url;
use hyperty_policy::{Decision, Point, Policy, PolicyRequest};
use hyperty_storage::MemoryTables;
use hyperty_syncher::{Accept, DiscoverError, Discoveries, Discovery, Query, RegistrationStatus};
use serde_json::json;
use tokio::time::timeout;

use crate::support::topic;
use crate::takeover::user;

const PATIENCE: Duration = Duration::from_secs(600);

async fn next(discoveries: &mut Discoveries) -> Discovery {
    timeout(PATIENCE, discoveries.next()).await.expect("it is told in time").expect("the watch goes on")
}

fn urls(found: &[hyperty_syncher::Found]) -> Vec<String> {
    found.iter().map(|found| found.url.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn objects_and_hyperties_are_found_by_everything_they_are_known_by_inv_reg_4() {
    let world = World::new(9101);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let create = alice.hyperty.create(schema.clone()).name("standup").resources(["chat"]);
    let board = create.accept(Accept::All).await.unwrap();
    let app =
        alice.runtime.deploy("phone").user(&user("alice")).discoverable(["audio", "video"]).await.unwrap();
    let (object, hyperty) = (board.url().to_string(), app.url().to_string());
    tokio::time::sleep(Duration::from_secs(5)).await;

    let of_alice = Query::of_user(&user("alice"));
    let other: Url =
        "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Other".parse().unwrap();
    for (query, expected) in [
        (of_alice.clone(), vec![&object, &hyperty]),
        (of_alice.clone().objects(), vec![&object]),
        (of_alice.clone().hyperties(), vec![&hyperty]),
        (of_alice.clone().resources(["video"]), vec![&hyperty]),
        (of_alice.clone().resources(["video", "chat"]), vec![]),
        (of_alice.clone().data_schemes(["comm"]), vec![&object]),
        (Query::of_user(&user("bob")), vec![]),
        (Query::of_name("standup"), vec![&object]),
        (Query::of_scheme("comm"), vec![&object]),
        (Query::of_scheme("dataObject").schema(schema), vec![&object]),
        (Query::of_scheme("dataObject").schema(other), vec![]),
        (Query::of_reporter(alice.hyperty.url().clone()), vec![&object]),
        (Query::of_url(board.url().as_url().clone()), vec![&object]),
        (of_alice.clone().status(RegistrationStatus::Disconnected), vec![]),
    ] {
        let mut found = urls(&bob.hyperty.discover(query.clone()).await.unwrap());
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{query:?}");
    }
    // What is not live is found too, and says so.
    alice.runtime.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let found = bob.hyperty.discover(Query::of_user(&user("alice"))).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|found| found.status == RegistrationStatus::Disconnected));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_gone_and_without_a_node_nothing_is_known() {
    let world = World::new(9102);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    let query = Query::of_url(board.url().as_url().clone());
    board.delete().await.unwrap();
    assert_eq!(bob.hyperty.discover(query.clone()).await.unwrap_err(), DiscoverError::Deleted);
    world.cut("bob");
    let error = timeout(PATIENCE, bob.hyperty.discover(query)).await.unwrap().unwrap_err();
    assert!(matches!(error, DiscoverError::Unreachable(_)), "{error}");
}

/// More than one message holds: pages, each entry once, in the order of the URLs.
#[tokio::test(start_paused = true)]
async fn an_answer_of_many_records_comes_in_pages() {
    let world = World::new(9103);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let filler = "x".repeat(2_000);
    let mut boards = Vec::new();
    for n in 0..250 {
        let create =
            alice.hyperty.create(schema.clone()).name("many").resources([filler.clone(), n.to_string()]);
        boards.push(create.await.unwrap());
    }
    let before = world.traffic("bob");
    let found = bob.hyperty.discover(Query::of_name("many")).await.unwrap();
    let mut expected: Vec<String> = boards.iter().map(|board| board.url().to_string()).collect();
    expected.sort();
    assert_eq!(urls(&found), expected);
    let traffic = world.traffic("bob").since(before);
    assert!(traffic.frames_received >= 3, "{traffic:?}");
    let most = traffic.bytes_received / traffic.frames_received;
    assert!(most < 256 << 10, "{most} bytes a page");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_is_found_lost_back_and_gone() {
    let world = World::new(9104);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let mut watch = bob.hyperty.watch(Query::of_user(&user("alice")).objects());
    let board = alice.create(json!({})).await;
    let url = board.url().as_url().clone();
    let Discovery::Found(found) = next(&mut watch).await else { panic!("it is found first") };
    assert!(found.url == url && found.is_live());
    world.cut("alice");
    assert_eq!(next(&mut watch).await, Discovery::Disconnected(url.clone()));
    world.heal("alice");
    assert_eq!(next(&mut watch).await, Discovery::Live(url.clone()));
    board.delete().await.unwrap();
    loop {
        match next(&mut watch).await {
            Discovery::Gone(gone) => break assert_eq!(gone, url),
            Discovery::Disconnected(gone) => assert_eq!(gone, url),
            other => panic!("{other:?}"),
        }
    }
}

/// Alice's board and her phone, which can be found; what bob and another runtime of hers find by searching.
async fn searched(world: &World) -> (Vec<usize>, usize) {
    let (alice, bob) = (Party::new(world, "alice").await, Party::new(world, "bob").await);
    let schema = alice.runtime.schema(SCHEMA).unwrap();
    let board = alice.hyperty.create(schema.clone()).name("standup").accept(Accept::All).await.unwrap();
    let phone = alice.runtime.deploy("phone").user(&user("alice")).discoverable(["audio"]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let queries = || {
        let of_alice = Query::of_user(&user("alice"));
        [
            of_alice.clone(),
            of_alice.hyperties(),
            Query::of_name("standup"),
            Query::of_scheme("comm"),
            Query::of_scheme("dataObject").schema(schema.clone()),
            Query::of_reporter(alice.hyperty.url().clone()),
        ]
    };
    let mut of_bob = Vec::new();
    for query in queries() {
        of_bob.push(bob.hyperty.discover(query).await.unwrap().len());
    }
    // Who knows an address may ask, and subscribe.
    for url in [board.url().as_url().clone(), phone.url().as_url().clone()] {
        assert_eq!(bob.hyperty.discover(Query::of_url(url)).await.unwrap().len(), 1);
    }
    timeout(PATIENCE, bob.hyperty.subscribe(board.url())).await.unwrap().unwrap();
    // One's own is found, also from elsewhere.
    let second = world.runtime("second", &Arc::new(MemoryTables::new())).await;
    let second = second.deploy("app").user(&user("alice")).await.unwrap();
    for hyperty in [&alice.hyperty, &second] {
        let found = hyperty.discover(Query::of_user(&user("alice"))).await.unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
    }
    (of_bob, found_of_nobody(&bob).await)
}

/// What a hyperty finds that says of nobody to be.
async fn found_of_nobody(bob: &Party) -> usize {
    let nobody = bob.runtime.deploy("nobody").await.unwrap();
    nobody.discover(Query::of_name("standup")).await.unwrap().len()
}

fn showing(seed: u64, shown: Shown) -> World {
    World::with_node(seed, move |config| NodeConfig { discovery: shown.clone(), ..config })
}

#[tokio::test(start_paused = true)]
async fn a_node_shows_everything_unless_it_is_told_otherwise() {
    assert_eq!(searched(&World::new(9110)).await, (vec![2, 1, 1, 1, 1, 1], 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_may_show_users_their_own_only() {
    assert_eq!(searched(&showing(9111, Shown::SameUser)).await, (vec![0; 6], 0));
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_a_node_hides_what_it_denies_and_what_it_does_not_decide() {
    /// Hides objects; of hyperties it says nothing in time, panics, or lets them be seen.
    struct Hides(&'static str);
    impl Policy for Hides {
        fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
            assert_eq!(request.point, Point::Discover);
            let owner = request.reporter_user.as_ref().and_then(|user| user.user());
            assert_eq!(owner, Some("user://example.com/alice"), "one's own is not asked about");
            let hyperty = request.object.is_none();
            Box::pin(async move {
                match self.0 {
                    "shows" if hyperty => Decision::Permit,
                    "hangs" if hyperty => std::future::pending().await,
                    "panics" if hyperty => panic!("the policy fails, as the test wants"),
                    _ => Decision::Deny("hidden".to_owned()),
                }
            })
        }
    }
    for (does, found) in [("shows", vec![1, 1, 0, 0, 0, 0]), ("hangs", vec![0; 6]), ("panics", vec![0; 6])] {
        let world = showing(9112, Shown::Policy(Arc::new(Hides(does))));
        assert_eq!(searched(&world).await, (found, 0), "{does}");
    }
}
