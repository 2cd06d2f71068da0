//! A runtime of a command as something that can be asked how it is: the same pages as a node's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyperty_message_node::Readiness;
use hyperty_message_node::admin::{Administered, serve_admin};
use hyperty_runtime::{Runtime, StubStatus, SyncStats};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::exit::Failure;

/// The pages of a runtime, served until this is dropped.
pub(crate) struct AdminPages {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl AdminPages {
    /// Serves the pages of `runtime` at `address`.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(crate) async fn serve(runtime: &Runtime, address: SocketAddr) -> Result<AdminPages, Failure> {
        let (listener, address) = bind(address).await?;
        let subject = Arc::new(Asked { runtime: runtime.clone(), started: Instant::now() });
        let task = tokio::spawn(async move {
            if let Err(error) = serve_admin(subject, listener, std::future::pending()).await {
                tracing::error!(%error, "the pages for operators are not served any more");
            }
        });
        Ok(AdminPages { address, task })
    }

    /// Where they are.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for AdminPages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener, and where it is.
///
/// # Errors
/// When the address cannot be used.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let cannot = |error| Failure::error(format_args!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

struct Asked {
    runtime: Runtime,
    started: Instant,
}

impl Administered for Asked {
    fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("hyperty");
        for (name, help, value) in gauges(&self.runtime) {
            registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        let uptime = ConstGauge::new(self.started.elapsed().as_secs_f64());
        registry.register("uptime_seconds", "Since the command was started", uptime);
        for (name, help, value) in totals(&self.runtime) {
            registry.register(name, help, ConstCounter::new(value));
        }
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn readiness(&self) -> Readiness {
        let reasons = self.runtime.health().reasons();
        if reasons.is_empty() { Readiness::Ready } else { Readiness::NotReady { reasons } }
    }

    fn status(&self) -> Value {
        let health = self.runtime.health();
        let sessions: Vec<_> = health
            .sessions
            .iter()
            .map(|session| {
                json!({"domain": session.domain, "status": session.status.as_str(), "error": session.error,
                       "queued": session.queued, "sent": session.counters.sent, "received": session.counters.received})
            })
            .collect();
        let number = |(name, _, value): &(&str, &str, u64)| ((*name).to_owned(), json!(value));
        let numbers = gauges(&self.runtime).iter().chain(&totals(&self.runtime)).map(number).collect();
        json!({
            "runtime": self.runtime.url(),
            "uptimeSeconds": self.started.elapsed().as_secs_f64(),
            "readiness": Administered::readiness(self),
            "store": {"failed": health.store_failed.map(|error| error.to_string())},
            "sessions": sessions,
            "stats": Value::Object(numbers),
        })
    }
}

type Number = (&'static str, &'static str, u64);

fn gauges(runtime: &Runtime) -> Vec<Number> {
    let (health, stats) = (runtime.health(), runtime.stats());
    let live = health.sessions.iter().filter(|session| session.status == StubStatus::Live).count();
    let queued: usize = health.sessions.iter().map(|session| session.queued).sum();
    let ready = health.reasons().is_empty();
    vec![
        ("ready", "Whether others can reach the runtime and its store works", u64::from(ready)),
        ("store_failed", "Whether the store has failed", u64::from(health.store_failed.is_some())),
        ("sessions_live", "Sessions with message nodes that are live", live as u64),
        ("queue_messages", "Messages that wait to be sent", queued as u64),
        ("objects_reported", "Objects reported", stats.reported as u64),
        ("objects_observed", "Objects observed that are reported elsewhere", stats.observed as u64),
    ]
}

fn totals(runtime: &Runtime) -> Vec<Number> {
    let health = runtime.health();
    let counted = health.sessions.iter().map(|session| session.counters);
    let sum =
        |of: fn(&hyperty_runtime::StubCounters) -> u64| counted.clone().map(|counters| of(&counters)).sum();
    let SyncStats {
        released,
        delivered,
        repairs_by_changes,
        repairs_by_snapshot,
        repairs_failed,
        divergences,
        answered_by_changes,
        answered_by_snapshot,
        epochs_raised,
        beats,
        observers_dropped,
        ..
    } = runtime.stats();
    vec![
        ("sent", "Messages handed to connections", sum(|counters| counters.sent)),
        ("received", "Messages that came in", sum(|counters| counters.received)),
        (
            "conflations",
            "Queued updates that newer ones replaced",
            sum(|counters| counters.superseded + counters.evicted),
        ),
        ("malformed", "Frames that were no message", sum(|counters| counters.malformed)),
        ("released", "Changes of reported objects released to observers", released),
        ("deliveries", "Changes of observed objects released to observers here", delivered),
        (
            "repairs_by_changes",
            "Copies brought up to date by the changes they had missed",
            repairs_by_changes,
        ),
        ("repairs_by_snapshot", "Copies replaced by a whole state", repairs_by_snapshot),
        ("repairs_failed", "Repairs not answered usefully, and tried again", repairs_failed),
        ("divergences", "Copies that differed from the Reporter's though no change was missing", divergences),
        ("answered_by_changes", "Repairs of others answered with changes", answered_by_changes),
        ("answered_by_snapshot", "Repairs of others answered with the whole state", answered_by_snapshot),
        (
            "epochs_raised",
            "Objects that go on in a new epoch because their history was broken",
            epochs_raised,
        ),
        ("beats", "Position beats sent", beats),
        ("observers_dropped", "Observers dropped because they were gone", observers_dropped),
    ]
}
