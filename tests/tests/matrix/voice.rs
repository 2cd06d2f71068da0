//! How an actor speaks: at a seat on the bus of the Reporter's runtime, or by a session at the node.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyperty_conformance::peer::{Peer, code};
use hyperty_conformance::protocol::runtime::{TakeFrame, attach};
use hyperty_message_bus::MessageBus;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::cell::{Path, Role};

/// What is not read meanwhile; far more than a cell makes.
const INBOX_MAX: usize = 4_096;

/// Somebody who sends and receives messages.
pub(crate) struct Actor {
    pub(crate) role: Role,
    pub(crate) path: Path,
    /// Its hyperty.
    pub(crate) hyperty: String,
    /// The runtime that its session is of; for a seat, that of the Reporter.
    pub(crate) runtime: String,
    voice: Voice,
    next_id: u64,
}

enum Voice {
    Seat { seat: Arc<OnceLock<TakeFrame>>, inbox: mpsc::Receiver<Value> },
    Session(Box<Peer>),
}

impl Actor {
    /// A hyperty of the runtime of this bus, which answers some messages by itself: `decide` gives the body of the answer.
    pub(crate) fn deciding(
        role: Role,
        bus: &MessageBus,
        runtime: &str,
        decide: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Actor {
        let hyperty = format!("hyperty://example.com/{}-inside", role.name());
        Actor::deciding_as(role, hyperty, bus, runtime, decide)
    }

    /// The same of this address.
    pub(crate) fn deciding_as(
        role: Role,
        hyperty: String,
        bus: &MessageBus,
        runtime: &str,
        decide: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Actor {
        let (to_inbox, inbox) = mpsc::channel(INBOX_MAX);
        let seat = Arc::new(OnceLock::<TakeFrame>::new());
        let answering = Arc::downgrade(&seat);
        let receive = move |frame: Bytes| {
            let message = serde_json::from_slice(&frame).expect("a message is JSON");
            if let Some(body) = decide(&message) {
                let answer = answer_to(&message, body);
                let seat = answering.clone();
                // Not from within the delivery of the question.
                tokio::spawn(async move {
                    if let Some(post) = seat.upgrade().as_ref().and_then(|seat| seat.get()) {
                        post(Bytes::from(answer.to_string()));
                    }
                });
            }
            // One that is full has enough to show what went wrong.
            drop(to_inbox.try_send(message));
        };
        let post = attach(bus, &hyperty, Box::new(receive)).expect("a seat");
        assert!(seat.set(post).is_ok(), "a seat is taken once");
        let voice = Voice::Seat { seat, inbox };
        Actor { role, path: Path::Inside, hyperty, runtime: runtime.to_owned(), voice, next_id: 1_000 }
    }

    /// A runtime with a session.
    pub(crate) fn at_node(role: Role, peer: Peer) -> Actor {
        let hyperty = format!("hyperty://example.com/{}-node", role.name());
        let runtime = peer.runtime.clone();
        let voice = Voice::Session(Box::new(peer));
        Actor { role, path: Path::Node, hyperty, runtime, voice, next_id: 1_000 }
    }

    /// Its Sync Manager.
    pub(crate) fn manager(&self) -> String {
        format!("{}/sm", self.runtime)
    }

    /// Its user, as it says itself.
    pub(crate) fn identity(&self) -> Value {
        let place = if self.path == Path::Inside { "inside" } else { "node" };
        json!({"userProfile": {"userURL": format!("user://example.com/{}-{place}", self.role.name())}})
    }

    /// Sends a message with the next id, which it returns.
    pub(crate) async fn send(&mut self, kind: &str, from: &str, to: &str, body: Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.post(&json!({"id": id, "type": kind, "from": from, "to": to, "body": body})).await;
        id
    }

    /// Sends a message as it is.
    pub(crate) async fn post(&self, message: &Value) {
        let frame = message.to_string();
        match &self.voice {
            Voice::Seat { seat, .. } => {
                let post = seat.get().expect("a seat that was taken");
                post(Bytes::from(frame));
            }
            Voice::Session(peer) => peer.send_text(frame).await,
        }
    }

    /// Sends a message and waits for its final answer.
    pub(crate) async fn request(&mut self, kind: &str, from: &str, to: &str, body: Value) -> Value {
        let id = self.send(kind, from, to, body.clone()).await;
        let answer = self.answer_to(id, Duration::from_secs(45)).await;
        answer.unwrap_or_else(|| panic!("no answer to the {kind} of {} to {to} with {body}", self.hyperty))
    }

    /// The final answer to a request, if it comes in time.
    pub(crate) async fn answer_to(&mut self, id: u64, patience: Duration) -> Option<Value> {
        let until = Instant::now() + patience;
        loop {
            let message = self.next_until(until).await?;
            if message["type"] == "response" && message["id"] == id && code(&message) >= 200 {
                return Some(message);
            }
        }
    }

    /// The next message that is this one; others before it are passed over.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let message = self.next_until(until).await.expect("a message in time");
            if wanted(&message) {
                return message;
            }
        }
    }

    async fn next_until(&mut self, until: Instant) -> Option<Value> {
        match &mut self.voice {
            Voice::Seat { inbox, .. } => timeout_at(until, inbox.recv()).await.ok().flatten(),
            Voice::Session(peer) => peer.next_before(until).await,
        }
    }

    /// Whatever has come.
    pub(crate) async fn drain(&mut self) -> Vec<Value> {
        match &mut self.voice {
            Voice::Seat { inbox, .. } => std::iter::from_fn(|| inbox.try_recv().ok()).collect(),
            Voice::Session(peer) => peer.drain().await,
        }
    }
}

/// The answer to a message, repeating its id as it was.
pub(crate) fn answer_to(message: &Value, body: Value) -> Value {
    let (id, from, to) = (&message["id"], &message["to"], &message["from"]);
    json!({"id": id, "type": "response", "from": from, "to": to, "body": body})
}
