//! A node and clients that speak to it by messages only, in paused time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{Clock, SeededIds, Timestamp};
use hyperty_storage::{MemoryTables, Tables};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const SESSION: &str = "mn:/session";
pub(crate) const MN: &str = "domain://msg-node.example.com/sm";
pub(crate) const MNA: &str = "domain://msg-node.example.com/address-allocation";
pub(crate) const REG: &str = "domain://registry.example.com";
pub(crate) const CATALOGUE: &str = "domain://catalogue.example.com";

/// Wall time that moves with tokio's.
pub(crate) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_700_000_000_000 + elapsed)
    }
}

/// A node with its driver running.
pub(crate) fn start(config: NodeConfig, tables: Arc<dyn Tables>) -> MessageNode {
    let clock = Arc::new(TokioClock(Instant::now()));
    let (node, driver) = MessageNode::new(config, tables, clock, Arc::new(SeededIds::new(1))).unwrap();
    tokio::spawn(driver.run());
    node
}

pub(crate) fn node() -> MessageNode {
    start(NodeConfig::new(DOMAIN), Arc::new(MemoryTables::new()))
}

pub(crate) fn runtime(name: &str) -> String {
    format!("hyperty-runtime://{DOMAIN}/{name}")
}

/// A connection over channels.
pub(crate) struct Client {
    pub(crate) runtime: String,
    pub(crate) token: String,
    to_node: mpsc::Sender<Bytes>,
    from_node: mpsc::Receiver<Bytes>,
    next_id: u64,
}

impl Client {
    /// A connection without a session.
    pub(crate) fn connect(node: &MessageNode, name: &str) -> Client {
        let (to_node, from_node) = node.channel().unwrap();
        Client { runtime: runtime(name), token: String::new(), to_node, from_node, next_id: 100 }
    }

    /// A connection with a session.
    pub(crate) async fn open(node: &MessageNode, name: &str) -> Client {
        let mut client = Client::connect(node, name);
        let answer = client.try_open().await;
        assert_eq!(code(&answer), 200, "{answer}");
        client
    }

    /// Sends `open` and notes the token.
    pub(crate) async fn try_open(&mut self) -> Value {
        let from = self.runtime.clone();
        let answer = self.request("open", &from, SESSION, json!(null)).await;
        self.token = answer["body"]["runtimeToken"].as_str().unwrap_or_default().to_owned();
        answer
    }

    /// `<RuntimeURL>/<token>`
    pub(crate) fn proof(&self) -> String {
        format!("{}/{}", self.runtime, self.token)
    }

    pub(crate) fn sm(&self) -> String {
        format!("{}/sm", self.runtime)
    }

    pub(crate) async fn send_text(&self, text: impl Into<String>) {
        self.to_node.send(Bytes::from(text.into())).await.unwrap();
    }

    /// Sends a message; returns its id.
    pub(crate) async fn send(&mut self, kind: &str, from: &str, to: &str, body: Value) -> u64 {
        self.next_id += 1;
        let mut message = json!({"id": self.next_id, "type": kind, "from": from, "to": to});
        if !body.is_null() {
            message["body"] = body;
        }
        self.send_text(message.to_string()).await;
        self.next_id
    }

    /// Sends a message and takes what comes next, which has to be the answer.
    pub(crate) async fn request(&mut self, kind: &str, from: &str, to: &str, body: Value) -> Value {
        let id = self.send(kind, from, to, body).await;
        let answer = self.recv().await;
        assert_eq!(answer["type"], "response", "{answer}");
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(crate) async fn subscribe(&mut self, urls: &[&str]) -> Value {
        let (sm, source) = (self.sm(), self.runtime.clone());
        self.request("subscribe", &sm, MN, json!({"resources": urls, "source": source})).await
    }

    pub(crate) async fn unsubscribe(&mut self, urls: &[&str]) -> Value {
        let sm = self.sm();
        self.request("unsubscribe", &sm, MN, json!({"resources": urls})).await
    }

    pub(crate) async fn allocate(&mut self, scheme: &str, number: u64) -> Vec<String> {
        let from = format!("{}/address-allocation", self.runtime);
        let body = json!({"scheme": scheme, "value": {"number": number}});
        let answer = self.request("create", &from, MNA, body).await;
        assert_eq!(code(&answer), 200, "{answer}");
        serde_json::from_value(answer["body"]["value"]["allocated"].clone()).unwrap()
    }

    /// Sends a change of `object`.
    pub(crate) async fn publish(&mut self, object: &str, version: u64) {
        let body = json!({"version": version, "attribute": "a", "value": version});
        self.send("update", object, &format!("{object}/changes"), body).await;
    }

    /// The next message, which has to come within a minute of paused time.
    pub(crate) async fn recv(&mut self) -> Value {
        let frame = timeout(Duration::from_secs(1), self.from_node.recv()).await;
        let frame = frame.expect("a message in time").expect("an open connection");
        serde_json::from_slice(&frame).unwrap()
    }

    /// The bytes of the next message.
    pub(crate) async fn recv_text(&mut self) -> String {
        let frame = timeout(Duration::from_secs(1), self.from_node.recv()).await;
        String::from_utf8(frame.expect("a message in time").expect("an open connection").to_vec()).unwrap()
    }

    /// Whatever has come; waits until nothing moves any more.
    pub(crate) async fn drain(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        while let Ok(Some(frame)) = timeout(Duration::from_millis(1), self.from_node.recv()).await {
            found.push(serde_json::from_slice(&frame).unwrap());
        }
        found
    }

    /// Asserts that nothing has come.
    pub(crate) async fn quiet(&mut self) {
        assert_eq!(self.drain().await, Vec::<Value>::new());
    }

    /// Asserts that the node has closed the connection, after what is still to be read.
    pub(crate) async fn closed(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        loop {
            match timeout(Duration::from_secs(1), self.from_node.recv()).await {
                Ok(Some(frame)) => found.push(serde_json::from_slice(&frame).unwrap()),
                Ok(None) => return found,
                Err(_) => panic!("the connection is still open"),
            }
        }
    }

    /// Loses the connection, and lets the node notice.
    pub(crate) async fn lose(self) -> (String, String) {
        let (runtime, token) = (self.runtime.clone(), self.token.clone());
        drop(self);
        tokio::time::sleep(Duration::from_millis(1)).await;
        (runtime, token)
    }
}

pub(crate) fn code(answer: &Value) -> u64 {
    answer["body"]["code"].as_u64().unwrap_or_default()
}

pub(crate) fn reason(answer: &Value) -> &str {
    answer["body"]["reason"].as_str().unwrap_or_default()
}

/// Asserts a failure of the node's own in the form of M12.
pub(crate) fn assert_refused(answer: &Value, code: u64, reason: &str, from: &str) {
    let body = &answer["body"];
    assert_eq!((&body["code"], &body["reason"]), (&json!(code), &json!(reason)), "{answer}");
    assert_eq!((&body["source"], &answer["from"]), (&json!(MN), &json!(from)), "{answer}");
    assert_eq!(body["desc"], body["description"]);
}

/// The versions of the updates in a list of messages.
pub(crate) fn versions(messages: &[Value]) -> Vec<u64> {
    let updates = messages.iter().filter(|message| message["type"] == "update");
    updates.map(|update| update["body"]["version"].as_u64().unwrap()).collect()
}
