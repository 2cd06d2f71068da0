//! Position beats (protocol 10.2, M11): so that the loss of the last change is noticed too.

use std::sync::Arc;

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{MessageType, ObjectUrl};
use tokio::time::Instant;

use super::object::{Phase, Reported, State};
use crate::digest::Unmade;
use crate::manager::SyncManager;
use crate::timers::Due;

impl SyncManager {
    /// Makes sure that a beat follows. Called at each change; costs nothing while one is under way.
    pub(crate) fn schedule_beat(&self, object: &Reported, state: &mut State) {
        let wanted = self.config().beat_min;
        if state.beat.interval.is_some_and(|interval| interval <= wanted) || !has_remote_observers(state) {
            return;
        }
        state.beat.interval = Some(wanted);
        self.shared.timers.set(&object.url, Due::Beat, Instant::now() + wanted);
    }

    /// A beat is due.
    pub(crate) fn beat(&self, url: &ObjectUrl) {
        let Some(object) = self.reported(url) else { return };
        let mut state = object.lock();
        let Some(interval) = state.beat.interval else { return };
        state.answers.outdate();
        if !has_remote_observers(&state) {
            state.beat.interval = None;
            return;
        }
        let quiet_from = state.beat.last_change.map(|last| last + self.config().beat_min);
        if let Some(at) = quiet_from.filter(|at| *at > Instant::now()) {
            return self.shared.timers.set(url, Due::Beat, at);
        }
        let unmade = self.undigested(&state);
        if let Some(unmade) = unmade {
            drop(state);
            let made = unmade.make(self.config().digest_bytes_max);
            state = object.lock();
            if made.position == state.position {
                state.digest.keep(made);
            }
        }
        self.announce(&object, &state);
        let next = (interval * 2).min(self.config().beat_max);
        state.beat.interval = Some(next);
        self.shared.timers.set(url, Due::Beat, Instant::now() + next);
    }

    /// What a digest has to be made of before the position is announced; made outside the lock.
    fn undigested(&self, state: &State) -> Option<Unmade> {
        let unknown = self.config().digest_bytes_max > 0 && state.digest.at(state.position).is_none();
        unknown.then(|| Unmade { position: state.position, data: Arc::clone(&state.data) })
    }

    /// Announces the position of every object of a domain whose stub turned live.
    pub(crate) fn announce_domain(&self, domain: &str) {
        for object in self.reported_at(domain) {
            let mut state = object.lock();
            self.remind_removed(&object, &mut state);
            self.announce(&object, &state);
            self.plan_roll_call(&object, &mut state);
        }
    }

    fn announce(&self, object: &Reported, state: &State) {
        if matches!(
            state.phase,
            Phase::Condemned | Phase::Deleting | Phase::Deposed | Phase::Frozen | Phase::Delegated
        ) {
            return;
        }
        let children = object.names().next().map(|_| state.shown_children().digest());
        let digest = state.digest.at(state.position).flatten().map(str::to_owned);
        let kind = UpdateKind::Position { digest, children };
        let body = UpdateBody::new(kind).at(state.position);
        let (from, to) = (object.url.as_url(), object.url.changes());
        let message = self.bus().new_message(MessageType::Update, from, &to, body);
        self.bus().release(&message);
        self.tally().beats.add(1);
    }
}

pub(super) fn has_remote_observers(state: &State) -> bool {
    state.observers.values().any(|entry| !entry.routes.publishes.is_empty())
}
