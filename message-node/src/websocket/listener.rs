//! The HTTP side: `/ws` for runtimes, and the pages of [`admin`](crate::admin) for whoever looks after the node.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::accept::Acceptance;
use super::connection;
use crate::admin;
use crate::admission::AdmissionConfig;
use crate::config::{AdminPages, NodeConfig};
use crate::node::{AttachError, MessageNode};
use crate::tls::TlsServer;

/// How much longer than the message limit a WebSocket message may be and still be answered: beyond it nobody knows
/// what was meant, and the connection is closed with 1009.
const OVERSIZE_BYTES: usize = 1024 * 1024;

/// Serves the node on `listener` until `shutdown` completes; then [drains](MessageNode::drain) it: what is under way
/// is answered, and the connections are closed with code 1012.
///
/// # Errors
/// When the node would admit everybody ([`AdmissionConfig::Loopback`]) at an address that others than this machine
/// reach.
pub async fn serve(
    node: MessageNode,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_with(node, listener, None, shutdown).await
}

/// As [`serve`], by TLS.
///
/// # Errors
/// As for [`serve`].
pub async fn serve_tls(
    node: MessageNode,
    listener: TcpListener,
    tls: TlsServer,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_with(node, listener, Some(tls), shutdown).await
}

async fn serve_with(
    node: MessageNode,
    listener: TcpListener,
    tls: Option<TlsServer>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    check_exposure(&node, &listener)?;
    let mut app = Router::new()
        .route("/ws", get(upgrade))
        .with_state(node.clone())
        .merge(admin::health(Arc::new(node.clone())));
    if node.config().admin == AdminPages::ThisMachine {
        app = app.merge(admin::private_to_this_machine(Arc::new(node.clone())));
    }
    let NodeConfig { timers, limits, .. } = node.config();
    let limit = timers.drain;
    let acceptance =
        Acceptance { node: node.clone(), app, tls, wait: timers.open, at_once: limits.unadmitted_links };
    let stopped = async {
        tokio::select! {
            biased;
            () = shutdown => node.begin_drain(),
            // Stopped by somebody else.
            () = node.core().draining() => {}
        }
    };
    let served = async {
        tokio::select! {
            biased;
            () = acceptance.run(listener) => {}
            // Somebody who began a request and does not end it is not waited for.
            () = async { node.core().draining().await; sleep(limit).await } => {}
        }
    };
    let drained = async {
        node.core().draining().await;
        if !node.drain(limit).await {
            tracing::warn!(connections = node.links(), "stopped with something under way");
        }
    };
    tokio::join!(stopped, served, drained);
    Ok(())
}

/// A node that admits whoever comes is not to be reached by everybody without anybody having said so.
fn check_exposure(node: &MessageNode, listener: &TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    if matches!(node.config().admission, AdmissionConfig::Loopback)
        && !address.ip().to_canonical().is_loopback()
    {
        let text =
            format!("{address} is reached by others than this machine, and the node would admit everybody");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

async fn upgrade(State(node): State<MessageNode>, mut request: Request) -> Response {
    let accept = match accept_key(request.headers()) {
        Ok(accept) => accept,
        Err(refusal) => return refusal.into_response(),
    };
    let caller = request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
    let link = match caller.map_or_else(|| node.attach(), |caller| node.attach_from(caller)) {
        Ok(link) => link,
        Err(AttachError::TooFast(wait)) => {
            let after = [(RETRY_AFTER, wait.as_secs_f64().ceil().to_string())];
            let text = "too many connections from this address";
            return (StatusCode::TOO_MANY_REQUESTS, after, text).into_response();
        }
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let timers = node.config().timers;
    let len_max = node.config().limits.message.bytes.saturating_add(OVERSIZE_BYTES);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // The socket itself, without the layers of the HTTP server around it; plain or TLS, each as its own type.
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => connection::run(parts.io.into_inner(), parts.read_buf, link, timers, len_max).await,
            Err(upgraded) => match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
                Ok(parts) => {
                    connection::run(parts.io.into_inner(), parts.read_buf, link, timers, len_max).await;
                }
                Err(upgraded) => {
                    connection::run(TokioIo::new(upgraded), Bytes::new(), link, timers, len_max).await;
                }
            },
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
