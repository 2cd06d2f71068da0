//! Changes are taken in, committed, then released in order (M1, M2).
//!
//! Many may wait for the store at one time. Whatever is released passes [`SyncManager::release_ready`], under the
//! lock of the object, in the order in which it was taken in.

use std::sync::Arc;

use hyperty_model::change::apply;
use hyperty_model::message::{ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::object::{ChildEntry, ChildId};
use hyperty_model::{ChildrenName, Message, StatusCode};
use hyperty_storage::{RecordStatus, StorageError, Ticket};
use serde_json::Value;
use tokio::time::Instant;

use super::kept::Ahead;
use super::object::{Phase, Reported, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// Something taken in that waits to be released.
pub(crate) struct Staged {
    /// When it is durable; `None` for what need not be.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) release: Release,
}

/// What happens on release.
pub(crate) enum Release {
    /// A change of the object.
    Update {
        /// As it goes out.
        message: Message,
        body: Arc<UpdateBody>,
        /// Whether the Reporter asked to be told.
        receipt: bool,
    },
    /// An operation on a child: passed on to the others, then answered to its writer.
    Child {
        message: Message,
        child: (ChildrenName, ChildId),
        /// What it made of the child.
        after: Option<Box<ChildEntry>>,
    },
    /// An operation on a child that had come before: answered again, but not before the first is durable.
    ChildAgain { message: Message },
    /// A later epoch of the same owner.
    Epoch(u64),
}

impl SyncManager {
    /// Takes something in behind what waits already, and releases what can be.
    pub(crate) fn stage(&self, object: &Arc<Reported>, state: &mut State, staged: Staged) {
        state.staged.push_back(staged);
        self.release_ready(object, state);
        if !state.staged.is_empty() {
            self.shared.committing.lock().insert(object.url.clone(), Arc::clone(object));
            // The store may have finished between the first look and the entry in the table.
            self.release_ready(object, state);
        }
    }

    /// Releases what became durable, in every object that waits. Called at each progress of the store.
    pub(crate) fn release_committed(&self) {
        let waiting = std::mem::take(&mut *self.shared.committing.lock());
        for (url, object) in waiting {
            let mut state = object.lock();
            self.release_ready(&object, &mut state);
            if !state.staged.is_empty() {
                self.shared.committing.lock().insert(url, Arc::clone(&object));
                self.release_ready(&object, &mut state);
            }
        }
    }

    fn release_ready(&self, object: &Arc<Reported>, state: &mut State) {
        let (durable, failed) = {
            let progress = self.shared.progress.borrow();
            (progress.durable, progress.failed.clone())
        };
        while let Some(front) = state.staged.front() {
            if front.ticket.is_some_and(|ticket| ticket > durable) {
                break;
            }
            if let Some(staged) = state.staged.pop_front() {
                self.release_one(object, state, staged.release);
            }
        }
        if let Some(error) = failed.filter(|_| !state.staged.is_empty()) {
            self.close_for_writing(object, state, &error);
        }
    }

    fn release_one(&self, object: &Arc<Reported>, state: &mut State, release: Release) {
        match release {
            Release::Update { message, body, receipt } => {
                advance(state, &body);
                self.release_update(object, &message, &body);
                self.tell_openness(state, &body);
                self.tally().released.add(1);
                self.schedule_beat(object, state);
                if receipt {
                    let answer = ResponseBody { version: body.version, ..ResponseBody::ok() };
                    self.answer_update(&message, answer);
                }
            }
            Release::Child { message, child: (name, id), after } => {
                state.unreleased.release(&name, &id, after.map(|after| *after));
                state.answers.outdate();
                self.bus().release(&message);
                state.beat.last_change = Some(Instant::now());
                self.schedule_beat(object, state);
                self.answer_child(&message, ResponseBody::ok());
            }
            Release::ChildAgain { message } => self.answer_child(&message, ResponseBody::ok()),
            Release::Epoch(epoch) => {
                state.enter_epoch(epoch);
                self.schedule_beat(object, state);
                self.tally().epochs_raised.add(1);
                self.register_again(object);
            }
        }
    }

    /// A failed commit publishes nothing: whoever waits is told, the copy goes back to what was released, and the
    /// object takes no more changes (M2).
    fn close_for_writing(&self, object: &Reported, state: &mut State, error: &StorageError) {
        let is_ending = matches!(error, StorageError::Closed);
        if is_ending {
            tracing::debug!(object = %object.url, "the store is closed with changes under way");
            state.phase = Phase::Ending;
        } else {
            tracing::error!(object = %object.url, %error, "the store failed; the object is closed for writing");
            state.phase = Phase::Closed(error.to_string());
        }
        state.head = state.head.is_some().then(|| Value::clone(&state.data));
        (state.head_position, state.ahead) = (state.position, Ahead::default());
        let State { unreleased, children, .. } = state;
        unreleased.take_back(children);
        let refusal = Refusal::new(StatusCode::INTERNAL, format!("storage: {error}")).because("storage");
        for staged in std::mem::take(&mut state.staged) {
            match staged.release {
                Release::Update { message, receipt: true, .. } => {
                    self.answer_update(&message, refusal.clone().into())
                }
                Release::Update { .. } | Release::Epoch(_) => {}
                Release::Child { .. } | Release::ChildAgain { .. } if is_ending => {}
                Release::Child { message, .. } | Release::ChildAgain { message } => {
                    self.answer_child(&message, refusal.clone().into());
                }
            }
        }
    }

    /// Tells the Reporter what became of an update. Its address is sequenced by us, so the answer is released to
    /// the hyperty rather than posted.
    pub(crate) fn answer_update(&self, update: &Message, body: ResponseBody) {
        let kind = hyperty_model::MessageType::Response;
        let to = update.from().clone();
        self.bus().release(&Message::new(update.id().clone(), kind, self.address().clone(), to, body));
    }

    /// Writes the whole record of a resumable object; `None` for one that is not kept.
    pub(crate) fn persist(&self, object: &Reported, state: &State, status: RecordStatus) -> Option<Ticket> {
        let keep = state.options.resumable;
        keep.then(|| self.storage().save(&state.record(object.names().cloned().collect(), status)))
    }
}

/// Moves the released copy forward by one change.
fn advance(state: &mut State, body: &Arc<UpdateBody>) {
    if state.head.is_some()
        && let UpdateKind::Change(change) = &body.kind
    {
        // It applied to the same state when it was taken in.
        if let Err(error) = apply(Arc::make_mut(&mut state.data), change) {
            tracing::error!(%error, "a committed change does not apply to the released copy");
            state.data = Arc::new(state.head.clone().unwrap_or_default());
        }
    }
    state.position.version = body.version.unwrap_or(state.position.version + 1);
    state.release_metadata(body);
    state.log.push(state.position, Arc::clone(body));
    state.answers.outdate();
    state.beat.last_change = Some(Instant::now());
}
