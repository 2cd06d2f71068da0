//! The transport between processes: one JSON message per WebSocket text frame (protocol 5.15), plain or over TLS.

mod tls;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::stream::SplitSink;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message as Frame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::transport::{ConnectError, Connection, Connector, Incoming, Outgoing, TransportError};

pub use tls::{TlsClient, TlsClientError};

/// Silence after which the node is asked by a ping; with [`SILENT_INTERVALS_MAX`](crate::SILENT_INTERVALS_MAX)
/// a half-open socket is found 30 to 40 s after the last frame.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Connects to a message node by WebSocket.
#[derive(Debug, Clone)]
pub struct WebSocketConnector {
    url: String,
    frame_bytes_max: usize,
    ping_interval: Duration,
    tls: Option<TlsClient>,
}

impl WebSocketConnector {
    /// For the node at `url`, for instance `ws://127.0.0.1:9090/ws` or `wss://node.example.com/ws`. The address is
    /// checked when it is used; certificates are, against the system's roots unless told otherwise.
    pub fn new(url: impl Into<String>) -> WebSocketConnector {
        WebSocketConnector {
            url: url.into(),
            frame_bytes_max: hyperty_model::message::MESSAGE_BYTES_MAX,
            ping_interval: PING_INTERVAL,
            tls: None,
        }
    }

    /// Trusts what `tls` says instead of the system's roots.
    #[must_use]
    pub fn tls(self, tls: TlsClient) -> WebSocketConnector {
        WebSocketConnector { tls: Some(tls), ..self }
    }

    /// Ends connections on which a longer frame arrives.
    #[must_use]
    pub fn frame_bytes_max(self, bytes: usize) -> WebSocketConnector {
        WebSocketConnector { frame_bytes_max: bytes, ..self }
    }

    /// Asks after another time of silence.
    #[must_use]
    pub fn ping_interval(self, interval: Duration) -> WebSocketConnector {
        WebSocketConnector { ping_interval: interval, ..self }
    }

    async fn open(&self) -> Result<Connection, ConnectError> {
        let request = self.url.as_str().into_client_request().map_err(|error| self.connect_error(error))?;
        let (host, port, secure) = self.target(request.uri())?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let unreachable = |error: std::io::Error| ConnectError::Unreachable(error.to_string());
        let socket = TcpStream::connect((bare, port)).await.map_err(unreachable)?;
        // Frames are coalesced here: the kernel must not hold them back as well.
        socket.set_nodelay(true).map_err(unreachable)?;
        if secure {
            let tls = match &self.tls {
                Some(tls) => tls.clone(),
                None => TlsClient::system().map_err(|error| ConnectError::Handshake(error.to_string()))?,
            };
            let socket = tls.connect(bare, socket).await?;
            self.greet(request, socket).await
        } else {
            self.greet(request, socket).await
        }
    }

    /// Host, port, and whether by TLS.
    fn target<'a>(&self, uri: &'a Uri) -> Result<(&'a str, u16, bool), ConnectError> {
        let wrong =
            |reason: &str| ConnectError::Address { address: self.url.clone(), reason: reason.to_owned() };
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(wrong("it must start with ws:// or wss://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        Ok((host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 }), secure))
    }

    /// Makes a WebSocket of a connection, plain or TLS: each is a type of its own.
    async fn greet<S>(&self, request: Request, socket: S) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limit = Some(self.frame_bytes_max);
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let connected = client_async_with_config(request, socket, Some(config)).await;
        let (socket, _) = connected.map_err(|error| self.connect_error(error))?;
        let (outgoing, incoming) = socket.split();
        Ok(Connection {
            outgoing: Box::pin(SocketSink(outgoing)),
            incoming: Box::pin(incoming.map(|frame| incoming_frame(frame.map_err(transport_error)?))),
            keep_alive: Some(self.ping_interval),
        })
    }

    fn connect_error(&self, error: Error) -> ConnectError {
        match error {
            Error::Url(_) | Error::HttpFormat(_) => {
                ConnectError::Address { address: self.url.clone(), reason: error.to_string() }
            }
            Error::Io(error) => ConnectError::Unreachable(error.to_string()),
            other => ConnectError::Handshake(other.to_string()),
        }
    }
}

impl Connector for WebSocketConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        Box::pin(self.open())
    }
}

/// The sending half; what it is fed stays in the socket's buffer until that is large or flushed.
struct SocketSink<S>(SplitSink<WebSocketStream<S>, Frame>);

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Outgoing> for SocketSink<S> {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.poll_ready_unpin(cx).map_err(transport_error)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Outgoing) -> Result<(), TransportError> {
        self.0.start_send_unpin(outgoing_frame(item)?).map_err(transport_error)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.poll_flush_unpin(cx).map_err(transport_error)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.poll_close_unpin(cx).map_err(transport_error)
    }
}

fn outgoing_frame(item: Outgoing) -> Result<Frame, TransportError> {
    match item {
        Outgoing::Frame(bytes) => Utf8Bytes::try_from(bytes)
            .map(Frame::Text)
            .map_err(|_| TransportError::Protocol("an outgoing frame is not UTF-8".to_owned())),
        Outgoing::Ping => Ok(Frame::Ping(Bytes::new())),
    }
}

fn incoming_frame(frame: Frame) -> Result<Incoming, TransportError> {
    Ok(match frame {
        Frame::Text(text) => Incoming::Frame(text.into()),
        // A node that sends binary frames sends the same JSON in them; what is no message is refused later.
        Frame::Binary(bytes) => Incoming::Frame(bytes),
        Frame::Close(Some(close)) if matches!(close.code, CloseCode::Away | CloseCode::Restart) => {
            return Err(TransportError::GoingAway);
        }
        _ => Incoming::Alive,
    })
}

fn transport_error(error: Error) -> TransportError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => TransportError::Closed,
        Error::Capacity(error) => TransportError::TooLong(error.to_string()),
        Error::Io(error) => TransportError::Io(error.to_string()),
        other => TransportError::Protocol(other.to_string()),
    }
}
