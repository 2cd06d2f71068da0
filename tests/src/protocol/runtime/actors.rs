//! The parts that the suite plays: a Reporter's hyperty, an observer's hyperty, and what lives in other runtimes.

mod following;

pub use self::following::Following;
pub use super::author::Author;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::line::{Line, expect_code, is, is_change};
use super::scene::Scene;
use crate::ensure;
use crate::protocol::{Failure, Stop, Verdict};

/// The names of the children of all objects in the suite.
pub const NAMES: [&str; 2] = ["notes", "news"];

/// The Syncher of a Reporter, at a seat of the runtime under test.
pub struct Reporting {
    /// Its seat.
    pub line: Line,
    /// The object that it created.
    pub object: String,
    /// The version of the last change that it posted.
    pub version: u64,
}

impl Reporting {
    /// The body of a creation; `more` replaces or adds members, and those of its `value` in the `value`.
    pub fn creation(scene: &Scene, name: &str, more: &Value) -> Value {
        let mut value = json!({
            "name": "board", "schema": scene.schema, "reporter": scene.hyperty(name), "data": {"topic": "a"},
        });
        merge(&mut value, &more["value"]);
        let mut body = json!({"resume": false, "schema": scene.schema, "identity": scene.identity(name)});
        merge(&mut body, more);
        body["value"] = value;
        body
    }

    /// Creates an object.
    ///
    /// # Errors
    /// When that is not answered 200 with an address.
    pub async fn create(scene: &Scene, name: &str, more: Value) -> Verdict<Reporting> {
        let line = scene.seat(name)?;
        Reporting::create_at(scene, line, name, more).await
    }

    /// Creates an object from a seat that is taken already.
    ///
    /// # Errors
    /// When that is not answered 200 with an address.
    pub async fn create_at(scene: &Scene, mut line: Line, name: &str, more: Value) -> Verdict<Reporting> {
        let body = Reporting::creation(scene, name, &more);
        let from = line.url.clone();
        let began = Instant::now();
        let mut answer = line.request("create", &from, &scene.sm(), body.clone()).await?;
        while scene.was_too_slow(&answer, began) {
            answer = line.request("create", &from, &scene.sm(), body.clone()).await?;
        }
        expect_code("INV-CRE-1", &answer, &[200], "a creation")?;
        let object = answer["body"]["resource"].as_str().map(str::to_owned);
        let object = object.ok_or_else(|| {
            Stop::from(Failure::new("INV-CRE-1", format!("a creation without an address: {answer}")))
        })?;
        Ok(Reporting { line, object, version: 0 })
    }

    /// Creates an object that everybody of the domain may observe.
    ///
    /// # Errors
    /// When that is not answered 200 with an address.
    pub async fn open(scene: &Scene, store: bool) -> Verdict<Reporting> {
        let everybody = format!("hyperty://{}/*", scene.home);
        let more = json!({"store": store, "value": {"authorise": [everybody]}});
        Reporting::create(scene, "reporter", more).await
    }

    /// Posts a change of one attribute as the next version, and returns its id.
    pub fn put(&mut self, attribute: &str, value: Value) -> Value {
        self.version += 1;
        self.post(json!({"version": self.version, "attribute": attribute, "value": value, "receipt": true}))
    }

    /// Posts an update of the object as it is.
    pub fn post(&self, mut body: Value) -> Value {
        body["source"] = json!(self.line.url);
        body["lastModified"] = json!("2023-11-14T22:13:21.000Z");
        self.line.send("update", &self.object, &format!("{}/changes", self.object), body)
    }

    /// Changes one attribute.
    ///
    /// # Errors
    /// When the change is not taken (M2).
    pub async fn change(&mut self, attribute: &str, value: Value) -> Verdict {
        let id = self.put(attribute, value);
        let answer = self.line.final_answer(&id).await?;
        expect_code("M2", &answer, &[200], "a change")
    }

    /// Waits for a question of this kind and decides it.
    ///
    /// # Errors
    /// When nobody asks.
    pub async fn decide(&mut self, kind: &str, verdict: Value) -> Verdict<Value> {
        let question = self.asked(kind).await?;
        self.line.answer(&question, verdict);
        Ok(question)
    }

    /// Waits for a question or notice of this kind.
    ///
    /// # Errors
    /// When nobody asks.
    pub async fn asked(&mut self, kind: &str) -> Verdict<Value> {
        let url = self.line.url.clone();
        let wanted = |message: &Value| is(message, "forward", &url) && message["body"]["type"] == kind;
        self.line.until("INV-SUB-7", &format!("the forward of a {kind}"), wanted).await
    }

    /// The address of its children of a name.
    pub fn children(&self, name: &str) -> String {
        format!("{}/children/{name}", self.object)
    }
}

/// A runtime elsewhere with one hyperty that observes an object of the runtime under test.
pub struct Watching {
    /// Its session.
    pub line: Line,
    /// The observer.
    pub hyperty: String,
    /// What it observes.
    pub object: String,
    /// Whether the node lets it wait until the owner has accepted it (10.4).
    pub waits: bool,
    identity: Value,
}

impl Watching {
    /// A runtime that listens at the node to the stream of the object, and has not subscribed.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn listen(scene: &Scene, name: &str, object: &str) -> Verdict<Watching> {
        let mut line = scene.peer(name).await?;
        let routes = stream(object);
        let sm = line.sm();
        let body = json!({"resources": routes, "source": line.url});
        let answer = line.request("subscribe", &sm, &scene.mn(), body).await?;
        expect_code("INV-MN-1", &answer, &[200], "listening at the node")?;
        let (hyperty, identity) = (scene.hyperty(name), scene.identity(name));
        let waits = answer["body"]["enforceSubscriber"] == true;
        Ok(Watching { line, hyperty, object: object.to_owned(), waits, identity })
    }

    /// The same, and it is accepted as an observer.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn join(
        scene: &Scene,
        name: &str,
        object: &str,
        resumable: bool,
    ) -> Verdict<(Watching, Value)> {
        let mut watching = Watching::listen(scene, name, object).await?;
        let answer = watching.subscribe(json!({"resumable": resumable})).await?;
        expect_code("INV-SUB-3", &answer, &[200], "a subscription that is admitted")?;
        Ok((watching, answer["body"].clone()))
    }

    /// Sends the subscription; `more` is added to its body.
    pub fn ask(&self, more: &Value) -> Value {
        let hyperty = &self.hyperty;
        let mut body = json!({"source": hyperty, "subscriber": hyperty, "identity": self.identity});
        merge(&mut body, more);
        self.line.send("subscribe", &self.line.sm(), &format!("{}/subscription", self.object), body)
    }

    /// Subscribes, and gives the final answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn subscribe(&mut self, more: Value) -> Verdict<Value> {
        let id = self.ask(&more);
        self.line.final_answer(&id).await
    }

    /// Leaves, and gives the final answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn leave(&mut self) -> Verdict<Value> {
        let body = json!({"source": self.hyperty, "resource": self.object, "identity": self.identity});
        let (sm, to) = (self.line.sm(), format!("{}/subscription", self.object));
        self.line.request("unsubscribe", &sm, &to, body).await
    }

    /// Asks for the object, or for what came since a position; gives the final answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn read(&mut self, since: Option<(u64, u64)>) -> Verdict<Value> {
        let criteria = since.map_or_else(
            || json!({}),
            |(epoch, version)| json!({"criteria": {"since": {"epoch": epoch, "version": version}}}),
        );
        let (sm, object) = (self.line.sm(), self.object.clone());
        self.line.request("read", &sm, &object, criteria).await
    }

    /// The next change that is published.
    ///
    /// # Errors
    /// When none comes.
    pub async fn update(&mut self) -> Verdict<Value> {
        self.update_by("INV-UPD-1").await
    }

    /// The next change that is published.
    ///
    /// # Errors
    /// When none comes: this invariant does not hold.
    pub async fn update_by(&mut self, invariant: &'static str) -> Verdict<Value> {
        let object = self.object.clone();
        let update = self.line.until(invariant, "a change", |message| is_change(message, &object)).await?;
        let from = &update["from"];
        ensure!("INV-UPD-2", *from == json!(object), "a change comes in the name of {from}");
        let receipt = update["body"].get("receipt");
        ensure!("M2", receipt.is_none(), "what stays in the runtime was published: {update}");
        Ok(update["body"].clone())
    }
}

/// The addresses that an observer's runtime listens to.
pub fn stream(object: &str) -> Vec<String> {
    let mut urls = vec![format!("{object}/changes")];
    urls.extend(NAMES.map(|name| format!("{object}/children/{name}")));
    urls
}

/// Adds the members of `more`, or replaces those that are there; `null` removes one.
pub fn merge(into: &mut Value, more: &Value) {
    let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) else { return };
    for (member, value) in more {
        if value.is_null() {
            into.remove(member);
        } else {
            into.insert(member.clone(), value.clone());
        }
    }
}

/// A child of an object, as its reporter creates it.
pub fn child(object: &str, writer: &str, number: u64, data: Value) -> Value {
    let id = format!("{writer}#{number}");
    let value = json!({
        "url": id, "parent": object, "reporter": writer, "version": 0, "created": "2023-11-14T22:13:20.000Z",
        "lastModified": "2023-11-14T22:13:20.000Z", "children": "notes", "data": data,
    });
    Value::Object(Map::from_iter([("resource".to_owned(), json!(id)), ("value".to_owned(), value)]))
}
