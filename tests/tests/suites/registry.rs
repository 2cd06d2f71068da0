//! Broken registries.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_conformance::suites::registry::ours::TableDomain;
use hyperty_conformance::suites::registry::{self, Capabilities, Domain, runtime_url};
use hyperty_model::Url;
use hyperty_registry::{
    DomainRegistry, Query, QueryError, RegisterError, RegistrationRecord, RegistrationStatus, UpdateError,
};

use crate::caught;

/// What is wrong with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A keep-alive brings back what was unregistered.
    Revives,
    /// Whoever reads keeps alive.
    ReadsKeepAlive,
    /// Every event is told twice.
    TellsTwice,
    /// A keep-alive is told as an event.
    TellsKeepAlives,
    /// Queries by user forget what is no longer live.
    HidesDisconnected,
    /// Whoever comes with an epoch that is over gets the next one.
    TakesOldEpochs,
    /// An epoch above is enough, whoever comes with it.
    TakesFromAnybody,
    /// A session that ends leaves its entries as they are.
    ForgetsSessions,
    /// Deleting is unregistering.
    DeletesHalf,
}

struct Broken {
    inner: TableDomain,
    fault: Fault,
    told: parking_lot::Mutex<Vec<Url>>,
}

struct Client {
    inner: Arc<dyn DomainRegistry>,
    domain: Arc<Broken>,
    runtime: usize,
}

struct Shared(Arc<Broken>);

impl Domain for Shared {
    fn capabilities(&self) -> Capabilities {
        self.0.inner.capabilities()
    }

    fn registry(&self, runtime: usize) -> Arc<dyn DomainRegistry> {
        let inner = self.0.inner.registry(runtime);
        Arc::new(Client { inner, domain: Arc::clone(&self.0), runtime })
    }

    fn events(&self) -> BoxFuture<'_, Vec<(Url, RegistrationStatus)>> {
        Box::pin(async {
            let mut events = self.0.inner.events().await;
            if self.0.fault == Fault::TellsTwice {
                events.extend(events.clone());
            }
            let kept_alive = std::mem::take(&mut *self.0.told.lock());
            events.extend(kept_alive.into_iter().map(|url| (url, RegistrationStatus::Live)));
            events
        })
    }

    fn end_session(&self, runtime: usize) -> BoxFuture<'_, ()> {
        match self.0.fault {
            Fault::ForgetsSessions => Box::pin(std::future::ready(())),
            _ => self.0.inner.end_session(runtime),
        }
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        self.0.inner.restart()
    }
}

impl DomainRegistry for Client {
    fn register<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), RegisterError>> {
        Box::pin(async move {
            let outcome = self.inner.register(record).await;
            let refused = matches!(outcome, Err(RegisterError::Refused { .. }));
            if self.domain.fault == Fault::TakesFromAnybody && refused {
                let known = match self.inner.read(&record.url).await {
                    Ok(known) => vec![known],
                    Err(QueryError::Disconnected(known)) => known,
                    Err(_) => return outcome,
                };
                let user = known.into_iter().next().and_then(|known| known.user);
                return self.inner.register(&RegistrationRecord { user, ..record.clone() }).await;
            }
            if self.domain.fault != Fault::TakesOldEpochs
                || !matches!(outcome, Err(RegisterError::Conflict(_)))
            {
                return outcome;
            }
            let raised = RegistrationRecord { epoch: record.epoch + 10, ..record.clone() };
            self.inner.register(&raised).await
        })
    }

    fn set_live<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), UpdateError>> {
        self.inner.set_live(record)
    }

    fn keep_alive<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(async move {
            match (self.domain.fault, self.inner.read(url).await) {
                (Fault::Revives, Err(QueryError::Disconnected(records))) => {
                    let owner =
                        records.into_iter().find(|record| record.runtime == runtime_url(self.runtime));
                    if let Some(record) = owner {
                        return self.inner.set_live(&record).await;
                    }
                }
                (Fault::TellsKeepAlives, Ok(_)) => self.domain.told.lock().push(url.clone()),
                _ => {}
            }
            self.inner.keep_alive(url).await
        })
    }

    fn unregister<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        self.inner.unregister(url)
    }

    fn delete<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        match self.domain.fault {
            Fault::DeletesHalf => self.inner.unregister(url),
            _ => self.inner.delete(url),
        }
    }

    fn read<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<RegistrationRecord, QueryError>> {
        Box::pin(async move {
            if self.domain.fault == Fault::ReadsKeepAlive {
                for owner in 0..3 {
                    let _ = self.domain.inner.registry(owner).keep_alive(url).await;
                }
            }
            self.inner.read(url).await
        })
    }

    fn find<'a>(
        &'a self,
        domain: &'a str,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<Vec<RegistrationRecord>, QueryError>> {
        Box::pin(async move {
            let mut found = self.inner.find(domain, query).await?;
            if self.domain.fault == Fault::HidesDisconnected {
                found.retain(|record| record.status == RegistrationStatus::Live);
            }
            Ok(found)
        })
    }
}

#[test]
fn each_fault_of_a_registry_is_caught() {
    for (fault, invariant) in [
        (Fault::Revives, "INV-REG-3"),
        (Fault::ReadsKeepAlive, "INV-REG-1"),
        (Fault::TellsTwice, "INV-REG-2"),
        (Fault::TellsKeepAlives, "INV-REG-2"),
        (Fault::HidesDisconnected, "INV-REG-4"),
        (Fault::TakesOldEpochs, "INV-REG-5"),
        (Fault::TakesFromAnybody, "INV-REG-5"),
        (Fault::ForgetsSessions, "M13"),
        (Fault::DeletesHalf, "M12"),
    ] {
        let fresh = || {
            let broken = Broken { inner: TableDomain::new(), fault, told: parking_lot::Mutex::default() };
            Arc::new(Shared(Arc::new(broken))) as Arc<dyn Domain>
        };
        caught(&format!("{fault:?}"), invariant, &registry::run(&fresh));
    }
}
