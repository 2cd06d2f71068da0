//! WebSocket connections: `/ws` for runtimes, `/healthz` for whoever looks after the node.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::channel::unopened;
use crate::config::NodeTimers;
use crate::link::Link;
use crate::node::MessageNode;
use crate::outbox::CloseReason;

/// What one read takes from a socket: dozens of short messages, and little enough for ten thousand idle sessions.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// What gathers before it is written, if more is ready: the system call is the cost, not the bytes.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// How much longer than the message limit a WebSocket message may be and still be answered: beyond it nobody knows
/// what was meant, and the connection is closed.
const OVERSIZE_BYTES: usize = 1024 * 1024;

/// After this many frames of one connection the others have their turn, so that what it published is written out
/// before more is read.
const FRAMES_PER_TURN: usize = 64;

/// How long a client has to take note that its connection is closed.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// How long connections have to end when the node stops.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Serves the node on `listener` until `shutdown` completes; then closes all connections with code 1001.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    node: MessageNode,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Messages are small and awaited: no waiting for more to send along, we gather ourselves.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let app = Router::new()
        .route("/ws", get(upgrade))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(node.clone());
    let stopping = node.clone();
    let stopped = async move {
        shutdown.await;
        stopping.stop();
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    if timeout(STOP_WAIT, node.deserted()).await.is_err() {
        tracing::warn!(connections = node.links(), "stopped with connections open");
    }
    Ok(())
}

async fn upgrade(State(node): State<MessageNode>, upgrade: WebSocketUpgrade) -> Response {
    let link = match node.attach() {
        Ok(link) => link,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let max = node.config().limits.message.bytes.saturating_add(OVERSIZE_BYTES);
    let timers = node.config().timers;
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(move |socket| connection(link, socket, timers))
}

/// One connection, from the upgrade to its end.
async fn connection(link: Link, socket: WebSocket, timers: NodeTimers) {
    let (mut sink, mut stream) = socket.split();
    let heard = Mutex::new(Instant::now());
    // Reading goes on while a write waits, and the other way round: two ends that both only write would never end.
    let reason = tokio::select! {
        biased;
        reason = link.stopped() => Some(reason),
        () = silent(&link, &heard, timers) => Some(CloseReason::Idle),
        () = write(&link, &mut sink, timers.ping) => None,
        () = read(&link, &mut stream, &heard) => None,
    };
    // The session is without a connection from now on, however long this one takes to end.
    drop(link);
    if let Some(reason) = reason {
        // A client that does not listen any more is not waited for.
        let _ = timeout(CLOSE_WAIT, say_goodbye(&mut sink, &mut stream, reason)).await;
    }
}

async fn read(link: &Link, stream: &mut SplitStream<WebSocket>, heard: &Mutex<Instant>) {
    let mut frames = 0;
    while let Some(message) = stream.next().await {
        *heard.lock() = Instant::now();
        match message {
            Ok(Message::Text(text)) => link.receive(Bytes::from(text)),
            Ok(Message::Binary(bytes)) => link.receive(bytes),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(_)) => return,
            Err(error) => {
                tracing::debug!(%error, "connection failed");
                return;
            }
        }
        frames += 1;
        if frames % FRAMES_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Writes whatever is ready in one go, and a ping now and then.
async fn write(link: &Link, sink: &mut SplitSink<WebSocket, Message>, ping: Duration) {
    let mut batch = Vec::new();
    let mut pings = interval_at(Instant::now() + ping, ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            ready = link.next_batch(&mut batch) => if ready.is_err() {
                // `stopped` says why.
                return std::future::pending().await;
            },
            _ = pings.tick() => if sink.feed(Message::Ping(Bytes::new())).await.is_err() {
                return;
            },
        }
        for item in batch.drain(..) {
            if sink.feed(Message::Text(item.text())).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
        if batch.capacity() > FRAMES_PER_TURN {
            batch = Vec::new();
        }
    }
}

/// Ends when the connection is as good as dead: no session in time, or nothing heard for too long.
async fn silent(link: &Link, heard: &Mutex<Instant>, timers: NodeTimers) {
    tokio::select! {
        biased;
        () = unopened(link, timers.open) => {}
        () = async {
            loop {
                let until = *heard.lock() + timers.idle;
                if Instant::now() >= until {
                    return;
                }
                sleep_until(until).await;
            }
        } => {}
    }
}

async fn say_goodbye(
    sink: &mut SplitSink<WebSocket, Message>,
    stream: &mut SplitStream<WebSocket>,
    reason: CloseReason,
) {
    let frame = CloseFrame { code: reason.code(), reason: reason.as_str().into() };
    if sink.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    // Until the client has answered: closing a socket with unread input would make it lose what was sent.
    while let Some(Ok(_)) = stream.next().await {}
}
