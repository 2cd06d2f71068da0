//! What is held when nothing goes on: it comes back to that, or there is a leak (I10).

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::Soak;
use super::host::GRACE;

/// Memory may grow by half and by this: allocators keep what they had at the busiest moment, and threads have pools of
/// their own.
const MEMORY_SLACK: u64 = 64 * 1024 * 1024;

/// How long counts may take to come to rest, beyond the grace of lost sessions.
const REST_MAX: Duration = Duration::from_secs(10);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(250);

/// Counts of what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    sessions: usize,
    routes: usize,
    bound: usize,
    connections: usize,
    queued: usize,
    node_tasks: usize,
    tasks: usize,
    memory_bytes: u64,
}

impl Held {
    /// Counts once all that is on its way out is gone: sessions that were lost have their grace, then two looks must
    /// show the same.
    pub(super) async fn settled(soak: &Soak) -> Held {
        sleep(GRACE + LOOK).await;
        let mut before = Held::now(soak);
        for _ in 0..REST_MAX.as_millis() / LOOK.as_millis() {
            sleep(LOOK).await;
            let now = Held::now(soak);
            let rests = Held { memory_bytes: now.memory_bytes, ..before.clone() } == now;
            before = now;
            if rests {
                break;
            }
        }
        before
    }

    fn now(soak: &Soak) -> Held {
        let (stats, node_tasks) = soak.host.stats().unwrap_or_default();
        Held {
            sessions: stats.sessions,
            routes: stats.routes,
            bound: stats.bound,
            connections: stats.connections,
            queued: stats.queued,
            node_tasks,
            tasks: Handle::current().metrics().num_alive_tasks(),
            memory_bytes: resident_bytes(),
        }
    }

    /// What is held beyond `before`.
    pub(super) fn beyond(&self, before: &Held) -> Vec<String> {
        let counts = [
            ("sessions", self.sessions, before.sessions),
            ("routes", self.routes, before.routes),
            // Bound by use, so not all of them always: a runtime, its stub and its hyperty.
            ("addresses bound", self.bound, before.bound.max(3 * before.sessions)),
            ("connections", self.connections, before.connections),
            ("messages queued", self.queued, before.queued),
            ("tasks of the node", self.node_tasks, before.node_tasks),
            ("tasks", self.tasks, before.tasks),
        ];
        let mut leaks: Vec<_> = counts
            .into_iter()
            .filter(|(_, now, before)| now > before)
            .map(|(what, now, before)| format!("{now} {what} are left, {before} were there before"))
            .collect();
        if self.memory_bytes > before.memory_bytes + before.memory_bytes / 2 + MEMORY_SLACK {
            leaks.push(format!(
                "{} bytes are resident, {} were before",
                self.memory_bytes, before.memory_bytes
            ));
        }
        leaks
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "sessions": self.sessions, "routes": self.routes, "bound": self.bound, "connections": self.connections,
            "queued": self.queued, "nodeTasks": self.node_tasks, "tasks": self.tasks, "memoryBytes": self.memory_bytes,
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sessions, {} routes, {} bound, {} connections, {} queued, {}+{} tasks, {} MiB",
            self.sessions,
            self.routes,
            self.bound,
            self.connections,
            self.queued,
            self.node_tasks,
            self.tasks,
            self.memory_bytes / (1024 * 1024)
        )
    }
}

/// The memory of this process; 0 where the system does not tell.
pub(super) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
