//! Addresses come from the message node of their domain, or are made here where there is none.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_address_allocation::{AddressAllocator, AllocateError, LocalAllocator, NodeAllocator};
use hyperty_model::Url;
use hyperty_registry::RuntimeRegistry;

/// Chooses for each domain: its message node if the runtime has one, else the runtime itself.
pub(crate) struct ByDomain {
    pub(crate) registry: RuntimeRegistry,
    pub(crate) node: Arc<NodeAllocator>,
    pub(crate) local: LocalAllocator,
}

impl AddressAllocator for ByDomain {
    fn allocate<'a>(&'a self, domain: &'a str, scheme: &'a str) -> BoxFuture<'a, Result<Url, AllocateError>> {
        match self.registry.stub_for_domain(domain) {
            Some(_) => self.node.allocate(domain, scheme),
            None => self.local.allocate(domain, scheme),
        }
    }

    fn release(&self, addresses: Vec<Url>) -> BoxFuture<'_, Result<(), AllocateError>> {
        let has_node =
            |url: &Url| url.domain().is_some_and(|domain| self.registry.stub_for_domain(domain).is_some());
        let (at_node, local): (Vec<Url>, Vec<Url>) = addresses.into_iter().partition(has_node);
        Box::pin(async move {
            if !local.is_empty() {
                self.local.release(local).await?;
            }
            if at_node.is_empty() { Ok(()) } else { self.node.release(at_node).await }
        })
    }
}
