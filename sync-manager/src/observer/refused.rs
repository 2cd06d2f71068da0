//! An own operation on a child was refused (protocol 5.9.2): it never was. Here as at its writer the child is what it was
//! before, so that the next operation of the writer fits, and a crash brings nothing back.

use hyperty_model::message::ResponseBody;
use hyperty_model::object::{ChildEntry, ChildId, Children, MergedAs};
use hyperty_model::{ChildrenName, Message, MessageType, StatusCode};

use super::answered::OneAnswer;
use super::children::{child_id, children_name};
use super::object::{Before, Observed, PendingChild, State};
use crate::manager::SyncManager;

impl SyncManager {
    /// The Reporter's side refused an operation, and with it those after it on the same child that count on it: all
    /// after a creation, the changes after a change. The writer undoes the same.
    pub(super) fn undo_operation(
        &self,
        object: &Observed,
        state: &mut State,
        refused: PendingChild,
        code: StatusCode,
    ) {
        let kind = refused.message.kind();
        let counts_on_it = |other: &PendingChild| {
            other.child == refused.child
                && other.message.to() == refused.message.to()
                && (kind == MessageType::Create || other.message.kind() == MessageType::Update)
        };
        let (later, others): (Vec<_>, Vec<_>) = state.pending.drain(..).partition(counts_on_it);
        state.pending.extend(others);
        let mut unanswered = Vec::new();
        for undone in later.into_iter().rev() {
            unanswered.push((undone.message.clone(), undone.answer.clone()));
            self.take_back(object, state, undone);
        }
        self.take_back(object, state, refused);
        self.save_observed(state);
        unanswered.reverse();
        self.answer_undone(unanswered, code);
    }

    /// What counted on an operation that was refused is refused as well, behind the answer to that: what the Reporter's
    /// side said of it, if it did, was no answer.
    fn answer_undone(&self, unanswered: Vec<(Message, OneAnswer)>, code: StatusCode) {
        if unanswered.is_empty() {
            return;
        }
        let manager = self.clone();
        self.later(Box::pin(async move {
            for (message, _) in unanswered.iter().filter(|(_, one)| one.grant()) {
                let body = ResponseBody::failure(code, "an operation that this counts on was refused");
                manager.bus().post(message.reply(body.with_source(manager.address().clone())));
            }
        }));
    }

    /// Puts the child of one operation back to what it was. What peers were shown directly is put right by their
    /// repairs; and what is here, should this be mistaken, by the whole state of the Reporter's side.
    pub(super) fn take_back(&self, object: &Observed, state: &mut State, refused: PendingChild) {
        let id = child_id(&refused.message).and_then(|id| ChildId::parse(&id).ok());
        let PendingChild { message, child, before, watch, .. } = refused;
        let names = children_name(&message).zip(id);
        // What was sent before may be answered yet.
        self.shared.answered.lock().keep(message.clone(), watch);
        let Some((name, id)) = names else { return };
        state.disagreement.refuse(name.clone(), id.clone());
        state.repair.whole = true;
        self.repair_soon(&object.url);
        let deleted_since = state.pending.iter().any(|other| {
            other.message.kind() == MessageType::Delete
                && other.child == child
                && other.message.to() == message.to()
        });
        if deleted_since {
            return;
        }
        let former = state.children.get(&name, id.as_str()).cloned();
        put_back(&mut state.children, (&name, &id), &message, before);
        let now = state.children.get(&name, id.as_str());
        if former.as_ref() != now {
            self.tell_put_back(object, &name, former.as_ref(), now);
        }
    }

    /// Tells the observers here what a child is again. First that it is not there, not in its reporter's name: so it
    /// can come again, older than it was, or deleted before.
    fn tell_put_back(
        &self,
        object: &Observed,
        name: &ChildrenName,
        former: Option<&ChildEntry>,
        now: Option<&ChildEntry>,
    ) {
        for (entry, what) in [(former.or(now), MergedAs::Deleted), (now, MergedAs::Created)] {
            if let Some(entry) = entry {
                self.bus().release_locally(&self.difference(&object.url, name, entry, what));
            }
        }
    }
}

fn put_back(
    children: &mut Children,
    (name, id): (&ChildrenName, &ChildId),
    refused: &Message,
    before: Before,
) {
    match (before, refused.kind()) {
        (Before::Child(entry), _) => children.put_back(name, id, Some(*entry)),
        // Unless it was deleted since, which stays.
        (Before::Nothing | Before::Forgotten, MessageType::Create) => {
            drop(children.forget(name, id.as_str()))
        }
        // The whole state that is asked for tells the rest.
        (_, MessageType::Delete) => children.put_back(name, id, None),
        _ => {}
    }
}
