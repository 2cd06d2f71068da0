//! The suite for policies: whatever decides at the points of protocol 4.3.1.
//!
//! What a policy decides is its own business; how it does so is not. It answers everything, in time, the same each
//! time, to the one who asked, and gives nothing to those of whom it knows nothing.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::suites::policy::{self, Rules};
//! use hyperty_policy::Closed;
//!
//! policy::run(Rules::default(), &|| Arc::new(Closed)).assert_passed();
//! ```

mod requests;

use std::sync::Arc;
use std::time::Duration;

use hyperty_policy::{Decision, Point, Policy, PolicyRequest};
use tokio::time::{Instant, timeout};

use self::requests::{Asked, asked, stranger};
use super::{Checked, Suite, Time, Verdict, block_on, demand};

/// What a policy promises beside the rules for all.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The longest that one decision takes. Whoever asks refuses after 9 s (protocol M9).
    pub within: Duration,
    /// Whether it lets anybody observe and read, known or not: for runtimes whose objects are public.
    pub public: bool,
    /// Whether it decides in paused time; not so when it asks a service over a socket.
    pub time: Time,
}

impl Default for Rules {
    /// A second, nothing public, paused time.
    fn default() -> Rules {
        Rules { within: Duration::from_secs(1), public: false, time: Time::Paused }
    }
}

/// Makes a policy that was never asked anything.
pub type Fresh<'a> = &'a dyn Fn() -> Arc<dyn Policy>;

/// Puts a policy through the suite.
///
/// | rule | what is looked at |
/// |---|---|
/// | 4.3.1/total | every request has a decision, whatever is known of the actor |
/// | 4.3.1/bounded | each within its time, also when many are asked at once |
/// | 4.3.1/determined | the same request has the same decision, whatever was asked before or is asked beside it |
/// | 4.3.1/own | nobody gets the decision on another actor |
/// | 4.3.1/safe | an actor of whom nothing is known is not let in without the application's word |
/// | 4.3.1/told | a refusal says why |
pub fn run(rules: Rules, fresh: Fresh<'_>) -> Verdict {
    let mut suite = Suite::new("policy");
    let list = || proptest::collection::vec(asked(), 1..12);
    suite.sequences("a decision depends on its request alone", "4.3.1/total", list(), |list| {
        block_on(rules.time, "4.3.1/bounded", one_by_one(rules, fresh, list))
    });
    suite.sequences("who asks beside others gets the own decision", "4.3.1/total", list(), |list| {
        block_on(rules.time, "4.3.1/bounded", at_once(rules, fresh, list))
    });
    if rules.public {
        suite.skip("a stranger is not let in", "everything is declared public");
    } else {
        suite.sequences("a stranger is not let in", "4.3.1/total", stranger(), |stranger| {
            block_on(rules.time, "4.3.1/bounded", not_let_in(rules, fresh, stranger))
        });
    }
    suite.finish()
}

async fn decide(
    rules: Rules,
    policy: &dyn Policy,
    request: &PolicyRequest,
) -> Result<Decision, super::Broken> {
    let begun = Instant::now();
    // A little more, so that what is late is told from what never ends.
    let decided = timeout(rules.within * 10 + Duration::from_secs(1), policy.decide(request)).await;
    let within = rules.within;
    let Ok(decision) = decided else {
        return Err(super::Broken::new("4.3.1/bounded", format!("no decision on {request:?}")));
    };
    let took = begun.elapsed();
    demand!("4.3.1/bounded", took <= within, "{took:?} instead of {within:?} for {request:?}");
    if let Some(reason) = decision.refusal() {
        demand!("4.3.1/told", !reason.trim().is_empty(), "{request:?} is refused without a reason");
    }
    Ok(decision)
}

/// Each alone with a policy of its own, then all with one, in order and backwards.
async fn one_by_one(rules: Rules, fresh: Fresh<'_>, list: &[Asked]) -> Checked {
    let requests: Vec<PolicyRequest> = list.iter().map(Asked::request).collect();
    let shared = fresh();
    for request in requests.iter().chain(requests.iter().rev()) {
        let alone = decide(rules, &*fresh(), request).await?;
        let after_others = decide(rules, &*shared, request).await?;
        demand!(
            "4.3.1/determined",
            alone == after_others,
            "{request:?}: {alone:?} by itself, {after_others:?} after others"
        );
    }
    Ok(())
}

/// All at once, and the first decision to come is not taken for that of another.
async fn at_once(rules: Rules, fresh: Fresh<'_>, list: &[Asked]) -> Checked {
    let requests: Vec<PolicyRequest> = list.iter().map(Asked::request).collect();
    let shared = fresh();
    let mut together = tokio::task::JoinSet::new();
    for (number, request) in requests.iter().cloned().enumerate() {
        let shared = Arc::clone(&shared);
        together.spawn(async move { (number, decide(rules, &*shared, &request).await) });
    }
    while let Some(decided) = together.join_next().await {
        let Ok((number, decided)) = decided else {
            return Err(super::Broken::new("4.3.1/total", "a decision panics"));
        };
        let (request, decided) = (&requests[number], decided?);
        let alone = decide(rules, &*fresh(), request).await?;
        demand!("4.3.1/own", decided == alone, "{request:?}: {alone:?} by itself, {decided:?} beside others");
    }
    Ok(())
}

/// A permit at [`Point::Subscribe`] or [`Point::Read`] hands data out without anybody being asked.
async fn not_let_in(rules: Rules, fresh: Fresh<'_>, stranger: &Asked) -> Checked {
    let policy = fresh();
    for point in [Point::Subscribe, Point::Read] {
        let request = PolicyRequest { point, ..stranger.request() };
        let decision = decide(rules, &*policy, &request).await?;
        demand!("4.3.1/safe", !decision.is_permit(), "{request:?} is let in without being known");
    }
    Ok(())
}
