//! Changing the data: applied, numbered and queued at the call (protocol 5.4).

use std::sync::Arc;

use hyperty_model::change::{Change, diff};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{Body, Message, MessageType};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shared::{ReporterShared, State};
use super::{Commit, WriteError};
use crate::data::{as_sent, check_change, check_data};

impl ReporterShared {
    /// Makes one change.
    pub(super) fn write(&self, change: Change) -> Commit {
        if let Err(error) = check_change(&change) {
            return Commit::known(Err(error.into()));
        }
        let made = {
            let _writing = self.writing.lock();
            self.as_sent(change).and_then(|changes| self.make(changes, None))
        };
        self.send(made)
    }

    /// Holds the data no longer than it looks at it: what is held is copied by the next change.
    fn as_sent(&self, change: Change) -> Result<Vec<Change>, WriteError> {
        let data = self.data();
        Ok(as_sent(&data, change)?)
    }

    /// Makes the changes that lead to what `edit` makes of a copy.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Value)) -> Commit {
        let made = {
            let _writing = self.writing.lock();
            self.edited(edit).and_then(|(changes, undone)| self.make(changes, Some(undone)))
        };
        self.send(made)
    }

    fn edited(&self, edit: impl FnOnce(&mut Value)) -> Result<(Vec<Change>, u64), WriteError> {
        let (before, undone) = {
            let state = self.state.lock();
            (Arc::clone(state.journal.data()), state.journal.undone())
        };
        let mut after = Value::clone(&before);
        edit(&mut after);
        check_data(&after)?;
        // `before` is released here: the changes find the data unshared and need not copy it.
        Ok((diff(&before, &after), undone))
    }

    /// Applies and queues. `undone` is how often changes had been undone when an edit took its copy.
    fn make(&self, changes: Vec<Change>, undone: Option<u64>) -> Result<Commit, WriteError> {
        let (done, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(error) = &state.closed {
            return Err(error.clone());
        }
        if undone.is_some_and(|undone| undone != state.journal.undone()) {
            return Err(WriteError::EditOutdated);
        }
        if changes.is_empty() {
            let nothing_to_wait_for = state.journal.wait(done).is_some();
            return Ok(match nothing_to_wait_for {
                true => Commit::known(Ok(state.journal.position())),
                false => Commit::waiting(answer),
            });
        }
        let limit = self.core.config.limits.in_flight_max;
        if state.journal.in_flight() + changes.len() > limit {
            return Err(WriteError::TooManyInFlight(limit));
        }
        self.queue(&mut state, changes, done)?;
        Ok(Commit::waiting(answer))
    }

    fn queue(
        &self,
        state: &mut State,
        changes: Vec<Change>,
        done: super::shared::Waiting,
    ) -> Result<(), WriteError> {
        let core = &self.core;
        if state.journal.in_flight() == 0 {
            state.heard = Instant::now();
        }
        let written = state.journal.write(&changes, done, || core.minibus.next_id())?;
        let now = core.now();
        state.metadata.last_modified = now;
        for (change, (id, position)) in changes.into_iter().zip(written) {
            let body = UpdateBody {
                source: Some(core.hyperty().as_url().clone()),
                last_modified: Some(now),
                receipt: true,
                ..UpdateBody::new(UpdateKind::Change(change)).at(position)
            };
            let (from, to) = (self.url.as_url().clone(), self.changes.clone());
            self.outbox.push(Message::new(id, MessageType::Update, from, to, Body::of(body)));
        }
        Ok(())
    }

    /// Posts what is queued, now that no lock is held.
    fn send(&self, made: Result<Commit, WriteError>) -> Commit {
        self.outbox.drain(&self.core.minibus);
        made.unwrap_or_else(|error| Commit::known(Err(error)))
    }
}
