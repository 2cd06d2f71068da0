//! Cedar policies behind the trait, to be changed while they are in use.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_model::{Clock, Timestamp};
use parking_lot::RwLock;

use super::set::Policies;
use super::{CedarError, Explanation};
use crate::{BLOCKED, Decision, Policy, PolicyRequest};

/// A [`Policy`] of Cedar policies. Clones are handles of the same ones.
///
/// ```
/// use std::sync::Arc;
/// use hyperty_model::SystemClock;
/// use hyperty_policy::cedar::{CedarPolicy, SCHEMA};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = CedarPolicy::parse("", Some(SCHEMA), Arc::new(SystemClock))?;
/// // Later, when the file has changed: requests from now on are decided by the new ones.
/// policy.replace("forbid (principal, action, resource);", Some(SCHEMA))?;
/// // What is wrong is told with its place, and changes nothing.
/// let wrong = policy.replace("forbid (principal, action, resource)\nwhen { principal.nmae == \"x\" };", Some(SCHEMA));
/// assert!(wrong.unwrap_err().to_string().starts_with("line 2, "));
/// assert_eq!(policy.count(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CedarPolicy {
    policies: Arc<RwLock<Arc<Policies>>>,
    clock: Arc<dyn Clock>,
}

impl CedarPolicy {
    /// Reads policies, and checks them against a schema if there is one, in Cedar's own form: [`SCHEMA`](super::SCHEMA),
    /// or one of your own (with groups of actions, say). Requests that do not agree with it are denied: of the entities
    /// and attributes of `SCHEMA`, it has to have all. They tell the time by this clock.
    ///
    /// # Errors
    /// [`CedarError`]; for what is wrong with the text with line and column.
    pub fn parse(
        policies: &str,
        schema: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<CedarPolicy, CedarError> {
        let policies = Policies::parse(policies, schema)?;
        Ok(CedarPolicy { policies: Arc::new(RwLock::new(Arc::new(policies))), clock })
    }

    /// Puts others in their place, for every request from now on.
    ///
    /// # Errors
    /// As for [`CedarPolicy::parse`]; those before stay in force.
    pub fn replace(&self, policies: &str, schema: Option<&str>) -> Result<(), CedarError> {
        let policies = Policies::parse(policies, schema)?;
        *self.policies.write() = Arc::new(policies);
        Ok(())
    }

    /// How many policies are in force.
    pub fn count(&self) -> usize {
        self.in_force().entries.len()
    }

    /// What they decide at a point in time, which of them do, and what becomes of the others. Asks each policy twice:
    /// for people who wonder, not for every request.
    pub fn explain(&self, request: &PolicyRequest, now: Timestamp) -> Explanation {
        self.in_force().explain(request, now)
    }

    fn in_force(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.read())
    }

    fn decide_now(&self, request: &PolicyRequest) -> Decision {
        let (point, actor) = (request.point.as_str(), request.actor.as_str());
        let policies = self.in_force();
        let answer = match policies.answer(request, self.clock.now()) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(point, actor, %error, "denied: the request cannot be put to the policies");
                return Decision::Deny(BLOCKED.to_owned());
            }
        };
        for entry in answer.by {
            if let Some(error) = answer.failed.get(&entry.id.to_string()) {
                let policy = entry.name.as_str();
                tracing::error!(point, actor, policy, %error, "denied: a policy cannot be evaluated");
            }
        }
        answer.decision
    }
}

impl Policy for CedarPolicy {
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        let decision = self.decide_now(request);
        Box::pin(std::future::ready(decision))
    }
}
