//! How a runtime is, for whoever looks after it.

use hyperty_message_bus::{Protostub, StubStatus};
use hyperty_protostub::{SessionStub, StubCounters};
use hyperty_storage::StorageError;

use crate::runtime::Runtime;

/// What [`Runtime::health`] tells.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeHealth {
    /// Its sessions with message nodes, in the order in which the nodes were given.
    pub sessions: Vec<SessionHealth>,
    /// Why its store stores nothing any more, if so.
    pub store_failed: Option<StorageError>,
}

/// One session with a message node.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionHealth {
    /// The domain of the node.
    pub domain: String,
    /// Its state.
    pub status: StubStatus,
    /// Why it is not live, if it is not.
    pub error: Option<String>,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// What was counted.
    pub counters: StubCounters,
}

impl RuntimeHealth {
    /// Why the runtime is of no use to others at the moment; empty if it is.
    pub fn reasons(&self) -> Vec<String> {
        let store = self.store_failed.iter().map(|error| format!("store failed: {error}"));
        let away = self.sessions.iter().filter(|session| session.status != StubStatus::Live);
        let away = away.map(|session| match &session.error {
            Some(error) => format!("no session at {}: {error}", session.domain),
            None => format!("no session at {}", session.domain),
        });
        store.chain(away).collect()
    }
}

impl Runtime {
    /// How its sessions and its store are.
    pub fn health(&self) -> RuntimeHealth {
        let of = |stub: &SessionStub| SessionHealth {
            domain: stub.domain().to_owned(),
            status: stub.status(),
            error: stub.last_error().map(|error| error.to_string()),
            queued: stub.queued(),
            counters: stub.counters(),
        };
        let store_failed = self.inner.tables.progress().borrow().failed.clone();
        RuntimeHealth { sessions: self.inner.stubs.iter().map(|stub| of(stub)).collect(), store_failed }
    }
}
