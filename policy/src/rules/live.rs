//! Rules as a policy that can be changed while it is in use.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_model::Clock;
use parking_lot::RwLock;

use super::RuleSet;
use crate::{Decision, Policy, PolicyRequest};

/// A [`Policy`] of rules. Clones are handles of the same rules.
///
/// ```
/// use std::sync::Arc;
/// use hyperty_model::SystemClock;
/// use hyperty_policy::rules::{RulePolicy, RuleSet};
///
/// let policy = RulePolicy::new(RuleSet::default(), Arc::new(SystemClock));
/// // Later, when the file has changed: requests from now on are decided by the new rules.
/// policy.replace(RuleSet::from_json(r#"{"rule": [{"name": "closed", "decision": false}]}"#).unwrap());
/// assert_eq!(policy.rules().rules().len(), 1);
/// ```
#[derive(Clone)]
pub struct RulePolicy {
    rules: Arc<RwLock<Arc<RuleSet>>>,
    clock: Arc<dyn Clock>,
}

impl RulePolicy {
    /// A policy of these rules, which tells the time by this clock.
    pub fn new(rules: RuleSet, clock: Arc<dyn Clock>) -> RulePolicy {
        RulePolicy { rules: Arc::new(RwLock::new(Arc::new(rules))), clock }
    }

    /// Puts others in their place, for every request from now on.
    pub fn replace(&self, rules: RuleSet) {
        *self.rules.write() = Arc::new(rules);
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules.read())
    }
}

impl Policy for RulePolicy {
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        let decision = self.rules().decide(request, self.clock.now());
        Box::pin(std::future::ready(decision))
    }
}
