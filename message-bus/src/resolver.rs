//! Where a message goes that nobody in this runtime listens for (protocol 5.17).

use std::sync::Arc;

use hyperty_model::Url;

use crate::Protostub;

/// Where an address is.
#[derive(Clone)]
pub enum Route {
    /// In this runtime: if nobody listens there, it does not exist.
    Local,
    /// Behind this stub.
    Stub(Arc<dyn Protostub>),
    /// Nowhere that this runtime can reach.
    Unroutable,
}

/// Tells the bus where an address is. Asked only when the address has neither listener nor publish route.
///
/// Called on the thread of whoever posts, so it must be quick and never block: it looks up a table.
pub trait RouteResolver: Send + Sync {
    /// Where `to` is.
    fn resolve(&self, to: &Url) -> Route;
}
