//! What the suite speaks through: the seat of a hyperty that it plays, or the session of a peer elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::protocol::{Failure, Patience, Stop, Trace, Verdict};

/// Messages that may wait to be read by a case. None has more; one that does is stopped by the loss of a message that
/// it waits for.
pub(super) const INBOX_MAX: usize = 65_536;

type Send = Box<dyn Fn(Bytes) + std::marker::Send + Sync>;

/// A line to the runtime under test, or to the node that it is attached to. What comes while something else is
/// waited for is kept until it is asked for.
pub struct Line {
    /// Its name in the trace.
    pub name: String,
    /// Who speaks: the URL of a hyperty, or of a runtime.
    pub url: String,
    send: Send,
    inbox: mpsc::Receiver<Bytes>,
    kept: VecDeque<Value>,
    trace: Trace,
    patience: Patience,
    ids: Arc<AtomicU64>,
}

impl Line {
    pub(super) fn new(
        name: &str,
        url: String,
        send: Send,
        inbox: mpsc::Receiver<Bytes>,
        (trace, patience, ids): (Trace, Patience, Arc<AtomicU64>),
    ) -> Line {
        Line { name: name.to_owned(), url, send, inbox, kept: VecDeque::new(), trace, patience, ids }
    }

    /// The Sync Manager of the runtime that it plays.
    pub fn sm(&self) -> String {
        format!("{}/sm", self.url)
    }

    /// Sends text as it is.
    pub fn send_text(&self, text: impl Into<String>) {
        let text = text.into();
        match serde_json::from_str(&text) {
            Ok(message) => self.trace.sent(&self.name, &message),
            Err(_) => self.trace.sent_text(&self.name, &text),
        }
        (self.send)(Bytes::from(text));
    }

    /// Sends a message as it is.
    pub fn send_message(&self, message: &Value) {
        self.send_text(message.to_string());
    }

    /// An id that nobody else in this case uses.
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a message with an id of its own, which it returns.
    pub fn send(&self, kind: &str, from: &str, to: &str, body: Value) -> Value {
        let id = json!(self.next_id());
        self.send_message(&json!({"id": id, "type": kind, "from": from, "to": to, "body": body}));
        id
    }

    /// Answers a message, repeating its id as it was.
    pub fn answer(&self, message: &Value, body: Value) {
        let (id, from, to) = (&message["id"], &message["to"], &message["from"]);
        self.send_message(&json!({"id": id, "type": "response", "from": from, "to": to, "body": body}));
    }

    /// Sends a request and waits for its final answer.
    ///
    /// # Errors
    /// When there is none in time (INV-MSG-1).
    pub async fn request(&mut self, kind: &str, from: &str, to: &str, body: Value) -> Verdict<Value> {
        let id = self.send(kind, from, to, body);
        self.final_answer(&id).await
    }

    /// The final answer to a request; provisional ones stay to be read.
    ///
    /// # Errors
    /// When there is none in time (INV-MSG-1).
    pub async fn final_answer(&mut self, id: &Value) -> Verdict<Value> {
        self.final_within(id, self.patience.answer).await
    }

    /// The final answer to a request that may take so long.
    ///
    /// # Errors
    /// When there is none in time (INV-MSG-1).
    pub async fn final_within(&mut self, id: &Value, time: Duration) -> Verdict<Value> {
        let found = self.find(Instant::now() + time, |message| is_final(message, id)).await;
        found.ok_or_else(|| {
            let text = format!("{}: no final answer to #{id} within {time:?}", self.name);
            Failure::new("INV-MSG-1", text).into()
        })
    }

    /// The first message that is wanted, of what is kept or comes; others stay to be read.
    ///
    /// # Errors
    /// When it does not come in time: this invariant does not hold.
    pub async fn until(
        &mut self,
        invariant: &'static str,
        what: &str,
        wanted: impl FnMut(&Value) -> bool,
    ) -> Verdict<Value> {
        self.until_within(invariant, what, self.patience.answer, wanted).await
    }

    /// The same for what may take so long.
    ///
    /// # Errors
    /// When it does not come in time: this invariant does not hold.
    pub async fn until_within(
        &mut self,
        invariant: &'static str,
        what: &str,
        time: Duration,
        wanted: impl FnMut(&Value) -> bool,
    ) -> Verdict<Value> {
        let found = self.find(Instant::now() + time, wanted).await;
        found.ok_or_else(|| {
            let text = format!("{} waited {time:?} in vain for {what}", self.name);
            Failure::new(invariant, text).into()
        })
    }

    /// The first message that is wanted, if it comes before the time of quiet is over.
    pub async fn maybe(&mut self, wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        self.find(Instant::now() + self.patience.quiet, wanted).await
    }

    /// Everything that is there once nothing comes for the time of quiet.
    pub async fn rest(&mut self) -> Vec<Value> {
        while let Ok(Some(frame)) = timeout_at(Instant::now() + self.patience.quiet, self.inbox.recv()).await
        {
            self.keep(&frame);
        }
        self.kept.drain(..).collect()
    }

    /// Fails if something comes that must not, once nothing comes for the time of quiet. Everything else stays to be
    /// read.
    ///
    /// # Errors
    /// When it is there: this invariant does not hold.
    pub async fn never(
        &mut self,
        invariant: &'static str,
        what: &str,
        unwanted: impl FnMut(&Value) -> bool,
    ) -> Verdict {
        let mut unwanted = unwanted;
        let all = self.rest().await;
        let found = all.iter().find(|message| unwanted(message)).cloned();
        self.kept.extend(all);
        match found {
            Some(message) => {
                Err(Failure::new(invariant, format!("{} got {what}: {message}", self.name)).into())
            }
            None => Ok(()),
        }
    }

    /// Whether the other side has given up this line.
    pub fn is_gone(&self) -> bool {
        self.inbox.is_closed() && self.inbox.is_empty()
    }

    async fn find(&mut self, deadline: Instant, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        if let Some(at) = self.kept.iter().position(&mut wanted) {
            return self.kept.remove(at);
        }
        loop {
            let frame = timeout_at(deadline, self.inbox.recv()).await.ok()??;
            self.keep(&frame);
            if self.kept.back().is_some_and(&mut wanted) {
                return self.kept.pop_back();
            }
        }
    }

    fn keep(&mut self, frame: &[u8]) {
        match serde_json::from_slice(frame) {
            Ok(message) => {
                self.trace.received(&self.name, &message);
                self.kept.push_back(message);
            }
            Err(error) => {
                let text = format!("{} got what is no message: {error}", self.name);
                self.trace.violated(Failure::new("INV-MSG-1", text));
            }
        }
    }
}

/// The code of an answer, also where it is sent as text; 0 if it has none.
pub fn code(answer: &Value) -> u64 {
    let code = &answer["body"]["code"];
    code.as_u64().or_else(|| code.as_str()?.parse().ok()).unwrap_or_default()
}

/// Whether a message is a final answer to the request of this id, compared as decimals (INV-MSG-2).
pub fn is_final(message: &Value, id: &Value) -> bool {
    is_kind(message, "response") && same_id(&message["id"], id) && code(message) >= 200
}

/// Whether two ids are the same, as number or as text.
pub fn same_id(one: &Value, other: &Value) -> bool {
    let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    text(one) == text(other)
}

/// Whether a message is of this type.
pub fn is_kind(message: &Value, kind: &str) -> bool {
    message["type"].as_str().is_some_and(|given| given.eq_ignore_ascii_case(kind))
}

/// Whether a message is of this type and goes to this address.
pub fn is(message: &Value, kind: &str, to: &str) -> bool {
    is_kind(message, kind) && message["to"] == to
}

/// Whether a message is an update of an object, and no position beat.
pub fn is_change(message: &Value, object: &str) -> bool {
    is(message, "update", &format!("{object}/changes")) && message["body"]["attributeType"] != "position"
}

/// That something is so, or the failure of this invariant.
///
/// # Errors
/// When the code is another.
pub fn expect_code(invariant: &'static str, answer: &Value, wanted: &[u64], what: &str) -> Verdict {
    if wanted.contains(&code(answer)) {
        return Ok(());
    }
    let text = format!("{what} was answered {}, not {wanted:?}: {}", code(answer), answer["body"]);
    Err(Stop::from(Failure::new(invariant, text)))
}
