//! What this runtime observes becomes its own: the observation ends without anybody being told (protocol 5.10.1, 5.11
//! step 9).

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_message_bus::Wish;
use hyperty_model::object::{ChildId, Children, Merged, MergedAs, Trust};
use hyperty_model::{HypertyUrl, Message, ObjectUrl};
use hyperty_storage::Role;

use super::children::{LOOKS, child_id, children_name};
use super::object::LocalObserver;
use super::resume::stored_message;
use crate::manager::SyncManager;
use crate::reporter::{Reported, State};

/// What is left of an observation.
#[derive(Default)]
pub(crate) struct Released {
    /// Who observed it here.
    pub(crate) locals: BTreeMap<HypertyUrl, LocalObserver>,
    /// Operations on children that the Reporter's side has not answered.
    pub(crate) pending: Vec<Message>,
    /// The children as they were known here.
    children: Children,
    /// The routes at message nodes, to be withdrawn when they are not needed.
    pub(crate) wishes: Vec<Wish>,
}

impl SyncManager {
    /// Ends the observation of an object here, if there is one. Its observers get their routes from whoever reports it.
    pub(crate) async fn release_observation(&self, url: &ObjectUrl) -> Released {
        let Some(object) = self.observed(url) else { return self.release_dormant(url) };
        let _setup = object.setup.lock().await;
        let (mut released, routes) = {
            let mut state = object.lock();
            (state.gone, state.moved_here) = (true, true);
            let pending = std::mem::take(&mut state.pending);
            let released = Released {
                locals: std::mem::take(&mut state.observers),
                pending: pending.into_iter().map(|waiting| waiting.message).collect(),
                children: std::mem::take(&mut state.children),
                wishes: Vec::new(),
            };
            (released, std::mem::take(&mut state.routes))
        };
        self.shared.observed.remove_if(url, |_, entry| Arc::ptr_eq(entry, &object));
        self.shared.timers.forget(url, Role::Observer);
        self.shared.dormant.lock().observed.remove(url);
        self.forget_record(url);
        drop((routes.listeners, routes.publishes));
        released.wishes = routes.wishes;
        released.wishes.extend(routes.registration.map(|(_, wish)| wish));
        released
    }

    /// The same of one that no hyperty here has resumed yet.
    fn release_dormant(&self, url: &ObjectUrl) -> Released {
        let Some(record) = self.shared.dormant.lock().observed.remove(url) else {
            return Released::default();
        };
        self.forget_record(url);
        let pending = record.pending.values().filter_map(stored_message).collect();
        Released { pending, children: record.children, ..Released::default() }
    }

    /// Takes the routes of a former observation down, behind whatever stands in their place.
    pub(crate) fn withdraw_all(&self, wishes: Vec<Wish>) {
        let manager = self.clone();
        self.later(Box::pin(async move {
            for wish in wishes {
                manager.withdraw(wish).await;
            }
        }));
    }

    /// The children that the new Reporter has from the former one count. Observers here are told what they lack of these,
    /// ahead of anything else; only what its writer deleted stays deleted. What they were told directly, and the former
    /// one never took, may be on its way to the new one: only what has not come after a while is taken back (decision
    /// 0010). Operations from here that are not answered yet are left out: the new Reporter's side takes them now.
    pub(crate) fn go_on_with_children(&self, object: &Arc<Reported>, state: &mut State, released: &Released) {
        let mut children = released.children.clone();
        for message in &released.pending {
            let id = child_id(message).and_then(|id| ChildId::parse(&id).ok());
            if let (Some(name), Some(id)) = (children_name(message), id) {
                let given = state.children.get(&name, id.as_str()).cloned();
                children.put_back(&name, &id, given);
            }
        }
        let changes = children.merge_trusting(state.children.clone(), |_, _| Trust::IsRight);
        let (surplus, missed): (Vec<Merged>, Vec<Merged>) =
            changes.into_iter().partition(|change| change.former.is_some() && !is_deleted(&children, change));
        self.tell_differences(&object.url, &children, &missed);
        let given = std::mem::replace(&mut state.children, children);
        for (name, id, _) in given.iter() {
            if state.children.get(name, id.as_str()).is_none() {
                // Durable with whatever is kept next: until then the deletion is what a crash undoes.
                let _ticket = self.store_child(object, state, name, id);
            }
        }
        if !surplus.is_empty() {
            let (manager, url) = (self.clone(), object.url.clone());
            self.later(Box::pin(async move {
                tokio::time::sleep(LOOKS * manager.config().child_wait).await;
                manager.take_surplus_back(&url, surplus);
            }));
        }
    }

    /// What observers here were told of children, and has not come to the Reporter's side: they are told what it has. The
    /// object may have gone on by then.
    fn take_surplus_back(&self, url: &ObjectUrl, surplus: Vec<Merged>) {
        if let Some(object) = self.reported(url) {
            let state = object.lock();
            self.take_back_from(url, &state.shown_children(), surplus);
        } else if let Some(object) = self.observed(url) {
            self.take_back_from(url, &object.lock().children, surplus);
        }
    }

    fn take_back_from(&self, url: &ObjectUrl, children: &Children, surplus: Vec<Merged>) {
        let still = surplus.into_iter().filter_map(|change| {
            let told = change.former.as_ref()?;
            let what = match children.get(&change.name, change.id.as_str()) {
                Some(now) if now.value.version >= told.value.version => return None,
                Some(_) => MergedAs::Replaced,
                // It came, and was deleted: they have heard of that.
                None if is_deleted(children, &change) => return None,
                None => MergedAs::Deleted,
            };
            Some(Merged { what, ..change })
        });
        self.tell_differences(url, children, &still.collect::<Vec<_>>());
    }
}

fn is_deleted(children: &Children, change: &Merged) -> bool {
    children.table(&change.name).is_some_and(|table| table.is_deleted(&change.id))
}
