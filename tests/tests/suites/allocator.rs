//! Broken allocators.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_address_allocation::{AddressAllocator, AllocateError};
use hyperty_conformance::suites::Time;
use hyperty_conformance::suites::allocator::{self, Capabilities, Domain};
use hyperty_model::{StatusCode, Url};
use parking_lot::Mutex;

use crate::caught;

/// What is wrong with a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The fifth address is the fourth once more.
    Repeats,
    /// Callers at the same time read one counter.
    Races,
    /// Counts from the beginning after a restart.
    Forgets,
    /// Releasing twice is an error.
    ReleasesOnce,
    /// Anybody releases anything.
    NoOwners,
    /// Every address is an object's.
    WrongScheme,
    /// Takes any domain and scheme.
    TakesAll,
}

struct Counting {
    fault: Fault,
    next: Mutex<u64>,
    held: Mutex<BTreeMap<Url, usize>>,
}

struct Domains(Arc<Counting>);

struct Of(Arc<Counting>, usize);

impl Of {
    async fn next(&self, domain: &str, scheme: &str) -> Result<Url, AllocateError> {
        let fault = self.0.fault;
        let impossible =
            domain != "example.com" || !["comm", "hyperty", "context", "walletData"].contains(&scheme);
        if impossible && fault != Fault::TakesAll {
            let (scheme, domain) = (scheme.to_owned(), domain.to_owned());
            return Err(AllocateError::Invalid { scheme, domain, reason: "no".to_owned() });
        }
        let number = *self.0.next.lock();
        if fault == Fault::Races {
            tokio::task::yield_now().await;
        }
        *self.0.next.lock() = number + 1;
        let number = if fault == Fault::Repeats && number % 5 == 4 { number - 1 } else { number };
        let scheme = if fault == Fault::WrongScheme { "comm" } else { scheme };
        let text = format!("{scheme}://{domain}/{number}");
        let address = Url::parse(&text).unwrap_or_else(|_| Url::parse("comm://example.com/any").unwrap());
        self.0.held.lock().insert(address.clone(), self.1);
        Ok(address)
    }

    fn give_back(&self, address: &Url) -> Result<(), AllocateError> {
        let mut held = self.0.held.lock();
        let refused = |reason: &str| {
            let (domain, reason) = ("example.com".to_owned(), reason.to_owned());
            Err(AllocateError::Refused { domain, code: StatusCode::FORBIDDEN, reason })
        };
        match held.get(address) {
            Some(owner) if *owner != self.1 && self.0.fault != Fault::NoOwners => {
                return refused("not yours");
            }
            Some(_) => drop(held.remove(address)),
            None if self.0.fault == Fault::ReleasesOnce => return refused("not held"),
            None => {}
        }
        Ok(())
    }
}

impl AddressAllocator for Of {
    fn allocate<'a>(&'a self, domain: &'a str, scheme: &'a str) -> BoxFuture<'a, Result<Url, AllocateError>> {
        Box::pin(self.next(domain, scheme))
    }

    fn release(&self, addresses: Vec<Url>) -> BoxFuture<'_, Result<(), AllocateError>> {
        Box::pin(async move { addresses.iter().try_for_each(|address| self.give_back(address)) })
    }
}

impl Domain for Domains {
    fn capabilities(&self) -> Capabilities {
        Capabilities { owners: true, restarts: true, time: Time::Paused }
    }

    fn name(&self) -> &str {
        "example.com"
    }

    fn allocator(&self, runtime: usize) -> Arc<dyn AddressAllocator> {
        Arc::new(Of(Arc::clone(&self.0), runtime))
    }

    fn restart(&self) -> BoxFuture<'_, ()> {
        if self.0.fault == Fault::Forgets {
            *self.0.next.lock() = 0;
        }
        Box::pin(std::future::ready(()))
    }
}

fn domain(fault: Fault) -> impl Fn() -> Arc<dyn Domain> {
    move || Arc::new(Domains(Arc::new(Counting { fault, next: Mutex::default(), held: Mutex::default() })))
}

#[test]
fn each_fault_of_an_allocator_is_caught() {
    allocator::run(&domain(Fault::None)).assert_passed();
    for (fault, invariant) in [
        (Fault::Repeats, "INV-ALL-1"),
        (Fault::Races, "INV-ALL-1"),
        (Fault::Forgets, "INV-ALL-1"),
        (Fault::ReleasesOnce, "INV-ALL-3"),
        (Fault::NoOwners, "5.12/owner"),
        (Fault::WrongScheme, "5.12/form"),
        (Fault::TakesAll, "5.12/invalid"),
    ] {
        caught(&format!("{fault:?}"), invariant, &allocator::run(&domain(fault)));
    }
}
