//! What the owner of an object tells its domain's node of who may listen (protocol 10.4).

use std::sync::Arc;

use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::url::node;
use hyperty_model::{MessageType, RuntimeUrl, Url};

use super::{DomainRoutes, RouteError, Wish};

/// In the node's answer to `subscribe`: it lets nobody listen whom the owner has not accepted.
const ENFORCES: &str = "enforceSubscriber";

impl DomainRoutes {
    /// As [`DomainRoutes::wish`], for an object that everybody may listen to: the node is told so, at each replay too.
    pub fn wish_public(&self, domain: &str, urls: Vec<Url>) -> Wish {
        let wish = self.wish(domain, urls);
        self.shared.table.lock().set_public(&wish.domain, &wish.urls, true);
        wish
    }

    /// Whether everybody may listen to the object of this wish from now on. The node is told, and again at each replay.
    /// Not waited for: a session that is lost meanwhile replays it.
    pub fn set_public(&self, wish: &Wish, public: bool) {
        self.shared.table.lock().set_public(&wish.domain, &wish.urls, public);
        let source = self.shared.runtime.as_url().clone();
        let body = RoutesBody { public: Some(public), ..RoutesBody::new(wish.urls.clone(), source) };
        self.tell(&wish.domain, body);
    }

    /// Lets the session of `runtime` listen to the object of these addresses; nothing is sent to a node that is known
    /// to let anybody. Queued when this returns, so that what is sent to that runtime afterwards arrives behind it.
    pub fn grant(&self, domain: &str, urls: Vec<Url>, runtime: &RuntimeUrl) {
        if !self.shared.lenient.lock().contains(&domain.to_ascii_lowercase()) {
            let source = runtime.as_url().clone();
            self.tell(domain, RoutesBody { grant: Some(true), ..RoutesBody::new(urls, source) });
        }
    }

    /// Has the node cut the session of `runtime` off the object of these addresses; returns when it is done. A node that
    /// lets anybody listen is asked as well: it does what it can.
    ///
    /// # Errors
    /// [`RouteError`] when the node refuses, or could not be reached.
    pub async fn revoke(&self, domain: &str, urls: &[Url], runtime: &RuntimeUrl) -> Result<(), RouteError> {
        let refused = |error| RouteError::Domain { domain: domain.to_owned(), error };
        let to = node::subscription_manager(domain).map_err(refused)?;
        let from = self.shared.runtime.sync_manager();
        let source = runtime.as_url().clone();
        let body = RoutesBody { revoke: Some(true), ..RoutesBody::new(urls.to_vec(), source) };
        let mut attempts = 0;
        loop {
            let message = self.shared.bus.new_message(MessageType::Unsubscribe, &from, &to, body.clone());
            let answer = self.shared.bus.request(message).await;
            let answer = answer.decode::<ResponseBody>().unwrap_or_default();
            attempts += 1;
            if answer.code.is_success() {
                return Ok(());
            }
            if let Some(error) = self.given_up(domain, attempts, &answer) {
                return Err(error);
            }
            tokio::time::sleep(self.retry.wait(attempts, self.shared.bus.ids())).await;
        }
    }

    fn tell(&self, domain: &str, body: RoutesBody) {
        let Ok(to) = node::subscription_manager(domain) else { return };
        let _order = self.shared.order.lock();
        let from = self.shared.runtime.sync_manager();
        self.shared.bus.post(self.shared.bus.new_message(MessageType::Subscribe, &from, &to, body));
    }

    /// The body that asks for these, all of them public or none.
    pub(super) fn subscription(&self, domain: &str, urls: Vec<Url>) -> RoutesBody {
        let public = {
            let table = self.shared.table.lock();
            urls.iter().any(|url| table.is_public(domain, url))
        };
        let body = RoutesBody::new(urls, self.shared.runtime.as_url().clone());
        RoutesBody { public: public.then_some(true), ..body }
    }

    /// The node has answered a subscription.
    pub(super) fn note_enforcement(&self, domain: &str, kind: MessageType, answer: &ResponseBody) {
        if kind != MessageType::Subscribe {
            return;
        }
        let mut lenient = self.shared.lenient.lock();
        if answer.extra.get(ENFORCES) != Some(&serde_json::Value::Bool(true)) {
            lenient.insert(domain.to_ascii_lowercase());
        } else if !lenient.is_empty() {
            lenient.remove(&domain.to_ascii_lowercase());
        }
    }

    /// These routes, as long as somebody else keeps them.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<DomainRoutes> + Send + Sync + use<> {
        let (shared, retry) = (Arc::downgrade(&self.shared), self.retry);
        move || Some(DomainRoutes { shared: shared.upgrade()?, retry })
    }
}
