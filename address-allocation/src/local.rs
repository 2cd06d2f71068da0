use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_model::{Ids, Url};

use crate::{AddressAllocator, AllocateError, check};

/// Makes addresses of random UUIDs without asking anybody: for runtimes that have no message node.
///
/// Nobody routes to such an address from outside the runtime, and nothing has to be released.
#[derive(Clone)]
pub struct LocalAllocator {
    ids: Arc<dyn Ids>,
}

impl LocalAllocator {
    /// An allocator that draws from `ids`.
    pub fn new(ids: Arc<dyn Ids>) -> LocalAllocator {
        LocalAllocator { ids }
    }

    fn next(&self, domain: &str, scheme: &str) -> Result<Url, AllocateError> {
        check::address(scheme, domain, &self.ids.uuid()).map_err(|reason| AllocateError::Invalid {
            scheme: scheme.to_owned(),
            domain: domain.to_owned(),
            reason,
        })
    }
}

impl std::fmt::Debug for LocalAllocator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalAllocator")
    }
}

impl AddressAllocator for LocalAllocator {
    fn allocate<'a>(&'a self, domain: &'a str, scheme: &'a str) -> BoxFuture<'a, Result<Url, AllocateError>> {
        Box::pin(std::future::ready(self.next(domain, scheme)))
    }

    fn release(&self, _addresses: Vec<Url>) -> BoxFuture<'_, Result<(), AllocateError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::SeededIds;

    use super::*;

    #[tokio::test]
    async fn addresses_are_distinct_and_of_the_kind_asked_for() {
        let allocator = LocalAllocator::new(Arc::new(SeededIds::new(1)));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            let object = allocator.allocate("example.com", "walletData").await.unwrap();
            assert_eq!((object.scheme(), object.domain()), ("walletData", Some("example.com")));
            assert!(seen.insert(object));
            assert!(seen.insert(allocator.allocate("example.com", "hyperty").await.unwrap()));
        }
        allocator.release(seen.into_iter().collect()).await.unwrap();
    }

    #[tokio::test]
    async fn what_can_be_no_address_is_refused() {
        let allocator = LocalAllocator::new(Arc::new(SeededIds::new(1)));
        for (domain, scheme) in [
            ("", "comm"),
            ("a b", "comm"),
            ("a/b", "comm"),
            ("a", ""),
            ("a", "runtime"),
            ("a", "domain"),
            ("a", "c_m"),
        ] {
            let error = allocator.allocate(domain, scheme).await.unwrap_err();
            assert!(matches!(error, AllocateError::Invalid { .. }), "{domain:?} {scheme:?}: {error}");
        }
    }
}
