//! The Syncher of an observer, at a seat of the runtime under test.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Author, merge};
use crate::protocol::Verdict;
use crate::protocol::runtime::line::{Line, code, expect_code, is, is_change};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene};

/// The Syncher of an observer, at a seat of the runtime under test.
pub struct Following {
    /// Its seat.
    pub line: Line,
    /// What it observes.
    pub object: String,
    /// The copy that it was given, as the last snapshot and the updates since make it.
    pub data: Value,
    /// Where the copy stands.
    pub version: u64,
    identity: Value,
    schema: String,
}

impl Following {
    /// Takes a seat; nothing is subscribed yet.
    ///
    /// # Errors
    /// When there is no seat.
    pub fn sit(scene: &Scene, name: &str, object: &str) -> Verdict<Following> {
        Ok(Following::sit_on(scene, scene.seat(name)?, name, object))
    }

    /// The same at a seat that is taken already.
    pub fn sit_on(scene: &Scene, line: Line, name: &str, object: &str) -> Following {
        let (identity, schema) = (scene.identity(name), scene.schema.clone());
        Following { line, object: object.to_owned(), data: Value::Null, version: 0, identity, schema }
    }

    /// Takes a seat and subscribes to the object of an author elsewhere, who accepts.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn join(scene: &Scene, name: &str, author: &mut Author, store: bool) -> Verdict<Following> {
        let mut following = Following::sit(scene, name, &author.object)?;
        let id = following.ask(scene, json!({"store": store}));
        let request = author.asked().await?;
        author.accept(&request);
        following.accepted(&id).await?;
        Ok(following)
    }

    /// Sends the subscription; `more` is added to its body.
    pub fn ask(&self, scene: &Scene, more: Value) -> Value {
        let mut body = json!({"resource": self.object, "schema": self.schema, "identity": self.identity});
        merge(&mut body, &more);
        self.line.send("subscribe", &self.line.url, &scene.sm(), body)
    }

    /// Waits for the acceptance and begins with what it brings.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn accepted(&mut self, id: &Value) -> Verdict<Value> {
        let answer = self.line.final_answer(id).await?;
        expect_code("INV-SUB-2", &answer, &[200], "a subscription")?;
        self.take_state(&answer["body"]["value"]);
        Ok(answer)
    }

    /// Begins anew with a state.
    pub fn take_state(&mut self, value: &Value) {
        self.data = value["data"].clone();
        self.version = value["version"].as_u64().unwrap_or_default();
    }

    /// The next change that is released, applied to the copy.
    ///
    /// # Errors
    /// When none comes.
    pub async fn update(&mut self) -> Verdict<Value> {
        let object = self.object.clone();
        let update = self.line.until("INV-SUB-1", "a change", |message| is_change(message, &object)).await?;
        let body = &update["body"];
        if let Some(attribute) = body["attribute"].as_str() {
            self.data[attribute] = body["value"].clone();
        }
        self.version = body["version"].as_u64().unwrap_or(self.version + 1);
        Ok(update["body"].clone())
    }

    /// Follows, as a Syncher does, until the copy stands at a version: it applies changes, and where the Sync Manager
    /// says that it is ahead, reads its copy.
    ///
    /// # Errors
    /// When that version does not come in time.
    pub async fn reach(&mut self, scene: &Scene, invariant: &'static str, version: u64) -> Verdict {
        let channel = format!("{}/changes", self.object);
        let patience = Duration::from_secs(90).min(scene.stage.patience.case);
        while self.version < version {
            let what = format!("version {version}, at {}", self.version);
            let wanted = |message: &Value| is(message, "update", &channel);
            let update = self.line.until_within(invariant, &what, patience, wanted).await?;
            let body = &update["body"];
            let told = body["version"].as_u64().unwrap_or_default();
            if body["attributeType"] == "position" {
                if told > self.version {
                    self.read(scene).await?;
                }
            } else if told == self.version + 1 {
                if let Some(attribute) = body["attribute"].as_str() {
                    self.data[attribute] = body["value"].clone();
                }
                self.version = told;
            }
        }
        Ok(())
    }

    /// The copy of the Sync Manager here, as soon as it is as wanted; else as it is when an answer would have come.
    ///
    /// # Errors
    /// When a read is not answered.
    pub async fn copy_when(&mut self, scene: &Scene, wanted: impl Fn(&Value) -> bool) -> Verdict<Value> {
        let waits = scene.stage.waits();
        let deadline = Instant::now() + waits.answer;
        loop {
            let copy = self.read(scene).await?["body"]["value"].take();
            if wanted(&copy) || Instant::now() >= deadline {
                return Ok(copy);
            }
            tokio::time::sleep(waits.quiet).await;
        }
    }

    /// The same, while the author answers whatever a repair asks for.
    ///
    /// # Errors
    /// When that version does not come in time.
    pub async fn reach_served(
        &mut self,
        scene: &Scene,
        author: &mut Author,
        (invariant, version): (&'static str, u64),
    ) -> Verdict {
        let serve = async {
            loop {
                // Nothing to repair is fine: who waits for the version has the last word.
                let _ = author.serve_read().await;
            }
        };
        tokio::select! {
            biased;
            reached = self.reach(scene, invariant, version) => reached,
            () = serve => Ok(()),
        }
    }

    /// Reads the copy of its Sync Manager and takes it: a repair since a position that nobody has, which is answered
    /// with a whole state (M7, 10.1).
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn read(&mut self, scene: &Scene) -> Verdict<Value> {
        let nowhere = json!({"epoch": 1_000_000, "version": 0});
        let body = json!({"resource": self.object, "criteria": {"since": nowhere}});
        let (from, sm) = (self.line.url.clone(), scene.sm());
        let answer = self.line.request("read", &from, &sm, body).await?;
        if code(&answer) == 200 {
            self.take_state(&answer["body"]["value"]);
        }
        Ok(answer)
    }

    /// Leaves, and gives the final answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn leave(&mut self, scene: &Scene) -> Verdict<Value> {
        let (from, sm, body) = (self.line.url.clone(), scene.sm(), json!({"resource": self.object}));
        let id = self.line.send("unsubscribe", &from, &sm, body);
        self.line.final_within(&id, RESPONSE_TIME).await
    }
}
