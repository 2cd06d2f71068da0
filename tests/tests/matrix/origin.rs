//! How the object comes to its Reporter: from another hyperty here, from a runtime elsewhere that hands it over (5.11),
//! or from the store of a runtime of the same user that is down (5.10.1).

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::peer::code;
use hyperty_conformance::world::World;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Identity, MessageType};
use hyperty_storage::MemoryTables;
use hyperty_syncher::Criteria;
use serde_json::{Value, json};

use crate::cell::{Origin, Path, Role, State};
use crate::house::{ALLOCATION, House, MN, REG, runtime};
use crate::voice::answer_to;

/// The user behind the runtime of the Reporter.
const ALICE: &str = "user://example.com/alice";
const TIME: &str = "2023-11-14T22:13:20.000Z";

/// The body of a creation.
fn creation(schema: &str, reporter: &str) -> Value {
    let invited = ["hyperty://example.com/invited-inside", "hyperty://example.com/invited-node"];
    let value = json!({
        "name": "board", "schema": schema, "reporter": reporter, "data": {"topic": "secret"}, "authorise": invited,
    });
    json!({
        "resume": false, "schema": schema, "store": true, "value": value,
        "identity": {"userProfile": {"userURL": ALICE}},
    })
}

/// What a runtime of alice's had stored when it died, the object that was reported there, and by whom.
pub(crate) async fn left_behind(world: &World, pass: &str) -> (Arc<MemoryTables>, String, String) {
    let tables = Arc::new(MemoryTables::new());
    let first = runtime(world, Role::Deposed.name(), &tables, pass).await;
    let schema = first.schema(SCHEMA).expect("the schema is read").to_string();
    let reporter = first.deploy("app").user(ALICE).await.expect("it is deployed");
    let hyperty = reporter.url().to_string();
    let body = Body::of(creation(&schema, &hyperty));
    let message =
        first.bus().new_message(MessageType::Create, reporter.url(), &first.url().sync_manager(), body);
    // As the hyperty's own bus does.
    let message = message.with_sender(reporter.url().as_url().clone());
    let answer = first.bus().request(message).await;
    let answer = answer.decode::<ResponseBody>().expect("an answer");
    assert!(answer.code.is_success(), "{answer:?}");
    let object = answer.resource.clone().expect("an address");
    let image = Arc::new(tables.snapshot());
    first.abort();
    drop((reporter, first));
    // Longer than a session waits for its runtime.
    tokio::time::sleep(Duration::from_secs(120)).await;
    (image, object, hyperty)
}

impl House {
    /// Brings the object into a state, and everybody to what they are to it.
    pub(crate) async fn bring_to(&mut self, state: State, origin: Origin) {
        if state.is_to_be_taken() {
            self.be_offered().await;
            if state == State::Claimed {
                self.accept().await;
            }
        } else if state != State::Absent {
            match origin {
                Origin::Inside => self.create().await,
                Origin::Node => self.receive().await,
                Origin::TakenOver => self.inherit().await,
            }
            self.everybody_is_somebody(origin).await;
        }
        if state == State::Deleted {
            let (object, sm) = (self.object.clone(), self.sm());
            let answer = self.as_reporter("delete", &sm, json!({"resource": object})).await;
            assert_eq!(code(&answer), 200, "{answer}");
            self.nobody_listens().await;
        }
        if state == State::Delegating {
            self.keep_offered().await;
        }
    }

    /// The Reporter accepts what is offered to it; gives the offer, and the number of what it asked.
    pub(crate) async fn accept(&mut self) -> (Value, u64) {
        let sm = self.sm();
        let reporter = self.actor(Role::Reporter, Path::Inside);
        let from = reporter.hyperty.clone();
        let offer = reporter
            .until(|message| message["type"] == "create" && message["body"]["delegate"] == from)
            .await;
        let mut body = offer["body"].clone();
        (body["source"], body["store"]) = (offer["from"].clone(), json!(true));
        let asked = reporter.send("create", &from, &sm, body).await;
        (offer, asked)
    }

    /// The object is the Reporter's.
    pub(crate) async fn take_over(&mut self, (offer, asked): (Value, u64)) {
        let reporter = self.actor(Role::Reporter, Path::Inside);
        let answer = reporter.answer_to(asked, Duration::from_secs(45)).await.expect("an answer");
        assert_eq!(code(&answer), 200, "{answer}");
        reporter
            .post(&answer_to(&offer, json!({"code": 200, "delegation": answer["body"]["delegation"]})))
            .await;
        assert!(answer["body"]["epoch"].as_u64().is_some_and(|epoch| epoch > 0), "{answer}");
        self.version = answer["body"]["value"]["version"].as_u64().expect("a version");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// A runtime at the node reports the object, and offers it to the Reporter; gives what it is.
    pub(crate) async fn be_offered(&mut self) -> Value {
        let schema = self.schema.clone();
        let heir = self.hyperty(Role::Reporter, Path::Inside);
        let former = self.actor(Role::Former, Path::Node);
        let (sm, own) = (former.manager(), former.runtime.clone());
        let body = json!({"scheme": "comm", "value": {"number": 1}});
        let answer = former.request("create", &format!("{own}/address-allocation"), ALLOCATION, body).await;
        let object = answer["body"]["value"]["allocated"][0].as_str().expect("an address").to_owned();
        let routes = routes(&object);
        let answer = former.request("subscribe", &sm, MN, json!({"resources": routes, "source": own})).await;
        assert_eq!(code(&answer), 200, "{answer}");
        let record = json!({
            "url": object, "runtime": own, "schema": schema, "name": "board", "reporter": former.hyperty,
            "dataSchemes": ["comm"], "resources": [], "childrenResources": ["notes", "news"], "status": "live",
            "expires": 3600,
        });
        let registry = format!("{own}/registry");
        let answer = former.request("create", &registry, REG, json!({"value": record})).await;
        assert_eq!(code(&answer), 200, "{answer}");
        let metadata = json!({
            "url": object, "reporter": former.hyperty, "runtime": own, "name": "board", "schema": schema,
            "created": TIME, "lastModified": TIME,
        });
        let offer = json!({
            "source": former.hyperty, "resource": object, "schema": schema, "value": metadata, "delegate": heir,
            "delegation": "by-hand", "expires": 60,
        });
        former.send("create", &sm, &heir, offer.clone()).await;
        (self.object, self.offer, self.giver) = (object, offer, sm);
        metadata
    }

    /// A runtime at the node reports the object, and hands it over.
    pub(crate) async fn receive(&mut self) {
        let metadata = self.be_offered().await;
        let (object, alice) = (self.object.clone(), self.alice.url().to_string());
        let heir = self.hyperty(Role::Reporter, Path::Inside);
        let accepted = self.accept().await;
        let grant = granted(&object, metadata);
        let former = self.actor(Role::Former, Path::Node);
        let (sm, own, routes) = (former.manager(), former.runtime.clone(), routes(&object));
        let registry = format!("{own}/registry");
        let claim = former.until(|message| message["type"] == "forward").await;
        let mut body = grant;
        (body["source"], body["subscriptions"]) = (json!(sm), json!([former.hyperty]));
        former.post(&answer_to(&claim, body)).await;
        let value = json!({"reporter": heir, "runtime": alice, "epoch": 1, "status": "live"});
        let answer =
            former.request("update", &registry, REG, json!({"resource": object, "value": value})).await;
        assert_eq!(code(&answer), 200, "{answer}");
        former
            .request("subscribe", &sm, MN, json!({"resources": routes, "source": own, "transfer": alice}))
            .await;
        self.take_over(accepted).await;
    }

    /// Another hyperty of the same user takes the object over, and hands it to the Reporter.
    pub(crate) async fn inherit(&mut self) {
        let heir = self.alice.deploy("heir").user(ALICE).await.expect("it is deployed");
        self.alice.connected().await;
        let criteria = Criteria::default().identity(Identity::of_user(ALICE));
        let resumed = heir.resume_by(criteria).await.expect("it is taken over");
        let board = resumed.reporters.into_iter().next().expect("the object");
        assert_eq!(board.url().as_str(), self.object);
        let to = self.hyperty(Role::Reporter, Path::Inside).parse().expect("a hyperty");
        let giving = tokio::spawn(async move { board.delegate(&to).await });
        let accepted = self.accept().await;
        self.take_over(accepted).await;
        let observer = giving.await.expect("an end").expect("it is given");
        self.heir = Some((heir, observer));
    }
}

/// The addresses that an object's owner holds.
fn routes(object: &str) -> [String; 4] {
    ["", "/subscription", "/children/notes", "/children/news"].map(|tail| format!("{object}{tail}"))
}

/// What a giving side answers to a claim.
fn granted(object: &str, metadata: Value) -> Value {
    let mut value = metadata;
    value["version"] = json!(0);
    value["epoch"] = json!(0);
    value["data"] = json!({"topic": "secret"});
    value["childrenObjects"] = json!({"notes": {}, "news": {}});
    let invited = ["hyperty://example.com/invited-inside", "hyperty://example.com/invited-node"];
    json!({
        "code": 200, "resource": object, "delegation": "by-hand", "epoch": 1, "value": value,
        "childrenResources": ["notes", "news"], "authorise": invited,
    })
}
