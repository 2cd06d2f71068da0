//! Routing against a model that is too simple to be wrong: sets of who listens, and lists of what must have come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::{NodeConfig, Stats};
use hyperty_storage::MemoryTables;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Client, DOMAIN, code, start};

const RUNTIMES: usize = 4;
const OBJECTS: usize = 3;
const GRACE_SECONDS: u64 = 60;

#[derive(Debug, Clone)]
enum Step {
    Subscribe(usize, usize),
    /// Runtime `0` takes the route of an object of its own, with what belongs to it, and speaks from a stub.
    Hold(usize),
    Unsubscribe(usize, usize),
    /// Runtime `0` changes object `1`.
    Publish(usize, usize),
    /// Runtime `0` asks runtime `1`.
    Ask(usize, usize),
    Lose(usize),
    Reopen(usize),
    Open(usize),
    Close(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (runtime, object) = (0..RUNTIMES, 0..OBJECTS);
    prop_oneof![
        3 => (runtime.clone(), object.clone()).prop_map(|(r, o)| Step::Subscribe(r, o)),
        1 => runtime.clone().prop_map(Step::Hold),
        1 => (runtime.clone(), object.clone()).prop_map(|(r, o)| Step::Unsubscribe(r, o)),
        6 => (runtime.clone(), object).prop_map(|(r, o)| Step::Publish(r, o)),
        3 => (runtime.clone(), runtime.clone()).prop_map(|(r, to)| Step::Ask(r, to)),
        2 => runtime.clone().prop_map(Step::Lose),
        2 => runtime.clone().prop_map(Step::Reopen),
        2 => runtime.clone().prop_map(Step::Open),
        1 => runtime.prop_map(Step::Close),
        1 => (1..90u64).prop_map(Step::Wait),
    ]
}

/// What should be.
#[derive(Default)]
struct Model {
    now: u64,
    runtimes: BTreeMap<usize, Runtime>,
    /// How many sessions there were: the number of the next.
    sessions: u64,
}

struct Runtime {
    /// Which session this is: what an earlier one of the runtime asked is not answered to it.
    session: u64,
    /// Since when there is no connection.
    lost: Option<u64>,
    listens: BTreeSet<usize>,
    /// Ids of what was sent to it and it did not yet take, in order; and for a request which session of which runtime
    /// asked.
    waiting: Vec<(u64, Option<(usize, u64)>)>,
}

impl Model {
    fn is_live(&self, runtime: usize) -> bool {
        self.runtimes.get(&runtime).is_some_and(|runtime| runtime.lost.is_none())
    }

    /// Ends a session; whoever asked it something it did not take is told.
    fn end(&mut self, runtime: usize) {
        let Some(ended) = self.runtimes.remove(&runtime) else { return };
        for (id, asker) in ended.waiting {
            let Some((asker, session)) = asker else { continue };
            if let Some(asker) = self.runtimes.get_mut(&asker).filter(|asker| asker.session == session) {
                asker.waiting.push((id, None));
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        // In the order in which they were lost: one end may add to what another session has waiting.
        let mut over: Vec<_> = self
            .runtimes
            .iter()
            .filter_map(|(&index, runtime)| Some((runtime.lost?, index)))
            .filter(|(lost, _)| lost + GRACE_SECONDS <= self.now)
            .collect();
        over.sort_unstable();
        over.into_iter().for_each(|(_, index)| self.end(index));
    }
}

struct World {
    node: hyperty_message_node::MessageNode,
    clients: BTreeMap<usize, Client>,
    tokens: BTreeMap<usize, (String, String)>,
    model: Model,
    id: u64,
}

impl World {
    async fn act(&mut self, step: Step) {
        match step {
            Step::Subscribe(runtime, object) | Step::Unsubscribe(runtime, object)
                if self.model.is_live(runtime) =>
            {
                let client = self.clients.get_mut(&runtime).unwrap();
                let session = self.model.runtimes.get_mut(&runtime).unwrap();
                let changes = format!("comm://{DOMAIN}/{object}/changes");
                let answer = if matches!(step, Step::Subscribe(..)) {
                    session.listens.insert(object);
                    client.subscribe(&[&changes]).await
                } else {
                    session.listens.remove(&object);
                    client.unsubscribe(&[&changes]).await
                };
                assert_eq!(code(&answer), 200);
            }
            Step::Hold(runtime) if self.model.is_live(runtime) => {
                let client = self.clients.get_mut(&runtime).unwrap();
                let own = format!("comm://{DOMAIN}/of-{runtime}");
                let urls = ["", "/subscription", "/children/x"].map(|tail| format!("{own}{tail}"));
                let urls = urls.each_ref().map(String::as_str);
                assert_eq!(code(&client.subscribe(&urls).await), 200);
                let stub = format!("hyperty-runtime://{DOMAIN}/protostub/{runtime}/x");
                assert_eq!(
                    code(&client.request("ping", &stub, "comm://example.com/none", json!({})).await),
                    404
                );
            }
            Step::Publish(from, object) if self.model.is_live(from) => {
                let id = self
                    .send(from, "update", &object_url(object), &format!("{}/changes", object_url(object)))
                    .await;
                for (&index, runtime) in &mut self.model.runtimes {
                    if index != from && runtime.listens.contains(&object) {
                        runtime.waiting.push((id, None));
                    }
                }
            }
            Step::Ask(from, to) if self.model.is_live(from) => {
                let (sm, address) =
                    (self.clients[&from].sm(), format!("{}/sm", crate::support::runtime(&to.to_string())));
                let id = self.send(from, "read", &sm, &address).await;
                let asker = (from, self.model.runtimes[&from].session);
                match self.model.runtimes.get_mut(&to).filter(|_| to != from) {
                    Some(asked) => asked.waiting.push((id, Some(asker))),
                    None => self.model.runtimes.get_mut(&from).unwrap().waiting.push((id, None)),
                }
            }
            Step::Lose(runtime) if self.model.is_live(runtime) => {
                let client = self.clients.remove(&runtime).unwrap();
                self.tokens.insert(runtime, client.lose().await);
                self.model.runtimes.get_mut(&runtime).unwrap().lost = Some(self.model.now);
            }
            Step::Reopen(runtime) if !self.model.is_live(runtime) => self.reopen(runtime).await,
            Step::Open(runtime) => self.open(runtime).await,
            Step::Close(runtime) if self.model.is_live(runtime) => {
                let mut client = self.clients.remove(&runtime).unwrap();
                let from = client.proof();
                client.send("close", &from, "mn:/session", Value::Null).await;
                client.closed().await;
                self.model.end(runtime);
            }
            Step::Wait(seconds) => {
                // A little late, so that whatever is due at that second has happened.
                sleep(Duration::from_secs(seconds)).await;
                self.model.wait(seconds);
            }
            _ => {}
        }
    }

    async fn reopen(&mut self, runtime: usize) {
        let Some((url, token)) = self.tokens.get(&runtime).cloned() else { return };
        let mut client = Client::connect(&self.node, &runtime.to_string());
        client.token = token;
        let from = client.proof();
        assert_eq!(client.runtime, url);
        let answer = client.request("re-open", &from, "mn:/session", Value::Null).await;
        match self.model.runtimes.get_mut(&runtime) {
            Some(session) => {
                assert_eq!(code(&answer), 200);
                session.lost = None;
                self.clients.insert(runtime, client);
            }
            None => assert_eq!(code(&answer), 500),
        }
    }

    async fn open(&mut self, runtime: usize) {
        let mut client = Client::connect(&self.node, &runtime.to_string());
        let answer = client.try_open().await;
        if self.model.is_live(runtime) {
            assert_eq!(code(&answer), 409);
            return;
        }
        assert_eq!(code(&answer), 200);
        self.model.end(runtime);
        let session = self.model.sessions;
        self.model.sessions += 1;
        let session = Runtime { session, lost: None, listens: BTreeSet::new(), waiting: Vec::new() };
        self.model.runtimes.insert(runtime, session);
        self.clients.insert(runtime, client);
    }

    async fn send(&mut self, from: usize, kind: &str, sender: &str, to: &str) -> u64 {
        self.id += 1;
        let message =
            json!({"id": self.id, "type": kind, "from": sender, "to": to, "body": {"version": self.id}});
        self.clients[&from].send_text(message.to_string()).await;
        // Let the node take it before another connection has its turn.
        sleep(Duration::from_millis(1)).await;
        self.id
    }

    /// Everybody goes, in one way or the other; nothing is left of them, not even a task.
    async fn leave(mut self) {
        for (index, mut client) in std::mem::take(&mut self.clients) {
            if index % 2 == 0 {
                client.lose().await;
            } else {
                let from = client.proof();
                client.send("close", &from, "mn:/session", Value::Null).await;
                client.closed().await;
            }
        }
        sleep(Duration::from_secs(GRACE_SECONDS + 1)).await;
        let Stats {
            sessions,
            live,
            connections,
            routes,
            bound,
            queued,
            queued_bytes,
            pending,
            opened,
            ended,
            ..
        } = self.node.stats();
        assert_eq!([sessions, live, connections, routes, bound, queued, queued_bytes, pending], [0; 8]);
        assert_eq!(opened, ended);
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, 1, "the node's driver");
    }

    /// Every live runtime has got what it should have, in that order, each once, and nothing else.
    async fn check(&mut self) {
        for (index, client) in &mut self.clients {
            let got: Vec<_> =
                client.drain().await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
            let session = self.model.runtimes.get_mut(index).unwrap();
            let expected: Vec<_> =
                std::mem::take(&mut session.waiting).into_iter().map(|(id, _)| id).collect();
            assert_eq!(got, expected, "runtime {index}");
        }
    }
}

fn object_url(object: usize) -> String {
    format!("comm://{DOMAIN}/{object}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// I10, INV-MN-1, INV-MN-2, INV-MN-3, INV-MN-4, and the life of sessions, in any order of events.
    #[test]
    fn routing_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let node = start(NodeConfig::new(DOMAIN), Arc::new(MemoryTables::new()));
            let mut world =
                World { node, clients: BTreeMap::new(), tokens: BTreeMap::new(), model: Model::default(), id: 1000 };
            for step in steps {
                world.act(step).await;
                world.check().await;
            }
            world.leave().await;
        });
    }
}
