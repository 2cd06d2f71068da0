//! What a fresh session is told first: routes, then registrations (protocol M11).

use hyperty_message_bus::{DomainRoutes, Replay};
use hyperty_model::Message;
use hyperty_registry::Registrations;

pub(crate) struct RoutesThenRegistrations {
    pub(crate) routes: DomainRoutes,
    pub(crate) registrations: Registrations,
}

impl Replay for RoutesThenRegistrations {
    fn replay(&self, domain: &str) -> Vec<Message> {
        let mut messages = self.routes.replay(domain);
        messages.extend(self.registrations.replay(domain));
        messages
    }
}
