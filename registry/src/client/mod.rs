//! The domain registry as a runtime sees it (protocol 5.13).

mod error;
mod node;
pub(crate) use node::register_body;
mod none;

pub use error::{QueryError, RegisterError, UpdateError};
pub use hyperty_model::discovery::{Criteria, Find, Query};
pub(crate) use hyperty_model::discovery::{OBJECTS, bare_guid};
pub use node::{NodeRegistryClient, REGISTRY_ATTEMPTS, RetryConfig};
pub use none::NoRegistry;

use futures_core::future::BoxFuture;
use hyperty_model::Url;

use crate::RegistrationRecord;

/// Member of an answer that has more pages: what to ask for as `page`.
pub(crate) const NEXT: &str = "next";

/// Where data objects and hyperties of a domain are found.
///
/// Every request goes to the registry of the domain of the URL that it is about.
pub trait DomainRegistry: Send + Sync {
    /// Registers an entity as live, or renews its registration.
    fn register<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), RegisterError>>;

    /// Says that a registered entity is live again, with what changed of its owner: user, runtime, Reporter, epoch.
    fn set_live<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), UpdateError>>;

    /// Says that a live entity is still there. Never revives a disconnected one.
    fn keep_alive<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>>;

    /// Says that an entity is disconnected. Its entry stays for a day.
    fn unregister<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>>;

    /// Says that an entity is gone for good.
    fn delete<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>>;

    /// The entry of one URL.
    fn read<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<RegistrationRecord, QueryError>>;

    /// The entries of a domain that a query finds, in the order of their URLs.
    fn find<'a>(
        &'a self,
        domain: &'a str,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<Vec<RegistrationRecord>, QueryError>>;
}
