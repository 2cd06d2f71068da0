//! Rules in a file, looked at for as long as the runtime runs.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_model::Clock;
use hyperty_policy::Policy;
use hyperty_policy::rules::{Reloaded, RuleFile, RulePolicy, RuleSet};

/// How often the file is looked at: as soon as a person expects it, and reading a small file is nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The policy, and what has to run as long as it is in force.
pub(crate) fn in_force(
    policy: Arc<dyn Policy>,
    rules: Option<(RuleFile, RuleSet)>,
    clock: &Arc<dyn Clock>,
) -> (Arc<dyn Policy>, Option<BoxFuture<'static, ()>>) {
    let Some((file, rules)) = rules else { return (policy, None) };
    let policy = RulePolicy::new(rules, Arc::clone(clock));
    (Arc::new(policy.clone()), Some(Box::pin(watch(file, policy))))
}

async fn watch(mut file: RuleFile, policy: RulePolicy) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match file.look(&policy) {
            Reloaded::Unchanged => {}
            Reloaded::Replaced => {
                let rules = policy.rules().rules().len();
                tracing::warn!(file = %file.path().display(), rules, "new rules are in force");
            }
            Reloaded::Kept(error) => {
                tracing::error!(%error, "the rules were changed and cannot be taken: those before stay in force");
            }
        }
    }
}
