//! Child operations of this runtime that the Reporter's side has not answered (protocol M18): kept first, then sent,
//! and sent again until they are answered.

use std::sync::Arc;

use hyperty_message_bus::ResponseWatch;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, ObjectUrl, StatusCode};
use hyperty_storage::{Entry, Role, StorageError, Ticket};
use tokio::time::Instant;

use super::answered::{OneAnswer, Onward};
use super::children::{child_id, note_arrival};
use super::object::{Before, Link, Observed, PendingChild, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::timers::Due;

/// Whether an operation is in the store already.
pub(crate) enum Kept {
    /// It is written with this call; what its child was before it.
    Now(Before),
    /// It was read from the store, where it has this number.
    Before(u64),
}

impl SyncManager {
    /// Keeps an operation until the Reporter's side answers it.
    pub(crate) fn keep_pending(
        &self,
        object: &Arc<Observed>,
        state: &mut State,
        message: Message,
        kept: Kept,
    ) {
        self.shared.answered.lock().let_go(&message);
        let answer = OneAnswer::default();
        let watch = self.watch_answers(object, &message, &answer);
        let child = child_id(&message).unwrap_or_default();
        let (number, sent, before) = match kept {
            Kept::Now(before) => (state.next_pending(), false, before),
            Kept::Before(number) => (number, true, Before::Forgotten),
        };
        let mut pending = PendingChild {
            number,
            message,
            child,
            ticket: None,
            sent,
            before,
            repeated: sent,
            answer,
            watch,
        };
        if !sent && let Some(message) = pending.stored() {
            pending.ticket = self.write_pending(object, state, Entry::Pending { number, message });
        }
        state.pending.push_back(pending);
    }

    /// Sees all that is answered to an operation, of which its hyperty gets one.
    fn watch_answers(&self, object: &Arc<Observed>, message: &Message, one: &OneAnswer) -> ResponseWatch {
        let (manager, object) = (self.downgrade(), Arc::downgrade(object));
        let (one, channel) = (one.clone(), message.to().clone());
        self.bus().sift_responses(message.from(), &message.id().clone(), move |response| {
            // Nobody answers what was asked elsewhere.
            if response.code().is_provisional() || *response.from() != channel {
                return true;
            }
            match one.comes() {
                Onward::Passes => true,
                Onward::Kept => false,
                Onward::Undecided => match (manager.upgrade(), object.upgrade()) {
                    (Some(manager), Some(object)) => manager.child_answered(&object, response, &one),
                    _ => one.settle(),
                },
            }
        })
    }

    /// Sends what is kept durably, in order. An operation that left before it was kept could be forgotten by a
    /// crash, and its id be given to another child (INV-DOM-5).
    pub(crate) fn send_kept(&self, object: &Arc<Observed>, state: &mut State) {
        self.send_durable(object, state);
        if state.pending.iter().any(|pending| !pending.sent) {
            self.shared.keeping.lock().insert(object.url.clone(), Arc::clone(object));
            // The store may have finished between the first look and the entry in the table.
            self.send_durable(object, state);
        }
    }

    /// Sends what became durable, in every object that waits. Called at each progress of the store.
    pub(crate) fn send_all_kept(&self) {
        let waiting = std::mem::take(&mut *self.shared.keeping.lock());
        for object in waiting.into_values() {
            self.send_kept(&object, &mut object.lock());
        }
    }

    fn send_durable(&self, object: &Observed, state: &mut State) {
        let (durable, failed) = {
            let progress = self.shared.progress.borrow();
            (progress.durable, progress.failed.clone())
        };
        let waiting = state.pending.iter().enumerate().filter(|(_, pending)| !pending.sent);
        let kept = waiting.take_while(|(_, pending)| pending.ticket.is_none_or(|ticket| ticket <= durable));
        for at in kept.map(|(at, _)| at).collect::<Vec<_>>() {
            // While the stream is cut the operation waits: sent now it could arrive before older ones. So it does behind
            // those of its child that were kept by a former session, and may not have been sent again yet.
            let waits = state.link == Link::Disconnected
                || state.before_of_child(at).any(|older| matches!(older.before, Before::Forgotten));
            let pending = &mut state.pending[at];
            pending.sent = true;
            match waits {
                false => self.bus().release(&pending.message),
                true => self.bus().release_locally(&pending.message),
            }
        }
        if let Some(error) = failed {
            self.refuse_unkept(object, state, &error);
        }
    }

    /// The store failed: what it has not kept is refused, and what was shown already is put right by a repair. A
    /// store that was closed belongs to a runtime that ends; its hyperties find their operations as after a crash.
    fn refuse_unkept(&self, object: &Observed, state: &mut State, error: &StorageError) {
        let (sent, unkept): (Vec<_>, Vec<_>) = state.pending.drain(..).partition(|pending| pending.sent);
        state.pending.extend(sent);
        if unkept.is_empty() || *error == StorageError::Closed {
            return;
        }
        let refusal = Refusal::new(StatusCode::INTERNAL, format!("storage: {error}")).because("storage");
        // The last first: each leaves what was before it.
        let mut messages: Vec<Message> = Vec::new();
        for pending in unkept.into_iter().rev() {
            // Passes whoever watches for it: that would look for it in the state that is locked here.
            if pending.answer.grant() {
                messages.push(pending.message.clone());
            }
            self.take_back(object, state, pending);
        }
        for message in messages.into_iter().rev() {
            let body = ResponseBody::from(refusal.clone()).with_source(self.address().clone());
            self.bus().post(message.reply(body));
        }
    }

    /// The Reporter's side answered, or somebody on the way; whether the hyperty is to hear it. Only the first operation
    /// of a child that waits can be settled: an answer to a later one that fails because the first was lost is no answer.
    fn child_answered(&self, object: &Arc<Observed>, answer: &Message, one: &OneAnswer) -> bool {
        let code = answer.code();
        let mut state = object.lock();
        let Some(at) = state.pending.iter().position(|pending| pending.answer.is(one)) else {
            return one.settle();
        };
        let is_first = state.before_of_child(at).next().is_none();
        if answer.decode::<ResponseBody>().is_ok_and(|body| body.is_of_the_way()) {
            // After a lost session the node lets nothing pass on a channel until its route is there again.
            let at = Instant::now() + self.config().child_wait;
            self.shared.timers.set(&object.url, Due::Children, at);
            return false;
        }
        if !code.is_success() && !is_first {
            // Not at once: as long as the first has no answer the others are refused again.
            let at = Instant::now() + self.config().retry_min;
            self.shared.timers.set(&object.url, Due::Children, at);
            return false;
        }
        let passes = one.settle();
        let Some(answered) = state.pending.remove(at) else { return passes };
        if matches!(answered.before, Before::Forgotten) {
            // What waited behind it is sent.
            self.shared.timers.set(&object.url, Due::Children, Instant::now());
        }
        if code.is_success() {
            if state.asking > 0 {
                // The state that is being asked for may be older than this operation.
                note_arrival(&mut state, &answered.message);
            }
            self.write_pending(object, &state, Entry::Answered { number: answered.number });
            if answered.repeated {
                self.shared.answered.lock().keep(answered.message, answered.watch);
            }
        } else {
            self.undo_operation(object, &mut state, answered, code);
        }
        passes
    }

    /// Writes one operation that waits, or that it waits no longer; `None` if no observer here wants the object kept.
    fn write_pending(&self, object: &Observed, state: &State, entry: Entry) -> Option<Ticket> {
        let is_kept = state.metadata.is_some() && state.is_resumable();
        is_kept.then(|| self.storage().put_entries(Role::Observer, &object.url, &[entry]))
    }

    /// Sends every unanswered operation again, with the same ids, in order; receivers know what they had.
    pub(crate) fn send_children_again(&self, url: &ObjectUrl) {
        let Some(object) = self.observed(url) else { return };
        let mut state = object.lock();
        if state.pending.is_empty() {
            return;
        }
        if state.link == Link::Live {
            for pending in state.pending.iter_mut().filter(|pending| pending.sent) {
                pending.repeated = true;
                self.bus().publish(&pending.message);
            }
        }
        let pause = self.config().child_wait.max(state.repair.pause.unwrap_or_default());
        self.shared.timers.set(url, Due::Children, Instant::now() + pause);
    }

    /// The observation has ended before these were answered: nobody will tell what became of them.
    pub(crate) fn give_up_pending(&self, pending: impl IntoIterator<Item = PendingChild>) {
        for PendingChild { message, answer, watch, .. } in pending {
            self.shared.answered.lock().keep(message.clone(), watch);
            if answer.grant() {
                let text = "the observation ended before this was answered";
                let body =
                    ResponseBody::failure(StatusCode::TIMEOUT, text).with_source(self.address().clone());
                self.bus().post(message.reply(body));
            }
        }
    }

    /// The Reporter's side gave a sign of life: what it has not answered it may have missed.
    pub(crate) fn children_heard(&self, object: &Observed, state: &State) {
        if !state.pending.is_empty() {
            self.shared.timers.set(&object.url, Due::Children, Instant::now() + self.config().child_wait);
        }
    }
}

impl State {
    /// The place of the next operation that waits: behind all others.
    fn next_pending(&self) -> u64 {
        self.pending.back().map_or(0, |last| last.number + 1)
    }

    /// The operations on the same child that wait before this one. Ids are counted for each name: the channel tells
    /// children of equal ids apart.
    fn before_of_child(&self, at: usize) -> impl Iterator<Item = &PendingChild> {
        let this = &self.pending[at];
        let same =
            |other: &&PendingChild| other.child == this.child && other.message.to() == this.message.to();
        self.pending.iter().take(at).filter(same)
    }
}
