//! A node elsewhere, reached by WebSocket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyperty_message_node::admission::IssuerKey;
use hyperty_protostub::{ConnectError, Connection, Connector, WebSocketConnector};

use super::{NodeUnderTest, issued_token};
use crate::protocol::{Capabilities, Capability, UnderTest};

/// What our node has, wherever it runs.
pub(super) const OURS: [Capability; 11] = [
    Capability::Allocation,
    Capability::Registry,
    Capability::StatusEvents,
    Capability::Catalogue,
    Capability::Backup,
    Capability::Grace,
    Capability::EnforcePublisher,
    Capability::ExclusiveRoutes,
    Capability::SessionEnded,
    Capability::Reasons,
    Capability::Conflation,
];

/// The message node of a domain at a URL, ours or anybody's.
#[derive(Debug, Clone)]
pub struct UrlNode {
    connector: WebSocketConnector,
    domain: String,
    capabilities: Capabilities,
    grace: Duration,
    message_bytes_max: Option<usize>,
    issuer: Option<Arc<IssuerKey>>,
    token: Option<String>,
}

impl UrlNode {
    /// The node of `domain` at `url`, such as `ws://127.0.0.1:9090/ws`, with what [`UrlNode::default_capabilities`]
    /// says.
    pub fn new(url: &str, domain: &str) -> UrlNode {
        UrlNode {
            connector: WebSocketConnector::new(url),
            domain: domain.to_owned(),
            capabilities: UrlNode::default_capabilities(),
            grace: Duration::from_secs(60),
            message_bytes_max: None,
            issuer: None,
            token: None,
        }
    }

    /// What is tested if nothing is declared: everything that can be tested at a URL and that `hyperty node` has.
    pub fn default_capabilities() -> Capabilities {
        OURS.into_iter().collect()
    }

    /// What makes connections to it.
    pub fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(self.connector.clone())
    }

    /// It has these.
    #[must_use]
    pub fn capabilities(self, capabilities: Capabilities) -> UrlNode {
        UrlNode { capabilities, ..self }
    }

    /// It keeps the routes of a lost session so long.
    #[must_use]
    pub fn grace(self, grace: Duration) -> UrlNode {
        UrlNode { grace, ..self }
    }

    /// Makes connections by another connector, such as one that trusts another authority.
    #[must_use]
    pub fn reached_by(self, connector: WebSocketConnector) -> UrlNode {
        UrlNode { connector, ..self }
    }

    /// It believes tokens of this issuer.
    #[must_use]
    pub fn believes(mut self, issuer: IssuerKey) -> UrlNode {
        self.capabilities.insert(Capability::Admission);
        UrlNode { issuer: Some(Arc::new(issuer)), ..self }
    }

    /// Every session is opened with this token.
    #[must_use]
    pub fn admits(self, token: String) -> UrlNode {
        UrlNode { token: Some(token), ..self }
    }

    /// It takes messages up to this length: the suite may send a longer one.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> UrlNode {
        self.capabilities.insert(Capability::Limits);
        UrlNode { message_bytes_max: Some(bytes), ..self }
    }
}

impl UnderTest for UrlNode {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
}

impl NodeUnderTest for UrlNode {
    fn domain(&self) -> &str {
        &self.domain
    }

    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        self.connector.connect()
    }

    fn grace(&self) -> Duration {
        self.grace
    }

    fn message_bytes_max(&self) -> Option<usize> {
        self.message_bytes_max
    }

    fn issuer(&self) -> Option<&IssuerKey> {
        self.issuer.as_deref()
    }

    fn token(&self, user: &str) -> Option<String> {
        self.token.clone().or_else(|| issued_token(self, user))
    }
}
