//! What a node tells Prometheus, in the text format of OpenMetrics.
//!
//! Totals are the relaxed counters of [`Stats`], which are counted anyway; gauges are looked at when somebody asks.
//! Only the latencies of the node's own services are recorded on the way. No label holds an address: the number of
//! series does not grow with what the node serves.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::node::MessageNode;
use crate::status::Readiness;

/// Seconds, from a request that needs no disk to one that waits for a disk in trouble.
const BUCKETS: [f64; 11] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// A service that the node itself answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Subscriptions,
    Allocation,
    Registry,
    Catalogue,
    Backup,
    Admission,
}

/// The one label there is, and its value.
type OfService = [(&'static str, &'static str); 1];

/// When which service was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    service: Service,
    at: Instant,
}

impl Asked {
    pub(crate) fn now(service: Service) -> Asked {
        Asked { service, at: Instant::now() }
    }
}

/// How long the node's own services took to answer, the wait for the store included.
#[derive(Debug)]
pub(crate) struct Latencies {
    all: Family<OfService, Histogram, fn() -> Histogram>,
    subscriptions: Histogram,
    allocation: Histogram,
    registry: Histogram,
    catalogue: Histogram,
    backup: Histogram,
    admission: Histogram,
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        let all = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let of = |service| Histogram::clone(&all.get_or_create(&[("service", service)]));
        Latencies {
            subscriptions: of("subscriptions"),
            allocation: of("allocation"),
            registry: of("registry"),
            catalogue: of("catalogue"),
            backup: of("backup"),
            admission: of("admission"),
            all,
        }
    }

    pub(crate) fn observe(&self, asked: Asked) {
        let of = match asked.service {
            Service::Subscriptions => &self.subscriptions,
            Service::Allocation => &self.allocation,
            Service::Registry => &self.registry,
            Service::Catalogue => &self.catalogue,
            Service::Backup => &self.backup,
            Service::Admission => &self.admission,
        };
        of.observe(asked.at.elapsed().as_secs_f64());
    }
}

impl MessageNode {
    /// The node's metrics in the text format of OpenMetrics, as `GET /metrics` gives them.
    pub fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("hyperty");
        self.describe(&mut registry);
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn describe(&self, registry: &mut Registry) {
        let stats = self.stats();
        let gauges = [
            ("sessions", "Sessions, live and graced", stats.sessions),
            ("sessions_live", "Sessions that a connection serves", stats.live),
            ("connections", "Connections, with a session or without", stats.connections),
            ("routes", "Addresses that somebody listens to", stats.routes),
            (
                "addresses_bound",
                "Addresses of runtimes, stubs and hyperties that belong to a session",
                stats.bound,
            ),
            ("queue_messages", "Messages that wait for sessions to take them", stats.queued),
            ("queue_bytes", "Bytes that wait for sessions to take them", stats.queued_bytes),
            ("backup_records", "Records kept for the devices of users", stats.backups),
            (
                "backup_bytes",
                "Bytes of the records kept for the devices of users",
                usize::try_from(stats.backup_bytes).unwrap_or(usize::MAX),
            ),
            ("answers_pending", "Answers that wait for the store", stats.pending),
            (
                "store_failed",
                "Whether the node's store has failed",
                usize::from(self.store_failure().is_some()),
            ),
            ("ready", "Whether the node takes runtimes", usize::from(self.readiness() == Readiness::Ready)),
        ];
        for (name, help, value) in gauges {
            registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        registry.register(
            "uptime_seconds",
            "Since the node was started",
            ConstGauge::new(self.uptime().as_secs_f64()),
        );
        let totals = [
            ("frames_received", "Frames that came in", stats.received),
            ("deliveries", "Copies queued for sessions, the node's own answers apart", stats.delivered),
            (
                "conflations",
                "Updates that made room for newer ones in a slow session's queue",
                stats.conflated,
            ),
            ("refused", "Messages that the node refused", stats.refused),
            ("unrouted", "Messages that nobody listened to", stats.unrouted),
            ("looped", "Copies dropped because they had been where they were going", stats.looped),
            (
                "queue_overflows",
                "Queues given up because requests and responses filled them",
                stats.overflowed,
            ),
            ("sessions_opened", "Sessions opened", stats.opened),
            ("reconnects", "Sessions taken up again after their connection was lost", stats.reopened),
            ("connections_lost", "Connections of sessions lost without a goodbye", stats.lost),
            ("sessions_ended", "Sessions that ended", stats.ended),
            (
                "sessions_refused",
                "Sessions not opened because their token did not admit them",
                stats.not_admitted,
            ),
            ("backups", "Records saved for the devices of users", stats.backed_up),
            ("repairs", "Reads and subscriptions seen that told a position to repair from", stats.repairs),
        ];
        for (name, help, value) in totals {
            registry.register(name, help, ConstCounter::new(value));
        }
        let help = "Time until the node's own services answered, the wait for the store included";
        registry.register("request_seconds", help, self.latencies().all.clone());
    }
}
