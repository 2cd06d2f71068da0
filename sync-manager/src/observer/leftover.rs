//! An object became this runtime's, and a crash came before its observation here was taken down.

use hyperty_model::Message;
use hyperty_storage::{ObjectRecord, Role};

use super::resume::stored_message;
use crate::manager::SyncManager;

impl SyncManager {
    /// Ends what is left of the observation of an object that is reported here in a later epoch, so that its Reporter
    /// does not observe it too. Gives the operations on children that had no answer. An observation that is of no
    /// earlier epoch is that of a former owner.
    pub(crate) fn end_leftover(&self, reported: &ObjectRecord) -> Vec<Message> {
        let url = &reported.metadata.url;
        let leftover = {
            let observed = &mut self.shared.dormant.lock().observed;
            let earlier = observed.get(url).is_some_and(|it| it.position.epoch < reported.position.epoch);
            if earlier { observed.remove(url) } else { None }
        };
        let Some(leftover) = leftover else { return Vec::new() };
        self.storage().remove(Role::Observer, url);
        leftover.pending.values().filter_map(stored_message).collect()
    }
}
