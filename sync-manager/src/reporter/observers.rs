//! Who observes, told to the Reporter's application (protocol 5.3.5): in this runtime only, at `O/observers`.

use hyperty_model::message::{ObserverValue, ObserversBody, ObserversOperation};
use hyperty_model::{HypertyUrl, MessageType};
use serde_json::Value;

use super::object::{ObserverEntry, Reported, State};
use crate::manager::SyncManager;

impl SyncManager {
    /// Tells that something happened to an observer. Call it in the step in which it happens, so that the order of
    /// what is told is the order of the list.
    pub(crate) fn tell_observers(
        &self,
        object: &Reported,
        operation: ObserversOperation,
        hyperty: &HypertyUrl,
        entry: &ObserverEntry,
    ) {
        let body = ObserversBody::new(operation, entry.value(hyperty));
        let (from, to) = (object.url.subscription(), object.url.observers());
        self.bus().release_locally(&self.bus().new_message(MessageType::Update, &from, &to, body));
    }
}

impl ObserverEntry {
    /// What the application is told of it.
    fn value(&self, hyperty: &HypertyUrl) -> ObserverValue {
        ObserverValue {
            url: hyperty.clone(),
            identity: self.identity.clone(),
            since: self.since,
            away: self.away.is_some(),
        }
    }
}

impl State {
    /// The whole list, in the order of the URLs; for the Reporter only.
    pub(crate) fn observers_list(&self) -> Value {
        let list: Vec<ObserverValue> = self.observers.iter().map(|(url, entry)| entry.value(url)).collect();
        serde_json::to_value(list).unwrap_or_default()
    }
}
