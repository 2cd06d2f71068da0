//! Reading the object anew from the Sync Manager, which holds what is committed.

use std::sync::Weak;

use super::WriteError;
use super::shared::ReporterShared;
use crate::children::ChildError;
use crate::exchange::{Backoff, NotRepaired, Repair};

impl ReporterShared {
    /// Lets the driver read the object, unless it is at it.
    pub(crate) fn repair(&self) {
        {
            let mut state = self.state.lock();
            if state.ended || std::mem::replace(&mut state.repairing, true) {
                return;
            }
        }
        self.core.run_later(read_anew(Weak::clone(&self.itself)));
    }
}

/// Ends when the object was read, is gone, or nobody holds it any more.
async fn read_anew(weak: Weak<ReporterShared>) {
    let Some((core, url)) = weak.upgrade().map(|reporter| (reporter.core.clone(), reporter.url.clone()))
    else {
        return;
    };
    let mut backoff = Backoff::new(&core);
    loop {
        let Some(_asking) = weak.upgrade().map(|reporter| reporter.board.ask()) else { return };
        let answer = core.read(&url, None).await;
        let Some(reporter) = weak.upgrade() else { return };
        match answer {
            Ok(Repair::Whole(snapshot, _)) => {
                reporter.state.lock().repairing = false;
                let (position, schema) = (snapshot.position(), snapshot.metadata.schema.clone());
                reporter.state.lock().journal.rebase(snapshot.data, position);
                return reporter.board.merge(snapshot.children, &schema, |heard| reporter.on_heard(heard));
            }
            Err(NotRepaired::Gone) => return reporter.end(&WriteError::Deleted, &ChildError::Closed),
            Err(NotRepaired::Refused(code, reason)) => {
                reporter.state.lock().repairing = false;
                tracing::warn!(object = %url, %code, reason, "the reporter may not read its own object");
                return;
            }
            Ok(Repair::Changes { .. }) | Err(NotRepaired::Later) => {}
        }
        drop(reporter);
        backoff.pause().await;
    }
}
