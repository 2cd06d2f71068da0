//! Our node, in this process.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyperty_message_node::admission::{AdmissionConfig, IssuerKey, TokenAdmission};
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{Clock, SeededIds, Timestamp};
use hyperty_protostub::{ChannelConnector, ConnectError, Connection, Connector};
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::NodeUnderTest;
use crate::protocol::{Capabilities, Capability, UnderTest};

/// Longest message of a node in process: small, so that a longer one is cheap to make.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A [`MessageNode`] over memory. It starts with its first connection, in the executor of that.
pub struct InProcessNode {
    config: NodeConfig,
    seed: u64,
    issuer: Option<IssuerKey>,
    state: Mutex<State>,
}

struct State {
    tables: Arc<MemoryTables>,
    clock: Option<Arc<TokioClock>>,
    running: Option<Running>,
    starts: u64,
}

struct Running {
    node: MessageNode,
    driver: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.stop();
        self.driver.abort();
    }
}

/// Wall time that moves with tokio's, paused or not.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(1_700_000_000_000_u64.saturating_add(elapsed))
    }
}

impl InProcessNode {
    /// A node of this domain with the usual settings, but for a small limit on messages. What is random in it follows
    /// from the seed.
    pub fn new(domain: &str, seed: u64) -> InProcessNode {
        let mut config = NodeConfig::new(domain);
        config.limits.message.bytes = MESSAGE_BYTES_MAX;
        InProcessNode::with(config, seed)
    }

    /// A node with these settings.
    pub fn with(config: NodeConfig, seed: u64) -> InProcessNode {
        let tables = Arc::new(MemoryTables::new());
        InProcessNode {
            config,
            seed,
            issuer: None,
            state: Mutex::new(State { tables, clock: None, running: None, starts: 0 }),
        }
    }

    /// The same node, admitting by token of an issuer that the suite has.
    #[must_use]
    pub fn guarded(mut self) -> InProcessNode {
        let issuer = IssuerKey::generate(&SeededIds::new(self.seed));
        self.config.admission = AdmissionConfig::Tokens(TokenAdmission::new(issuer.public()));
        // Most cases listen to what nobody owns; who listens has cases of its own.
        self.config.enforce_subscriber.get_or_insert(false);
        InProcessNode { issuer: Some(issuer), ..self }
    }

    fn clock(&self) -> Arc<TokioClock> {
        let mut state = self.state.lock();
        Arc::clone(state.clock.get_or_insert_with(|| Arc::new(TokioClock(Instant::now()))))
    }

    /// Loses what it had stored; a restart shows that.
    pub(crate) fn forget(&self) {
        self.state.lock().tables = Arc::new(MemoryTables::new());
    }

    /// The node, started if it was not.
    ///
    /// # Errors
    /// The text of what keeps it from starting.
    pub fn node(&self) -> Result<MessageNode, String> {
        let clock = self.clock();
        let mut state = self.state.lock();
        if let Some(running) = &state.running {
            return Ok(running.node.clone());
        }
        state.starts += 1;
        let ids = SeededIds::of_part(self.seed, state.starts);
        let tables = Arc::clone(&state.tables);
        let (node, driver) = MessageNode::new(self.config.clone(), tables, clock, Arc::new(ids))
            .map_err(|error| error.to_string())?;
        let driver = tokio::spawn(driver.run()).abort_handle();
        state.running = Some(Running { node: node.clone(), driver });
        Ok(node)
    }
}

impl UnderTest for InProcessNode {
    fn capabilities(&self) -> Capabilities {
        let mut all = super::url::OURS.into_iter().collect::<Capabilities>();
        all.extend([Capability::Limits, Capability::Restart]);
        all.extend(self.issuer.as_ref().map(|_| Capability::Admission));
        if self.config.enforces_subscriber() {
            all.extend([Capability::EnforceSubscriber]);
        }
        all
    }
}

impl NodeUnderTest for InProcessNode {
    fn domain(&self) -> &str {
        &self.config.domain
    }

    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let node = self.node().map_err(ConnectError::Unreachable)?;
            let attach = || node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()));
            ChannelConnector::new(attach).connect().await
        })
    }

    fn grace(&self) -> std::time::Duration {
        self.config.timers.grace
    }

    fn message_bytes_max(&self) -> Option<usize> {
        Some(self.config.limits.message.bytes)
    }

    fn routes_max(&self) -> Option<usize> {
        Some(self.config.limits.routes_per_session)
    }

    fn issuer(&self) -> Option<&IssuerKey> {
        self.issuer.as_ref()
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn restart(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            {
                let mut state = self.state.lock();
                state.running = None;
                state.tables = Arc::new(state.tables.snapshot());
            }
            self.node().map(|_| ())
        })
    }
}
