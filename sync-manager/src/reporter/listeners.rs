//! Who may listen to an object at its domain's message node, where that asks (protocol 10.4).
//!
//! The node sees the Reporter's yes to a subscription pass, so nothing is said for a new observer of its domain; the yes
//! to one of another domain passes that domain's node. One that comes back
//! with a new session, after a restart of its runtime or of the node, does not subscribe anew but repairs its copy: then
//! its runtime is let in by a word to the node that goes ahead of the answer.

use hyperty_message_bus::Wish;
use hyperty_model::RuntimeUrl;
use hyperty_model::message::{UpdateBody, UpdateKind};

use super::object::{Reported, State};
use crate::manager::SyncManager;

impl SyncManager {
    /// The routes of the Reporter's side at the node (A12). The node learns with them if everybody may listen.
    pub(super) fn wish_of(&self, object: &Reported, state: &State) -> Wish {
        let (home, urls) = (object.url.home(), object.routed());
        match state.metadata.public_observation {
            true => self.shared.parts.routes.wish_public(home, urls),
            false => self.shared.parts.routes.wish(home, urls),
        }
    }

    /// The runtime hosts an observer: whatever session it has now, it may listen.
    pub(super) fn let_listen(&self, object: &Reported, runtime: &RuntimeUrl) {
        self.shared.parts.routes.grant(object.url.home(), object.stream(), runtime);
    }

    /// A change has made the object public, or has ended that.
    pub(super) fn tell_openness(&self, state: &State, change: &UpdateBody) {
        if let UpdateKind::Metadata { attribute, .. } = &change.kind
            && attribute == "publicObservation"
            && let Some(wish) = &state.wish
        {
            self.shared.parts.routes.set_public(wish, state.metadata.public_observation);
        }
    }
}
