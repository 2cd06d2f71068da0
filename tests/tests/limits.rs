//! Every limit of a node at L-1, L, L+1 and 10·L: what is within is served, what is beyond gets the documented answer,
//! and a stream beside it goes on (I12). One generated test over a table.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::peer::{Peer, SESSION, code};
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_message_node::admission::UNADMITTED_BYTES_MAX;
use hyperty_message_node::{AttachError, AttachRate, NodeConfig};
use hyperty_model::message::RECIPIENTS_MAX;
use hyperty_model::url::URL_BYTES_MAX;
use hyperty_registry::RECORD_BYTES_MAX;
use hyperty_syncher::{Observer, Reporter};
use serde_json::{Value, json};
use tokio::time::timeout;

const MN: &str = "domain://msg-node.example.com/sm";
const MNA: &str = "domain://msg-node.example.com/address-allocation";
const REG: &str = "domain://registry.example.com";

/// An answer: its code and its reason; a code of 0 is none at all.
type Told = (u64, String);
type Trying<'a> = Pin<Box<dyn Future<Output = Told> + 'a>>;

/// One limit.
struct Limit {
    name: &'static str,
    /// The largest that is served.
    max: usize,
    within: (u64, &'static str),
    beyond: (u64, &'static str),
    attempt: for<'a> fn(&'a mut Scene, usize) -> Trying<'a>,
}

const SESSIONS: usize = 9;
const CONNECTIONS: usize = 20;
const ROUTES: usize = 40;
const REGISTRATIONS: usize = 12;
const ADDRESSES: usize = 64;
const MESSAGE_BYTES: usize = 200 * 1024;
const DEPTH: usize = 12;
const GRACED: usize = 16;
const RATE: AttachRate = AttachRate { per_second: 1, burst: 15 };

fn configure(config: NodeConfig) -> NodeConfig {
    let mut config = config;
    let limits = &mut config.limits;
    (limits.sessions, limits.links, limits.routes_per_session) = (SESSIONS, CONNECTIONS, ROUTES);
    (limits.message.bytes, limits.message.depth) = (MESSAGE_BYTES, DEPTH);
    (limits.registry.per_runtime, limits.allocations.per_runtime) = (REGISTRATIONS, ADDRESSES);
    (limits.graced.count, limits.attach) = (GRACED, RATE);
    config
}

const LIMITS: &[Limit] = &[
    Limit {
        name: "bytes of a message",
        max: MESSAGE_BYTES,
        within: (200, ""),
        beyond: (400, "malformed"),
        attempt: bytes,
    },
    Limit {
        name: "depth of a message",
        max: DEPTH,
        within: (200, ""),
        beyond: (400, "malformed"),
        attempt: depth,
    },
    Limit {
        name: "bytes of a URL",
        max: URL_BYTES_MAX,
        within: (200, ""),
        beyond: (400, "malformed"),
        attempt: url,
    },
    Limit {
        name: "addresses of a message",
        max: RECIPIENTS_MAX,
        within: (404, "no-route"),
        beyond: (400, "malformed"),
        attempt: recipients,
    },
    Limit {
        name: "routes of a session, at once",
        max: ROUTES,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: routes_at_once,
    },
    Limit {
        name: "routes of a session, one by one",
        max: ROUTES,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: routes_one_by_one,
    },
    Limit {
        name: "addresses bound by use",
        max: ROUTES,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: bound,
    },
    Limit { name: "sessions", max: SESSIONS, within: (200, ""), beyond: (500, "limit"), attempt: sessions },
    Limit {
        name: "connections",
        max: CONNECTIONS,
        within: (200, ""),
        beyond: (503, "full"),
        attempt: connections,
    },
    Limit {
        name: "connections of one address at once",
        max: 15,
        within: (200, ""),
        beyond: (429, "too fast"),
        attempt: too_fast,
    },
    Limit {
        name: "registrations of a runtime",
        max: REGISTRATIONS,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: registrations,
    },
    Limit {
        name: "bytes of a registration",
        max: RECORD_BYTES_MAX,
        within: (200, ""),
        beyond: (400, "limit"),
        attempt: record,
    },
    Limit {
        name: "addresses of a runtime",
        max: ADDRESSES,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: addresses,
    },
    Limit {
        name: "messages for a session without a connection",
        max: GRACED,
        within: (200, ""),
        beyond: (404, "no-route"),
        attempt: graced,
    },
    Limit {
        name: "bytes before there is a session",
        max: UNADMITTED_BYTES_MAX,
        within: (403, "forbidden"),
        beyond: (0, "closed"),
        attempt: unadmitted,
    },
];

/// A stream from Alice to Bob, and Eve, who tries the limits.
struct Scene {
    _parties: [Party; 2],
    board: Reporter,
    copy: Observer,
    eve: Peer,
    world: World,
}

impl Scene {
    async fn new(seed: u64) -> Scene {
        let world = World::with_node(seed, configure);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let board = alice.create(json!({"topic": "start"})).await;
        let copy = bob.observe(&board).await;
        let eve = Peer::open(&world.node().unwrap(), "eve").await;
        Scene { _parties: [alice, bob], board, copy, eve, world }
    }

    async fn undisturbed(&mut self, after: &str) {
        for _ in 0..2 {
            let version = self.board.version() + 1;
            self.board.set("n", version).await.unwrap();
            let change = timeout(Duration::from_secs(2), self.copy.next()).await;
            let change = change.unwrap_or_else(|_| panic!("the stream stands still after {after}")).unwrap();
            assert_eq!((change.version, change.value()), (version, Some(&json!(version))), "after {after}");
        }
        assert_eq!(self.copy.data(), self.board.data(), "after {after}");
    }
}

fn told(answer: &Value) -> Told {
    (code(answer), answer["body"]["reason"].as_str().unwrap_or_default().to_owned())
}

fn plain(code: u64, reason: &str) -> Told {
    (code, reason.to_owned())
}

/// The next answer over a connection, whatever its id; a code of 0 when it is closed.
async fn next(peer: &mut Peer) -> Told {
    match peer.next_or_end().await {
        Some(answer) => told(&answer),
        None => plain(0, "closed"),
    }
}

fn bytes(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let head = format!(
            r#"{{"id":1,"type":"ping","from":"{}","to":"{SESSION}","body":{{"a":""#,
            scene.eve.runtime
        );
        let tail = r#""}}"#;
        let padding = "x".repeat(n - head.len() - tail.len());
        scene.eve.send_text(format!("{head}{padding}{tail}")).await;
        next(&mut scene.eve).await
    })
}

fn depth(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        // The frame and the body are two of them.
        let (open, close) = ("[".repeat(n - 2), "]".repeat(n - 2));
        let head = format!(r#""id":1,"type":"ping","from":"{}","to":"{SESSION}""#, scene.eve.runtime);
        scene.eve.send_text(format!(r#"{{{head},"body":{{"a":{open}{close}}}}}"#)).await;
        next(&mut scene.eve).await
    })
}

fn url(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut url = format!("{}/", scene.eve.runtime);
        url.push_str(&"x".repeat(n - url.len()));
        let sm = scene.eve.sm();
        told(&scene.eve.request("subscribe", &sm, MN, json!({"resources": [url]})).await)
    })
}

fn recipients(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let to: Vec<String> = (0..n).map(|i| format!("hyperty://{DOMAIN}/{i}")).collect();
        let message = json!({"id": 1, "type": "read", "from": scene.eve.sm(), "to": to, "body": {}});
        scene.eve.send_text(message.to_string()).await;
        let answers = scene.eve.drain().await;
        let Some(first) = answers.first().map(told) else { return plain(0, "nothing") };
        assert!(answers.iter().all(|answer| told(answer) == first));
        assert_eq!(answers.len(), if n > RECIPIENTS_MAX { 1 } else { n });
        first
    })
}

fn streams(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("comm://{DOMAIN}/{i}/changes")).collect()
}

fn routes_at_once(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        // Routes of objects that nobody has accepted her for wait.
        let routes = || node.stats().routes + node.stats().waiting;
        let (sm, before) = (scene.eve.sm(), routes());
        let answer = scene.eve.request("subscribe", &sm, MN, json!({"resources": streams(n)})).await;
        assert_eq!(routes() - before, if code(&answer) == 200 { n } else { 0 }, "all or nothing");
        told(&answer)
    })
}

fn routes_one_by_one(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let sm = scene.eve.sm();
        let mut last = plain(0, "");
        for url in streams(n) {
            last = told(&scene.eve.request("subscribe", &sm, MN, json!({"resources": [url]})).await);
        }
        if last.0 != 200 {
            // What it has it keeps, may ask for again, and may exchange for something else.
            let again = scene.eve.request("subscribe", &sm, MN, json!({"resources": streams(1)})).await;
            assert_eq!(code(&again), 200);
            scene.eve.request("unsubscribe", &sm, MN, json!({"resources": streams(1)})).await;
            let other = json!({"resources": [format!("comm://{DOMAIN}/other/changes")]});
            assert_eq!(code(&scene.eve.request("subscribe", &sm, MN, other).await), 200);
        }
        last
    })
}

fn bound(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut last = plain(0, "");
        for i in 0..n {
            let from = format!("hyperty://{DOMAIN}/eve-{i}");
            let answer = scene.eve.request("read", &from, MN, json!({})).await;
            // The Subscription Manager takes no reads: whoever may speak is told so.
            last = if code(&answer) == 400 { plain(200, "") } else { told(&answer) };
        }
        last
    })
}

fn sessions(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let mut last = plain(200, "");
        let mut peers = Vec::new();
        for i in node.stats().sessions..n.min(SESSIONS + 3) {
            let mut peer = Peer::connect(&node, &format!("peer-{i}"));
            let from = peer.runtime.clone();
            last = told(&peer.request("open", &from, SESSION, json!({})).await);
            peers.push(peer);
        }
        last
    })
}

fn connections(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let links: Vec<_> = (node.links()..n).map(|_| node.attach()).collect();
        match links.last() {
            Some(Err(AttachError::Full)) => plain(503, "full"),
            Some(Err(other)) => plain(0, &other.to_string()),
            Some(Ok(_)) | None => plain(200, ""),
        }
    })
}

fn too_fast(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let attached: Vec<_> = (0..n).map(|_| node.attach_from(address).map(drop)).collect();
        let last = match attached.last() {
            Some(Err(AttachError::TooFast(wait))) => {
                assert!(*wait <= Duration::from_secs(1));
                plain(429, "too fast")
            }
            Some(Err(other)) => plain(0, &other.to_string()),
            Some(Ok(_)) | None => plain(200, ""),
        };
        assert!(node.attach_from("192.0.2.2".parse().unwrap()).is_ok(), "others are not slowed down");
        last
    })
}

fn registration(runtime: &str, i: usize, padding: usize) -> Value {
    json!({"value": {
        "url": format!("comm://{DOMAIN}/eve-{i}"), "runtime": runtime, "status": "live", "resources": ["chat"],
        "dataSchemes": ["comm"], "schema": format!("hyperty-catalogue://{DOMAIN}/.well-known/dataschema/X"),
        "name": "x".repeat(padding), "expires": 60, "reporter": format!("hyperty://{DOMAIN}/eve"),
        "user": format!("user://{DOMAIN}/eve"), "guid": "user-guid://eve",
    }})
}

fn registrations(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let (runtime, from) = (scene.eve.runtime.clone(), format!("{}/registry", scene.eve.runtime));
        let mut last = plain(0, "");
        for i in 0..n {
            last = told(&scene.eve.request("create", &from, REG, registration(&runtime, i, 1)).await);
        }
        last
    })
}

fn record(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let (runtime, from) = (scene.eve.runtime.clone(), format!("{}/registry", scene.eve.runtime));
        let empty = registration(&runtime, 0, 0).to_string().len();
        let body = registration(&runtime, 0, n - empty);
        assert_eq!(body.to_string().len(), n);
        told(&scene.eve.request("create", &from, REG, body).await)
    })
}

fn addresses(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let from = format!("{}/address-allocation", scene.eve.runtime);
        let body = json!({"scheme": "comm", "value": {"number": n}});
        told(&scene.eve.request("create", &from, MNA, body).await)
    })
}

fn graced(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        let to = scene.eve.sm();
        let asker = Peer::open(&node, "asker").await;
        drop(std::mem::replace(&mut scene.eve, asker));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let from = scene.eve.sm();
        for _ in 0..n {
            scene.eve.send("read", &from, &to, json!({})).await;
        }
        let answers = scene.eve.drain().await;
        assert!(answers.is_empty() || answers.len() == n, "each of {n} is told, or none: {}", answers.len());
        answers.first().map_or(plain(200, ""), told)
    })
}

fn unadmitted(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut peer = Peer::connect(&scene.world.node().unwrap(), "stranger");
        let head = format!(r#"{{"id":1,"type":"read","from":"{}","to":"{MN}","body":{{"a":""#, peer.runtime);
        let tail = r#""}}"#;
        // In two, for each alone is short enough to be a message.
        let mut last = plain(0, "");
        for part in [n / 2, n - n / 2] {
            let padding = "x".repeat(part.min(MESSAGE_BYTES) - head.len() - tail.len());
            peer.send_text(format!("{head}{padding}{tail}")).await;
            last = next(&mut peer).await;
            if last.0 == 0 {
                break;
            }
        }
        last
    })
}

#[tokio::test(start_paused = true)]
async fn every_limit_holds_at_its_border_and_disturbs_nobody_i12() {
    let mut wrong = Vec::new();
    for (number, limit) in LIMITS.iter().enumerate() {
        for n in [limit.max - 1, limit.max, limit.max + 1, 10 * limit.max] {
            let mut scene = Scene::new(900 + number as u64).await;
            let (code, reason) = (limit.attempt)(&mut scene, n).await;
            let expected = if n <= limit.max { limit.within } else { limit.beyond };
            let reason = if code < 400 && code > 0 { "" } else { reason.as_str() };
            if (code, reason) != expected {
                wrong.push(format!(
                    "{} at {n} of {}: {code} {reason:?}, not {expected:?}",
                    limit.name, limit.max
                ));
            }
            scene.undisturbed(&format!("{} at {n}", limit.name)).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

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

/// Keys that mean something elsewhere are plain keys: in data, in paths and in children, at both sides, kept and sent.
#[tokio::test(start_paused = true)]
async fn names_of_prototypes_are_plain_keys() {
    const NAMES: [&str; 6] =
        ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString", "__defineGetter__"];
    let world = World::new(960);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let data: serde_json::Map<_, _> =
        NAMES.iter().map(|&name| (name.to_owned(), json!({name: {"a": 1}}))).collect();
    let board = alice.create(Value::Object(data)).await;
    let mut copy = bob.observe(&board).await;
    assert_eq!(copy.data(), board.data());
    for name in NAMES {
        board.set(format!("{name}.{name}.polluted").as_str(), true).await.unwrap();
        board.set(format!("{name}.list").as_str(), json!([{name: 1}])).await.unwrap();
    }
    let child = copy.children("notes").unwrap().add(json!({"__proto__": {"polluted": true}})).await.unwrap();
    while copy.version() < board.version() {
        copy.next().await.unwrap();
    }
    assert_eq!(copy.data(), board.data());
    for name in NAMES {
        assert_eq!(copy.data()[name][name], json!({"a": 1, "polluted": true}));
        assert_eq!(copy.data()[name]["list"], json!([{name: 1}]));
    }
    assert_eq!(copy.data()["polluted"], Value::Null);
    let seen = board.children("notes").unwrap().list();
    assert_eq!(
        (seen.len(), &seen[0].id, &seen[0].data),
        (1, &child.id().to_owned(), &json!({"__proto__": {"polluted": true}}))
    );
    let (expected, child) = (board.data(), child.id().to_owned());
    drop((board, copy));
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    assert_eq!(alice.reporter().data(), expected);
    assert_eq!(bob.observer().data(), expected);
    assert_eq!(alice.reporter().children("notes").unwrap().list()[0].id, child);
}
