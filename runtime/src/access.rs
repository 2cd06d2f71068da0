use std::sync::Arc;

use hyperty_protostub::{TlsClient, TokenSource};

/// What a message node asks for, and whom to believe that it is the node.
#[derive(Debug, Clone, Default)]
pub struct NodeAccess {
    pub(crate) token: Option<Arc<dyn TokenSource>>,
    pub(crate) tls: Option<TlsClient>,
}

impl NodeAccess {
    /// For a node that asks for nothing; over TLS, one that the system's authorities vouch for.
    pub fn new() -> NodeAccess {
        NodeAccess::default()
    }

    /// Tokens for a node that admits by token.
    #[must_use]
    pub fn token(self, source: impl TokenSource + 'static) -> NodeAccess {
        NodeAccess { token: Some(Arc::new(source)), ..self }
    }

    /// Whom to believe, instead of the system's authorities.
    #[must_use]
    pub fn tls(self, tls: TlsClient) -> NodeAccess {
        NodeAccess { tls: Some(tls), ..self }
    }
}
