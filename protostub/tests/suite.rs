//! The protostubs through the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyperty_conformance::suites::protostub::ours::{InMemoryPair, QUEUE, SessionOverChannels};
use hyperty_conformance::suites::protostub::{self, Capabilities};

#[test]
fn a_session_over_channels_passes_the_suite() {
    protostub::run(&SessionOverChannels::default()).assert_passed();
}

#[test]
fn a_session_over_channels_with_pings_passes_the_suite() {
    let subject = SessionOverChannels { keep_alive: Some(Duration::from_secs(10)) };
    protostub::run(&subject).assert_passed();
}

#[test]
fn a_pair_in_memory_passes_the_suite() {
    protostub::run(&InMemoryPair).assert_passed();
}

#[cfg(feature = "websocket")]
mod websocket {
    use futures_util::{SinkExt, StreamExt};
    use hyperty_conformance::suites::Time;
    use hyperty_conformance::suites::protostub::{End, Rig, Subject, ours};
    use hyperty_message_bus::Replay;
    use hyperty_protostub::{SILENT_INTERVALS_MAX, WebSocketConnector};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio_tungstenite::tungstenite::Message as Frame;

    use super::*;

    const PING_INTERVAL: Duration = Duration::from_millis(100);

    /// A session over sockets of this machine.
    struct SessionOverWebSocket;

    impl Subject for SessionOverWebSocket {
        fn capabilities(&self) -> Capabilities {
            let silence = Some(PING_INTERVAL * (SILENT_INTERVALS_MAX + 1));
            Capabilities { sessions: true, queue: Some(QUEUE), silence, time: Time::Real }
        }

        fn start(&self, replay: Arc<dyn Replay>) -> Rig {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = format!("ws://{}/ws", listener.local_addr().unwrap());
            let (sender, connections) = mpsc::unbounded_channel();
            let accepting = tokio::spawn(accept(TcpListener::from_std(listener).unwrap(), sender));
            let connector = WebSocketConnector::new(address).ping_interval(PING_INTERVAL);
            ours::session(Arc::new(connector), connections, replay, Box::new(accepting))
        }
    }

    async fn accept(listener: TcpListener, connections: mpsc::UnboundedSender<End>) {
        while let Ok((stream, _)) = listener.accept().await {
            let (end, from_stub, to_stub, silent) = ours::bridge();
            tokio::spawn(async move {
                let _ = carry(stream, from_stub, to_stub, silent).await;
            });
            if connections.send(end).is_err() {
                return;
            }
        }
    }

    /// Until either side is gone; `None` then.
    async fn carry(
        stream: TcpStream,
        from_stub: mpsc::Sender<Bytes>,
        mut to_stub: mpsc::Receiver<Bytes>,
        silent: Arc<AtomicBool>,
    ) -> Option<()> {
        let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
        loop {
            if silent.load(Ordering::SeqCst) {
                // Open, but nothing moves.
                from_stub.closed().await;
                return None;
            }
            tokio::select! {
                biased;
                frame = to_stub.recv() => {
                    let text = String::from_utf8_lossy(&frame?).into_owned();
                    socket.send(Frame::text(text)).await.ok()?;
                }
                frame = socket.next() => match frame?.ok()? {
                    Frame::Text(text) => from_stub.send(text.into()).await.ok()?,
                    Frame::Close(_) => return None,
                    _ => {}
                },
            }
        }
    }

    #[test]
    fn a_session_over_websocket_passes_the_suite() {
        protostub::run(&SessionOverWebSocket).assert_passed();
    }
}
