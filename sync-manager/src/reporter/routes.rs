//! The routes of the Reporter's side on the runtime's bus: A1 to A5 (protocol 4.2).

use std::sync::Arc;

use hyperty_message_bus::Listener;
use hyperty_model::{HypertyUrl, Message, MessageType, ObjectUrl};

use super::object::{ObserverRoutes, Reported};
use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// Adds A1 to A4. They end when the listeners are dropped.
    pub(crate) fn reporter_listeners(&self, object: &Arc<Reported>) -> Result<Vec<Listener>, Refusal> {
        let mut listeners = vec![
            self.listen(&object.url.subscription())?,
            self.sequence(object, &object.url.changes(), SyncManager::on_changes)?,
            self.sequence(object, object.url.as_url(), SyncManager::on_object)?,
        ];
        for name in object.names() {
            listeners.push(self.sequence(
                object,
                &object.url.children(name),
                SyncManager::on_child_channel,
            )?);
        }
        Ok(listeners)
    }

    /// Adds what brings the Reporter its answers, and the operations on children (A5).
    pub(crate) fn reporter_forwards(
        &self,
        object: &Reported,
        reporter: &HypertyUrl,
    ) -> Result<Vec<Listener>, Refusal> {
        let channels = object.names().map(|name| object.url.children(name));
        let addresses = [object.url.as_url().clone(), object.url.observers()].into_iter().chain(channels);
        addresses.map(|address| Ok(self.bus().forward(&address, reporter)?)).collect()
    }

    /// Lets the bus know that an object lives here.
    pub(crate) fn add_local_object(&self, url: &ObjectUrl) -> Result<(), Refusal> {
        self.shared.parts.registry.add_object(url).map_err(|error| {
            Refusal::new(hyperty_model::StatusCode::INTERNAL, error.to_string()).because("limit")
        })
    }

    /// What is sent to `O` itself: answers are the Reporter's, requests are ours (M5).
    fn on_object(&self, _object: &Arc<Reported>, message: &Message) {
        if message.kind() == MessageType::Response {
            self.bus().release(message);
        } else {
            self.enqueue(message);
        }
    }

    /// The routes that bring the stream to an observer: to its MiniBus if it lives here (B2, B4), else to the
    /// stub by which it is reached (A6, A7).
    pub(crate) fn observer_routes(&self, object: &Reported, path: &Path) -> Result<ObserverRoutes, Refusal> {
        let mut routes = ObserverRoutes::default();
        for address in object.stream() {
            match path {
                Path::Local(hyperty) => routes.forwards.push(self.bus().forward(&address, hyperty)?),
                Path::Stub(stub) => routes.publishes.push(self.bus().publish_route(&address, stub)),
            }
        }
        if let Path::Local(hyperty) = path {
            routes.forwards.push(self.bus().forward(&object.url.status(), hyperty)?);
        }
        Ok(routes)
    }
}

/// How an observer is reached.
#[derive(Debug, Clone)]
pub(crate) enum Path {
    /// It lives in this runtime.
    Local(HypertyUrl),
    /// Through a stub.
    Stub(hyperty_model::Url),
}
