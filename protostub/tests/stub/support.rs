//! A message node that does what a test tells it, over channels or over a transport with pings.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::{Sink, sink, stream};
use hyperty_message_bus::{BusConfig, Listener, MessageBus, Protostub, Replay, StubStatus};
use hyperty_model::{Ids, Message, MessageType, RuntimeUrl, SeededIds, Url};
use hyperty_protostub::{
    Channel, ChannelConnector, ConnectError, Connection, Connector, Incoming, Outgoing, SessionDriver,
    SessionStub, StubConfig, TransportError,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) const RUNTIME: &str = "hyperty-runtime://example.com/alice";

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// One connection, seen from the node.
pub(crate) struct NodeEnd {
    pub(crate) from_runtime: mpsc::Receiver<Bytes>,
    pub(crate) to_runtime: mpsc::Sender<Bytes>,
}

impl NodeEnd {
    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_slice(&self.from_runtime.recv().await.expect("the runtime goes on")).unwrap()
    }

    /// What is there without waiting for more than is under way.
    pub(crate) async fn drain(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        for _ in 0..20 {
            tokio::task::yield_now().await;
            while let Ok(frame) = self.from_runtime.try_recv() {
                found.push(serde_json::from_slice(&frame).unwrap());
            }
        }
        found
    }

    pub(crate) async fn send(&self, message: Value) {
        self.to_runtime.send(Bytes::from(message.to_string())).await.unwrap();
    }

    pub(crate) async fn answer(&self, request: &Value, body: Value) {
        let (id, from, to) = (&request["id"], &request["to"], &request["from"]);
        self.send(json!({ "id": id, "type": "response", "from": from, "to": to, "body": body })).await;
    }

    /// Takes an `open` and accepts it.
    pub(crate) async fn accept_open(&mut self, token: &str) {
        let open = self.next().await;
        assert_eq!(
            (&open["type"], &open["from"], &open["to"]),
            (&json!("open"), &json!(RUNTIME), &json!("mn:/session"))
        );
        self.answer(&open, json!({ "code": 200, "runtimeToken": token })).await;
    }

    /// Takes a `re-open` with a token and answers it.
    pub(crate) async fn answer_reopen(&mut self, token: &str, code: u16) {
        let reopen = self.next().await;
        assert_eq!(reopen["type"], "re-open");
        assert_eq!(reopen["from"], format!("{RUNTIME}/{token}"));
        self.answer(&reopen, json!({ "code": code, "desc": "as told" })).await;
    }
}

/// Where connections arrive.
pub(crate) struct FakeNode {
    pub(crate) connections: mpsc::UnboundedReceiver<NodeEnd>,
    pub(crate) down: Arc<Mutex<Option<ConnectError>>>,
}

impl FakeNode {
    pub(crate) async fn accept(&mut self) -> NodeEnd {
        self.connections.recv().await.expect("the connector lives")
    }
}

/// A node whose channels hold `capacity` frames in each direction.
pub(crate) fn fake_node(capacity: usize) -> (FakeNode, Arc<dyn Connector>) {
    let (sender, connections) = mpsc::unbounded_channel();
    let down = Arc::new(Mutex::new(None));
    let refusal = Arc::clone(&down);
    let attach = move || -> Result<Channel, ConnectError> {
        if let Some(error) = refusal.lock().clone() {
            return Err(error);
        }
        let (to_node, from_runtime) = mpsc::channel(capacity);
        let (to_runtime, from_node) = mpsc::channel(capacity);
        sender.send(NodeEnd { from_runtime, to_runtime }).unwrap();
        Ok((to_node, from_node))
    };
    (FakeNode { connections, down }, Arc::new(ChannelConnector::new(attach)))
}

/// A connection of a transport with pings, seen from the node.
pub(crate) struct PingEnd {
    pub(crate) from_runtime: mpsc::Receiver<Outgoing>,
    pub(crate) to_runtime: mpsc::Sender<Incoming>,
}

pub(crate) struct PingConnector(pub(crate) mpsc::UnboundedSender<PingEnd>, pub(crate) Duration);

impl Connector for PingConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        let (to_node, from_runtime) = mpsc::channel::<Outgoing>(64);
        let (to_runtime, from_node) = mpsc::channel::<Incoming>(64);
        self.0.send(PingEnd { from_runtime, to_runtime }).unwrap();
        let outgoing = sink::unfold(to_node, |to_node, item| async move {
            to_node.send(item).await.map_err(|_| TransportError::Closed)?;
            Ok(to_node)
        });
        let incoming = stream::unfold(from_node, |mut from_node: mpsc::Receiver<Incoming>| async move {
            from_node.recv().await.map(|item| (Ok(item), from_node))
        });
        let (outgoing, incoming) = (Box::pin(outgoing), Box::pin(incoming));
        Box::pin(std::future::ready(Ok(Connection { outgoing, incoming, keep_alive: Some(self.1) })))
    }
}

/// Counts frames and flushes; answers the first frame, which is the `open`.
#[derive(Default)]
pub(crate) struct CountingConnector {
    pub(crate) frames: Arc<AtomicUsize>,
    pub(crate) flushes: Arc<AtomicUsize>,
}

struct CountingSink {
    frames: Arc<AtomicUsize>,
    flushes: Arc<AtomicUsize>,
    answers: mpsc::UnboundedSender<Bytes>,
}

impl Sink<Outgoing> for CountingSink {
    type Error = TransportError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> Result<(), TransportError> {
        let Outgoing::Frame(frame) = item else { return Ok(()) };
        if self.frames.fetch_add(1, Ordering::Relaxed) == 0 {
            self.answers.send(Bytes::from(answer_to(&serde_json::from_slice(&frame).unwrap()))).unwrap();
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}

impl Connector for CountingConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        let (answers, from_node) = mpsc::unbounded_channel();
        let (frames, flushes) = (Arc::clone(&self.frames), Arc::clone(&self.flushes));
        let incoming =
            stream::unfold(from_node, |mut from_node: mpsc::UnboundedReceiver<Bytes>| async move {
                from_node.recv().await.map(|frame| (Ok(Incoming::Frame(frame)), from_node))
            });
        let outgoing = Box::pin(CountingSink { frames, flushes, answers });
        Box::pin(std::future::ready(Ok(Connection {
            outgoing,
            incoming: Box::pin(incoming),
            keep_alive: None,
        })))
    }
}

/// The answer of a node that opens the session.
pub(crate) fn answer_to(open: &Value) -> String {
    let (id, to) = (&open["id"], &open["from"]);
    let body = json!({ "code": 200, "runtimeToken": "t" });
    json!({ "id": id, "type": "response", "from": "mn:/session", "to": to, "body": body }).to_string()
}

/// Replays one `subscribe` with a list that can be changed.
pub(crate) struct Routes {
    pub(crate) urls: Mutex<Vec<Url>>,
    bus: MessageBus,
}

impl Replay for Routes {
    fn replay(&self, domain: &str) -> Vec<Message> {
        let urls = self.urls.lock().clone();
        let (from, to) = (url(&format!("{RUNTIME}/sm")), url(&format!("domain://msg-node.{domain}/sm")));
        let body = json!({ "resources": urls });
        let message = || self.bus.new_message(MessageType::Subscribe, &from, &to, body.clone());
        if urls.is_empty() { Vec::new() } else { vec![message()] }
    }
}

/// A runtime's bus with a stub on it.
pub(crate) struct Side {
    pub(crate) bus: MessageBus,
    pub(crate) stub: Arc<SessionStub>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) events: Arc<Mutex<Vec<StubStatus>>>,
    pub(crate) driver: JoinHandle<()>,
    _listener: Listener,
}

impl Side {
    pub(crate) fn new(connector: Arc<dyn Connector>) -> Side {
        Side::with(connector, |_| ())
    }

    pub(crate) fn with(connector: Arc<dyn Connector>, change: impl FnOnce(&mut StubConfig)) -> Side {
        let (side, driver) = Side::idle(connector, change);
        Side { driver: tokio::spawn(driver.run()), ..side }
    }

    /// With the driver in hand instead of running.
    pub(crate) fn idle(
        connector: Arc<dyn Connector>,
        change: impl FnOnce(&mut StubConfig),
    ) -> (Side, SessionDriver) {
        let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(11));
        let bus = MessageBus::new(BusConfig::default(), &*ids);
        let mut config = StubConfig::new(RuntimeUrl::parse(RUNTIME).unwrap(), "example.com", &*ids).unwrap();
        change(&mut config);
        let routes = Arc::new(Routes { urls: Mutex::new(Vec::new()), bus: bus.clone() });
        let events = Arc::new(Mutex::new(Vec::new()));
        let (log, status) = (Arc::clone(&events), config.url.join("status").unwrap());
        let listener =
            bus.listen(&status, move |message| log.lock().extend(StubStatus::of(message))).unwrap();
        let (stub, driver) = SessionStub::new(config, connector, bus.clone(), routes.clone(), ids);
        bus.add_stub(stub.clone());
        let side = Side { bus, stub, routes, events, driver: tokio::spawn(async {}), _listener: listener };
        (side, driver)
    }

    /// Posts to the stub directly: a numbered message of the given kind.
    pub(crate) fn send(
        &self,
        kind: MessageType,
        to: &str,
        number: u64,
    ) -> Result<(), hyperty_message_bus::SendError> {
        let body = json!({ "number": number });
        self.stub.send(self.bus.new_message(kind, &url("hyperty://example.com/1"), &url(to), body))
    }
}

/// The numbers that [`Side::send`] gave to messages.
pub(crate) fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["body"]["number"].as_u64()).collect()
}
