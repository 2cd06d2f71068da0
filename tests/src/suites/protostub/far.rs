//! The far side of a stub: what the cases share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_message_bus::{Listener, MessageBus, Replay, SendError, StubStatus};
use hyperty_model::{Message, MessageType, Url};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::ours::RUNTIME;
use super::{Capabilities, End, Rig, Subject};
use crate::suites::bus::Handler;
use crate::suites::{Broken, Checked, Time, demand};

/// A hyperty behind the stub, and one before it.
pub(super) const PEER: &str = "hyperty://example.com/far";
pub(super) const OWN: &str = "hyperty://example.com/near";

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

/// Replays one `subscribe` with what it holds.
pub(super) struct Routes(Mutex<Vec<String>>);

impl Replay for Routes {
    fn replay(&self, domain: &str) -> Vec<Message> {
        let urls = self.0.lock().clone();
        if urls.is_empty() {
            return Vec::new();
        }
        let (from, to) = (url(&format!("{RUNTIME}/sm")), url(&format!("domain://msg-node.{domain}/sm")));
        vec![Message::new(77_777_u64, MessageType::Subscribe, from, to, json!({ "resources": urls }))]
    }
}

/// A stub, its bus, and whoever is on the other side.
pub(super) struct Far {
    pub(super) rig: Rig,
    pub(super) capabilities: Capabilities,
    routes: Arc<Routes>,
    told: Arc<Mutex<Vec<StubStatus>>>,
    /// What the bus was handed for [`OWN`].
    pub(super) received: Arc<Mutex<Vec<Message>>>,
    next_id: u64,
    _listeners: Vec<Listener>,
}

impl Far {
    pub(super) fn of(subject: &dyn Subject) -> Far {
        let routes = Arc::new(Routes(Mutex::default()));
        let rig = subject.start(Arc::clone(&routes) as _);
        let (told, received) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (log, inbox) = (Arc::clone(&told), Arc::clone(&received));
        let status =
            rig.stub.url().join("status").unwrap_or_else(|error| unreachable!("short enough: {error}"));
        let listen = |bus: &MessageBus, at: &Url, f: Handler| {
            bus.listen(at, f).unwrap_or_else(|error| unreachable!("far below every limit: {error}"))
        };
        let listeners = vec![
            listen(&rig.bus, &status, Box::new(move |message| log.lock().extend(StubStatus::of(message)))),
            listen(&rig.bus, &url(OWN), Box::new(move |message| inbox.lock().push(message.clone()))),
        ];
        let capabilities = subject.capabilities();
        Far { rig, capabilities, routes, told, received, next_id: 1, _listeners: listeners }
    }

    /// What the next fresh session is to be told.
    pub(super) fn set_routes(&self, routes: &[&str]) {
        *self.routes.0.lock() = routes.iter().map(|&url| url.to_owned()).collect();
    }

    pub(super) fn status(&self) -> StubStatus {
        self.rig.stub.status()
    }

    /// What was told of the status so far.
    pub(super) fn told(&self) -> Vec<StubStatus> {
        self.told.lock().clone()
    }

    fn patience(&self) -> Duration {
        match self.capabilities.time {
            Time::Paused => Duration::from_secs(600),
            Time::Real => Duration::from_secs(10),
        }
    }

    /// Waits for what must come.
    pub(super) async fn until(
        &self,
        invariant: &'static str,
        what: &str,
        holds: impl Fn(&Far) -> bool,
    ) -> Checked {
        let longest = match self.capabilities.time {
            Time::Paused => Duration::from_secs(1),
            Time::Real => Duration::from_millis(10),
        };
        let waited = timeout(self.patience(), async {
            let mut pause = Duration::from_millis(1);
            while !holds(self) {
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        });
        waited.await.map_err(|_| Broken::new(invariant, format!("in vain was waited for this: {what}")))
    }

    /// Lets everything run that is under way.
    pub(super) async fn settle(&self) {
        let pause = match self.capabilities.time {
            Time::Paused => Duration::from_millis(2),
            Time::Real => Duration::from_millis(30),
        };
        sleep(pause).await;
    }

    /// The next connection.
    pub(super) async fn accept(&mut self, invariant: &'static str) -> Result<End, Broken> {
        let patience = self.patience();
        let connection = timeout(patience, self.rig.connections.recv()).await;
        connection.ok().flatten().ok_or_else(|| Broken::new(invariant, "it does not connect"))
    }

    /// The next frame of a connection.
    pub(super) async fn next(&self, end: &mut End, invariant: &'static str) -> Result<Value, Broken> {
        let frame = timeout(self.patience(), end.from_stub.recv()).await;
        let frame =
            frame.ok().flatten().ok_or_else(|| Broken::new(invariant, "a frame that must come does not"))?;
        serde_json::from_slice(&frame)
            .map_err(|error| Broken::new("5.15/frames", format!("{error}: {frame:?}")))
    }

    /// What has come by now.
    pub(super) async fn drain(&self, end: &mut End) -> Vec<Value> {
        self.settle().await;
        let mut found = Vec::new();
        while let Ok(frame) = end.from_stub.try_recv() {
            found.push(serde_json::from_slice(&frame).unwrap_or_default());
        }
        found
    }

    pub(super) async fn send_to_stub(&self, end: &End, message: &Value) -> Checked {
        let frame = Bytes::from(message.to_string());
        let sent = end.to_stub.send(frame).await;
        sent.map_err(|_| Broken::new("5.15/frames", "the stub has ended a connection that is in order"))
    }

    /// Answers a request of the stub's side.
    pub(super) async fn answer(&self, end: &End, request: &Value, body: Value) -> Checked {
        let (id, from, to) = (&request["id"], &request["to"], &request["from"]);
        self.send_to_stub(end, &json!({"id": id, "type": "response", "from": from, "to": to, "body": body}))
            .await
    }

    /// Takes an `open`, or a `re-open` by a token, in whichever order the stub sends them; looks at it.
    pub(super) async fn opening(
        &self,
        end: &mut End,
        kind: &str,
        token: Option<&str>,
    ) -> Result<Value, Broken> {
        let opening = self.next(end, "INV-SES-1").await?;
        let from = token.map_or(RUNTIME.to_owned(), |token| format!("{RUNTIME}/{token}"));
        let as_told = opening["type"] == kind && opening["from"] == *from && opening["to"] == "mn:/session";
        demand!("INV-SES-1", as_told, "instead of {kind} from {from} came {opening}");
        demand!("INV-SES-3", self.status() != StubStatus::Live, "live before {kind} is answered");
        Ok(opening)
    }

    /// Lets the stub open a fresh session, and answers what it replays.
    pub(super) async fn open(&mut self, token: &str) -> Result<(End, Vec<Value>), Broken> {
        let mut end = self.accept("INV-SES-1").await?;
        let opening = self.opening(&mut end, "open", None).await?;
        let replayed = self.accept_open(&mut end, &opening, token).await?;
        Ok((end, replayed))
    }

    /// Says yes to an `open`; gives what is sent first then, answered.
    pub(super) async fn accept_open(
        &self,
        end: &mut End,
        opening: &Value,
        token: &str,
    ) -> Result<Vec<Value>, Broken> {
        self.answer(end, opening, json!({"code": 200, "runtimeToken": token})).await?;
        self.until("INV-SES-3", "live after a 200", |far| far.status() == StubStatus::Live).await?;
        let mut replayed = Vec::new();
        if !self.routes.0.lock().is_empty() {
            let first = self.next(end, "INV-SES-1").await?;
            let routes = json!(*self.routes.0.lock());
            let as_told = first["type"] == "subscribe" && first["body"]["resources"] == routes;
            demand!("INV-SES-1", as_told, "a fresh session was not told its routes first, but {first}");
            self.answer(end, &first, json!({"code": 200})).await?;
            replayed.push(first);
            self.settle().await;
        }
        Ok(replayed)
    }

    /// Loses a connection once everything has come; gives what that was.
    pub(super) async fn lose(&self, mut end: End) -> Result<Vec<Value>, Broken> {
        let rest = self.drain(&mut end).await;
        drop(end);
        self.until("INV-SES-3", "a lost connection is not live", |far| far.status() != StubStatus::Live)
            .await?;
        Ok(rest)
    }

    /// Hands the stub a numbered message.
    pub(super) fn send(&mut self, kind: MessageType, to: &str, number: u64) -> Result<(), SendError> {
        self.next_id += 1;
        let message = Message::new(self.next_id, kind, url(OWN), url(to), json!({ "number": number }));
        self.rig.stub.send(message)
    }

    /// Hands it one that must not be dropped.
    pub(super) fn control(&mut self, number: u64) -> Checked {
        let sent = self.send(MessageType::Read, PEER, number);
        sent.map_err(|error| Broken::new("10.3", format!("request {number} is not taken: {error}")))
    }

    /// The numbers of what was received for [`OWN`].
    pub(super) fn received(&self) -> Vec<u64> {
        let number = |message: &Message| {
            serde_json::from_slice::<Value>(message.body().raw())
                .ok()
                .and_then(|body| body["number"].as_u64())
        };
        self.received.lock().iter().filter_map(number).collect()
    }
}

/// The numbers that [`Far::send`] gave.
pub(super) fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["body"]["number"].as_u64()).collect()
}

/// A message for [`OWN`] from the far side.
pub(super) fn inward(number: u64) -> Value {
    json!({"id": number, "type": "event", "from": PEER, "to": OWN, "body": {"number": number, "auth": true}})
}
