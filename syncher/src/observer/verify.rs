//! A copy that is not what the Reporter has, although no change is missing (protocol 10.2, INV-EXT-3).
//!
//! The Sync Manager of this runtime compares for all its observers, and tells a digest only after it had to replace its
//! own copy: whoever has other data than that then reads the object anew.

use std::sync::Arc;

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Position, digest};
use serde_json::Value;

use super::shared::ObserverShared;

/// What the Reporter has at a position, and what this copy had there.
pub(super) struct Claim {
    digest: String,
    data: Arc<Value>,
}

impl super::copy::Copy {
    /// What a beat claims of the data, if it is about the copy as it is now.
    pub(super) fn claim(&self, update: &UpdateBody) -> Option<Claim> {
        let UpdateKind::Position { digest: Some(digest), .. } = &update.kind else { return None };
        let at: Position = update.position()?;
        let comparable = at == self.position() && self.metadata().is_some() && self.need().is_none();
        comparable.then(|| Claim { digest: digest.clone(), data: Arc::clone(self.data()) })
    }
}

impl ObserverShared {
    /// Lets the driver compare. A copy that was wrong then is wrong still: it is replaced, whatever came meanwhile.
    pub(super) fn verify(&self, claim: Claim) {
        let weak = std::sync::Weak::clone(&self.itself);
        self.core.run_later(async move {
            // Whoever told a digest made one of the same data; without a limit of its own this is never refused.
            let differs = digest::of(&claim.data, usize::MAX).is_some_and(|ours| ours != claim.digest);
            let Some(observer) = weak.upgrade().filter(|_| differs) else { return };
            tracing::warn!(object = %observer.url, "the copy is not what the Reporter has; reading it anew");
            observer.state.lock().copy.mark_wrong();
            observer.repair();
        });
    }
}
