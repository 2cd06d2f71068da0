//! Who may ask in the name of a hyperty: itself, and the Sync Manager of its own runtime (protocol 5.3 step 7, 5.5.3).

use hyperty_model::{HypertyUrl, Identity, Message, ObjectUrl, StatusCode, Url};

use super::subscribe::runtime_of;
use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// Refuses a message in whose body a hyperty is named that is known to live elsewhere than where it came from. Of
    /// a hyperty that nothing is known of, only the node can know whose it is.
    pub(super) fn check_behalf(
        &self,
        object: &ObjectUrl,
        message: &Message,
        named: &Url,
        identity: Option<&Identity>,
    ) -> Result<(), Refusal> {
        let from = message.from();
        // The bus notes which hyperty of this runtime posted a message, whatever that says of itself.
        let in_own_name = message.sender().is_none_or(|sender| sender == from);
        if in_own_name && named == from {
            return Ok(());
        }
        let refused = || {
            let text = format!("{from} does not ask on behalf of {named}");
            Err(Refusal::new(StatusCode::FORBIDDEN, text).because("forbidden"))
        };
        let Some(runtime) = runtime_of(from).filter(|_| in_own_name) else { return refused() };
        let Ok(hyperty) = HypertyUrl::try_from(named.clone()) else { return refused() };
        let own = &self.shared.parts.runtime;
        if runtime != *own && self.shared.parts.registry.has_hyperty(&hyperty) {
            return refused();
        }
        // One that is not here is refused further on.
        let Some(object) = self.reported(object) else { return Ok(()) };
        let state = object.lock();
        let known =
            state.observers.get(&hyperty).and_then(|entry| Some((entry.runtime.as_ref()?, &entry.identity)));
        match known {
            // The same user may have moved it to another runtime.
            Some((home, user)) if *home != runtime => match (user, identity) {
                (Some(user), Some(given)) if user.same_user(given) => Ok(()),
                _ => refused(),
            },
            _ => Ok(()),
        }
    }
}
