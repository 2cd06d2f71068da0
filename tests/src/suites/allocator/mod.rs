//! The suite for address allocators: whatever gives out the addresses of a domain (protocol 5.12).
//!
//! An allocator is tried together with the domain it allocates for: what must hold is about all runtimes that ask,
//! and about what is left after a restart. [`ours`] has the domains of this workspace.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::suites::allocator::{self, ours::LocalDomain};
//!
//! allocator::run(&|| Arc::new(LocalDomain::new(7))).assert_passed();
//! ```

pub mod ours;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_address_allocation::{AddressAllocator, AllocateError};
use hyperty_model::{HypertyUrl, ObjectUrl, Url};
use proptest::prelude::*;

use super::{Broken, Checked, Suite, Time, Verdict, block_on, demand};

/// What a domain does beside giving out addresses.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// It knows who was given an address: nobody else releases it.
    pub owners: bool,
    /// It can be started again over what it had stored.
    pub restarts: bool,
    /// How time passes while it is tried.
    pub time: Time,
}

/// A domain and the runtimes that ask it for addresses.
pub trait Domain: Send + Sync {
    /// What it does.
    fn capabilities(&self) -> Capabilities;

    /// Its name.
    fn name(&self) -> &str;

    /// The allocator of a runtime; runtimes are numbered from 0.
    fn allocator(&self, runtime: usize) -> Arc<dyn AddressAllocator>;

    /// The domain stops without notice and starts again over what it had stored. The allocators of before go on.
    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Makes a domain that has given out nothing; called within a tokio runtime.
pub type Fresh<'a> = &'a dyn Fn() -> Arc<dyn Domain>;

const RUNTIMES: usize = 3;
const SCHEMES: [&str; 4] = ["comm", "hyperty", "context", "walletData"];
/// Neither a domain nor a scheme of anything that is allocated.
const IMPOSSIBLE: [(&str, &str); 7] = [
    ("", "comm"),
    ("a b", "comm"),
    ("a/b", "comm"),
    ("example.com", ""),
    ("example.com", "runtime"),
    ("example.com", "domain"),
    ("example.com", "c_m"),
];

/// What a random test does next.
#[derive(Debug, Clone)]
enum Step {
    Allocate {
        runtime: usize,
        scheme: usize,
    },
    /// Several callers at once.
    AtOnce {
        runtime: usize,
        scheme: usize,
        callers: usize,
    },
    /// Releases one that was given out, modulo how many were; perhaps once more, perhaps by somebody else.
    Release {
        runtime: usize,
        which: usize,
    },
    ReleaseUnknown {
        runtime: usize,
    },
    /// Asks for what cannot be.
    Impossible {
        runtime: usize,
        which: usize,
    },
    Restart,
}

fn step(restarts: bool) -> impl Strategy<Value = Step> {
    let (runtime, scheme) = (|| 0..RUNTIMES, || 0..SCHEMES.len());
    prop_oneof![
        6 => (runtime(), scheme()).prop_map(|(runtime, scheme)| Step::Allocate { runtime, scheme }),
        2 => (runtime(), scheme(), 2..30_usize)
            .prop_map(|(runtime, scheme, callers)| Step::AtOnce { runtime, scheme, callers }),
        4 => (runtime(), 0..64_usize).prop_map(|(runtime, which)| Step::Release { runtime, which }),
        1 => runtime().prop_map(|runtime| Step::ReleaseUnknown { runtime }),
        1 => (runtime(), 0..IMPOSSIBLE.len()).prop_map(|(runtime, which)| Step::Impossible { runtime, which }),
        u32::from(restarts) => Just(Step::Restart),
    ]
}

/// Puts an allocator and its domain through the suite.
///
/// | rule | what is looked at |
/// |---|---|
/// | INV-ALL-1 | no address is given out twice, to whomever, at once or one after the other, before or after a restart |
/// | INV-ALL-3 | releasing twice, or what was never given out, is releasing once |
/// | 5.12/form | an address is of the domain and scheme asked for, and names a hyperty or an object |
/// | 5.12/owner | nobody releases what another was given |
/// | 5.12/invalid | what can be no address is refused as such, and nothing else is |
pub fn run(fresh: Fresh<'_>) -> Verdict {
    let mut suite = Suite::new("allocator");
    let mut capabilities = None;
    suite.case("a domain says what it does", "5.12", || {
        block_on(Time::Paused, "5.12", async {
            capabilities = Some(fresh().capabilities());
            Ok(())
        })
    });
    let Some(capabilities) = capabilities else { return suite.finish() };
    suite.sequences(
        "no address is given out twice",
        "INV-ALL-1",
        proptest::collection::vec(step(capabilities.restarts), 1..25),
        |steps| block_on(capabilities.time, "5.12", async { play(&*fresh(), steps).await }),
    );
    suite.finish()
}

/// An address that was given out.
struct Given {
    address: Url,
    owner: usize,
    released: bool,
}

#[derive(Default)]
struct Model {
    given: Vec<Given>,
    by_key: BTreeMap<String, usize>,
}

impl Model {
    /// Takes note of an address, which must be new and as it was asked for.
    fn give(&mut self, domain: &str, scheme: &str, owner: usize, address: Url) -> Checked {
        let as_asked = address.scheme().eq_ignore_ascii_case(scheme) && address.domain() == Some(domain);
        demand!("5.12/form", as_asked, "{address} was given for {scheme}://{domain}/…");
        let names =
            HypertyUrl::try_from(address.clone()).is_ok() || ObjectUrl::try_from(address.clone()).is_ok();
        demand!("5.12/form", names, "{address} names neither a hyperty nor an object");
        let known = self.by_key.insert(address.key().to_owned(), self.given.len());
        if let Some(known) = known {
            let Given { owner: first, released, .. } = self.given[known];
            let state = if released { "released since" } else { "not released" };
            demand!(
                "INV-ALL-1",
                false,
                "{address} was given to runtime {first}, {state}, and to runtime {owner}"
            );
        }
        self.given.push(Given { address, owner, released: false });
        Ok(())
    }
}

async fn play(domain: &dyn Domain, steps: &[Step]) -> Checked {
    let (mut model, owners) = (Model::default(), domain.capabilities().owners);
    for step in steps {
        match *step {
            Step::Allocate { runtime, scheme } => {
                let address =
                    allocated(domain.allocator(runtime).allocate(domain.name(), SCHEMES[scheme]).await)?;
                model.give(domain.name(), SCHEMES[scheme], runtime, address)?;
            }
            Step::AtOnce { runtime, scheme, callers } => {
                for address in at_once(domain, runtime, scheme, callers).await? {
                    model.give(domain.name(), SCHEMES[scheme], runtime, address)?;
                }
            }
            Step::Release { runtime, which } if !model.given.is_empty() => {
                let which = which % model.given.len();
                release(domain, runtime, &mut model.given[which], owners).await?;
            }
            Step::Release { .. } => {}
            Step::ReleaseUnknown { runtime } => {
                let text = format!("comm://{}/never-given-out", domain.name());
                let unknown = Url::parse(&text).unwrap_or_else(|error| unreachable!("{text}: {error}"));
                let outcome = domain.allocator(runtime).release(vec![unknown.clone()]).await;
                demand!("INV-ALL-3", outcome.is_ok(), "releasing {unknown}: {outcome:?}");
            }
            Step::Impossible { runtime, which } => {
                let (name, scheme) = IMPOSSIBLE[which];
                let outcome = domain.allocator(runtime).allocate(name, scheme).await;
                let invalid = matches!(outcome, Err(AllocateError::Invalid { .. }));
                demand!("5.12/invalid", invalid, "allocating {scheme:?} at {name:?}: {outcome:?}");
            }
            Step::Restart => domain.restart().await,
        }
    }
    Ok(())
}

fn allocated(outcome: Result<Url, AllocateError>) -> Result<Url, Broken> {
    outcome.map_err(|error| Broken::new("5.12/invalid", format!("what can be given is refused: {error}")))
}

async fn at_once(
    domain: &dyn Domain,
    runtime: usize,
    scheme: usize,
    callers: usize,
) -> Result<Vec<Url>, Broken> {
    let mut together = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (allocator, name) = (domain.allocator(runtime), domain.name().to_owned());
        together.spawn(async move { allocator.allocate(&name, SCHEMES[scheme]).await });
    }
    let mut addresses = Vec::with_capacity(callers);
    while let Some(outcome) = together.join_next().await {
        let outcome =
            outcome.map_err(|error| Broken::new("INV-ALL-1", format!("a caller ended: {error}")))?;
        addresses.push(allocated(outcome)?);
    }
    Ok(addresses)
}

async fn release(domain: &dyn Domain, runtime: usize, given: &mut Given, owners: bool) -> Checked {
    let outcome = domain.allocator(runtime).release(vec![given.address.clone()]).await;
    let (address, owner) = (&given.address, given.owner);
    if given.released {
        demand!("INV-ALL-3", outcome.is_ok(), "{address} was released, and again: {outcome:?}");
    } else if owner == runtime || !owners {
        demand!("5.12/owner", outcome.is_ok(), "runtime {runtime} may release {address}: {outcome:?}");
        given.released = true;
    } else {
        let refused = matches!(outcome, Err(AllocateError::Refused { .. }));
        demand!(
            "5.12/owner",
            refused,
            "runtime {runtime} releases {address} of runtime {owner}: {outcome:?}"
        );
    }
    Ok(())
}
