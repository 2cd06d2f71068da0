//! A policy in a file, looked at for as long as the runtime runs.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_model::Clock;
use hyperty_policy::rules::{Reloaded, RuleFileError};
use hyperty_policy::{Policy, PolicyFile, WatchedFile};

/// How often the file is looked at: as soon as a person expects it, and reading a small file is nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The policy, and what has to run as long as it is in force.
pub(crate) type InForce = (Arc<dyn Policy>, Option<BoxFuture<'static, ()>>);

pub(crate) fn in_force(
    policy: Arc<dyn Policy>,
    file: Option<PolicyFile>,
    clock: &Arc<dyn Clock>,
) -> Result<InForce, RuleFileError> {
    let Some(file) = file else { return Ok((policy, None)) };
    let (policy, file) = file.in_force(Arc::clone(clock))?;
    Ok((policy, Some(Box::pin(keep_in_force(file)))))
}

/// Keeps in force what stands in a file: looks at it every two seconds. What is sound decides from then on; about
/// anything else an error is logged, and what was before stays. Never ends.
pub async fn keep_in_force(mut file: WatchedFile) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match file.look() {
            Reloaded::Unchanged => {}
            Reloaded::Replaced => {
                tracing::warn!(file = %file.path().display(), rules = file.count(), "new rules are in force");
            }
            Reloaded::Kept(error) => {
                tracing::error!(%error, "the rules were changed and cannot be taken: those before stay in force");
            }
        }
    }
}
