//! Asking the policy (protocol 4.3, 4.3.1): it may take its time, but not for ever, and whatever fails in it denies.

use hyperty_model::StatusCode;
use hyperty_policy::{Decision, PolicyRequest, denied};

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
        let deciding = hyperty_policy::decide(&*self.shared.parts.policy, request);
        let decided = tokio::time::timeout(self.config().policy_timeout, deciding).await;
        verdict(decided.unwrap_or_else(|_| denied(request, "no decision in time")))
    }

    /// The same for a policy that decides at once; `None` from one that takes its time, which is then to be asked by
    /// [`SyncManager::decide`].
    pub(crate) fn decide_now(&self, request: &PolicyRequest) -> Option<Result<bool, Refusal>> {
        hyperty_policy::decide_now(&*self.shared.parts.policy, request).map(verdict)
    }
}

fn verdict(decision: Decision) -> Result<bool, Refusal> {
    match decision {
        Decision::Permit => Ok(true),
        Decision::NotApplicable => Ok(false),
        Decision::Deny(why) => Err(Refusal::new(StatusCode::FORBIDDEN, why).because("policy")),
    }
}
