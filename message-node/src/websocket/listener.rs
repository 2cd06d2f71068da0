//! The HTTP side: `/ws` for runtimes, and the pages of [`admin`](crate::admin) for whoever looks after the node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection;
use crate::admin;
use crate::config::AdminPages;
use crate::node::MessageNode;

/// How much longer than the message limit a WebSocket message may be and still be answered: beyond it nobody knows
/// what was meant, and the connection is closed with 1009.
const OVERSIZE_BYTES: usize = 1024 * 1024;

/// Serves the node on `listener` until `shutdown` completes; then [drains](MessageNode::drain) it: what is under way
/// is answered, and the connections are closed with code 1012.
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
    let mut app = Router::new()
        .route("/ws", get(upgrade))
        .with_state(node.clone())
        .merge(admin::health(Arc::new(node.clone())));
    if node.config().admin == AdminPages::ThisMachine {
        app = app.merge(admin::private_to_this_machine(Arc::new(node.clone())));
    }
    let draining = node.clone();
    let stopped = async move {
        shutdown.await;
        draining.begin_drain();
    };
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(stopped);
    let limit = node.config().timers.drain;
    let served = async {
        let served = tokio::select! {
            biased;
            served = serving => served,
            // Somebody who began a request and does not end it is not waited for.
            () = async { node.core().draining().await; sleep(limit).await } => Ok(()),
        };
        node.begin_drain();
        served
    };
    let drained = async {
        node.core().draining().await;
        if !node.drain(limit).await {
            tracing::warn!(connections = node.links(), "stopped with something under way");
        }
    };
    tokio::join!(served, drained).0
}

async fn upgrade(State(node): State<MessageNode>, mut request: Request) -> Response {
    let accept = match accept_key(request.headers()) {
        Ok(accept) => accept,
        Err(refusal) => return refusal.into_response(),
    };
    let link = match node.attach() {
        Ok(link) => link,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let timers = node.config().timers;
    let len_max = node.config().limits.message.bytes.saturating_add(OVERSIZE_BYTES);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        match downcast::<TokioIo<TcpStream>>(upgraded) {
            // The socket itself, without the layers of the HTTP server around it.
            Ok(parts) => connection::run(parts.io.into_inner(), parts.read_buf, link, timers, len_max).await,
            Err(upgraded) => {
                connection::run(TokioIo::new(upgraded), Bytes::new(), link, timers, len_max).await
            }
        }
    });
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// Why a request gets no WebSocket.
enum NoUpgrade {
    NotAsked,
    Version,
    Key,
}

impl IntoResponse for NoUpgrade {
    fn into_response(self) -> Response {
        match self {
            NoUpgrade::NotAsked => {
                (StatusCode::BAD_REQUEST, "this address takes WebSocket upgrades only").into_response()
            }
            NoUpgrade::Version => {
                let version = [(SEC_WEBSOCKET_VERSION, "13")];
                (StatusCode::UPGRADE_REQUIRED, version, "WebSocket version 13 only").into_response()
            }
            NoUpgrade::Key => (StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing").into_response(),
        }
    }
}

/// Checks that a request asks for a WebSocket; the answer to its key.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, NoUpgrade> {
    if !has_token(headers, CONNECTION, "upgrade") || !has_token(headers, UPGRADE, "websocket") {
        return Err(NoUpgrade::NotAsked);
    }
    if !has_token(headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err(NoUpgrade::Version);
    }
    let accept = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    accept.and_then(|accept| HeaderValue::try_from(accept).ok()).ok_or(NoUpgrade::Key)
}

/// Whether a header's comma-separated list has a token, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
