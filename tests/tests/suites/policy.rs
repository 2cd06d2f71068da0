//! Broken policies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_conformance::suites::policy::{self, Rules};
use hyperty_policy::{Decision, Permissive, Point, Policy, PolicyRequest};
use parking_lot::Mutex;

use crate::caught;

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Lets everybody in.
    Open,
    /// Who was asked about once is let in from then on.
    Remembers,
    /// Refuses every third.
    Counts,
    /// Is silent on children.
    Silent,
    /// Panics without an identity.
    Panics,
    /// Gives those who ask at the same time the decision on the last of them.
    Mixes,
    /// Does not say why.
    Mute,
}

struct Broken {
    fault: Fault,
    asked: AtomicUsize,
    last: Mutex<Vec<String>>,
}

impl Broken {
    fn of_domain(actor: &str) -> Decision {
        let own = actor.contains("example.com");
        if own { Decision::NotApplicable } else { Decision::Deny("another domain".to_owned()) }
    }

    async fn decided(&self, request: &PolicyRequest) -> Decision {
        let actor = request.actor.as_str().to_owned();
        match self.fault {
            Fault::Open => Decision::Permit,
            Fault::Remembers => {
                let mut known = self.last.lock();
                let before = known.contains(&actor);
                known.push(actor);
                if before { Decision::Permit } else { Decision::NotApplicable }
            }
            Fault::Counts if self.asked.fetch_add(1, Ordering::Relaxed) % 3 == 2 => {
                Decision::Deny("the third".to_owned())
            }
            Fault::Counts => Decision::NotApplicable,
            Fault::Silent if request.point == Point::Child => std::future::pending().await,
            Fault::Silent => Permissive.decide(request).await,
            Fault::Panics => {
                let known = request.identity.as_ref().expect("everybody has an identity");
                known.user().map_or(Decision::NotApplicable, |_| Decision::NotApplicable)
            }
            Fault::Mixes => {
                self.last.lock().push(actor);
                tokio::time::sleep(Duration::from_millis(10)).await;
                let last = self.last.lock().last().cloned().unwrap_or_default();
                Broken::of_domain(&last)
            }
            Fault::Mute => Decision::Deny(String::new()),
        }
    }
}

impl Policy for Broken {
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        Box::pin(self.decided(request))
    }
}

#[test]
fn each_fault_of_a_policy_is_caught() {
    for (fault, invariant) in [
        (Fault::Open, "4.3.1/safe"),
        (Fault::Remembers, "4.3.1/determined"),
        (Fault::Counts, "4.3.1/determined"),
        (Fault::Silent, "4.3.1/bounded"),
        (Fault::Panics, "4.3.1/total"),
        (Fault::Mixes, "4.3.1/own"),
        (Fault::Mute, "4.3.1/told"),
    ] {
        let fresh = || {
            Arc::new(Broken { fault, asked: AtomicUsize::new(0), last: Mutex::default() }) as Arc<dyn Policy>
        };
        caught(&format!("{fault:?}"), invariant, &policy::run(Rules::default(), &fresh));
    }
}
