//! Who may listen to an object (protocol 10.4): only for nodes that declare that they enforce it. And how many routes a
//! session may have.

use serde_json::{Value, json};

use super::stage::{NodeStage, granted, node_cases, versions};
use super::{NodeCase, refused_by_node};
use crate::protocol::client::{Client, code};
use crate::protocol::{Stop, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-LSN-1/nobody-before-the-owner" checks ["INV-LSN-1"] needs [EnforceSubscriber] => nobody_before_the_owner;
        "INV-LSN-1/the-owners-yes" checks ["INV-LSN-1", "INV-SUB-1"] needs [EnforceSubscriber] => the_owners_yes;
        "INV-LSN-1/no-other-answer" checks ["INV-LSN-1"] needs [EnforceSubscriber] => no_other_answer;
        "INV-LSN-1/nobody-lets-himself-in" checks ["INV-LSN-1"] needs [EnforceSubscriber] => nobody_lets_himself_in;
        "INV-LSN-1/children" checks ["INV-LSN-1", "INV-CHD-2"] needs [EnforceSubscriber] => children;
        "INV-LSN-1/public" checks ["INV-LSN-1"] needs [EnforceSubscriber] => public;
        "INV-LSN-1/a-new-session" checks ["INV-LSN-1"] needs [EnforceSubscriber] => a_new_session;
        "INV-LSN-2/revoked" checks ["INV-LSN-2"] needs [EnforceSubscriber] => revoked;
        "5.14/routes-of-a-session" checks ["5.14"] needs [Limits] => routes_of_a_session;
    }
}

/// An owner that holds an object, and somebody who subscribed its stream.
struct Scene {
    object: String,
    owner: Client,
    bob: Client,
    version: u64,
}

impl Scene {
    async fn new(stage: &NodeStage) -> Verdict<Scene> {
        let object = stage.object("o");
        let (mut owner, mut bob) = (stage.open("owner").await?, stage.open("bob").await?);
        owner
            .subscribe(stage, &[&object, &format!("{object}/subscription"), &format!("{object}/children/n")])
            .await?;
        bob.subscribe(stage, &[&format!("{object}/changes"), &format!("{object}/children/n")]).await?;
        Ok(Scene { object, owner, bob, version: 0 })
    }

    /// Whether `bob` gets one more version.
    async fn heard(&mut self) -> Verdict<bool> {
        self.version += 1;
        self.owner.publish(&self.object, self.version).await?;
        let got = self.owner.fence(&mut self.bob).await?;
        Ok(versions(&got).contains(&self.version))
    }

    async fn ask(&mut self) -> Verdict<Value> {
        let (sm, to) = (self.bob.sm(), format!("{}/subscription", self.object));
        self.bob.send("subscribe", &sm, &to, json!({})).await?;
        self.owner.next("a subscription").await
    }

    /// The owner answers, and the answer has arrived.
    async fn answer(&mut self, question: &Value, code: u64) -> Verdict {
        self.owner.answer(question, json!({"code": code})).await?;
        self.bob.next("the owner's answer").await.map(|_| ())
    }

    /// What the owner, or somebody else, tells the node about bob.
    async fn judge(&mut self, stage: &NodeStage, kind: &str, member: &str) -> Verdict<Value> {
        let (sm, changes) = (self.owner.sm(), format!("{}/changes", self.object));
        let body = json!({"resources": [changes], "source": self.bob.runtime, member: true});
        self.owner.request(kind, &sm, &stage.mn(), body).await
    }
}

async fn nobody_before_the_owner(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    ensure!("INV-LSN-1", !scene.heard().await?, "a session that nobody accepted hears an update");
    for tail in ["children/n", "status", "observers"] {
        let url = format!("{}/{tail}", scene.object);
        scene.bob.subscribe(&stage, &[&url]).await?;
        let from = scene.object.clone();
        scene.owner.send("update", &from, &url, json!({"value": 1})).await?;
        let got = scene.owner.fence(&mut scene.bob).await?;
        ensure!("INV-LSN-1", got.is_empty(), "a session that nobody accepted hears {tail}: {got:?}");
    }
    Ok(())
}

async fn the_owners_yes(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    let question = scene.ask().await?;
    scene.answer(&question, 100).await?;
    ensure!("INV-LSN-1", !scene.heard().await?, "a provisional answer lets in");
    scene.owner.answer(&question, json!({"code": 200})).await?;
    scene.version += 1;
    scene.owner.publish(&scene.object, scene.version).await?;
    let got = scene.owner.fence(&mut scene.bob).await?;
    let kinds: Vec<_> = got.iter().map(|message| message["type"].as_str().unwrap_or_default()).collect();
    ensure_eq!("INV-SUB-1", kinds, ["response", "update"], "what follows the owner's yes");
    // It lasts, for all of the object.
    let late = format!("{}/children/late", scene.object);
    scene.bob.subscribe(&stage, &[&late]).await?;
    let from = scene.object.clone();
    scene.owner.send("create", &from, &late, json!({"value": {}})).await?;
    ensure_eq!("INV-LSN-1", scene.owner.fence(&mut scene.bob).await?.len(), 1, "messages of a later address");
    ensure!("INV-LSN-1", scene.heard().await?, "who was accepted does not hear");
    Ok(())
}

async fn no_other_answer(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    for refusal in [403, 404, 500] {
        let question = scene.ask().await?;
        scene.answer(&question, refusal).await?;
        ensure!("INV-LSN-1", !scene.heard().await?, "a {refusal} lets in");
    }
    let (sm, to) = (scene.bob.sm(), format!("{}/subscription", scene.object));
    scene.bob.send("unsubscribe", &sm, &to, json!({})).await?;
    let question = scene.owner.next("an unsubscription").await?;
    scene.answer(&question, 200).await?;
    ensure!("INV-LSN-1", !scene.heard().await?, "the answer to an unsubscription lets in");
    Ok(())
}

async fn nobody_lets_himself_in(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    let (sm, changes) = (scene.bob.sm(), format!("{}/changes", scene.object));
    let own = json!({"resources": [changes], "source": scene.bob.runtime, "grant": true});
    let answer = scene.bob.request("subscribe", &sm, &stage.mn(), own).await?;
    refused_by_node(&stage, &answer, 403, "INV-LSN-1", "a grant by a stranger")?;
    let open = json!({"resources": [scene.object], "source": scene.bob.runtime, "public": true});
    let answer = scene.bob.request("subscribe", &sm, &stage.mn(), open).await?;
    ensure!("INV-LSN-1", code(&answer) >= 400, "a stranger opens an object to all");
    ensure!("INV-LSN-1", !scene.heard().await?, "a stranger lets itself in");
    // Nor does it shut out others.
    granted(&scene.judge(&stage, "subscribe", "grant").await?, "INV-LSN-1", "a grant by the owner")?;
    let mut mallory = stage.open("mallory").await?;
    let (sm, changes) = (mallory.sm(), format!("{}/changes", scene.object));
    let body = json!({"resources": [changes], "source": scene.bob.runtime, "revoke": true});
    let answer = mallory.request("unsubscribe", &sm, &stage.mn(), body).await?;
    refused_by_node(&stage, &answer, 403, "INV-LSN-1", "a stranger's revocation")?;
    ensure!("INV-LSN-1", scene.heard().await?, "who was accepted does not hear");
    Ok(())
}

async fn children(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    let (hyperty, channel) = (stage.hyperty("bob"), format!("{}/children/n", scene.object));
    let body = json!({"resource": format!("{hyperty}#1"), "value": {}});
    scene.bob.send("create", &hyperty, &channel, body.clone()).await?;
    let got = scene.bob.fence(&mut scene.owner).await?;
    ensure!("INV-CHD-2", got.is_empty(), "a session that nobody accepted writes children: {got:?}");
    scene.bob.kept();
    scene.judge(&stage, "subscribe", "grant").await?;
    scene.bob.send("create", &hyperty, &channel, body).await?;
    let got = scene.bob.fence(&mut scene.owner).await?;
    ensure_eq!("INV-CHD-2", got.len(), 1, "operations on children of who was accepted");
    Ok(())
}

async fn public(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    let (sm, source) = (scene.owner.sm(), scene.owner.runtime.clone());
    for (public, heard) in [(true, true), (false, false)] {
        let body = json!({"resources": [scene.object], "source": source, "public": public});
        granted(&scene.owner.request("subscribe", &sm, &stage.mn(), body).await?, "INV-LSN-1", "public")?;
        ensure_eq!(
            "INV-LSN-1",
            scene.heard().await?,
            heard,
            "whether anybody hears what is public: {public}"
        );
    }
    Ok(())
}

async fn a_new_session(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    scene.judge(&stage, "subscribe", "grant").await?;
    ensure!("INV-LSN-1", scene.heard().await?, "who was accepted does not hear");
    let next = stage.connect("bob").await?;
    std::mem::replace(&mut scene.bob, next).close().await?;
    granted(&scene.bob.open().await?, "5.15", "open")?;
    scene.bob.subscribe(&stage, &[&format!("{}/changes", scene.object)]).await?;
    ensure!("INV-LSN-1", !scene.heard().await?, "an acceptance outlives its session");
    Ok(())
}

async fn revoked(stage: NodeStage) -> Verdict {
    let mut scene = Scene::new(&stage).await?;
    for _ in 0..2 {
        let question = scene.ask().await?;
        scene.answer(&question, 200).await?;
        ensure!("INV-LSN-2", scene.heard().await?, "who was accepted does not hear");
        granted(&scene.judge(&stage, "unsubscribe", "revoke").await?, "INV-LSN-2", "a revocation")?;
        ensure!("INV-LSN-2", !scene.heard().await?, "who was shut out hears");
        scene.bob.subscribe(&stage, &[&format!("{}/changes", scene.object)]).await?;
        ensure!("INV-LSN-2", !scene.heard().await?, "who was shut out hears when it subscribes again");
    }
    Ok(())
}

async fn routes_of_a_session(stage: NodeStage) -> Verdict {
    let Some(max) = stage.subject.routes_max() else {
        return Err(Stop::Skip("how many routes a session may have is not known".to_owned()));
    };
    let mut client = stage.open("client").await?;
    let urls: Vec<String> = (0..=max).map(|n| format!("{}/changes", stage.object(&n.to_string()))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    for part in urls[..max].chunks(100) {
        let answer = client.try_subscribe(&stage, part).await?;
        granted(&answer, "5.14", "as many routes as a session may have")?;
    }
    let answer = client.try_subscribe(&stage, &urls[max..]).await?;
    refused_by_node(&stage, &answer, 500, "5.14", "one route more")?;
    client.unsubscribe(&stage, &urls[..1]).await?;
    let answer = client.try_subscribe(&stage, &urls[max..]).await?;
    granted(&answer, "5.14", "a route in the place of another")
}
