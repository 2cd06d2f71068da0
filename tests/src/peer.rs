//! A peer that is played by a script: it speaks to a message node by frames only, as a runtime of anybody's make
//! would.

use std::time::Duration;

use bytes::Bytes;
use hyperty_message_node::MessageNode;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::world::DOMAIN;

/// Where sessions are opened.
pub const SESSION: &str = "mn:/session";

/// Far longer than an answer takes; time is paused, so it costs nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection, with a session once it is opened.
pub struct Peer {
    /// `hyperty-runtime://example.com/<name>`
    pub runtime: String,
    to_node: mpsc::Sender<Bytes>,
    from_node: mpsc::Receiver<Bytes>,
    next_id: u64,
}

impl Peer {
    /// Connects without opening a session.
    ///
    /// # Panics
    /// When the node has no place for it.
    pub fn connect(node: &MessageNode, name: &str) -> Peer {
        let (to_node, from_node) = node.channel().expect("a place at the node");
        Peer { runtime: format!("hyperty-runtime://{DOMAIN}/{name}"), to_node, from_node, next_id: 100 }
    }

    /// Connects and opens a session.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn open(node: &MessageNode, name: &str) -> Peer {
        Peer::open_with(node, name, json!({})).await
    }

    /// Connects and opens a session with this token.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn admitted(node: &MessageNode, name: &str, token: &str) -> Peer {
        Peer::open_with(node, name, json!({"accessToken": token})).await
    }

    async fn open_with(node: &MessageNode, name: &str, body: Value) -> Peer {
        let mut peer = Peer::connect(node, name);
        let from = peer.runtime.clone();
        let answer = peer.request("open", &from, SESSION, body).await;
        assert_eq!(code(&answer), 200, "{answer}");
        peer
    }

    /// The Sync Manager it plays.
    pub fn sm(&self) -> String {
        format!("{}/sm", self.runtime)
    }

    /// Sends a frame as it is.
    ///
    /// # Panics
    /// When the node has closed the connection.
    pub async fn send_text(&self, text: impl Into<String>) {
        self.to_node.send(Bytes::from(text.into())).await.expect("an open connection");
    }

    /// Sends a message with an id of its own, which it returns.
    pub async fn send(&mut self, kind: &str, from: &str, to: &str, body: Value) -> u64 {
        self.next_id += 1;
        let message = json!({"id": self.next_id, "type": kind, "from": from, "to": to, "body": body});
        self.send_text(message.to_string()).await;
        self.next_id
    }

    /// Sends a message without a body, with an id of its own, which it returns.
    pub async fn send_without_body(&mut self, kind: &str, from: &str, to: &str) -> u64 {
        self.next_id += 1;
        let message = json!({"id": self.next_id, "type": kind, "from": from, "to": to});
        self.send_text(message.to_string()).await;
        self.next_id
    }

    /// Answers a message, repeating its id as it was.
    pub async fn answer(&self, message: &Value, body: Value) {
        let (id, from, to) = (&message["id"], &message["to"], &message["from"]);
        let answer = json!({"id": id, "type": "response", "from": from, "to": to, "body": body});
        self.send_text(answer.to_string()).await;
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn next(&mut self) -> Value {
        let frame = timeout(PATIENCE, self.from_node.recv()).await.expect("a message in time");
        serde_json::from_slice(&frame.expect("an open connection")).expect("a message is JSON")
    }

    /// The next message, if one comes before `until`; none comes once the connection has ended.
    ///
    /// # Panics
    /// When what came is not JSON.
    pub async fn next_before(&mut self, until: Instant) -> Option<Value> {
        let frame = timeout_at(until, self.from_node.recv()).await.ok()??;
        Some(serde_json::from_slice(&frame).expect("a message is JSON"))
    }

    /// The next message; `None` when the node has closed the connection.
    ///
    /// # Panics
    /// When neither comes in time.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        let frame = timeout(PATIENCE, self.from_node.recv()).await.expect("a message or the end in time");
        frame.map(|frame| serde_json::from_slice(&frame).expect("a message is JSON"))
    }

    /// The next message that is this one; others before it are passed over.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await;
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Sends a message and waits for its final answer.
    pub async fn request(&mut self, kind: &str, from: &str, to: &str, body: Value) -> Value {
        let id = self.send(kind, from, to, body).await;
        self.until(|message| message["type"] == "response" && message["id"] == id && code(message) >= 200)
            .await
    }

    /// Whatever has come, once nothing moves any more.
    ///
    /// # Panics
    /// When something that came is not JSON.
    pub async fn drain(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        while let Ok(Some(frame)) = timeout(Duration::from_millis(10), self.from_node.recv()).await {
            found.push(serde_json::from_slice(&frame).expect("a message is JSON"));
        }
        found
    }
}

/// The code of an answer; 0 if it has none.
pub fn code(answer: &Value) -> u64 {
    answer["body"]["code"].as_u64().unwrap_or_default()
}
