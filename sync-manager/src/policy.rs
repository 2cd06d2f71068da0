//! Asking the policy (protocol 4.3, 4.3.1): it may take its time, but not for ever, and whatever fails in it denies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hyperty_model::StatusCode;
use hyperty_policy::{BLOCKED, Decision, PolicyRequest};

use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// Asks the policy; a denial refuses with 403. Whether it was permitted is told to the caller: if not, the protocol
    /// and the application decide.
    ///
    /// # Errors
    /// 403, reason `policy`, when it denies, panics, or does not decide within
    /// [`policy_timeout`](crate::SyncManagerConfig::policy_timeout).
    pub(crate) async fn decide(&self, request: &PolicyRequest) -> Result<bool, Refusal> {
        let policy = &self.shared.parts.policy;
        let mut deciding = pin!(async { policy.decide(request).await });
        let caught = std::future::poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| deciding.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(decision)) => Poll::Ready(Some(decision)),
                Err(_) => Poll::Ready(None),
            }
        });
        match tokio::time::timeout(self.config().policy_timeout, caught).await {
            Ok(Some(decision)) => verdict(decision),
            Ok(None) => Err(failed(request, "the policy failed")),
            Err(_) => Err(failed(request, "no decision in time")),
        }
    }

    /// The same for a policy that decides at once; `None` from one that takes its time, which is then to be asked by
    /// [`SyncManager::decide`].
    pub(crate) fn decide_now(&self, request: &PolicyRequest) -> Option<Result<bool, Refusal>> {
        let policy = &self.shared.parts.policy;
        let poll = || pin!(policy.decide(request)).poll(&mut Context::from_waker(Waker::noop()));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(decision)) => Some(verdict(decision)),
            Err(_) => Some(Err(failed(request, "the policy failed"))),
        }
    }
}

fn verdict(decision: Decision) -> Result<bool, Refusal> {
    match decision {
        Decision::Permit => Ok(true),
        Decision::NotApplicable => Ok(false),
        Decision::Deny(why) => Err(Refusal::new(StatusCode::FORBIDDEN, why).because("policy")),
    }
}

/// Who cannot be asked has not said yes.
fn failed(request: &PolicyRequest, why: &str) -> Refusal {
    tracing::error!(point = request.point.as_str(), actor = %request.actor, why, "denied");
    Refusal::new(StatusCode::FORBIDDEN, format!("{BLOCKED}: {why}")).because("policy")
}
