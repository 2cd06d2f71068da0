//! What reports an object in a runtime elsewhere.

use std::time::Duration;

use serde_json::{Value, json};

use super::actors::{NAMES, stream};
use super::line::{Line, expect_code, is};
use super::scene::Scene;
use crate::protocol::{Stop, Verdict};

/// A runtime elsewhere that reports an object: a Reporter and its Sync Manager in one, and the model of what an
/// observer has to end with.
pub struct Author {
    /// Its session.
    pub line: Line,
    /// The Reporter.
    pub hyperty: String,
    /// The object.
    pub object: String,
    /// Ownership generation.
    pub epoch: u64,
    /// Version of the last change.
    pub version: u64,
    /// The data after it.
    pub data: Value,
    /// Snapshot of the children, by name and id.
    pub children: Value,
    /// The bodies of the changes since the creation, in this epoch.
    pub log: Vec<Value>,
    schema: String,
    /// Where it says who may listen, at a node that asks for it (10.4).
    grants_at: Option<String>,
}

impl Author {
    /// Allocates, routes and registers an object.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn announce(scene: &Scene, name: &str) -> Verdict<Author> {
        let mut line = scene.peer(name).await?;
        let (sm, runtime) = (line.sm(), line.url.clone());
        let to = format!("domain://msg-node.{}/address-allocation", scene.home);
        let from = format!("{runtime}/address-allocation");
        let answer =
            line.request("create", &from, &to, json!({"scheme": "comm", "value": {"number": 1}})).await?;
        let object = answer["body"]["value"]["allocated"][0].as_str().map(str::to_owned);
        let object = object.ok_or_else(|| Stop::Broken(format!("no address: {answer}")))?;
        let hyperty = scene.hyperty(name);
        let author = Author {
            line,
            hyperty,
            object,
            epoch: 0,
            version: 0,
            data: json!({"topic": "a"}),
            children: json!({"notes": {}, "news": {}}),
            log: Vec::new(),
            schema: scene.schema.clone(),
            grants_at: None,
        };
        author.route(scene, &sm).await
    }

    async fn route(mut self, scene: &Scene, sm: &str) -> Verdict<Author> {
        let object = self.object.clone();
        let mut routes = vec![object.clone(), format!("{object}/subscription")];
        routes.extend(NAMES.map(|name| format!("{object}/children/{name}")));
        let body = json!({"resources": routes, "source": self.line.url});
        let answer = self.line.request("subscribe", sm, &scene.mn(), body).await?;
        expect_code("INV-MN-1", &answer, &[200], "the routes of an object")?;
        self.grants_at = (answer["body"]["enforceSubscriber"] == true).then(|| scene.mn());
        self.register(scene).await?;
        Ok(self)
    }

    /// Tells the registry of the object.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn register(&mut self, scene: &Scene) -> Verdict {
        let record = json!({
            "url": self.object, "runtime": self.line.url, "schema": self.schema, "name": "board",
            "reporter": self.hyperty, "dataSchemes": ["comm"], "resources": [], "childrenResources": NAMES,
            "status": "live", "expires": 3600,
        });
        let from = format!("{}/registry", self.line.url);
        let answer = self.line.request("create", &from, &scene.reg(), json!({"value": record})).await?;
        expect_code("INV-REG-1", &answer, &[200], "a registration")
    }

    /// The object as a whole.
    pub fn snapshot(&self) -> Value {
        json!({
            "url": self.object, "reporter": self.hyperty, "runtime": self.line.url, "name": "board",
            "schema": self.schema, "version": self.version, "epoch": self.epoch, "data": self.data,
            "created": "2023-11-14T22:13:20.000Z", "lastModified": "2023-11-14T22:13:20.000Z",
            "childrenObjects": self.children,
        })
    }

    /// Waits for the subscription of a hyperty.
    ///
    /// # Errors
    /// When none comes.
    pub async fn asked(&mut self) -> Verdict<Value> {
        let to = format!("{}/subscription", self.object);
        self.line.until("INV-SUB-2", "a subscription", |message| is(message, "subscribe", &to)).await
    }

    /// Accepts a subscription.
    pub fn accept(&self, request: &Value) {
        let body = json!({
            "code": 200, "value": self.snapshot(), "schema": self.schema, "owner": self.hyperty,
            "childrenResources": NAMES,
        });
        self.line.answer(request, body);
    }

    /// Waits for a read and answers it, by changes where they are asked for.
    ///
    /// # Errors
    /// When none comes.
    pub async fn serve_read(&mut self) -> Verdict<Value> {
        let read = self.read_request("INV-EXT-2").await?;
        self.answer_read(&read);
        Ok(read)
    }

    /// Waits for a read of the object.
    ///
    /// # Errors
    /// When none comes: this invariant does not hold.
    pub async fn read_request(&mut self, invariant: &'static str) -> Verdict<Value> {
        let object = self.object.clone();
        let patience = Duration::from_secs(60);
        let wanted = |message: &Value| is(message, "read", &object);
        self.line.until_within(invariant, "a read of the object", patience, wanted).await
    }

    /// Lets a runtime listen again that comes back: a read is no acceptance at the node.
    fn grant(&self, read: &Value) {
        let Some(to) = &self.grants_at else { return };
        let runtime = read["from"].as_str().and_then(|from| from.strip_suffix("/sm")).unwrap_or_default();
        let body = json!({"resources": stream(&self.object), "source": runtime, "grant": true});
        self.line.send("subscribe", &self.line.sm(), to, body);
    }

    /// Answers a read from the model.
    pub fn answer_read(&self, read: &Value) {
        self.grant(read);
        let since = &read["body"]["criteria"]["since"];
        let from = since["version"].as_u64().filter(|from| *from <= self.version);
        let same_epoch = since["epoch"].as_u64().unwrap_or(0) == self.epoch;
        let known = self.version - self.log.len() as u64;
        let body = match from.filter(|from| same_epoch && *from >= known) {
            Some(from) => json!({
                "code": 200, "recovered": true, "epoch": self.epoch, "version": self.version,
                "changes": self.log[(from - known) as usize..], "childrenObjects": self.children,
            }),
            None => json!({"code": 200, "recovered": false, "value": self.snapshot()}),
        };
        self.line.answer(read, body);
    }

    /// Makes a change, and gives the message that tells of it; it is not sent.
    pub fn commit(&mut self, attribute: &str, value: Value) -> Value {
        self.version += 1;
        self.data[attribute] = value.clone();
        let mut body = json!({
            "version": self.version, "source": self.hyperty, "attribute": attribute, "value": value,
            "lastModified": "2023-11-14T22:13:21.000Z",
        });
        if self.epoch > 0 {
            body["epoch"] = json!(self.epoch);
        }
        self.log.push(body.clone());
        self.message("update", body)
    }

    /// A message to the stream of the object.
    pub fn message(&self, kind: &str, body: Value) -> Value {
        let (from, to) = (&self.object, format!("{}/changes", self.object));
        json!({"id": self.line.next_id(), "type": kind, "from": from, "to": to, "body": body})
    }

    /// Makes a change and tells of it.
    pub fn publish(&mut self, attribute: &str, value: Value) {
        let message = self.commit(attribute, value);
        self.line.send_message(&message);
    }

    /// Tells where the object stands (10.2).
    pub fn beat(&self) {
        let body = json!({"version": self.version, "epoch": self.epoch, "attributeType": "position"});
        self.line.send_message(&self.message("update", body));
    }

    /// Begins a new epoch with other data, as a Reporter whose history broke (M8).
    pub fn new_epoch(&mut self, data: Value) {
        self.epoch += 1;
        self.version += 1;
        self.data = data;
        self.log.clear();
    }
}
