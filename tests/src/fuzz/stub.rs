//! A session stub whose node says arbitrary things, before or after it answered `open`.
//!
//! The first byte says whether the session is opened first; then follows one frame a line.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_message_bus::{BusConfig, MessageBus, Protostub, Replay, StubStatus};
use hyperty_model::message::Limits;
use hyperty_model::{Ids, Message, MessageType, RuntimeUrl, SeededIds, Url};
use hyperty_protostub::{ChannelConnector, ConnectError, SessionStub, StubConfig};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::session::block_on;

const RUNTIME: &str = "hyperty-runtime://example.com/asked";
const HYPERTY: &str = "hyperty://example.com/asked";
const FRAMES_MAX: usize = 64;
/// Far longer than anything takes; time is paused.
const PATIENCE: Duration = Duration::from_secs(60);

/// Feeds the frames.
pub fn work(data: &[u8]) {
    block_on(async { drop(fed(data).await) });
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    block_on(async { judged(data).await });
}

struct Nothing;

impl Replay for Nothing {
    fn replay(&self, _: &str) -> Vec<Message> {
        Vec::new()
    }
}

/// The node's end of one connection.
struct End {
    from_stub: mpsc::Receiver<Bytes>,
    to_stub: mpsc::Sender<Bytes>,
}

impl End {
    async fn next(&mut self) -> Option<Message> {
        let frame = timeout(PATIENCE, self.from_stub.recv()).await.expect("the stub says something")?;
        let messages = Message::from_frame(frame.clone(), &Limits::default());
        let mut messages =
            messages.unwrap_or_else(|error| panic!("the stub says {frame:?}: {error}")).into_iter();
        messages.next()
    }

    async fn say(&self, message: &Value) -> bool {
        self.to_stub.send(Bytes::from(message.to_string())).await.is_ok()
    }

    async fn answer(&self, request: &Message, body: Value) -> bool {
        self.to_stub.send(request.reply(body).wire().clone()).await.is_ok()
    }
}

struct Scene {
    stub: Arc<SessionStub>,
    connections: mpsc::UnboundedReceiver<End>,
    end: End,
    received: Arc<Mutex<Vec<Message>>>,
    opened: bool,
    asked: Option<Message>,
    _listener: hyperty_message_bus::Listener,
}

async fn fed(data: &[u8]) -> Scene {
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(5));
    let bus = MessageBus::new(BusConfig::default(), &*ids);
    let received = Arc::new(Mutex::new(Vec::new()));
    let (inbox, at) = (Arc::clone(&received), Url::parse(HYPERTY).expect("it is an address"));
    let listener =
        bus.listen(&at, move |message| inbox.lock().push(message.clone())).expect("the first listener");
    let (sender, mut connections) = mpsc::unbounded_channel();
    let connector = ChannelConnector::new(move || {
        let (to_node, from_stub) = mpsc::channel(FRAMES_MAX);
        let (to_stub, from_node) = mpsc::channel(FRAMES_MAX);
        let over = |_| ConnectError::Unreachable("over".to_owned());
        sender.send(End { from_stub, to_stub }).map_err(over)?;
        Ok((to_node, from_node))
    });
    let runtime = RuntimeUrl::parse(RUNTIME).expect("it is a runtime's");
    let config = StubConfig::new(runtime, "example.com", &*ids).expect("it is a domain");
    let (stub, driver) = SessionStub::new(config, Arc::new(connector), bus.clone(), Arc::new(Nothing), ids);
    bus.add_stub(stub.clone());
    tokio::spawn(driver.run());

    let mut end = connections.recv().await.expect("it connects");
    let asked = end.next().await;
    let (opened, frames) = data.split_first().map_or((false, data), |(first, rest)| (first % 2 == 1, rest));
    if let Some(open) = asked.as_ref().filter(|_| opened) {
        end.answer(open, json!({"code": 200, "runtimeToken": "t"})).await;
        stub.live().await.expect("it is live after a 200");
    }
    for frame in frames.split(|byte| *byte == b'\n').take(FRAMES_MAX) {
        if end.to_stub.send(Bytes::copy_from_slice(frame)).await.is_err() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    Scene { stub, connections, end, received, opened, asked, _listener: listener }
}

async fn judged(data: &[u8]) {
    let mut scene = fed(data).await;
    for message in scene.received.lock().drain(..) {
        assert!(message.hops().contains(scene.stub.url()), "it came through the stub: {message:?}");
        let body: Value = serde_json::from_slice(message.body().raw()).unwrap_or_default();
        assert!(body.get("auth").is_none(), "auth came in: {body}");
    }
    let live = scene.stub.status() == StubStatus::Live;
    assert!(!scene.opened || live, "{:?} because of what a node said", scene.stub.status());
    // Whatever was said, a node that answers is served: on this connection or, if it was refused, on the next.
    if !live {
        let answered = match scene.asked.as_ref().filter(|_| !scene.end.to_stub.is_closed()) {
            Some(open) => scene.end.answer(open, json!({"code": 200, "runtimeToken": "t"})).await,
            None => false,
        };
        let on_this = answered && timeout(Duration::from_millis(50), scene.stub.live()).await.is_ok();
        if !on_this {
            scene.end = connected(&mut scene.connections).await;
        }
        timeout(PATIENCE, scene.stub.live()).await.expect("in time").expect("it is not closed");
    }
    let honest = json!({
        "id": 9, "type": "event", "from": "hyperty://example.com/honest", "to": HYPERTY, "body": {"honest": true},
    });
    assert!(scene.end.say(&honest).await, "the connection of a node that behaves is in order");
    tokio::time::sleep(Duration::from_millis(1)).await;
    let heard = |message: &Message| message.from().as_str() == "hyperty://example.com/honest";
    assert!(scene.received.lock().iter().any(heard), "an honest message is lost");
    drop(scene.end);
    timeout(PATIENCE, scene.stub.close()).await.expect("a stub is closed in time");
}

/// The next connection on which the stub opens a session, with a node that says yes.
async fn connected(connections: &mut mpsc::UnboundedReceiver<End>) -> End {
    loop {
        let next = timeout(PATIENCE, connections.recv()).await.expect("it connects again");
        let mut end = next.expect("the stub goes on");
        while let Some(asked) = end.next().await {
            if !end.answer(&asked, json!({"code": 200, "runtimeToken": "t2"})).await {
                break;
            }
            if matches!(asked.kind(), MessageType::Open | MessageType::ReOpen) {
                return end;
            }
        }
    }
}
