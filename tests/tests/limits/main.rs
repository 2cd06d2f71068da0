//! Every limit of a node at L-1, L, L+1 and 10·L: what is within is served, what is beyond gets the documented answer,
//! and a stream beside it goes on (I12). One generated test over a table.

mod addresses;
mod backup;
mod messages;
mod names;
mod routes;
mod runtime;
mod sessions;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::peer::{Peer, code};
use hyperty_conformance::world::World;
use hyperty_message_node::admission::UNADMITTED_BYTES_MAX;
use hyperty_message_node::{AttachRate, NodeConfig};
use hyperty_model::message::RECIPIENTS_MAX;
use hyperty_model::url::URL_BYTES_MAX;
use hyperty_registry::RECORD_BYTES_MAX;
use hyperty_syncher::{Observer, Reporter};
use serde_json::{Value, json};
use tokio::time::timeout;

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
    limits.backup = backup::LIMITS;
    config
}

const LIMITS: &[Limit] = &[
    Limit {
        name: "bytes of a message",
        max: MESSAGE_BYTES,
        within: (200, ""),
        beyond: (400, "malformed"),
        attempt: messages::bytes,
    },
    Limit {
        name: "depth of a message",
        max: DEPTH,
        within: (200, ""),
        beyond: (400, "malformed"),
        attempt: messages::depth,
    },
    Limit {
        name: "bytes of a URL",
        max: URL_BYTES_MAX,
        within: (200, ""),
        beyond: (400, "malformed"),
        attempt: messages::url,
    },
    Limit {
        name: "addresses of a message",
        max: RECIPIENTS_MAX,
        within: (404, "no-route"),
        beyond: (400, "malformed"),
        attempt: messages::recipients,
    },
    Limit {
        name: "routes of a session, at once",
        max: ROUTES,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: routes::routes_at_once,
    },
    Limit {
        name: "routes of a session, one by one",
        max: ROUTES,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: routes::routes_one_by_one,
    },
    Limit {
        name: "addresses bound by use",
        max: ROUTES,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: routes::bound,
    },
    Limit {
        name: "sessions",
        max: SESSIONS,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: sessions::sessions,
    },
    Limit {
        name: "connections",
        max: CONNECTIONS,
        within: (200, ""),
        beyond: (503, "full"),
        attempt: sessions::connections,
    },
    Limit {
        name: "connections of one address at once",
        max: 15,
        within: (200, ""),
        beyond: (429, "too fast"),
        attempt: sessions::too_fast,
    },
    Limit {
        name: "registrations of a runtime",
        max: REGISTRATIONS,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: addresses::registrations,
    },
    Limit {
        name: "bytes of a registration",
        max: RECORD_BYTES_MAX,
        within: (200, ""),
        beyond: (400, "limit"),
        attempt: addresses::record,
    },
    Limit {
        name: "addresses of a runtime",
        max: ADDRESSES,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: addresses::addresses,
    },
    Limit {
        name: "messages for a session without a connection",
        max: GRACED,
        within: (200, ""),
        beyond: (404, "no-route"),
        attempt: sessions::graced,
    },
    Limit {
        name: "bytes before there is a session",
        max: UNADMITTED_BYTES_MAX,
        within: (403, "forbidden"),
        beyond: (0, "closed"),
        attempt: messages::unadmitted,
    },
    Limit {
        name: "bytes of a record of the backup",
        max: backup::RECORD_BYTES,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: backup::record,
    },
    Limit {
        name: "records of a user at the backup",
        max: backup::LIMITS.records_per_user,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: backup::records_of_a_user,
    },
    Limit {
        name: "bytes of a user at the backup",
        max: backup::LIMITS.bytes_per_user,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: backup::bytes_of_a_user,
    },
    Limit {
        name: "records of the backup",
        max: backup::LIMITS.records,
        within: (200, ""),
        beyond: (403, "limit"),
        attempt: backup::records,
    },
    Limit {
        name: "bytes under way to the backup",
        max: backup::LIMITS.upload_bytes,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: backup::bytes_under_way,
    },
    Limit {
        name: "records of a runtime under way to the backup",
        max: backup::LIMITS.uploads_per_runtime,
        within: (200, ""),
        beyond: (500, "limit"),
        attempt: backup::records_under_way,
    },
    Limit {
        name: "seconds that a record waits for its next part",
        max: backup::KEPT_SECONDS,
        within: (200, ""),
        beyond: (404, "transfer"),
        attempt: backup::kept_waiting,
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
