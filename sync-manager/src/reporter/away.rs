//! Observers whose session ended (protocol M13): those that may come back keep their place for a while, the others go.

use std::sync::Arc;

use hyperty_model::message::ObserversOperation;
use hyperty_model::{HypertyUrl, ObjectUrl, RuntimeUrl};
use tokio::time::Instant;

use super::object::{Reported, State};
use crate::manager::SyncManager;
use crate::timers::Due;

impl SyncManager {
    /// The node says that a runtime is gone.
    pub(crate) fn session_ended(&self, object: &Arc<Reported>, runtime: &RuntimeUrl) {
        let now = Instant::now();
        let mut leaving = Vec::new();
        {
            let mut state = object.lock();
            state.deciding.call_off_all_of(runtime);
            state.joining.call_off_all_of(runtime);
            let mut away = Vec::new();
            for hyperty in state.observers.of_runtime(runtime) {
                state.roll.heard(&hyperty);
                let Some(entry) = state.observers.get_mut(&hyperty) else { continue };
                if !entry.resumable {
                    leaving.push(hyperty);
                    continue;
                }
                entry.routes = Default::default();
                if entry.away.is_none() {
                    entry.away = Some(now);
                    self.tell_observers(object, ObserversOperation::Away, &hyperty, entry);
                    away.push(hyperty);
                }
            }
            for hyperty in &away {
                self.persist_observer_of(object, &state, hyperty);
            }
            tracing::debug!(
                object = %object.url, %runtime, away = away.len(), dropped = leaving.len(), "a session of observers ended"
            );
            leaving.extend(self.too_many_away(&state));
            if let Some(at) = now.checked_add(self.config().away_age).filter(|_| !away.is_empty()) {
                // Those that went before are looked at before.
                self.shared.timers.set(&object.url, Due::Away, at);
            }
        }
        self.drop_all(object, leaving);
    }

    /// Observers that were away too long are dropped. Called when the first of them is due.
    pub(crate) fn drop_away(&self, url: &ObjectUrl) {
        let Some(object) = self.reported(url) else { return };
        let age = self.config().away_age;
        let leaving: Vec<HypertyUrl> = {
            let state = object.lock();
            let away = state.observers.iter().filter_map(|(hyperty, entry)| Some((hyperty, entry.away?)));
            away.filter(|(_, since)| since.elapsed() >= age).map(|(hyperty, _)| hyperty.clone()).collect()
        };
        self.drop_all(&object, leaving);
        self.plan_away(&object, &object.lock());
    }

    /// Looks again when the one that is away longest has been so for too long.
    pub(crate) fn plan_away(&self, object: &Reported, state: &State) {
        let first = state.observers.values().filter_map(|entry| entry.away).min();
        if let Some(at) = first.and_then(|since| since.checked_add(self.config().away_age)) {
            self.shared.timers.set(&object.url, Due::Away, at);
        }
    }

    /// Those that are away longest, as many as there are too many.
    fn too_many_away(&self, state: &State) -> Vec<HypertyUrl> {
        if state.observers.len() <= self.config().away_max {
            return Vec::new();
        }
        let mut away: Vec<(Instant, &HypertyUrl)> =
            state.observers.iter().filter_map(|(hyperty, entry)| Some((entry.away?, hyperty))).collect();
        let too_many = away.len().saturating_sub(self.config().away_max);
        if too_many > 0 {
            away.sort_unstable();
        }
        away.into_iter().take(too_many).map(|(_, hyperty)| hyperty.clone()).collect()
    }

    fn drop_all(&self, object: &Arc<Reported>, leaving: Vec<HypertyUrl>) {
        for hyperty in leaving {
            self.tally().observers_dropped.add(1);
            self.drop_observer(object, &hyperty);
        }
    }

    /// Writes where an observer stands, if that shall be known after a restart.
    pub(crate) fn persist_observer_of(&self, object: &Reported, state: &State, hyperty: &HypertyUrl) {
        if let Some(entry) = state.observers.get(hyperty) {
            self.persist_observer(object, state, hyperty, entry);
        }
    }
}
