//! The protostubs of this workspace: the session stub over any connector, and the pair in memory.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::{sink, stream};
use hyperty_message_bus::pair::{Pair, PairEnd};
use hyperty_message_bus::{BusConfig, Direction, Interceptor, MessageBus, Protostub, Replay, Retry, Verdict};
use hyperty_model::message::{Decoded, Limits};
use hyperty_model::queue::QueueLimits;
use hyperty_model::{Ids, Message, RuntimeUrl, SeededIds, Url};
use hyperty_protostub::{
    ChannelConnector, ConnectError, Connection, Connector, Incoming, Outgoing, SILENT_INTERVALS_MAX,
    SessionStub, StubConfig, TransportError,
};
use tokio::sync::mpsc;

use super::{Capabilities, End, Rig, Subject};
use crate::suites::Time;

/// The runtime whose session it is.
pub const RUNTIME: &str = "hyperty-runtime://example.com/suite";

/// What may wait while there is no connection: few, so that a case fills it.
pub const QUEUE: usize = 8;

/// Frames under way in one direction.
const CHANNEL_FRAMES: usize = 256;

/// A session stub over a connector, with limits and a pace that suit the suite.
///
/// `connections` is where the connections of the connector show up on the far side.
pub fn session(
    connector: Arc<dyn Connector>,
    connections: mpsc::UnboundedReceiver<End>,
    replay: Arc<dyn Replay>,
    keep: Box<dyn Any>,
) -> Rig {
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(11));
    let bus = MessageBus::new(BusConfig::default(), &*ids);
    let runtime = RuntimeUrl::parse(RUNTIME).expect("it is a runtime's");
    let mut config = StubConfig::new(runtime, "example.com", &*ids).expect("the domain is a domain");
    config.queue = QueueLimits { count: QUEUE, ..QueueLimits::default() };
    config.retry = Retry { first: Duration::from_millis(2), max: Duration::from_millis(20), ..config.retry };
    let (stub, driver) = SessionStub::new(config, connector, bus.clone(), replay, ids);
    bus.add_stub(stub.clone());
    tokio::spawn(driver.run());
    let closing = Arc::clone(&stub);
    Rig {
        bus,
        stub,
        connections,
        close: Box::new(move || {
            let stub = Arc::clone(&closing);
            Box::pin(async move { stub.close().await })
        }),
        keep,
    }
}

fn end() -> (End, mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    let (from_stub_tx, from_stub) = mpsc::channel(CHANNEL_FRAMES);
    let (to_stub, to_stub_rx) = mpsc::channel(CHANNEL_FRAMES);
    (End { from_stub, to_stub, silent: Arc::default() }, from_stub_tx, to_stub_rx)
}

/// A session over channels that report their end by themselves, or over ones that are asked by pings.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOverChannels {
    /// The time of silence after which the far side is asked whether it is there.
    pub keep_alive: Option<Duration>,
}

impl Subject for SessionOverChannels {
    fn capabilities(&self) -> Capabilities {
        // One interval more than are counted: the silence begins within one.
        let silence = self.keep_alive.map(|interval| interval * (SILENT_INTERVALS_MAX + 1));
        Capabilities { sessions: true, queue: Some(QUEUE), silence, time: Time::Paused }
    }

    fn start(&self, replay: Arc<dyn Replay>) -> Rig {
        let (sender, connections) = mpsc::unbounded_channel();
        let connector: Arc<dyn Connector> = match self.keep_alive {
            Some(interval) => Arc::new(PingedChannels { connections: sender, interval }),
            None => Arc::new(ChannelConnector::new(move || {
                let (end, to_node, from_node) = end();
                let away = |_| ConnectError::Unreachable("the suite is over".to_owned());
                sender.send(end).map_err(away)?;
                Ok((to_node, from_node))
            })),
        };
        session(connector, connections, replay, Box::new(()))
    }
}

/// Channels that do not report their end, but answer pings as long as the far side is there.
struct PingedChannels {
    connections: mpsc::UnboundedSender<End>,
    interval: Duration,
}

impl Connector for PingedChannels {
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        let (end, to_node, from_node) = end();
        let silent = Arc::clone(&end.silent);
        let (answers, signs) = mpsc::unbounded_channel();
        let outgoing =
            sink::unfold((to_node, silent, answers), |(to_node, silent, answers), item| async move {
                match item {
                    _ if silent.load(Ordering::SeqCst) => {}
                    Outgoing::Frame(frame) => {
                        to_node.send(frame).await.map_err(|_| TransportError::Closed)?
                    }
                    // Nobody reads it when the connection is being dropped.
                    Outgoing::Ping => drop(answers.send(Incoming::Alive)),
                }
                Ok((to_node, silent, answers))
            });
        let incoming = stream::unfold((from_node, signs), |(mut from_node, mut signs)| async move {
            let item = tokio::select! {
                biased;
                Some(sign) = signs.recv() => sign,
                frame = from_node.recv() => Incoming::Frame(frame?),
            };
            Some((Ok(item), (from_node, signs)))
        });
        let connected =
            self.connections.send(end).map_err(|_| ConnectError::Unreachable("the suite is over".to_owned()));
        let connection = connected.map(|()| Connection {
            outgoing: Box::pin(outgoing),
            incoming: Box::pin(incoming),
            keep_alive: Some(self.interval),
        });
        Box::pin(std::future::ready(connection))
    }
}

/// Two buses in memory, joined by a stub each; the suite is the other bus.
#[derive(Debug, Clone, Copy, Default)]
pub struct InMemoryPair;

impl Subject for InMemoryPair {
    fn capabilities(&self) -> Capabilities {
        Capabilities { sessions: false, queue: None, silence: None, time: Time::Paused }
    }

    fn start(&self, _: Arc<dyn Replay>) -> Rig {
        let [near, far] = [1, 2].map(|seed| MessageBus::new(BusConfig::default(), &SeededIds::new(seed)));
        let (connection, from_stub, mut to_stub) = end();
        far.add_interceptor(Arc::new(Catching(from_stub)));
        let url = |text: &str| Url::parse(text).expect("the suite's own addresses are valid");
        let left = PairEnd::new(&near, url("hyperty-runtime://far.example/protostub/1"), "far.example");
        let right = PairEnd::new(&far, url("hyperty-runtime://near.example/protostub/1"), "near.example");
        let pair = Pair::join(left, right, CHANNEL_FRAMES);
        let (stub, back) = (Arc::clone(pair.left()), Arc::clone(pair.right()));
        let carried = tokio::spawn(pair.run()).abort_handle();
        let cut = carried.clone();
        tokio::spawn(async move {
            while let Some(frame) = to_stub.recv().await {
                if let Ok(Decoded::One(message)) = Message::from_frame(frame, &Limits::default()) {
                    // Full is the suite's own doing, and shows.
                    let _ = back.send(message);
                }
            }
            // The far side is gone.
            carried.abort();
        });
        let (sender, connections) = mpsc::unbounded_channel();
        let _ = sender.send(connection);
        let closing = Box::new(move || {
            cut.abort();
            Box::pin(std::future::ready(())) as BoxFuture<'static, ()>
        });
        Rig { bus: near, stub, connections, close: closing, keep: Box::new((far, sender)) }
    }
}

/// Takes whatever arrives at the far bus.
struct Catching(mpsc::Sender<Bytes>);

impl Interceptor for Catching {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        if direction == Direction::Incoming {
            // One that is full or gone shows as a message that does not come.
            let _ = self.0.try_send(message.wire().clone());
        }
        Verdict::Drop
    }
}

/// A far side for a connector of one's own: the [`End`] to hand to the suite, and where a bridge puts what the stub
/// sent, takes what it is to receive, and sees whether it must fall silent.
pub fn bridge() -> (End, mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>, Arc<AtomicBool>) {
    let (end, from_stub, to_stub) = end();
    let silent = Arc::clone(&end.silent);
    (end, from_stub, to_stub, silent)
}
