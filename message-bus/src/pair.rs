//! Two buses of one process joined by a stub each: a transport without a network, and the other end for tests.
//!
//! What passes is what a network would carry: each message as its frame, with the way it has come so far as `via`.
//!
//! ```
//! use hyperty_message_bus::pair::{Pair, PairEnd};
//! use hyperty_message_bus::{BusConfig, MessageBus, Protostub};
//! use hyperty_model::{Body, MessageType, SystemIds, Url};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let buses = [(); 2].map(|()| MessageBus::new(BusConfig::default(), &SystemIds));
//! let [a, b] = ["hyperty-runtime://b/protostub/1", "hyperty-runtime://a/protostub/1"].map(Url::parse);
//! let mut pair = Pair::join(PairEnd::new(&buses[0], a?, "b"), PairEnd::new(&buses[1], b?, "a"), 64);
//!
//! let news = Url::parse("comm://a/news/changes")?;
//! let _out = buses[0].publish_route(&news, pair.left().url());
//! let _in = buses[1].listen(&news, |message| assert!(message.is_remote()))?;
//! buses[0].post(buses[0].new_message(MessageType::Update, &Url::parse("comm://a/news")?, &news, Body::empty()));
//! assert_eq!(pair.deliver(), 1);
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use bytes::Bytes;
use hyperty_model::message::{DecodeError, Decoded, HOPS_MAX, Limits, ResponseBody, Rewrite, salvage_header};
use hyperty_model::{Message, MessageType, Url};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::{MessageBus, Protostub, SendError, StubStatus, publish_status};

/// One side of a [`Pair`].
#[derive(Debug)]
pub struct PairEnd {
    bus: MessageBus,
    stub: Url,
    domain: String,
}

impl PairEnd {
    /// The bus of this side, the URL of its stub, and the domain that lies behind the stub, on the other side.
    pub fn new(bus: &MessageBus, stub: Url, domain: &str) -> PairEnd {
        PairEnd { bus: bus.clone(), stub, domain: domain.to_owned() }
    }
}

/// The joined pair. Messages wait in bounded queues until [`Pair::run`] or [`Pair::deliver`] takes them over; dropping
/// the pair cuts the connection.
#[derive(Debug)]
pub struct Pair {
    left: Side,
    right: Side,
}

#[derive(Debug)]
struct Side {
    bus: MessageBus,
    stub: Arc<PairStub>,
    /// From the other side.
    frames: mpsc::Receiver<Bytes>,
}

impl Pair {
    /// Joins two buses: adds a stub to each and publishes that it is live. Up to `capacity` messages wait in each
    /// direction (at least one); one more is refused with [`SendError::Full`].
    pub fn join(left: PairEnd, right: PairEnd, capacity: usize) -> Pair {
        let (to_right, from_left) = mpsc::channel(capacity.max(1));
        let (to_left, from_right) = mpsc::channel(capacity.max(1));
        Pair { left: Side::open(left, to_right, from_right), right: Side::open(right, to_left, from_left) }
    }

    /// The stub on the left bus.
    pub fn left(&self) -> &Arc<PairStub> {
        &self.left.stub
    }

    /// The stub on the right bus.
    pub fn right(&self) -> &Arc<PairStub> {
        &self.right.stub
    }

    /// Takes over what waits, and what that causes, until nothing waits; returns how many messages it took over.
    /// Two ends that answer each other for ever are left to themselves after a million.
    pub fn deliver(&mut self) -> usize {
        const TAKEN_MAX: usize = 1_000_000;
        let mut taken = 0;
        while taken < TAKEN_MAX && (self.left.take_waiting() || self.right.take_waiting()) {
            taken += 1;
        }
        taken
    }

    /// Takes messages over as they come. Cancel it to cut the connection.
    pub async fn run(mut self) {
        loop {
            let (left, right) = (&mut self.left, &mut self.right);
            tokio::select! {
                biased;
                Some(frame) = left.frames.recv() => left.take(frame),
                Some(frame) = right.frames.recv() => right.take(frame),
                else => return,
            }
            // A flood from one side does not keep the other waiting.
            right.take_waiting();
        }
    }
}

impl Side {
    fn open(end: PairEnd, outgoing: mpsc::Sender<Bytes>, frames: mpsc::Receiver<Bytes>) -> Side {
        let stub = PairStub { url: end.stub, domain: end.domain, outgoing: Mutex::new(Some(outgoing)) };
        let side = Side { bus: end.bus, stub: Arc::new(stub), frames };
        side.bus.add_stub(Arc::clone(&side.stub) as Arc<dyn Protostub>);
        publish_status(&side.bus, &side.stub.url, StubStatus::Live, None);
        side
    }

    fn take_waiting(&mut self) -> bool {
        match self.frames.try_recv() {
            Ok(frame) => {
                self.take(frame);
                true
            }
            Err(_) => false,
        }
    }

    fn take(&self, frame: Bytes) {
        match Message::from_frame(frame.clone(), &Limits::default()) {
            Ok(Decoded::One(message)) => self.bus.receive(&self.stub.url, message),
            Ok(Decoded::Many(messages)) => {
                for message in messages {
                    self.bus.receive(&self.stub.url, message);
                }
            }
            Err(error) => self.refuse(&frame, &error),
        }
    }
}

impl Side {
    /// Whoever sent what is no message is not left waiting, if it can be made out (INV-MSG-1).
    fn refuse(&self, frame: &[u8], error: &DecodeError) {
        tracing::warn!(stub = %self.stub.url, %error, "the other side sent what is no message");
        let Some((id, from, to)) = salvage_header(frame) else { return };
        let body = ResponseBody::failure(error.code(), error.to_string()).with_reason("malformed");
        // A side that takes no more is as good as gone.
        let _ = self.stub.send(Message::new(id, MessageType::Response, to, from, body));
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let outgoing = self.stub.outgoing.lock().take();
        drop(outgoing);
        self.bus.remove_stub(&self.stub.url);
        publish_status(&self.bus, &self.stub.url, StubStatus::Disconnected, None);
    }
}

/// The stub of one side.
#[derive(Debug)]
pub struct PairStub {
    url: Url,
    domain: String,
    /// `None` once the pair is cut.
    outgoing: Mutex<Option<mpsc::Sender<Bytes>>>,
}

impl Protostub for PairStub {
    fn url(&self) -> &Url {
        &self.url
    }

    fn domain(&self) -> &str {
        &self.domain
    }

    fn status(&self) -> StubStatus {
        if self.outgoing.lock().is_some() { StubStatus::Live } else { StubStatus::Disconnected }
    }

    fn send(&self, message: Message) -> Result<(), SendError> {
        let frame = match message.hops() {
            [] => message.wire().clone(),
            // It would visit this connection a second time, or has made its way (protocol 2.6).
            hops if hops.contains(&self.url) || hops.len() >= HOPS_MAX => {
                tracing::debug!(stub = %self.url, ?message, "a message came round: dropped");
                return Ok(());
            }
            hops => match message.clone().relayed(&Rewrite { via: Some(hops), ..Rewrite::default() }) {
                Ok(message) => message.wire().clone(),
                Err(error) => {
                    tracing::error!(stub = %self.url, ?message, %error, "a message that nobody could read: dropped");
                    return Ok(());
                }
            },
        };
        let outgoing = self.outgoing.lock();
        let Some(outgoing) = &*outgoing else { return Err(SendError::Closed) };
        outgoing.try_send(frame).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Closed(_) => SendError::Closed,
        })
    }
}
