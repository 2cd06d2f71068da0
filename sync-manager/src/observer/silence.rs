//! An observed object of which nothing is heard: its Reporter announces at least its position now and then
//! (protocol 10.2), so long silence means that the last word was lost, be it a change or the deletion.

use hyperty_model::ObjectUrl;
use tokio::time::Instant;

use crate::manager::SyncManager;
use crate::timers::Due;

impl SyncManager {
    /// Begins, or goes on, to listen for silence.
    pub(crate) fn await_silence(&self, url: &ObjectUrl) {
        self.shared.timers.set(url, Due::Silence, Instant::now() + self.config().silence);
    }

    /// Asks the Reporter's side if nothing of the object was heard for that long.
    pub(crate) fn check_silence(&self, url: &ObjectUrl) {
        let Some(object) = self.observed(url) else { return };
        let due = {
            let state = object.lock();
            if state.gone {
                return;
            }
            state.heard + self.config().silence
        };
        if due > Instant::now() {
            return self.shared.timers.set(url, Due::Silence, due);
        }
        tracing::debug!(object = %url, "nothing was heard; asking");
        self.repair_soon(url);
        self.await_silence(url);
    }
}
