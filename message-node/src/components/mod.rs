//! The services of a domain that a node answers for (protocol 5.12 to 5.14, M22).

pub(crate) mod backup;
mod registry;
mod subscriptions;

use std::sync::Arc;

use hyperty_model::url::node;
use hyperty_model::{Message, MessageType, StatusCode, Url, UrlError};

use crate::metrics::{Asked, Service};
use crate::node::Core;
use crate::session::Session;

/// Where the components are reached.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The Subscription Manager; also the name the node gives itself.
    pub(crate) subscriptions: Url,
    /// Allocation, with its older names.
    pub(crate) allocation: [Url; 3],
    /// The domain registry.
    pub(crate) registry: Url,
    /// The schema catalogue.
    pub(crate) catalogue: Url,
    /// The records of users' objects.
    pub(crate) backup: Url,
}

impl Addresses {
    /// The addresses of a domain.
    pub(crate) fn of(domain: &str) -> Result<Addresses, UrlError> {
        let older = |path: &str| Url::parse(&format!("domain://msg-node.{domain}/{path}"));
        Ok(Addresses {
            subscriptions: node::subscription_manager(domain)?,
            allocation: [
                node::address_allocation(domain)?,
                older("hyperty-address-allocation")?,
                older("object-address-allocation")?,
            ],
            registry: node::registry(domain)?,
            catalogue: node::catalogue(domain)?,
            backup: node::backup(domain)?,
        })
    }
}

impl Core {
    /// Hands a message to the component it is for. Answers to the node's own messages end here.
    pub(crate) fn serve_component(&self, session: &Arc<Session>, message: &Message) {
        if matches!(message.kind(), MessageType::Response | MessageType::Event) {
            return;
        }
        let (to, addresses) = (message.to(), &self.addresses);
        if *to == addresses.subscriptions {
            let asked = Asked::now(Service::Subscriptions);
            return self.serve_subscriptions(session, message, asked);
        }
        let services = [&addresses.registry, &addresses.catalogue, &addresses.backup];
        let stores = addresses.allocation.contains(to) || services.contains(&to);
        if stores && !self.pending.has_room() {
            let text = "the node's store does not keep up";
            return self.refuse(session, message, StatusCode::INTERNAL, "limit", text);
        }
        if addresses.allocation.contains(to) {
            let asked = Asked::now(Service::Allocation);
            let (answer, ticket) = self.allocations.handle(message, &session.runtime);
            self.answer_when_durable(session, message, self.marked(answer), ticket, asked);
        } else if *to == addresses.registry {
            self.serve_registry(session, message);
        } else if *to == addresses.backup {
            self.serve_backup(session, message);
        } else if *to == addresses.catalogue {
            let asked = Asked::now(Service::Catalogue);
            let (answer, ticket) = self.catalogue.handle(message);
            self.answer_when_durable(session, message, self.marked(answer), ticket, asked);
        } else {
            self.counters.unrouted.add(1);
            self.refuse(session, message, StatusCode::NOT_FOUND, "no-route", "no route");
        }
    }

    /// A component's answer; failures are marked as the node's own (M12).
    fn marked(&self, answer: hyperty_model::message::ResponseBody) -> hyperty_model::message::ResponseBody {
        if answer.code.is_success() { answer } else { self.explained(answer) }
    }
}
