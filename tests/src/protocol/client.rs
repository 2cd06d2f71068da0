//! One connection to a message node, played by the suite: it sends and receives messages, writes them into the trace,
//! and notices by itself what must never happen to anybody (a second final answer, an id that changed its form).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyperty_protostub::{Connection, Incoming, Outgoing};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Failure, Patience, Stop, Trace, Verdict};

/// Where sessions are opened.
pub const SESSION: &str = "mn:/session";

/// One connection, with a session once it is opened.
pub struct Client {
    /// Its name in the trace.
    pub name: String,
    /// The URL of the runtime that it plays.
    pub runtime: String,
    /// The token of its session; empty before `open`.
    pub token: String,
    /// What it brings to open a session; null where nothing is asked for.
    pub admission: Value,
    connection: Connection,
    /// What came while something else was waited for.
    kept: VecDeque<Value>,
    trace: Trace,
    patience: Patience,
    next_id: u64,
    /// By sender and id: how many requests were sent, how many final answers came, and the id as it was sent.
    asked: HashMap<(String, String), Asked>,
}

#[derive(Default)]
struct Asked {
    requests: usize,
    finals: usize,
    ids: Vec<Value>,
}

impl Client {
    /// Plays `runtime` over a connection; no session is opened.
    pub fn new(
        name: &str,
        runtime: String,
        connection: Connection,
        trace: Trace,
        patience: Patience,
    ) -> Client {
        Client {
            name: name.to_owned(),
            runtime,
            token: String::new(),
            admission: Value::Null,
            connection,
            kept: VecDeque::new(),
            trace,
            patience,
            next_id: 100,
            asked: HashMap::new(),
        }
    }

    /// The Sync Manager that it plays.
    pub fn sm(&self) -> String {
        format!("{}/sm", self.runtime)
    }

    /// `<RuntimeURL>/<token>`
    pub fn proof(&self) -> String {
        format!("{}/{}", self.runtime, self.token)
    }

    /// Sends text as one frame, message or not.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Verdict {
        let text = text.into();
        self.trace.sent_text(&self.name, &text);
        self.send_bytes(Bytes::from(text)).await
    }

    /// Sends a message as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_message(&mut self, message: Value) -> Verdict {
        self.trace.sent(&self.name, &message);
        self.note_request(&message);
        self.send_bytes(Bytes::from(message.to_string())).await
    }

    /// Sends a message that must not have a body, or has one that is not null, under an id of its own.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, kind: &str, from: &str, to: &str, body: Value) -> Verdict<u64> {
        self.next_id += 1;
        let mut message = json!({"id": self.next_id, "type": kind, "from": from, "to": to});
        if !body.is_null() {
            message["body"] = body;
        }
        self.send_message(message).await?;
        Ok(self.next_id)
    }

    /// Answers a message, repeating its id as it was.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn answer(&mut self, message: &Value, body: Value) -> Verdict {
        let (id, from, to) = (&message["id"], &message["to"], &message["from"]);
        self.send_message(json!({"id": id, "type": "response", "from": from, "to": to, "body": body})).await
    }

    /// Sends a request and waits for its final answer; what comes before stays to be read.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn request(&mut self, kind: &str, from: &str, to: &str, body: Value) -> Verdict<Value> {
        let id = self.send(kind, from, to, body).await?;
        self.answer_to(&json!(id)).await
    }

    /// The final answer to the request of this id; what comes before stays to be read.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn answer_to(&mut self, id: &Value) -> Verdict<Value> {
        let wanted = |message: &Value| is_final(message) && same_id(&message["id"], id);
        if let Some(at) = self.kept.iter().position(wanted) {
            return Ok(self.kept.remove(at).unwrap_or_default());
        }
        let deadline = Instant::now() + self.patience.answer;
        loop {
            let Some(message) = self.take_until(deadline).await? else {
                return Err(Stop::Broken(format!("{}: no final answer to #{id}", self.name)));
            };
            if wanted(&message) {
                return Ok(message);
            }
            self.kept.push_back(message);
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes in time; the text says that `what` did not.
    pub async fn next(&mut self, what: &str) -> Verdict<Value> {
        if let Some(message) = self.kept.pop_front() {
            return Ok(message);
        }
        let found = self.take_until(Instant::now() + self.patience.answer).await?;
        found.ok_or_else(|| Stop::Broken(format!("{} waited in vain for {what}", self.name)))
    }

    /// The next message within a time.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn within(&mut self, time: Duration) -> Verdict<Option<Value>> {
        match self.kept.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.take_until(Instant::now() + time).await,
        }
    }

    /// What came while something else was waited for, and was not read yet.
    pub fn kept(&mut self) -> Vec<Value> {
        self.kept.drain(..).collect()
    }

    /// Everything that came before `marker`, a message that is known to be under way.
    ///
    /// # Errors
    /// When the marker does not come in time.
    pub async fn before(&mut self, marker: impl Fn(&Value) -> bool, what: &str) -> Verdict<Vec<Value>> {
        let mut found = Vec::new();
        loop {
            let message = self.next(what).await?;
            if marker(&message) {
                return Ok(found);
            }
            found.push(message);
        }
    }

    /// Everything that came, after which nothing comes for the time of quiet.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn rest(&mut self) -> Verdict<Vec<Value>> {
        let mut found: Vec<Value> = self.kept.drain(..).collect();
        while let Some(message) = self.take_until(Instant::now() + self.patience.quiet).await? {
            found.push(message);
        }
        Ok(found)
    }

    /// What is still to be read before the other side closes the connection.
    ///
    /// # Errors
    /// When it is not closed in time.
    pub async fn closed(&mut self) -> Verdict<Vec<Value>> {
        let mut found: Vec<Value> = self.kept.drain(..).collect();
        let deadline = Instant::now() + self.patience.answer;
        loop {
            match self.take_frame(deadline).await {
                Ok(Some(frame)) => found.extend(self.read(&frame)),
                Ok(None) => return Err(Stop::Broken(format!("{}: the connection stays open", self.name))),
                Err(()) => {
                    self.trace.note(format_args!("{}: the connection is closed", self.name));
                    return Ok(found);
                }
            }
        }
    }

    /// Loses the connection without a word. What was sent is known to have arrived if it was answered.
    pub fn lose(self) {
        self.trace.note(format_args!("{}: loses its connection", self.name));
    }

    /// A number that this client has not used yet.
    pub(super) fn next_mark(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Notes that from now on final answers to this message are expected.
    fn note_request(&mut self, message: &Value) {
        if message["type"] == "response" {
            return;
        }
        let count = message["to"].as_array().map_or(1, Vec::len);
        let asked = self.asked.entry(key(&message["from"], &message["id"])).or_default();
        asked.requests += count;
        asked.ids.push(message["id"].clone());
    }

    async fn send_bytes(&mut self, bytes: Bytes) -> Verdict {
        let sent = self.connection.outgoing.send(Outgoing::Frame(bytes)).await;
        sent.map_err(|error| Stop::Broken(format!("{} cannot send: {error}", self.name)))
    }

    async fn take_until(&mut self, deadline: Instant) -> Verdict<Option<Value>> {
        loop {
            match self.take_frame(deadline).await {
                Ok(Some(frame)) => {
                    if let Some(message) = self.read(&frame) {
                        return Ok(Some(message));
                    }
                }
                Ok(None) => return Ok(None),
                Err(()) => return Err(Stop::Broken(format!("{}: the connection was closed", self.name))),
            }
        }
    }

    /// `None` when the deadline passes, an error when the connection ends.
    async fn take_frame(&mut self, deadline: Instant) -> Result<Option<Bytes>, ()> {
        loop {
            match timeout_at(deadline, self.connection.incoming.next()).await {
                Err(_) => return Ok(None),
                Ok(Some(Ok(Incoming::Frame(frame)))) => return Ok(Some(frame)),
                Ok(Some(Ok(Incoming::Alive))) => {}
                Ok(Some(Err(_)) | None) => return Err(()),
            }
        }
    }

    fn read(&mut self, frame: &[u8]) -> Option<Value> {
        match serde_json::from_slice::<Value>(frame) {
            Ok(message) if message.is_object() => {
                self.trace.received(&self.name, &message);
                self.check_answer(&message);
                Some(message)
            }
            _ => {
                let text = format!("{} received no message: {}", self.name, String::from_utf8_lossy(frame));
                self.trace.violated(Failure::new("5.15", text));
                None
            }
        }
    }

    /// What holds for every answer to every request (INV-MSG-1, INV-MN-6).
    fn check_answer(&mut self, message: &Value) {
        if message["type"] != "response" {
            return;
        }
        let Some(asked) = self.asked.get_mut(&key(&message["to"], &message["id"])) else { return };
        asked.finals += usize::from(is_final(message));
        let id = &message["id"];
        if asked.finals > asked.requests {
            let text = format!("{}: a second final answer to #{id}", self.name);
            self.trace.violated(Failure::new("INV-MSG-1", text));
        }
        if !asked.ids.contains(id) {
            let text = format!("{}: the id {} came back as {id}", self.name, asked.ids[0]);
            self.trace.violated(Failure::new("INV-MN-6", text));
        }
    }
}

/// The code of an answer, in either form; 0 if it has none.
pub fn code(answer: &Value) -> u64 {
    let code = &answer["body"]["code"];
    code.as_u64().or_else(|| code.as_str()?.parse().ok()).unwrap_or_default()
}

/// Whether it is an answer after which no other comes.
pub fn is_final(message: &Value) -> bool {
    message["type"] == "response" && !(100..200).contains(&code(message))
}

fn key(from: &Value, id: &Value) -> (String, String) {
    (from.as_str().unwrap_or_default().to_lowercase(), canonical(id))
}

fn same_id(one: &Value, other: &Value) -> bool {
    canonical(one) == canonical(other)
}

/// `6` and `"6"` are the same id (INV-MSG-2).
fn canonical(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
