//! Broken protostubs: a session stub behind connections that change what it says, or behind a face that lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyperty_conformance::suites::protostub::ours::{self, SessionOverChannels};
use hyperty_conformance::suites::protostub::{self, Capabilities, End, Rig, Subject};
use hyperty_message_bus::{Protostub, Replay, SendError, StubStatus};
use hyperty_model::{Message, Url};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::caught;

/// What is wrong with a stub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Says that it is live from the beginning.
    AlwaysLive,
    /// A fresh session is not told the routes.
    NoReplay,
    /// Never comes back by its token.
    ForgetsTheToken,
    /// Takes a refused token for a good one.
    AnyTokenWillDo,
    /// Takes what it does not send while it is not live.
    LosesWhatWaits,
    /// Lets every second frame pass the one before.
    Reorders,
    /// Sends every frame twice.
    Repeats,
    /// Leaves without a word.
    NoGoodbye,
    /// Hands on `auth`, and the way of nothing.
    HandsOnAsItCame,
    /// Does not ask whether the far side is there.
    TrustsSilence,
    /// Keeps requests back until something follows.
    Hoards,
}

struct Broken(Fault);

impl Broken {
    fn inner(&self) -> SessionOverChannels {
        SessionOverChannels { keep_alive: None }
    }
}

struct NoRoutes;

impl Replay for NoRoutes {
    fn replay(&self, _: &str) -> Vec<Message> {
        Vec::new()
    }
}

/// The stub with another face.
struct Face {
    inner: Arc<dyn Protostub>,
    fault: Fault,
    sent: AtomicUsize,
}

impl Protostub for Face {
    fn url(&self) -> &Url {
        self.inner.url()
    }

    fn domain(&self) -> &str {
        self.inner.domain()
    }

    fn status(&self) -> StubStatus {
        if self.fault == Fault::AlwaysLive { StubStatus::Live } else { self.inner.status() }
    }

    fn send(&self, message: Message) -> Result<(), SendError> {
        let live = self.inner.status() == StubStatus::Live;
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::LosesWhatWaits && !live && number % 2 == 1 {
            return Ok(());
        }
        self.inner.send(message)
    }
}

impl Subject for Broken {
    fn capabilities(&self) -> Capabilities {
        let silence = (self.0 == Fault::TrustsSilence).then_some(Duration::from_secs(40));
        Capabilities { silence, ..self.inner().capabilities() }
    }

    fn start(&self, replay: Arc<dyn Replay>) -> Rig {
        let fault = self.0;
        let replay = if fault == Fault::NoReplay { Arc::new(NoRoutes) } else { replay };
        let Rig { bus, stub, mut connections, close, keep } = self.inner().start(replay);
        let (sender, changed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(inner) = connections.recv().await {
                let (outer, from_stub, to_stub, _) = ours::bridge();
                tokio::spawn(outward(fault, inner.from_stub, from_stub));
                tokio::spawn(inward(fault, to_stub, inner.to_stub));
                if sender.send(outer).is_err() {
                    return;
                }
            }
        });
        let stub = Arc::new(Face { inner: stub, fault, sent: AtomicUsize::new(0) });
        Rig { bus, stub, connections: changed, close, keep }
    }
}

/// What the stub says, changed.
async fn outward(fault: Fault, mut from: mpsc::Receiver<Bytes>, to: mpsc::Sender<Bytes>) {
    let mut held: Option<Bytes> = None;
    loop {
        let frame = tokio::select! {
            biased;
            () = to.closed() => return,
            Some(frame) = from.recv() => frame,
            else => return,
        };
        let mut message: Value = serde_json::from_slice(&frame).unwrap();
        let numbered = message["body"].get("number").is_some();
        let mut out = vec![frame.clone()];
        match fault {
            Fault::ForgetsTheToken if message["type"] == "re-open" => {
                message["type"] = json!("open");
                message["from"] = json!(ours::RUNTIME);
                out = vec![message.to_string().into()];
            }
            Fault::Reorders if numbered => {
                out = match held.take() {
                    Some(first) => vec![frame, first],
                    None => {
                        held = Some(frame);
                        // Alone it is sent all the same.
                        tokio::time::sleep(Duration::from_micros(10)).await;
                        let followed = !from.is_empty();
                        if followed { Vec::new() } else { held.take().into_iter().collect() }
                    }
                };
            }
            Fault::Repeats if numbered => out = vec![frame.clone(), frame],
            Fault::NoGoodbye if message["type"] == "close" => out = Vec::new(),
            Fault::Hoards if message["type"] == "read" => out = held.replace(frame).into_iter().collect(),
            _ => {}
        }
        for frame in out {
            if to.send(frame).await.is_err() {
                return;
            }
        }
    }
}

/// What the stub hears, changed.
async fn inward(fault: Fault, mut from: mpsc::Receiver<Bytes>, to: mpsc::Sender<Bytes>) {
    while let Some(frame) = from.recv().await {
        let mut frame = frame;
        if let Ok(mut message) = serde_json::from_slice::<Value>(&frame) {
            if fault == Fault::AnyTokenWillDo && message["body"]["code"] == 500 {
                message["body"] = json!({"code": 200});
                frame = message.to_string().into();
            }
            if fault == Fault::HandsOnAsItCame && message["type"] == "event" {
                message["body"]["via"] = json!(["hyperty-runtime://elsewhere.example/protostub/1"]);
                frame = message.to_string().into();
            }
        }
        if to.send(frame).await.is_err() {
            return;
        }
    }
}

#[test]
fn each_fault_of_a_protostub_is_caught() {
    for (fault, invariant) in [
        (Fault::AlwaysLive, "INV-SES-3"),
        (Fault::NoReplay, "INV-SES-1"),
        (Fault::ForgetsTheToken, "INV-SES-1"),
        (Fault::AnyTokenWillDo, "INV-SES-2"),
        (Fault::LosesWhatWaits, "10.3"),
        (Fault::Reorders, "10.3"),
        (Fault::Repeats, "10.3"),
        (Fault::NoGoodbye, "5.15/close"),
        (Fault::HandsOnAsItCame, "INV-MSG-4"),
        (Fault::TrustsSilence, "5.15/silence"),
        (Fault::Hoards, "10.3"),
    ] {
        caught(&format!("{fault:?}"), invariant, &protostub::run(&Broken(fault)));
    }
}

/// A subject that says that less may wait than does.
struct Boasts;

impl Subject for Boasts {
    fn capabilities(&self) -> Capabilities {
        Capabilities { queue: Some(ours::QUEUE / 2), ..SessionOverChannels::default().capabilities() }
    }

    fn start(&self, replay: Arc<dyn Replay>) -> Rig {
        SessionOverChannels::default().start(replay)
    }
}

#[test]
fn a_queue_beyond_its_limit_is_caught() {
    caught("Boasts", "INV-EXT-4", &protostub::run(&Boasts));
}

/// The ends of a rig are what anybody can build on.
#[test]
fn a_bridge_carries_both_ways() {
    let (End { mut from_stub, to_stub, .. }, stub_says, mut stub_hears, _) = ours::bridge();
    stub_says.try_send(Bytes::from_static(b"1")).unwrap();
    to_stub.try_send(Bytes::from_static(b"2")).unwrap();
    assert_eq!(from_stub.try_recv().unwrap(), "1");
    assert_eq!(stub_hears.try_recv().unwrap(), "2");
}
