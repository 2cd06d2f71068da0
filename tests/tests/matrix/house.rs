//! The world of the matrix: a Reporter with its runtime, a node, and everybody else, each by both ways.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::peer::{Peer, SESSION, code};
use hyperty_conformance::world::World;
use hyperty_message_node::NodeConfig;
use hyperty_message_node::admission::{AdmissionConfig, Claims, IssuerKey, TokenAdmission};
use hyperty_model::{SeededIds, Timestamp};
use hyperty_protostub::{FixedToken, StubConfig};
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::{DataObjectStorage, MemoryTables, ObjectStore, Role as Side};
use hyperty_syncher::Observer;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cell::{Origin, Path, Role, State};
use crate::origin::left_behind;
use crate::voice::Actor;

pub(crate) const MN: &str = "domain://msg-node.example.com/sm";
pub(crate) const REG: &str = "domain://registry.example.com";
pub(crate) const ALLOCATION: &str = "domain://msg-node.example.com/address-allocation";
/// Longer than a house stands.
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an offer holds (T_OFFER).
const OFFER: Duration = Duration::from_secs(60);
/// Longer than messages are under way; shorter than anything is tried again.
const MOMENT: Duration = Duration::from_millis(20);

/// Everybody, and the object in one state.
pub(crate) struct House {
    pub(crate) world: World,
    issuer: IssuerKey,
    pub(crate) alice: Runtime,
    pub(crate) object: String,
    pub(crate) schema: String,
    /// Where the object stands.
    pub(crate) version: u64,
    /// What the child's reporter wrote, by its way.
    pub(crate) children: Vec<(Path, String)>,
    pub(crate) actors: Vec<Actor>,
    tables: Arc<MemoryTables>,
    warden: Peer,
    /// Since when the object is offered to somebody.
    offered: Option<Instant>,
    /// The offer by which it is to become the Reporter's, and the Sync Manager that made it.
    pub(crate) offer: Value,
    pub(crate) giver: String,
    /// The Reporter has accepted it, and nothing is answered to that.
    claimed: bool,
    /// Who took the object over, and handed it to the Reporter.
    pub(crate) heir: Option<(Hyperty, Observer)>,
}

impl House {
    pub(crate) async fn new(seed: u64, state: State, origin: Origin) -> House {
        // Sessions need a token, so who listens has to be accepted (10.4).
        let issuer = IssuerKey::generate(&SeededIds::new(seed));
        let admission = AdmissionConfig::Tokens(TokenAdmission::new(issuer.public()));
        let world =
            World::with_node(seed, move |config| NodeConfig { admission: admission.clone(), ..config });
        let pass = token(&issuer, "alice", LIFE);
        let (tables, object, deposed) = match origin {
            Origin::TakenOver => left_behind(&world, &pass).await,
            _ => (Arc::default(), "comm://example.com/none".to_owned(), String::new()),
        };
        let alice = runtime(&world, "alice", &tables, &pass).await;
        let schema = alice.schema(SCHEMA).expect("the schema is read").to_string();
        let node = world.node().expect("a node");
        let warden = Peer::admitted(&node, "warden", &token(&issuer, "warden", LIFE)).await;
        let mut actors = Vec::new();
        let there = |role: &Role| *role != Role::Deposed || origin == Origin::TakenOver;
        for role in Role::ALL.into_iter().filter(there) {
            if role == Role::Deposed {
                let (bus, runtime) = (alice.bus(), alice.url().as_str());
                actors.push(Actor::deciding_as(role, deposed.clone(), bus, runtime, consent));
            } else if role != Role::Reporter && role != Role::OtherRuntime && role != Role::Node {
                actors.push(Actor::deciding(role, alice.bus(), alice.url().as_str(), consent));
            }
            if role != Role::Reporter {
                // The same user's who has it now: that is how it was taken over.
                let user =
                    if role == Role::Deposed { "alice".to_owned() } else { format!("{}-node", role.name()) };
                let pass = token(&issuer, &user, LIFE);
                actors.push(Actor::at_node(role, Peer::admitted(&node, role.name(), &pass).await));
            }
        }
        actors.push(reporter(&alice));
        let mut house = House {
            world,
            issuer,
            alice,
            object,
            schema,
            version: 0,
            children: Vec::new(),
            actors,
            tables,
            warden,
            offered: None,
            offer: Value::Null,
            giver: String::new(),
            claimed: state == State::Claimed,
            heir: None,
        };
        house.bind().await;
        house.bring_to(state, origin).await;
        house.settle().await;
        house
    }

    /// Makes sure that the object is on offer, and will be for a while.
    pub(crate) async fn keep_offered(&mut self) {
        if self.offered.is_some_and(|since| since.elapsed() < OFFER / 2) {
            return;
        }
        if self.offered.is_some() {
            // Until it has ended, a second one is a conflict.
            tokio::time::sleep(OFFER).await;
        }
        let (object, sm, schema) = (self.object.clone(), self.sm(), self.schema.clone());
        let heir = self.hyperty(Role::Stranger, Path::Inside);
        let reporter = self.actor(Role::Reporter, Path::Inside);
        let from = reporter.hyperty.clone();
        reporter
            .send("create", &from, &sm, json!({"resource": object, "schema": schema, "delegate": heir}))
            .await;
        self.offered = Some(Instant::now());
        self.settle().await;
    }

    /// Opens another session of the same runtime with a token that is over; gives the answer, and whether the node then
    /// closes the connection.
    pub(crate) async fn return_expired(&self, role: Role) -> (Value, bool) {
        let user = format!("{}-node", role.name());
        let mut claims = claims(&user, LIFE);
        (claims.nbf, claims.exp) = (None, claims.exp - 2 * LIFE.as_secs());
        let token = self.issuer.issue(&claims).expect("a token");
        let mut peer = Peer::connect(&self.world.node().expect("a node"), role.name());
        let from = peer.runtime.clone();
        let answer = peer.request("open", &from, SESSION, json!({"accessToken": token})).await;
        let closed = peer.next_before(Instant::now() + MOMENT).await.is_none();
        (answer, closed)
    }

    /// As all do who heard of a deletion (5.8 step 5).
    pub(crate) async fn nobody_listens(&mut self) {
        let stream = stream(&self.object);
        for actor in self.actors.iter_mut().filter(|actor| actor.path == Path::Node) {
            let (from, body) = (actor.manager(), json!({"resources": stream, "source": actor.runtime}));
            let answer = actor.request("unsubscribe", &from, MN, body).await;
            assert_eq!(code(&answer), 200, "{answer}");
        }
    }

    /// The Sync Manager of the Reporter.
    pub(crate) fn sm(&self) -> String {
        self.alice.url().sync_manager().to_string()
    }

    pub(crate) fn actor(&mut self, role: Role, path: Path) -> &mut Actor {
        let found = self.actors.iter_mut().find(|actor| actor.role == role && actor.path == path);
        found.expect("somebody of this role comes this way")
    }

    /// The hyperty of a role.
    pub(crate) fn hyperty(&self, role: Role, path: Path) -> String {
        let found = self.actors.iter().find(|actor| actor.role == role && actor.path == path);
        found.expect("somebody of this role comes this way").hyperty.clone()
    }

    pub(crate) async fn as_reporter(&mut self, kind: &str, to: &str, body: Value) -> Value {
        let reporter = self.actor(Role::Reporter, Path::Inside);
        let from = reporter.hyperty.clone();
        reporter.request(kind, &from, to, body).await
    }

    /// Everybody has spoken at the node, so that its hyperty is its own there (5.14).
    async fn bind(&mut self) {
        for actor in self.actors.iter_mut().filter(|actor| actor.role != Role::Node) {
            let from = actor.hyperty.clone();
            let answer = actor.request("read", &from, "comm://example.com/nobodys", json!({})).await;
            assert_eq!(code(&answer), 404, "{answer}");
        }
    }

    /// The object is created by its former Reporter, who hands it over.
    pub(crate) async fn create(&mut self) {
        let invited = [Path::Inside, Path::Node].map(|path| self.hyperty(Role::Invited, path));
        let (sm, schema, heir) = (self.sm(), self.schema.clone(), self.hyperty(Role::Reporter, Path::Inside));
        let former = self.actor(Role::Former, Path::Inside);
        let from = former.hyperty.clone();
        let value = json!({
            "name": "board", "schema": schema, "reporter": from, "data": {"topic": "secret"}, "authorise": invited,
        });
        let body = json!({"resume": false, "schema": schema, "store": true, "value": value});
        let answer = former.request("create", &from, &sm, body).await;
        assert_eq!(code(&answer), 200, "{answer}");
        let object = answer["body"]["resource"].as_str().expect("an address").to_owned();
        let offer = json!({"resource": object, "schema": schema, "delegate": heir});
        former.send("create", &from, &sm, offer).await;
        self.object = object;
        let accepted = self.accept().await;
        self.take_over(accepted).await;
    }

    pub(crate) async fn everybody_is_somebody(&mut self, origin: Origin) {
        if origin == Origin::Node {
            let answer = self.subscribe(Role::Former, Path::Node).await;
            assert_eq!(code(&answer), 200, "{answer}");
        }
        for path in Path::ALL {
            // Listening without being accepted is not refused, and brings nothing.
            for role in [Role::Stranger, Role::Invited, Role::OtherRuntime] {
                if path == Path::Node {
                    self.listen(role).await;
                }
            }
            for (role, expected) in [
                (Role::Refused, 403),
                (Role::Observer, 200),
                (Role::ChildReporter, 200),
                (Role::Removed, 200),
            ] {
                let answer = self.subscribe(role, path).await;
                assert_eq!(code(&answer), expected, "{role:?}, {path:?}: {answer}");
            }
            let child = self.add_child(path).await;
            self.children.push((path, child));
            self.remove(path).await;
        }
    }

    /// The Reporter removes who observed; a Sync Manager that means no good goes on as if nothing were.
    async fn remove(&mut self, path: Path) {
        let (object, sm, removed) = (self.object.clone(), self.sm(), self.hyperty(Role::Removed, path));
        let answer =
            self.as_reporter("unsubscribe", &sm, json!({"resource": object, "source": removed})).await;
        assert_eq!(code(&answer), 200, "{answer}");
    }

    /// The subscription of a role, as its own Sync Manager or hyperty would make it.
    async fn subscribe(&mut self, role: Role, path: Path) -> Value {
        let (object, sm) = (self.object.clone(), self.sm());
        let actor = self.actor(role, path);
        let (hyperty, manager, identity) = (actor.hyperty.clone(), actor.manager(), actor.identity());
        if path == Path::Inside {
            let body = json!({"resource": object, "identity": identity, "resumable": true});
            return actor.request("subscribe", &hyperty, &sm, body).await;
        }
        self.listen(role).await;
        let actor = self.actor(role, path);
        let body = json!({"source": hyperty, "subscriber": hyperty, "identity": identity, "resumable": true});
        actor.request("subscribe", &manager, &format!("{object}/subscription"), body).await
    }

    /// Listens at the node to the object's stream.
    async fn listen(&mut self, role: Role) {
        let stream = stream(&self.object);
        let actor = self.actor(role, Path::Node);
        let (from, body) = (actor.manager(), json!({"resources": stream, "source": actor.runtime}));
        let answer = actor.request("subscribe", &from, MN, body).await;
        assert_eq!(code(&answer), 200, "{answer}");
    }

    async fn add_child(&mut self, path: Path) -> String {
        let channel = format!("{}/children/notes", self.object);
        let object = self.object.clone();
        let writer = self.actor(Role::ChildReporter, path);
        let from = writer.hyperty.clone();
        let body = child(&object, &from, 1, "notes");
        let answer = writer.request("create", &from, &channel, body).await;
        assert_eq!(code(&answer), 200, "{answer}");
        format!("{from}#1")
    }

    /// Lets come to rest what takes no time of the protocol, and forgets what was received.
    pub(crate) async fn settle(&mut self) {
        tokio::time::sleep(MOMENT).await;
        for actor in &mut self.actors {
            actor.drain().await;
        }
    }

    /// All that may not change when a request is refused.
    pub(crate) async fn look(&mut self) -> String {
        let records = ObjectStore::new(Arc::new(self.tables.snapshot())).load(Side::Reporter);
        let records = records.expect("what is stored is read");
        let from = format!("{}/registry", self.warden.runtime);
        let entry = self.warden.request("read", &from, REG, json!({"resource": self.object})).await;
        let stats = self.world.node().expect("a node").stats();
        format!(
            "{records:#?}\n{}\nroutes {}, bound {}, sessions {}",
            entry["body"]["value"], stats.routes, stats.bound, stats.sessions
        )
    }

    /// What of this object reached anybody but `asker`, apart from positions and the questions to its Reporter.
    pub(crate) async fn heard(&mut self, asker: (Role, Path)) -> Vec<String> {
        let mut heard = Vec::new();
        for actor in &mut self.actors {
            for message in actor.drain().await {
                // A claim of the Reporter's side, which goes on until it is answered.
                let is_claim = self.claimed && message["type"] == "forward";
                let is_quiet = message["type"] == "response"
                    || is_claim
                    || message["body"]["attributeType"] == "position"
                    || actor.role == Role::Reporter
                    || (actor.role, actor.path) == asker;
                if !is_quiet {
                    heard.push(format!("{:?}, {:?} got {message}", actor.role, actor.path));
                }
            }
        }
        heard
    }
}

/// The moment at which the clock of a world stands.
fn claims(user: &str, life: Duration) -> Claims {
    let now = Timestamp::from_millis(1_700_000_000_000);
    Claims::new(&format!("user://example.com/{user}"), "example.com", now, life)
}

/// Starts a runtime that is admitted.
pub(crate) async fn runtime(world: &World, name: &str, tables: &Arc<MemoryTables>, pass: &str) -> Runtime {
    let pass = pass.to_owned();
    let admitted =
        move |config: &mut StubConfig| config.token = Some(Arc::new(FixedToken::new(pass.clone())));
    world.runtime_with(name, tables, |builder| builder.sessions(admitted)).await
}

fn token(issuer: &IssuerKey, user: &str, life: Duration) -> String {
    issuer.issue(&claims(user, life)).expect("a token")
}

/// The addresses of an object that observers listen to.
pub(crate) fn stream(object: &str) -> [String; 3] {
    ["changes", "children/notes", "children/news"].map(|tail| format!("{object}/{tail}"))
}

/// A child as its reporter creates it.
pub(crate) fn child(object: &str, writer: &str, number: u64, name: &str) -> Value {
    let id = format!("{writer}#{number}");
    let time = "2023-11-14T22:13:20.000Z";
    let value = json!({
        "url": id, "parent": object, "reporter": writer, "version": 0, "created": time, "lastModified": time,
        "children": name, "data": {"n": 1},
    });
    json!({"resource": id, "value": value})
}

/// Whoever is offered the object says that it will think about it; whoever hands it over stops writing.
fn consent(message: &Value) -> Option<Value> {
    match message["type"].as_str() {
        Some("create") if message["body"]["delegate"].is_string() => Some(json!({"code": 100})),
        Some("execute") => Some(json!({"code": 200})),
        _ => None,
    }
}

/// The Reporter's hyperty: it admits nobody of whom it was not said before, and does what observers ask it to.
fn reporter(alice: &Runtime) -> Actor {
    Actor::deciding(Role::Reporter, alice.bus(), alice.url().as_str(), |message| {
        let body = &message["body"];
        let who = body["from"].as_str().unwrap_or_default();
        let wanted = ["/observer-", "/writer-", "/removed-"].iter().any(|name| who.contains(name));
        match (message["type"].as_str(), body["type"].as_str()) {
            (Some("forward"), Some("subscribe")) if wanted || body["authorised"] == true => {
                Some(json!({"code": 200}))
            }
            (Some("forward"), Some("subscribe")) => Some(json!({"code": 403, "desc": "not you"})),
            (Some("forward"), Some("read")) => Some(json!({"code": 401, "desc": "not you"})),
            (Some("forward" | "execute"), _) => Some(json!({"code": 200, "value": "done"})),
            _ => None,
        }
    })
}
