//! The suite for domain registries: whatever knows which entities of a domain exist, whose they are and whether they
//! are live (protocol 5.13).
//!
//! A [`DomainRegistry`] is tried together with the domain behind it: time passes there, sessions end, and it says
//! what became of whom. [`ours`] has the domains of this workspace.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::suites::registry::{self, ours::TableDomain};
//!
//! registry::run(&|| Arc::new(TableDomain::new())).assert_passed();
//! ```

mod model;
pub mod ours;
mod play;

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_model::Url;
use hyperty_registry::{DomainRegistry, RegistrationStatus};
use proptest::prelude::*;

use super::{Suite, Time, Verdict, block_on};

/// What a domain does beside answering its runtimes.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// It tells of every change of a status: [`Domain::events`].
    pub events: bool,
    /// It learns when the session of a runtime has ended for good: [`Domain::end_session`].
    pub sessions: bool,
    /// It can be started again over what it had stored: [`Domain::restart`].
    pub restarts: bool,
    /// How long an entry is kept that is not live, if that is short enough to be waited for.
    pub kept: Option<Duration>,
}

/// A domain's registry, the runtimes that use it, and time, which is tokio's, paused.
pub trait Domain: Send + Sync {
    /// What it does.
    fn capabilities(&self) -> Capabilities;

    /// The registry as a runtime sees it. Runtimes are numbered from 0, and have the URLs of [`runtime_url`].
    fn registry(&self, runtime: usize) -> Arc<dyn DomainRegistry>;

    /// The changes of status that were told since the last call, in their order.
    fn events(&self) -> BoxFuture<'_, Vec<(Url, RegistrationStatus)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// The session of a runtime ends for good. It may come back with another.
    fn end_session(&self, runtime: usize) -> BoxFuture<'_, ()> {
        let _ = runtime;
        Box::pin(std::future::ready(()))
    }

    /// The domain stops without notice and starts again over what it had stored.
    fn restart(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

pub use super::attached::runtime_url;

/// Makes an empty registry; called within a tokio runtime whose time is paused.
pub type Fresh<'a> = &'a dyn Fn() -> Arc<dyn Domain>;

const RUNTIMES: usize = 3;
const USERS: u8 = 3;
const URLS: [&str; 4] =
    ["comm://example.com/0", "comm://example.com/1", "context://example.com/x/2", "hyperty://example.com/3"];
/// How long an entry lives without a sign of life.
const EXPIRES: u64 = 100;

/// What a random test does next.
#[derive(Debug, Clone)]
enum Step {
    Register { from: usize, url: usize, user: u8, epoch: u64 },
    SetLive { from: usize, url: usize, user: Option<u8>, epoch: u64 },
    Give { from: usize, to: usize, url: usize, epoch: u64 },
    KeepAlive { from: usize, url: usize },
    Unregister { from: usize, url: usize },
    Delete { from: usize, url: usize },
    SessionEnds { of: usize },
    Pass { seconds: u64 },
    Restart,
}

fn step(capabilities: Capabilities) -> impl Strategy<Value = Step> {
    let (from, url) = (|| 0..RUNTIMES, || 0..URLS.len());
    let (user, epoch) = (|| 0..USERS, || 0..4_u64);
    let (sessions, restarts) = (u32::from(capabilities.sessions), u32::from(capabilities.restarts));
    let longest = if capabilities.kept.is_some() { 150_u64 } else { 60 };
    prop_oneof![
        4 => (from(), url(), user(), epoch())
            .prop_map(|(from, url, user, epoch)| Step::Register { from, url, user, epoch }),
        3 => (from(), url(), proptest::option::of(user()), epoch())
            .prop_map(|(from, url, user, epoch)| Step::SetLive { from, url, user, epoch }),
        2 => (from(), from(), url(), epoch())
            .prop_map(|(from, to, url, epoch)| Step::Give { from, to, url, epoch }),
        4 => (from(), url()).prop_map(|(from, url)| Step::KeepAlive { from, url }),
        3 => (from(), url()).prop_map(|(from, url)| Step::Unregister { from, url }),
        1 => (from(), url()).prop_map(|(from, url)| Step::Delete { from, url }),
        sessions => from().prop_map(|of| Step::SessionEnds { of }),
        5 => (1..longest).prop_map(|seconds| Step::Pass { seconds }),
        restarts => Just(Step::Restart),
    ]
}

/// Puts a registry through the suite.
///
/// | rule | what is looked at |
/// |---|---|
/// | INV-REG-1 | an entry is live as long as it was registered or set live, not unregistered since, and kept alive |
/// | INV-REG-2 | each change of a status is told once, and nothing else |
/// | INV-REG-3 | a keep-alive revives nothing |
/// | INV-REG-4 | a query by user finds all and only what is that user's |
/// | INV-REG-5 | what owns an entry never goes to a lower epoch, nor to another user unless its owner gives it |
/// | M12, M13 | what was deleted stays so; whose session ended is disconnected |
/// | 5.13 | each request is answered as the section says |
pub fn run(fresh: Fresh<'_>) -> Verdict {
    let mut suite = Suite::new("registry");
    let mut capabilities = None;
    suite.case("a domain says what it does", "5.13", || {
        block_on(Time::Paused, "5.13", async {
            capabilities = Some(fresh().capabilities());
            Ok(())
        })
    });
    let Some(capabilities) = capabilities else { return suite.finish() };
    suite.sequences(
        "a registry is what its entries make it",
        "5.13",
        proptest::collection::vec(step(capabilities), 1..40),
        |steps| block_on(Time::Paused, "5.13", async { play::play(&*fresh(), steps).await }),
    );
    suite.finish()
}
