//! Who may listen to the stream of an object (protocol 10.4, INV-LSN-1, INV-LSN-2).

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::{GRACE, MessageNode, NodeConfig};
use hyperty_storage::MemoryTables;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Client, DOMAIN, MN, assert_refused, code, runtime, start, versions};

fn guarded() -> MessageNode {
    let config = NodeConfig { enforce_subscriber: Some(true), ..NodeConfig::new(DOMAIN) };
    start(config, Arc::new(MemoryTables::new()))
}

pub(crate) fn stream(object: &str) -> [String; 2] {
    [format!("{object}/changes"), format!("{object}/children/notes")]
}

fn subscription(object: &str) -> String {
    format!("{object}/subscription")
}

/// A node that enforces, an owner that holds an object, and its versions so far.
pub(crate) struct Scene {
    pub(crate) node: MessageNode,
    pub(crate) owner: Client,
    pub(crate) object: String,
    pub(crate) version: u64,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        let node = guarded();
        let mut owner = Client::open(&node, "owner").await;
        let object = owner.allocate("comm", 1).await.remove(0);
        assert_eq!(code(&hold(&mut owner, &object).await), 200);
        Scene { node, owner, object, version: 0 }
    }

    /// A session that subscribed the stream, which always succeeds.
    pub(crate) async fn listener(&self, name: &str) -> Client {
        let mut client = Client::open(&self.node, name).await;
        self.listen(&mut client).await;
        client
    }

    pub(crate) async fn listen(&self, client: &mut Client) {
        let [changes, children] = stream(&self.object);
        assert_eq!(code(&client.subscribe(&[&changes, &children]).await), 200);
    }

    /// Publishes one more version, which `client` gets or does not.
    pub(crate) async fn heard_by(&mut self, client: &mut Client) -> bool {
        self.version += 1;
        self.owner.publish(&self.object, self.version).await;
        let heard = client.drain().await;
        assert!(heard.len() < 2, "{heard:?}");
        versions(&heard).contains(&self.version)
    }

    /// Asks the owner as `client` does; returns the question as the owner sees it.
    pub(crate) async fn ask(&mut self, client: &mut Client) -> Value {
        let (sm, to) = (client.sm(), subscription(&self.object));
        client.send("subscribe", &sm, &to, json!({"source": format!("hyperty://{DOMAIN}/h")})).await;
        self.owner.recv().await
    }

    pub(crate) async fn answer(&mut self, question: &Value, code: u64) {
        answer(&self.owner, question, code).await;
    }

    pub(crate) async fn judge(&mut self, kind: &str, member: &str, who: &str) -> Value {
        let (sm, [changes, children]) = (self.owner.sm(), stream(&self.object));
        let body = json!({"resources": [changes, children], "source": runtime(who), member: true});
        self.owner.request(kind, &sm, MN, body).await
    }

    pub(crate) async fn set_public(&mut self, public: bool) -> Value {
        let (sm, [_, children]) = (self.owner.sm(), stream(&self.object));
        let source = self.owner.runtime.clone();
        let body = json!({"resources": [self.object, children], "source": source, "public": public});
        self.owner.request("subscribe", &sm, MN, body).await
    }
}

async fn hold(owner: &mut Client, object: &str) -> Value {
    owner.subscribe(&[object, &subscription(object), &format!("{object}/children/notes")]).await
}

async fn answer(owner: &Client, question: &Value, code: u64) {
    let answer = json!({
        "id": question["id"], "type": "response", "from": question["to"], "to": question["from"],
        "body": {"code": code, "value": {"code": 403}},
    });
    owner.send_text(answer.to_string()).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_not_accepted_hears_nothing_inv_lsn_1() {
    let mut scene = Scene::new().await;
    let mut eve = scene.listener("eve").await;
    assert!(!scene.heard_by(&mut eve).await);
    assert_eq!(scene.node.stats().waiting, 2);
    // Neither under any other address of the object.
    for tail in ["status", "observers", "children", "children/changes", "children/registration"] {
        let url = format!("{}/{tail}", scene.object);
        assert_eq!(code(&eve.subscribe(&[&url]).await), 200, "{tail}");
        scene.owner.send("update", &scene.object.clone(), &url, json!({"value": 1})).await;
        assert_eq!(eve.drain().await, Vec::<Value>::new(), "{tail}");
    }
    // Nor may it write children, nor let itself in.
    let [changes, children] = stream(&scene.object);
    let hyperty = format!("hyperty://{DOMAIN}/eve");
    let body = json!({"resource": format!("{hyperty}#1"), "value": {}});
    eve.send("create", &hyperty, &children, body).await;
    eve.quiet().await;
    for (kind, member) in [("subscribe", "grant"), ("unsubscribe", "revoke")] {
        let body = json!({"resources": [changes], "source": eve.runtime, member: true});
        assert_refused(&eve.request(kind, &eve.sm(), MN, body).await, 403, "forbidden", MN);
    }
    let body = json!({"resources": [scene.object], "source": eve.runtime, "public": true});
    assert_refused(&eve.request("subscribe", &eve.sm(), MN, body).await, 409, "held", MN);
    let question = scene.ask(&mut eve).await;
    answer(&eve, &question, 200).await;
    assert!(!scene.heard_by(&mut eve).await);
    scene.owner.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_owners_yes_lets_in_behind_it_inv_lsn_1() {
    let mut scene = Scene::new().await;
    let mut bob = scene.listener("bob").await;
    let question = scene.ask(&mut bob).await;
    scene.answer(&question, 100).await;
    assert_eq!(bob.drain().await.len(), 1);
    assert!(!scene.heard_by(&mut bob).await, "a provisional answer is no yes");
    scene.answer(&question, 200).await;
    scene.owner.publish(&scene.object, 2).await;
    let heard = bob.drain().await;
    let kinds: Vec<_> = heard.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["response", "update"], "in this order, and nothing between is lost");
    scene.version = 2;
    // Children too, both ways, and names that are subscribed later.
    let hyperty = format!("hyperty://{DOMAIN}/bob");
    let body = json!({"resource": format!("{hyperty}#1"), "value": {}});
    bob.send("create", &hyperty, &stream(&scene.object)[1], body).await;
    assert_eq!(scene.owner.recv().await["type"], "create");
    let late = format!("{}/children/late", scene.object);
    assert_eq!(code(&bob.subscribe(&[&late]).await), 200);
    scene.owner.send("create", &scene.object.clone(), &late, json!({"value": {}})).await;
    assert_eq!(bob.drain().await.len(), 1);
    // Whoever leaves all of the stream begins anew.
    let [changes, children] = stream(&scene.object);
    bob.unsubscribe(&[&changes, &children, &late]).await;
    scene.listen(&mut bob).await;
    assert!(!scene.heard_by(&mut bob).await);
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_a_yes_inv_lsn_1() {
    let mut scene = Scene::new().await;
    let mut bob = scene.listener("bob").await;
    for refusal in [403, 404, 408, 500] {
        let question = scene.ask(&mut bob).await;
        scene.answer(&question, refusal).await;
        assert_eq!(code(&bob.recv().await), refusal);
        // It was answered: what comes later is no answer.
        scene.answer(&question, 200).await;
        bob.recv().await;
        assert!(!scene.heard_by(&mut bob).await, "{refusal}");
    }
    // A yes to something else.
    let (sm, to) = (bob.sm(), subscription(&scene.object));
    for kind in ["unsubscribe", "read", "create"] {
        bob.send(kind, &sm, &to, json!({})).await;
        let question = scene.owner.recv().await;
        scene.answer(&question, 200).await;
        bob.recv().await;
        assert!(!scene.heard_by(&mut bob).await, "{kind}");
    }
    let mut question = scene.ask(&mut bob).await;
    question["id"] = json!("another");
    scene.answer(&question, 200).await;
    bob.recv().await;
    assert!(!scene.heard_by(&mut bob).await, "another id");
    // A yes of another object's owner, and one to somebody else.
    let mut eve = scene.listener("eve").await;
    let other = eve.allocate("comm", 1).await.remove(0);
    hold(&mut eve, &other).await;
    bob.send("subscribe", &sm, &subscription(&other), json!({})).await;
    let question = eve.recv().await;
    answer(&eve, &question, 200).await;
    bob.recv().await;
    assert!(!scene.heard_by(&mut bob).await, "another object");
    assert_eq!(eve.drain().await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn an_owner_lets_in_and_shuts_out_inv_lsn_2() {
    let mut scene = Scene::new().await;
    let mut bob = scene.listener("bob").await;
    assert_eq!(code(&scene.judge("subscribe", "grant", "bob").await), 200);
    assert!(scene.heard_by(&mut bob).await);
    assert_eq!(code(&scene.judge("unsubscribe", "revoke", "bob").await), 200);
    assert!(!scene.heard_by(&mut bob).await);
    scene.listen(&mut bob).await;
    assert!(!scene.heard_by(&mut bob).await, "subscribing again lets nobody in");
    let hyperty = format!("hyperty://{DOMAIN}/bob");
    bob.send("create", &hyperty, &stream(&scene.object)[1], json!({"value": {}})).await;
    bob.quiet().await;
    scene.owner.quiet().await;
    // It is accepted anew.
    let question = scene.ask(&mut bob).await;
    scene.answer(&question, 200).await;
    bob.recv().await;
    assert!(scene.heard_by(&mut bob).await);
    // Who is not there is nothing to do for; what is missing is said.
    for (kind, member) in [("subscribe", "grant"), ("unsubscribe", "revoke")] {
        assert_eq!(code(&scene.judge(kind, member, "absent").await), 200);
        let body = json!({"resources": [scene.object], member: true});
        let sm = scene.owner.sm();
        assert_refused(&scene.owner.request(kind, &sm, MN, body).await, 400, "malformed", MN);
    }
}

#[tokio::test(start_paused = true)]
async fn public_objects_are_open_to_all_until_they_are_not() {
    let mut scene = Scene::new().await;
    let mut bob = scene.listener("bob").await;
    assert_eq!(code(&scene.set_public(true).await), 200);
    assert!(scene.heard_by(&mut bob).await, "who waited");
    let mut carol = scene.listener("carol").await;
    assert!(scene.heard_by(&mut carol).await, "who comes later");
    bob.drain().await;
    assert_eq!(code(&scene.judge("subscribe", "grant", "carol").await), 200);
    assert_eq!(code(&scene.set_public(false).await), 200);
    assert!(!scene.heard_by(&mut bob).await);
    assert_eq!(versions(&carol.drain().await), [scene.version], "she was accepted beside");
    assert_eq!(code(&scene.owner.subscribe(&[&scene.object.clone()]).await), 200);
    assert!(!scene.heard_by(&mut bob).await, "saying nothing changes nothing");
}

#[tokio::test(start_paused = true)]
async fn acceptance_is_the_sessions_and_outlives_the_owners() {
    let mut scene = Scene::new().await;
    let mut bob = scene.listener("bob").await;
    scene.judge("subscribe", "grant", "bob").await;
    // The owner comes back with a session of its own: who was accepted stays, who comes meanwhile waits.
    let owner = std::mem::replace(&mut scene.owner, Client::open(&scene.node, "idle").await);
    owner.lose().await;
    sleep(GRACE + Duration::from_secs(1)).await;
    let mut eve = scene.listener("eve").await;
    scene.owner = Client::open(&scene.node, "owner").await;
    assert_eq!(code(&hold(&mut scene.owner, &scene.object).await), 200);
    assert!(scene.heard_by(&mut bob).await);
    assert!(!scene.heard_by(&mut eve).await);
    bob.drain().await;
    // A connection that comes back in time keeps it.
    let (name, token) = (bob.runtime.clone(), bob.token.clone());
    bob.lose().await;
    let mut bob = Client::connect(&scene.node, "bob");
    let again = bob.request("re-open", &format!("{name}/{token}"), "mn:/session", json!(null)).await;
    assert_eq!(code(&again), 200);
    assert!(scene.heard_by(&mut bob).await);
    // A new session does not.
    bob.lose().await;
    let mut bob = scene.listener("bob").await;
    assert!(!scene.heard_by(&mut bob).await);
    scene.judge("subscribe", "grant", "bob").await;
    assert!(scene.heard_by(&mut bob).await);
}

#[tokio::test(start_paused = true)]
async fn owners_are_told_of_who_they_may_know_m13() {
    let mut scene = Scene::new().await;
    let eve = scene.listener("eve").await;
    let mut bob = scene.listener("bob").await;
    let mut carol = scene.listener("carol").await;
    scene.judge("subscribe", "grant", "bob").await;
    scene.ask(&mut carol).await;
    for client in [&mut bob, &mut carol] {
        let (proof, runtime) = (client.proof(), client.runtime.clone());
        client.send("close", &proof, "mn:/session", json!(null)).await;
        let told = scene.owner.recv().await;
        assert_eq!((&told["type"], &told["body"]["source"]), (&json!("unsubscribe"), &json!(runtime)));
    }
    eve.lose().await;
    sleep(GRACE + Duration::from_secs(1)).await;
    scene.owner.quiet().await;
    assert_eq!(scene.node.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_hands_over_who_decides_m17() {
    let mut scene = Scene::new().await;
    let mut bob = scene.listener("bob").await;
    scene.judge("subscribe", "grant", "bob").await;
    let mut heir = scene.listener("heir").await;
    assert!(!scene.heard_by(&mut heir).await);
    bob.drain().await;
    let list = json!([scene.object, subscription(&scene.object), stream(&scene.object)[1]]);
    let sm = scene.owner.sm();
    let body = json!({"resources": list, "transfer": heir.runtime});
    assert_eq!(code(&scene.owner.request("subscribe", &sm, MN, body).await), 200);
    let mut former = std::mem::replace(&mut scene.owner, heir);
    assert!(scene.heard_by(&mut bob).await, "observers keep their stream");
    scene.listen(&mut former).await;
    assert!(scene.heard_by(&mut former).await, "who gave it away goes on as an observer");
    assert_eq!(code(&scene.judge("unsubscribe", "revoke", "owner").await), 200);
    assert!(!scene.heard_by(&mut former).await, "unless the new owner says otherwise");
    let body = json!({"resources": [scene.object], "source": runtime("bob"), "revoke": true});
    assert_refused(&former.request("unsubscribe", &former.sm(), MN, body).await, 403, "forbidden", MN);
}

#[tokio::test(start_paused = true)]
async fn without_enforcement_anybody_listens() {
    let node = start(NodeConfig::new(DOMAIN), Arc::new(MemoryTables::new()));
    let mut owner = Client::open(&node, "owner").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    hold(&mut owner, &object).await;
    let mut scene = Scene { node, owner, object, version: 0 };
    let mut eve = scene.listener("eve").await;
    assert!(scene.heard_by(&mut eve).await);
    assert_eq!(code(&scene.judge("unsubscribe", "revoke", "eve").await), 200);
    assert!(scene.heard_by(&mut eve).await, "there is nothing to take back");
    assert_eq!(scene.node.stats().waiting, 0);
}
