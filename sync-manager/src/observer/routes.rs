//! The routes of the Observer's side: B1 to B5, B8, B9 (protocol 4.2).

use std::sync::Arc;

use hyperty_message_bus::{Listener, RouteError};
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl, Url};
use hyperty_storage::Role;
use tokio::sync::OwnedMutexGuard;

use super::object::Observed;
use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// The entry of an observed object, made at the first subscription.
    pub(crate) fn observed_or_new(&self, url: &ObjectUrl) -> Arc<Observed> {
        let entry = self.shared.observed.entry(url.clone());
        Arc::clone(&entry.or_insert_with(|| Arc::new(Observed::new(url.clone()))))
    }

    /// The same with its `setup` held. One that is just ending is not used any more.
    pub(crate) async fn set_up(&self, url: &ObjectUrl) -> (Arc<Observed>, OwnedMutexGuard<()>) {
        loop {
            let object = self.observed_or_new(url);
            let setup = Arc::clone(&object.setup).lock_owned().await;
            if !object.lock().gone {
                return (object, setup);
            }
        }
    }

    /// Adds the listeners of addresses that have none yet: B1, B3, and B5 towards the domain of the object.
    /// Call it with `setup` held.
    pub(crate) fn add_shared_routes(
        &self,
        object: &Arc<Observed>,
        names: &[ChildrenName],
    ) -> Result<(), Refusal> {
        let stub = self.stub_of(object.url.home());
        let (known, first) = {
            let state = object.lock();
            (state.names.clone(), state.routes.listeners.is_empty())
        };
        let mut listeners = Vec::new();
        let mut publishes = Vec::new();
        if first {
            listeners.push(self.sequence(object, &object.url.changes(), SyncManager::on_observed_changes)?);
            self.await_silence(&object.url);
        }
        let fresh: Vec<&ChildrenName> = names.iter().filter(|name| first || !known.contains(name)).collect();
        for name in &fresh {
            let channel = object.url.children(name);
            listeners.push(self.sequence(object, &channel, SyncManager::on_observed_child)?);
            publishes.extend(stub.as_ref().map(|stub| self.bus().publish_route(&channel, stub)));
        }
        let mut state = object.lock();
        for name in fresh {
            if !state.names.contains(name) {
                state.names.push(name.clone());
            }
        }
        state.routes.listeners.extend(listeners);
        state.routes.publishes.extend(publishes);
        Ok(())
    }

    /// Asks the message nodes for the stream: the object's domain (B8), and this runtime's own if it is another
    /// (B9, whose failure is not fatal). Call it with `setup` held.
    pub(crate) async fn route_at_nodes(&self, object: &Arc<Observed>) -> Result<(), Refusal> {
        let stream = object.stream(&object.lock().names);
        let home = object.url.home();
        self.route(object, home, stream.clone()).await?;
        let own = self.shared.parts.runtime.home();
        if !own.eq_ignore_ascii_case(home)
            && self.stub_of(own).is_some()
            && let Err(error) = self.route(object, own, stream).await
        {
            tracing::warn!(object = %object.url, %error, "the own domain does not route the stream");
        }
        Ok(())
    }

    /// Asks one message node for routes. The object has the wish before the node hears of it: whoever gives up while it
    /// waits withdraws what may yet arrive there.
    pub(crate) async fn route(
        &self,
        object: &Arc<Observed>,
        domain: &str,
        urls: Vec<Url>,
    ) -> Result<(), RouteError> {
        let wish = self.shared.parts.routes.wish(domain, urls);
        let established = wish.establish();
        object.lock().routes.wishes.push(wish);
        established.await
    }

    /// B2, B4 and the status of the stream, for one observer.
    pub(crate) fn forwards(
        &self,
        url: &ObjectUrl,
        names: &[ChildrenName],
        hyperty: &HypertyUrl,
    ) -> Result<Vec<Listener>, Refusal> {
        let channels = names.iter().map(|name| url.children(name));
        let addresses = [url.changes(), url.status()].into_iter().chain(channels);
        addresses.map(|address| Ok(self.bus().forward(&address, hyperty)?)).collect()
    }

    /// Ends an observation that nobody here needs any longer: routes, record, entry. Call it without `setup`. Who waits
    /// for the answer to a subscription needs it, and comes here itself when that fails.
    pub(crate) async fn end_if_unused(&self, object: &Arc<Observed>) {
        let _setup = object.setup.lock().await;
        let (pending, routes) = {
            let mut state = object.lock();
            if !state.observers.is_empty() || (!state.gone && !state.joining.is_empty()) {
                return;
            }
            state.gone = true;
            (std::mem::take(&mut state.pending), std::mem::take(&mut state.routes))
        };
        self.give_up_pending(pending);
        self.shared.observed.remove_if(&object.url, |_, entry| Arc::ptr_eq(entry, object));
        self.shared.timers.forget(&object.url, Role::Observer);
        self.forget_record(&object.url);
        drop(routes.listeners);
        drop(routes.publishes);
        let registration = routes.registration.map(|(_, wish)| wish);
        let manager = self.clone();
        self.undo(async move {
            for wish in routes.wishes.into_iter().chain(registration) {
                manager.withdraw(wish).await;
            }
        })
        .await;
    }
}
