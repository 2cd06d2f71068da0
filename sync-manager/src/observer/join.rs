//! An observer of this runtime gets its place and its answer (protocol 5.3 step 10). What is to be known after a restart
//! is durable before the answer says that it is.

use std::sync::Arc;

use hyperty_model::message::{ResponseBody, SubscribeBody};
use hyperty_model::{HypertyUrl, StatusCode};
use hyperty_storage::{Role, Ticket};
use tokio::time::Instant;

use super::object::{LocalObserver, Observed, State};
use super::removed::JoiningHere;
use crate::answer::{Question, Refusal};
use crate::manager::{SyncManager, UNDO_WAIT};

/// Who subscribes, and until when it waits.
pub(super) struct Joiner<'a> {
    pub(super) question: &'a Question,
    pub(super) hyperty: &'a HypertyUrl,
    pub(super) body: &'a SubscribeBody,
    pub(super) deadline: Instant,
    /// Its entry among those that are joining.
    pub(super) number: u64,
}

/// A subscription among those that are joining; ends when dropped, however the procedure ends.
pub(super) struct Entered {
    pub(super) object: Arc<Observed>,
    pub(super) number: u64,
}

impl Observed {
    /// Notes that a subscription waits for its answer.
    pub(super) fn enter(self: &Arc<Observed>, hyperty: &HypertyUrl) -> Entered {
        let joining = &mut self.lock().joining;
        let number = joining.last().map_or(0, |last| last.number + 1);
        joining.push(JoiningHere { number, hyperty: hyperty.clone(), called_off_by: None });
        Entered { object: Arc::clone(self), number }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.object.lock().joining.retain(|joining| joining.number != self.number);
    }
}

impl Joiner<'_> {
    /// The same after a state that may have taken long: whoever waits was told so, and there is time for the store.
    pub(super) fn waited(&self) -> Joiner<'_> {
        Joiner { deadline: self.deadline.max(Instant::now() + UNDO_WAIT), ..*self }
    }
}

/// What somebody who observed before had asked to be kept.
struct Before {
    store: bool,
    resumable: bool,
    backup: bool,
}

impl SyncManager {
    /// Step 10: adds the observer with its routes, and answers with the copy when it is kept. `false` if there is no
    /// copy yet. What is released meanwhile goes to the observer, whose answer is made of the copy as it is then.
    pub(super) async fn answer_from_copy(
        &self,
        object: &Arc<Observed>,
        joiner: &Joiner<'_>,
    ) -> Result<bool, Refusal> {
        let names = object.lock().names.clone();
        let forwards = self.forwards(&object.url, &names, joiner.hyperty)?;
        let (before, waits) = {
            let mut state = object.lock();
            self.check_observed(object, &state)?;
            state.check_not_called_off(joiner.number)?;
            if state.metadata.is_none() || !state.replica.is_live() {
                return Ok(false);
            }
            let store = joiner.body.store.unwrap_or(false);
            let identity = joiner.body.identity.clone();
            let stays = store || joiner.body.resumable.unwrap_or(false);
            let may = identity.is_some() && (stays || joiner.body.backup == Some(true));
            // A wish that cannot be had costs nobody the observation.
            let backup = self.backs_up(joiner.body.backup, may).unwrap_or(false);
            let resumable = stays || backup;
            let observer = LocalObserver { identity, store, resumable, backup, forwards };
            let kept = state.kept();
            let before = state.observers.insert(joiner.hyperty.clone(), observer);
            let saved = match before {
                None if kept.is_some() && kept == state.kept() => self.save_joined(&state, joiner.hyperty),
                _ => self.save_observed(&state),
            };
            let ticket = saved.filter(|ticket| resumable && !self.is_durable(*ticket));
            let kept = |LocalObserver { store, resumable, backup, .. }| Before { store, resumable, backup };
            let waits = match ticket {
                Some(ticket) => Ok(ticket),
                None => Err(self.answer_joined(object, &mut state, joiner)),
            };
            (before.map(kept), waits)
        };
        let answered = match waits {
            Ok(ticket) => {
                let kept = self.durable_by(ticket, joiner.deadline).await;
                kept.and_then(|()| self.answer_joined(object, &mut object.lock(), joiner))
            }
            Err(answered) => answered,
        };
        if let Err(refusal) = answered {
            self.undo_join(object, joiner, before);
            return Err(refusal);
        }
        // Those who observed before may have been told that they are cut off.
        self.connected(object);
        Ok(true)
    }

    /// The answer, in one step with the copy that it tells.
    fn answer_joined(
        &self,
        object: &Observed,
        state: &mut State,
        joiner: &Joiner<'_>,
    ) -> Result<(), Refusal> {
        self.check_observed(object, state)?;
        state.check_not_called_off(joiner.number)?;
        let since = joiner.body.since;
        let answer = state.answer_since(since).filter(|_| state.observers.contains_key(joiner.hyperty));
        let Some(answer) = answer else {
            return Err(Refusal::new(StatusCode::TIMEOUT, "the observer has left meanwhile"));
        };
        if state.repair.whole {
            // Wished for while nobody observed: then nothing is repaired.
            self.repair_soon(&object.url);
        }
        let answer = ResponseBody {
            recovered: answer.recovered.filter(|_| since.is_some()),
            schema: state.metadata.as_ref().map(|metadata| metadata.schema.clone()),
            children_resources: Some(state.name_strings()),
            ..answer
        };
        match joiner.question.answer_first(answer) {
            true => Ok(()),
            false => Err(Refusal::new(StatusCode::TIMEOUT, "whoever asked has given up")),
        }
    }

    /// Whether the object is still observed here: it may have been deleted, or have become this runtime's own.
    fn check_observed(&self, object: &Observed, state: &State) -> Result<(), Refusal> {
        match state.gone {
            true if state.moved_here || self.reported(&object.url).is_some() => {
                let text = "the object is reported in this runtime now; ask again";
                Err(Refusal::new(StatusCode::TIMEOUT, text).because("delegating"))
            }
            true => Err(Refusal::new(StatusCode::GONE, "the object is deleted")),
            false => Ok(()),
        }
    }

    /// It was not kept: who did not observe before does not now, and the Reporter's side hears of it.
    fn undo_join(&self, object: &Arc<Observed>, joiner: &Joiner<'_>, before: Option<Before>) {
        let mut state = object.lock();
        match before {
            Some(Before { store, resumable, backup }) => {
                if let Some(observer) = state.observers.get_mut(joiner.hyperty) {
                    (observer.store, observer.resumable) = (store, resumable);
                    observer.backup = backup;
                }
            }
            None => {
                if let Some(LocalObserver { identity, resumable, .. }) =
                    state.observers.remove(joiner.hyperty)
                {
                    self.note_leave(&object.url, &state, joiner.hyperty, (identity, resumable));
                    self.tell_leaves_soon(&object.url);
                }
            }
        }
        if !state.gone && !state.observers.is_empty() {
            self.save_or_forget(object, &state);
        }
    }

    /// Writes the whole record, if an observer here asked for one; gives when it is durable.
    pub(crate) fn save_observed(&self, state: &State) -> Option<Ticket> {
        let mut record = state.record()?;
        let leaves = self.shared.leaves.lock();
        record.subscriptions.extend(leaves.subscribers(&record.metadata.url));
        state.stored.set(true);
        Some(self.storage().save(&record))
    }

    /// Writes one more observer of an object that is stored as it is, if that one asked for it: a row, however many there
    /// are.
    fn save_joined(&self, state: &State, hyperty: &HypertyUrl) -> Option<Ticket> {
        let metadata = state.metadata.as_ref()?;
        let subscriber = state.observers.get(hyperty)?.subscriber(hyperty)?;
        Some(self.storage().put_subscriber(Role::Observer, &metadata.url, &subscriber))
    }

    /// Writes the whole record, or that none of the observers here has asked for one any more.
    pub(super) fn save_or_forget(&self, object: &Observed, state: &State) -> Ticket {
        self.save_observed(state).unwrap_or_else(|| self.forget_record(&object.url))
    }
}
