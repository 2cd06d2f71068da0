//! Sockets: plain or TLS, each for a while in the hands of the HTTP server.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::admission::UNADMITTED_BYTES_MAX;
use crate::node::MessageNode;
use crate::tls::TlsServer;

/// How long to wait when the system has no socket to give: it has one when another is closed.
const NO_SOCKET_WAIT: Duration = Duration::from_secs(1);

/// How connections are taken.
pub(super) struct Acceptance {
    /// Whose connections they are.
    pub(super) node: MessageNode,
    /// What is served.
    pub(super) app: Router,
    /// By TLS, if so.
    pub(super) tls: Option<TlsServer>,
    /// How long a client may take for the handshake, and for its request.
    pub(super) wait: Duration,
    /// How many connections may be at that at a time.
    pub(super) at_once: usize,
}

impl Acceptance {
    /// Takes connections until the node drains, then waits until those that were taken are answered.
    pub(super) async fn run(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.at_once.min(Semaphore::MAX_PERMITS)));
        let shared = Arc::new(self);
        let mut stopped = pin!(shared.node.core().draining());
        let mut taken = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(_) = taken.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // No place: who connects sees the connection closed, and comes back later.
                Ok((socket, peer)) => {
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        taken.spawn(Arc::clone(&shared).take(socket, peer, place));
                    }
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(NO_SOCKET_WAIT).await;
                }
            }
        }
        drop(listener);
        while taken.join_next().await.is_some() {}
    }

    async fn take(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        // Messages are small and awaited: no waiting for more to send along, we gather ourselves.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            return self.answer(TokioIo::new(socket), peer, place).await;
        };
        match timeout(self.wait, tls.accept(socket)).await {
            Ok(Ok(socket)) => self.answer(TokioIo::new(socket), peer, place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
            Err(_) => tracing::debug!(%peer, "no TLS in time"),
        }
    }

    /// Answers requests until there are no more, or the connection becomes a WebSocket and goes its own way.
    async fn answer<S>(&self, socket: S, peer: SocketAddr, _place: OwnedSemaphorePermit)
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let app = TowerToHyperService::new(self.app.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.wait).max_buf_size(UNADMITTED_BYTES_MAX);
        let mut connection = pin!(http.serve_connection(socket, service).with_upgrades());
        let served = tokio::select! {
            biased;
            served = connection.as_mut() => served,
            () = self.node.core().draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "connection failed");
        }
    }
}

/// Whether only the connection that was to be accepted is concerned.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
