//! What a policy decides at each point (protocol 4.3.1): permitted, denied with 403, left open; and a policy that hangs
//! or fails denies.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_policy::{Decision, Point, Policy, PolicyRequest};
use hyperty_runtime::DeployError;
use hyperty_storage::MemoryTables;
use hyperty_syncher::{
    Accept, ChildError, CreateError, DeleteError, DiscoverError, InviteError, Query, ReadError, Reporter,
    SubscribeError,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::spy::routes;
use crate::support::{Party, topic};

/// Longer than any exchange.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a policy does at one point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Permit,
    Deny,
    NoOpinion,
    Hang,
    Panic,
}

/// A policy that does one thing at one point, has no opinion anywhere else, and remembers what it was asked.
#[derive(Clone)]
struct At {
    rule: Arc<Mutex<Option<(Point, Does)>>>,
    asked: Arc<Mutex<Vec<PolicyRequest>>>,
}

impl At {
    fn new() -> At {
        At { rule: Arc::default(), asked: Arc::default() }
    }

    fn set(&self, point: Point, does: Does) {
        *self.rule.lock() = Some((point, does));
        self.asked.lock().clear();
    }

    fn asked_at(&self, point: Point) -> Vec<PolicyRequest> {
        self.asked.lock().iter().filter(|request| request.point == point).cloned().collect()
    }
}

impl Policy for At {
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        self.asked.lock().push(request.clone());
        let rule = *self.rule.lock();
        let does =
            rule.filter(|(point, _)| *point == request.point).map_or(Does::NoOpinion, |(_, does)| does);
        Box::pin(async move {
            match does {
                Does::Permit => Decision::Permit,
                Does::Deny => Decision::Deny("Blocked by policy".to_owned()),
                Does::NoOpinion => Decision::NotApplicable,
                Does::Hang => std::future::pending().await,
                Does::Panic => panic!("the policy fails, as the test wants"),
            }
        })
    }
}

struct Scene {
    policy: At,
    alice: Party,
    bob: Party,
    board: Reporter,
}

async fn scene(seed: u64) -> Scene {
    let world = World::new(seed);
    let policy = At::new();
    let asked = policy.clone();
    let alice = Party::with(&world, "alice", |builder| builder.policy(asked)).await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    Scene { policy, alice, bob, board }
}

impl Scene {
    /// The code of what is done at a point, 200 if it succeeds.
    async fn attempt(&self, point: Point) -> u16 {
        timeout(PATIENCE, self.attempted(point)).await.expect("an answer in time")
    }

    async fn attempted(&self, point: Point) -> u16 {
        let schema = || self.alice.runtime.schema(SCHEMA).unwrap();
        let refused = |code: StatusCode| code.0;
        match point {
            Point::Create => match self.alice.hyperty.create(schema()).await {
                Ok(_) => 200,
                Err(CreateError::Refused { code, .. }) => refused(code),
                Err(error) => panic!("{error}"),
            },
            Point::Invite => match self.board.invite([self.bob.hyperty.url().clone()]).await {
                Ok(_) => 200,
                Err(InviteError::Refused { code, .. }) => refused(code),
                Err(error) => panic!("{error}"),
            },
            Point::Subscribe => match self.bob.hyperty.subscribe(self.board.url()).await {
                Ok(observer) => {
                    observer.unsubscribe().await.unwrap();
                    200
                }
                Err(SubscribeError::Refused { code, .. }) => refused(code),
                Err(error) => panic!("{error}"),
            },
            Point::Read => match self.bob.hyperty.read(self.board.url()).await {
                Ok(_) => 200,
                Err(ReadError::Refused { code, .. }) => refused(code),
                Err(error) => panic!("{error}"),
            },
            Point::Delete => match self.board.delete().await {
                Ok(()) => 200,
                Err(DeleteError::Refused { code, .. }) => refused(code),
                Err(error) => panic!("{error}"),
            },
            Point::Child => {
                let observer = self.bob.hyperty.subscribe(self.board.url()).await.unwrap();
                let added = observer.children("notes").unwrap().add(json!({"n": 1})).await;
                let seen = self.board.children("notes").unwrap().list().len();
                match added {
                    Ok(_) => {
                        assert_eq!(seen, 1);
                        200
                    }
                    Err(ChildError::Refused { code, .. }) => {
                        assert_eq!((seen, observer.children("notes").unwrap().list().len()), (0, 0));
                        refused(code)
                    }
                    // Its refusal follows.
                    Err(ChildError::Unanswered) => 408,
                    Err(error) => panic!("{error}"),
                }
            }
            other => panic!("{other:?} is tried elsewhere"),
        }
    }
}

/// The points of one exchange; resuming is below, giving away is the business of delegation.
const POINTS: [Point; 6] =
    [Point::Create, Point::Invite, Point::Subscribe, Point::Read, Point::Child, Point::Delete];

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_answered_403_at_every_point_and_a_read_401() {
    for (seed, point) in (720..).zip(POINTS) {
        let scene = scene(seed).await;
        let expected = if point == Point::Read { 401 } else { 403 };
        for does in [Does::Deny, Does::Panic] {
            scene.policy.set(point, does);
            assert_eq!(scene.attempt(point).await, expected, "{point:?} {does:?}");
            let asked = scene.policy.asked_at(point);
            assert_eq!(asked.len(), 1, "{point:?} {does:?}");
            if point != Point::Create {
                assert_eq!(asked[0].object.as_ref(), Some(scene.board.url()), "{point:?}");
                assert_eq!(asked[0].reporter.as_ref(), Some(scene.alice.hyperty.url()), "{point:?}");
            }
        }
        scene.policy.set(point, Does::NoOpinion);
        assert_eq!(scene.attempt(point).await, 200, "{point:?} without an opinion");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_hangs_denies_within_its_time() {
    for (seed, point) in (730..).zip(POINTS) {
        let scene = scene(seed).await;
        scene.policy.set(point, Does::Hang);
        let begun = Instant::now();
        let code = scene.attempt(point).await;
        // An operation on a child is told unanswered after as long as the policy may take; its refusal follows.
        if point != Point::Child {
            let expected = if point == Point::Read { 401 } else { 403 };
            assert_eq!(code, expected, "{point:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(12), "{point:?} {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_lets_in_where_the_application_would_not() {
    let scene = scene(740).await;
    scene.board.accept(Accept::None);
    for (point, refusal) in [(Point::Subscribe, 403), (Point::Read, 401)] {
        scene.policy.set(point, Does::NoOpinion);
        assert_eq!(scene.attempt(point).await, refusal, "{point:?}");
        scene.policy.set(point, Does::Permit);
        assert_eq!(scene.attempt(point).await, 200, "{point:?}");
    }
    // A denial stands above grants and public objects.
    scene.board.invite([scene.bob.hyperty.url().clone()]).await.unwrap();
    for (point, refusal) in [(Point::Subscribe, 403), (Point::Read, 401)] {
        scene.policy.set(point, Does::NoOpinion);
        assert_eq!(scene.attempt(point).await, 200, "{point:?}");
        scene.policy.set(point, Does::Deny);
        assert_eq!(scene.attempt(point).await, refusal, "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn operations_on_children_stay_in_order_while_the_policy_thinks() {
    /// Decides at once or after a while, by turns.
    struct Slow(Mutex<u32>);
    impl Policy for Slow {
        fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
            let turn = {
                let mut turns = self.0.lock();
                *turns += 1;
                *turns
            };
            let waits = request.point == Point::Child && turn % 3 != 0;
            Box::pin(async move {
                if waits {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Decision::NotApplicable
            })
        }
    }
    let world = World::new(741);
    let alice = Party::with(&world, "alice", |builder| builder.policy(Slow(Mutex::new(0)))).await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    let observer = bob.observe(&board).await;
    let child = observer.children("notes").unwrap().add(json!({"n": 0})).await.unwrap();
    let mut last = None;
    for n in 1..=40 {
        last = Some(child.set("n", n));
    }
    timeout(PATIENCE, last.unwrap().into_future()).await.unwrap().unwrap();
    assert_eq!(board.children("notes").unwrap().list()[0].data, json!({"n": 40}));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_resume_is_not_deployed_and_loses_nothing() {
    let world = World::new(742);
    let (policy, tables) = (At::new(), Arc::new(MemoryTables::new()));
    let asked = policy.clone();
    let runtime = world.runtime_with("alice", &tables, |builder| builder.policy(asked)).await;
    let alice = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    assert!(policy.asked_at(Point::Resume).is_empty(), "there is nothing to resume");
    let board = alice.create(runtime.schema(SCHEMA).unwrap()).data(topic("a")).store(true).await.unwrap();
    let url = board.url().clone();
    runtime.abort();
    drop((board, alice, runtime));
    let tables = Arc::new(tables.snapshot());
    for (does, deployed) in [(Does::Deny, false), (Does::Hang, false), (Does::NoOpinion, true)] {
        policy.set(Point::Resume, does);
        let (asked, image) = (policy.clone(), Arc::new(tables.snapshot()));
        let runtime = world.runtime_with("alice", &image, |builder| builder.policy(asked)).await;
        let outcome = runtime.deploy("app").user("user://example.com/alice").await;
        assert_eq!(outcome.is_ok(), deployed, "{does:?}");
        let asked = policy.asked_at(Point::Resume);
        assert_eq!(asked[0].identity.as_ref().unwrap().user(), Some("user://example.com/alice"));
        if let Ok(alice) = &outcome {
            assert_eq!(*alice.resumed().reporters[0].url(), url);
        }
        runtime.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_search_is_told_so_and_may_ask_for_what_it_knows() {
    let scene = scene(744).await;
    let search = || async {
        let searched = scene.alice.hyperty.discover(Query::of_name("board"));
        timeout(PATIENCE, searched).await.expect("an answer in time")
    };
    let known = Query::of_url(scene.board.url().as_url().clone());
    for (does, found) in [
        (Does::Permit, true),
        (Does::NoOpinion, true),
        (Does::Deny, false),
        (Does::Panic, false),
        (Does::Hang, false),
    ] {
        scene.policy.set(Point::Discover, does);
        match search().await {
            Ok(boards) => assert!(found && boards.len() == 1, "{does:?}: {boards:?}"),
            Err(DiscoverError::Refused { code, .. }) => assert!(!found && code.0 == 403, "{does:?}: {code}"),
            Err(error) => panic!("{does:?}: {error}"),
        }
        let asked = scene.policy.asked_at(Point::Discover);
        // One that does not decide at once is asked again, and waited for.
        assert_eq!(asked.len(), if does == Does::Hang { 2 } else { 1 }, "{does:?}");
        assert_eq!(asked[0].identity.as_ref().unwrap().user(), Some("user://example.com/alice"));
        assert_eq!(asked[0].actor, *scene.alice.hyperty.url().as_url());
        assert_eq!(scene.alice.hyperty.discover(known.clone()).await.unwrap().len(), 1, "{does:?}");
    }
    // Others have a policy of their own; and what takes its time is waited for.
    assert_eq!(scene.bob.hyperty.discover(Query::of_name("board")).await.unwrap().len(), 1);
    struct Thinks;
    impl Policy for Thinks {
        fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
            let pause = Duration::from_secs(u64::from(request.point == Point::Discover));
            Box::pin(async move {
                tokio::time::sleep(pause).await;
                Decision::NotApplicable
            })
        }
    }
    let carol = Party::with(&scene.alice.world, "carol", |builder| builder.policy(Thinks)).await;
    for _ in 0..2 {
        assert_eq!(carol.hyperty.discover(Query::of_name("board")).await.unwrap().len(), 1);
    }
}

/// Nothing of a deployment that failed is left: the next one of that name does not meet it.
#[tokio::test(start_paused = true)]
async fn a_deployment_that_failed_leaves_its_name_free() {
    let world = World::new(743);
    let (policy, tables) = (At::new(), Arc::new(MemoryTables::new()));
    let asked = policy.clone();
    let runtime = world.runtime_with("alice", &tables, |builder| builder.policy(asked)).await;
    let alice = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    let board = alice.create(runtime.schema(SCHEMA).unwrap()).data(topic("a")).store(true).await.unwrap();
    let (url, hyperty) = (board.url().clone(), alice.url().clone());
    runtime.abort();
    drop((board, alice, runtime));
    let (asked, tables) = (policy.clone(), Arc::new(tables.snapshot()));
    let runtime = world.runtime_with("alice", &tables, |builder| builder.policy(asked)).await;
    runtime.connected().await;
    for does in [Does::Deny, Does::Hang, Does::Deny] {
        policy.set(Point::Resume, does);
        let error = runtime.deploy("app").user("user://example.com/alice").await.map(drop).unwrap_err();
        assert!(matches!(error, DeployError::Resume(_)), "{does:?}: {error}");
        assert!(!runtime.bus().is_attached(&hyperty), "{does:?}");
    }
    policy.set(Point::Resume, Does::NoOpinion);
    let alice = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    assert_eq!(*alice.url(), hyperty);
    assert_eq!(*alice.resumed().reporters[0].url(), url);
}

/// Of two deployments of one name at once one is made; one that is given up half way, wherever that is, leaves nothing.
#[tokio::test(start_paused = true)]
async fn a_name_is_deployed_once_and_given_up_without_a_trace() {
    let world = World::new(745);
    let tables = Arc::new(MemoryTables::new());
    let runtime = world.runtime_with("alice", &tables, |builder| builder).await;
    runtime.connected().await;
    let before = routes(&world);
    let deploy = || runtime.deploy("app").user("user://example.com/alice").into_future();
    let mut given_up = 0;
    // Twice each: the first one of all waits for its address to be kept, the second finds it.
    for polls in [0, 0, 1, 1, 2, 2] {
        let mut deploying = deploy();
        let mut is_done = false;
        for _ in 0..=polls {
            let once = std::future::poll_fn(|context| Poll::Ready(deploying.as_mut().poll(context)));
            is_done = once.await.map(Result::unwrap).is_ready();
            if is_done {
                break;
            }
            tokio::task::yield_now().await;
        }
        if is_done {
            break;
        }
        drop(deploying);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(routes(&world), before, "given up after {polls}");
        given_up += 1;
    }
    assert!(given_up > 1, "it waits for something");
    runtime.shutdown().await.unwrap();

    let runtime = world.runtime_with("alice", &Arc::new(MemoryTables::new()), |builder| builder).await;
    let (one, other) = tokio::join!(runtime.deploy("app"), runtime.deploy("app"));
    let made = [one, other].map(|it| it.map(|hyperty| hyperty.url().clone()));
    assert!(matches!(made, [Ok(_), Err(DeployError::Deployed(_))]), "{made:?}");
}
