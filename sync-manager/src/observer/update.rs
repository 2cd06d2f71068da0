//! Updates and deletion as they arrive at the Observer's side (protocol 3.4, 5.4, 5.8; M1).

use std::sync::Arc;

use hyperty_model::log::ChangeLog;
use hyperty_model::message::{Body, DeleteBody, ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::object::Children;
use hyperty_model::replica::{Hold, Received, Replaced};
use hyperty_model::{Message, MessageType, ObjectUrl, Snapshot};
use hyperty_storage::Role;
use tokio::time::Instant;

use super::children::All;
use super::object::{LOCAL_LOG, Link, Observed, State};
use crate::manager::SyncManager;
use crate::timers::Due;

impl SyncManager {
    /// Whatever arrives for `O/changes` comes here and nowhere else (B1).
    pub(crate) fn on_observed_changes(&self, object: &Arc<Observed>, message: &Message) {
        if !message.is_remote() {
            self.refuse_foreign_change(&object.url, message);
            tracing::warn!(object = %object.url, sender = ?message.sender(), "only the Reporter's runtime publishes here");
            return;
        }
        if !self.is_from_home(&object.url, message) {
            tracing::warn!(object = %object.url, hops = ?message.hops(), "a message of the stream came from another domain");
            return;
        }
        match message.kind() {
            MessageType::Update => self.on_observed_update(object, message),
            MessageType::Delete if *message.from() == object.url.subscription() => {
                self.on_observed_delete(object, message);
            }
            _ => {}
        }
    }

    /// Who may speak for an object only the node of its domain knows: what comes another way is believed only by who
    /// has no connection to that node.
    pub(crate) fn is_from_home(&self, object: &ObjectUrl, message: &Message) -> bool {
        match self.shared.parts.registry.stub_for_domain(object.home()) {
            Some(stub) => message.hops().last().is_none_or(|hop| hop == stub.url()),
            None => true,
        }
    }

    fn on_observed_update(&self, object: &Arc<Observed>, message: &Message) {
        let body = match message.decode::<UpdateBody>() {
            Ok(body) => body,
            Err(error) => {
                tracing::warn!(object = %object.url, %error, "a malformed update; repairing");
                return self.repair_soon(&object.url);
            }
        };
        let mut state = object.lock();
        if !is_from_reporter(object, &state, message, &body) {
            tracing::warn!(object = %object.url, "an update that is not the Reporter's was dropped");
            return;
        }
        state.heard = Instant::now();
        if state.link == Link::Disconnected {
            return self.repair_first(object, &mut state);
        }
        match state.replica.on_update(&body) {
            Received::Applied { then } => {
                self.keep_observed(&mut state, std::iter::once(&body).chain(&then));
                self.bus().release(message);
                self.tally().delivered.add(1);
                self.release_held(object, &then);
            }
            Received::Held { why: Hold::FirstSnapshot, .. } | Received::Fenced | Received::Unrelated => {}
            Received::Duplicate => {
                if let UpdateKind::Position { children, digest } = &body.kind {
                    self.on_beat(object, &mut state, &body, (digest.as_deref(), children.as_deref()));
                }
            }
            Received::Held { why: Hold::Gap, full: false } => {
                // On a path that keeps order a gap is a loss; on mixed paths the missing one may be under way.
                let wait = if message.hops().len() > 1 { self.config().gap_wait } else { Default::default() };
                self.shared.timers.set(&object.url, Due::Repair, Instant::now() + wait);
            }
            Received::Held { .. } | Received::Behind => self.repair_soon(&object.url),
            Received::Diverged => {
                self.tally().divergences.add(1);
                tracing::warn!(object = %object.url, position = %state.replica.position(), "a change does not fit the copy");
                self.repair_soon(&object.url);
            }
        }
    }

    /// A beat of a position that the copy has reached: the Reporter's side is there. What it has is compared, lost
    /// child operations are sent again, and the observers here are told the position.
    fn on_beat(
        &self,
        object: &Arc<Observed>,
        state: &mut State,
        beat: &UpdateBody,
        (data, children): (Option<&str>, Option<&str>),
    ) {
        self.compare_children(object, state, beat, children);
        if let Some(theirs) = data.filter(|_| beat.position() == Some(state.replica.position())) {
            self.compare_data(object, state, theirs);
        }
        // Without the digest: the observers here have what this copy has, and this copy is verified for all of them.
        if let Some(position) = beat.position() {
            self.tell_position(object, state, position);
        }
        self.children_heard(object, state);
    }

    /// A beat tells what children the Reporter's side has. Ours may differ by operations it has not answered; by
    /// others they differ because one was lost, and then only a whole state tells which.
    fn compare_children(
        &self,
        object: &Observed,
        state: &mut State,
        beat: &UpdateBody,
        theirs: Option<&str>,
    ) {
        let comparable = beat.position() == Some(state.replica.position())
            && state.pending.is_empty()
            && state.asking == 0
            && !state.observers.is_empty()
            && !state.disagreement.may_have_crossed(self.config().beat_min);
        if comparable && theirs.is_some_and(|theirs| state.disagreement.is_news(theirs, &state.children)) {
            tracing::debug!(object = %object.url, "the children differ; repairing");
            state.repair.whole = true;
            self.repair_soon(&object.url);
        }
    }

    /// Notes changes that the copy has, and stores them if one of the observers here wants that.
    pub(crate) fn keep_observed<'a>(
        &self,
        state: &mut State,
        bodies: impl Iterator<Item = &'a Arc<UpdateBody>> + Clone,
    ) {
        state.log_changes(bodies.clone());
        for body in bodies.clone() {
            note_metadata(state, body);
        }
        let Some(metadata) = state.metadata.as_ref().filter(|_| state.is_resumable()) else { return };
        for body in bodies {
            if self.storage().append(Role::Observer, &metadata.url, body).checkpoint_due {
                // The copy has all of them already: the record stands behind the last, and none may follow it.
                if let Some(record) = state.record() {
                    self.storage().checkpoint(&record);
                }
                return;
            }
        }
    }

    /// Writes where the copy stands after it went on in a new epoch, and what led there from the end of the former.
    pub(crate) fn keep_continued(
        &self,
        state: &mut State,
        from: hyperty_model::Position,
        bodies: &[Arc<UpdateBody>],
    ) {
        state.log = ChangeLog::continuing(from, state.replica.position().epoch, LOCAL_LOG);
        state.log_changes(bodies.iter());
        bodies.iter().for_each(|body| note_metadata(state, body));
        self.save_observed(state);
    }

    /// Passes on changes that had been waiting, or that a repair brought.
    pub(crate) fn release_held(&self, object: &Observed, bodies: &[Arc<UpdateBody>]) {
        self.tally().delivered.add(bodies.len() as u64);
        for body in bodies {
            let (from, to) = (object.url.as_url(), object.url.changes());
            let body = Body::shared(Arc::clone(body));
            self.bus().release(&self.bus().new_message(MessageType::Update, from, &to, body));
        }
    }

    /// A whole state took the place of the copy. The observers here are told the new position; whoever is behind
    /// it fetches the state from here.
    pub(crate) fn install_snapshot(&self, object: &Arc<Observed>, state: &mut State, snapshot: Snapshot) {
        let position = snapshot.position();
        let news = self.settle_doubt(object, state, &snapshot);
        self.install_children(object, state, snapshot.children, All::Children);
        match state.replica.on_snapshot(position, Some(snapshot.data)) {
            Replaced::Replaced { then } => {
                state.replaced += 1;
                state.log = ChangeLog::starting_at(position, LOCAL_LOG);
                state.log_changes(then.iter());
                state.metadata = Some(snapshot.metadata);
                then.iter().for_each(|body| note_metadata(state, body));
                self.save_observed(state);
                if news {
                    self.tell_replaced(object, state, position);
                }
                self.release_held(object, &then);
            }
            Replaced::Stale => {}
        }
    }

    /// A position beat for the observers here.
    pub(crate) fn tell_position(&self, object: &Observed, state: &State, position: hyperty_model::Position) {
        if state.observers.is_empty() {
            return;
        }
        let (from, to) = (object.url.as_url(), object.url.changes());
        let beat = UpdateBody::beat(position, None);
        self.bus().release(&self.bus().new_message(MessageType::Update, from, &to, beat));
    }

    /// The object is deleted: the observers here are told once, the Reporter's side is answered once (5.8.4).
    fn on_observed_delete(&self, object: &Arc<Observed>, message: &Message) {
        let answer = ResponseBody::ok().with_source(self.shared.parts.runtime.as_url().clone());
        self.bus().post(message.reply(answer));
        self.forget_deleted(object);
    }

    /// Ends the observation of an object that no longer exists.
    pub(crate) fn forget_deleted(&self, object: &Arc<Observed>) {
        {
            let mut state = object.lock();
            if std::mem::replace(&mut state.gone, true) {
                return;
            }
            // On its way to the disk before anybody here is told: a crash does not bring back what has ended.
            self.shared.leaves.lock().forget(&object.url);
            self.storage().remove(Role::Observer, &object.url);
            let body = DeleteBody { resource: Some(object.url.to_string()), ..DeleteBody::default() };
            let (from, to) = (object.url.subscription(), object.url.changes());
            self.bus().release(&self.bus().new_message(MessageType::Delete, &from, &to, body));
            state.observers.clear();
            state.children = Children::default();
        }
        let (manager, object) = (self.clone(), Arc::clone(object));
        self.later(Box::pin(async move { manager.end_if_unused(&object).await }));
    }
}

/// Only the Reporter of the known epoch writes (3.5); who follows it is told by a snapshot, never by an update.
fn is_from_reporter(object: &Observed, state: &State, message: &Message, body: &UpdateBody) -> bool {
    if message.from() != object.url.as_url() {
        return false;
    }
    let (Some(source), Some(metadata)) = (&body.source, &state.metadata) else { return true };
    source == metadata.reporter.as_url() || body.epoch.unwrap_or(0) > state.replica.position().epoch
}

fn note_metadata(state: &mut State, body: &UpdateBody) {
    let Some(metadata) = &mut state.metadata else { return };
    if let Some(time) = body.last_modified {
        metadata.last_modified = time;
    }
    if let UpdateKind::Metadata { attribute, value } = &body.kind
        && let Err(error) = metadata.set(attribute, value)
    {
        tracing::debug!(%error, "a metadata change was passed on but not understood");
    }
}
