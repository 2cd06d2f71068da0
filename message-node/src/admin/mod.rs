//! What an operator, a load balancer and Prometheus ask over HTTP, of a message node or of anything else that runs
//! for long.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 `ok` for as long as the process answers at all |
//! | `/readyz` | 200 if new work is welcome, else 503; JSON with the reasons |
//! | `/metrics` | the text format of OpenMetrics |
//! | `/status` | how it is, as JSON |
//!
//! The last two tell who is connected and how much is going on: they are answered to callers on the same machine
//! only, unless an address of its own is given to them ([`serve_admin`]). They are never told to who comes through a
//! proxy on the same machine.

mod client;
mod node;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, FORWARDED, HeaderName};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;

pub use client::{GetError, get as http_get};

use crate::status::Readiness;

/// The media type of the text format of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Set by proxies, each in its own way, to say for whom they ask.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What can be asked how it is.
pub trait Administered: Send + Sync + 'static {
    /// Its metrics, in the text format of OpenMetrics.
    fn metrics(&self) -> String;
    /// Whether it takes new work.
    fn readiness(&self) -> Readiness;
    /// How it is, as JSON.
    fn status(&self) -> Value;
}

/// Serves the pages of `subject` on `listener`, to everybody who can reach it, until `shutdown` completes.
///
/// # Errors
/// When the listener fails.
pub async fn serve_admin(
    subject: Arc<dyn Administered>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let pages = health(Arc::clone(&subject)).merge(private(subject));
    axum::serve(listener, pages).with_graceful_shutdown(shutdown).await
}

/// Pages that anybody may see.
pub(crate) fn health(subject: Arc<dyn Administered>) -> Router {
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(readyz)).with_state(subject)
}

/// Pages for operators.
fn private(subject: Arc<dyn Administered>) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/status", get(status)).with_state(subject)
}

/// Pages for operators, for callers on the same machine only.
pub(crate) fn private_to_this_machine(subject: Arc<dyn Administered>) -> Router {
    private(subject).route_layer(from_fn(only_from_this_machine))
}

async fn readyz(State(subject): State<Arc<dyn Administered>>) -> Response {
    let readiness = subject.readiness();
    let code = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::NotReady { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, &serde_json::to_value(readiness).unwrap_or_default())
}

async fn metrics(State(subject): State<Arc<dyn Administered>>) -> Response {
    ([(CONTENT_TYPE, OPEN_METRICS)], subject.metrics()).into_response()
}

async fn status(State(subject): State<Arc<dyn Administered>>) -> Response {
    json(StatusCode::OK, &subject.status())
}

fn json(code: StatusCode, body: &Value) -> Response {
    (code, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn only_from_this_machine(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let through_a_proxy =
        [FORWARDED, FORWARDED_FOR].iter().any(|header| request.headers().contains_key(header));
    if peer.ip().to_canonical().is_loopback() && !through_a_proxy {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "for callers on this machine only; see --admin\n").into_response()
}
