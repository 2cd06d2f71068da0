//! What this runtime observes becomes its own: the observation ends without anybody being told (protocol 5.11 step 9).

use hyperty_message_bus::Wish;
use hyperty_model::{Message, ObjectUrl};
use hyperty_storage::Role;

use super::resume::stored_message;
use crate::manager::SyncManager;

/// What is left of an observation.
#[derive(Default)]
pub(crate) struct Released {
    /// Operations on children that the Reporter's side has not answered.
    pub(crate) pending: Vec<Message>,
    /// The routes at message nodes, to be withdrawn when they are not needed.
    pub(crate) wishes: Vec<Wish>,
}

impl SyncManager {
    /// Ends the observation of an object here, if there is one. Its observers get their routes from whoever reports it.
    pub(crate) async fn release_observation(&self, url: &ObjectUrl) -> Released {
        let Some(object) = self.observed(url) else { return self.release_dormant(url) };
        let _setup = object.setup.lock().await;
        let (pending, routes) = {
            let mut state = object.lock();
            (state.gone, state.moved_here) = (true, true);
            state.observers.clear();
            (std::mem::take(&mut state.pending), std::mem::take(&mut state.routes))
        };
        self.shared.observed.remove_if(url, |_, entry| std::sync::Arc::ptr_eq(entry, &object));
        self.shared.timers.forget(url, Role::Observer);
        self.forget_record(url);
        let registration = routes.registration.map(|(_, wish)| wish);
        drop((routes.listeners, routes.publishes));
        let wishes = routes.wishes.into_iter().chain(registration).collect();
        Released { pending: pending.into_iter().map(|waiting| waiting.message).collect(), wishes }
    }

    /// The same of one that no hyperty here has resumed yet.
    fn release_dormant(&self, url: &ObjectUrl) -> Released {
        let Some(record) = self.shared.dormant.lock().observed.remove(url) else {
            return Released::default();
        };
        self.forget_record(url);
        Released { pending: record.pending.values().filter_map(stored_message).collect(), wishes: Vec::new() }
    }
}
