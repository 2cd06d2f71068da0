//! Whether those who observe elsewhere still do (protocol 5.3.5, M13). Their sessions may have ended, and they may have
//! left, while this runtime was down or cut off: so it asks their runtimes, once it is back and unless they are heard of
//! by themselves. Who is silent counts as away; who does not observe any longer leaves the list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::Request;
use hyperty_model::message::{ObserversOperation, ReadBody, ResponseBody};
use hyperty_model::{HypertyUrl, Message, MessageType, ObjectUrl, RuntimeUrl, StatusCode};
use tokio::time::Instant;

use super::object::{ObserverEntry, Phase, Reported, State};
use super::routes::Path;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::timers::Due;

/// How long nobody is asked: whose connection was lost as well repairs its copy first, and is heard of by that. Also the
/// first pause between two tries.
const ROLL_WAIT: Duration = Duration::from_secs(5);

/// The longest pause between two tries. Sessions that do not answer end by themselves within two minutes.
const ROLL_WAIT_MAX: Duration = Duration::from_secs(60);

/// Tries after which who is silent counts as away.
const SILENT_TRIES: u32 = 3;

/// Runtimes that are asked at a time: an object may have very many.
const ASKED_AT_A_TIME: usize = 64;

/// Who was not heard of since this runtime was away.
#[derive(Default)]
pub(crate) struct RollCall {
    unheard: BTreeSet<HypertyUrl>,
    /// Runtimes of these that have asked for something since they were asked: they have a session.
    there: BTreeSet<RuntimeUrl>,
    tries: u32,
}

impl RollCall {
    /// This one was heard of. False if that was known.
    pub(crate) fn heard(&mut self, hyperty: &HypertyUrl) -> bool {
        self.unheard.remove(hyperty)
    }

    /// This runtime has a session.
    pub(crate) fn is_there(&mut self, runtime: &RuntimeUrl) {
        if !self.unheard.is_empty() {
            self.there.insert(runtime.clone());
        }
    }
}

impl SyncManager {
    /// Everybody elsewhere is unheard of, and asked in a while. Also who was away: it may have come back, and that it
    /// did may not have been kept.
    pub(crate) fn plan_roll_call(&self, object: &Reported, state: &mut State) {
        let here = Some(&self.shared.parts.runtime);
        let elsewhere = |entry: &ObserverEntry| entry.runtime.is_some() && entry.runtime.as_ref() != here;
        let unheard = state.observers.iter().filter(|(_, entry)| elsewhere(entry));
        let unheard = unheard.map(|(hyperty, _)| hyperty.clone()).collect();
        state.roll = RollCall { unheard, ..RollCall::default() };
        if !state.roll.unheard.is_empty() {
            self.shared.timers.set(&object.url, Due::RollCall, Instant::now() + ROLL_WAIT);
        }
    }

    /// Asks the runtimes of those who were not heard of.
    pub(crate) async fn call_roll(&self, url: &ObjectUrl) {
        let Some(object) = self.reported(url) else { return };
        if !self.is_live(url.home()) {
            return; // Planned again when the session is back.
        }
        let silent: Vec<(RuntimeUrl, BTreeSet<HypertyUrl>)> = {
            let mut state = object.lock();
            match state.phase {
                Phase::Live => {}
                // It stays perhaps.
                Phase::Frozen => {
                    return self.shared.timers.set(url, Due::RollCall, Instant::now() + ROLL_WAIT);
                }
                _ => return,
            }
            state.roll.there.clear();
            state.unheard_by_runtime().into_iter().collect()
        };
        for some in silent.chunks(ASKED_AT_A_TIME) {
            let asked: Vec<Request> = some.iter().map(|(runtime, _)| self.ask_who(url, runtime)).collect();
            for ((runtime, who), answer) in some.iter().zip(asked) {
                self.roll_answered(&object, runtime, who, &answer.await);
            }
        }
        self.count_silent(&object);
    }

    fn ask_who(&self, url: &ObjectUrl, runtime: &RuntimeUrl) -> Request {
        let body = ReadBody { resource: Some(url.clone()), ..ReadBody::default() };
        let (from, to) = (url.subscription(), runtime.sync_manager());
        let message = self.bus().new_message(MessageType::Read, &from, &to, body);
        let mut request = self.bus().request(message).timeout(self.config().repair_timeout);
        request.send();
        request
    }

    fn roll_answered(
        &self,
        object: &Arc<Reported>,
        runtime: &RuntimeUrl,
        asked: &BTreeSet<HypertyUrl>,
        answer: &Message,
    ) {
        let body = answer.decode::<ResponseBody>().unwrap_or_default();
        let refusal = Refusal::relayed(&body);
        if body.code == StatusCode::NOT_FOUND && refusal.is_unreachable() {
            // The node knows of no such session: it has ended, unless another one was heard of since that was said.
            let is_there = object.lock().roll.there.contains(runtime);
            if !is_there {
                self.session_ended(object, runtime);
            }
            return;
        }
        if refusal.is_unreachable() {
            return;
        }
        // A peer that does not know the question is there, and nothing else can be told.
        let present = body.value.as_ref().filter(|_| body.code.is_success());
        let present =
            present.and_then(|value| serde_json::from_value::<BTreeSet<HypertyUrl>>(value.clone()).ok());
        let mut gone = Vec::new();
        {
            let mut state = object.lock();
            for hyperty in asked {
                // Who was heard of meanwhile may have begun after it was asked.
                if !state.roll.heard(hyperty) {
                    continue;
                }
                match present.as_ref().is_none_or(|present| present.contains(hyperty)) {
                    true => self.is_back(object, &mut state, hyperty, answer),
                    false => gone.push(hyperty.clone()),
                }
            }
        }
        for hyperty in gone {
            tracing::info!(object = %object.url, %hyperty, "an observer has left unheard");
            self.tally().observers_dropped.add(1);
            self.drop_observer(object, &hyperty);
        }
    }

    /// One that was silent, and is there.
    fn is_back(&self, object: &Reported, state: &mut State, hyperty: &HypertyUrl, answer: &Message) {
        let Some(entry) = state.observers.get_mut(hyperty).filter(|entry| entry.away.is_some()) else {
            return;
        };
        let stub = answer.hops().last().cloned().or_else(|| self.stub_of(object.url.home()));
        let Some(Ok(routes)) = stub.map(|stub| self.observer_routes(object, &Path::Stub(stub))) else {
            return;
        };
        (entry.routes, entry.away) = (routes, None);
        self.tell_observers(object, ObserversOperation::Back, hyperty, entry);
        self.persist_observer_of(object, state, hyperty);
        self.schedule_beat(object, state);
    }

    /// Who is still silent after some tries counts as away, and is asked on. What goes to it still does: it may be there
    /// and slow.
    fn count_silent(&self, object: &Arc<Reported>) {
        let mut state = object.lock();
        if state.unheard_by_runtime().is_empty() {
            return;
        }
        state.roll.tries += 1;
        let pause = ROLL_WAIT.saturating_mul(1 << state.roll.tries.min(16)).min(ROLL_WAIT_MAX);
        if state.roll.tries >= SILENT_TRIES {
            let now = Instant::now();
            let silent = state.roll.unheard.clone();
            for hyperty in &silent {
                if let Some(entry) = state.observers.get_mut(hyperty).filter(|entry| entry.away.is_none()) {
                    entry.away = Some(now);
                    self.tell_observers(object, ObserversOperation::Away, hyperty, entry);
                    self.persist_observer_of(object, &state, hyperty);
                }
            }
            self.plan_away(object, &state);
        }
        self.shared.timers.set(&object.url, Due::RollCall, Instant::now() + pause);
    }
}

impl State {
    /// Those that observe and were not heard of, by their runtimes.
    fn unheard_by_runtime(&mut self) -> BTreeMap<RuntimeUrl, BTreeSet<HypertyUrl>> {
        let mut silent: BTreeMap<RuntimeUrl, BTreeSet<HypertyUrl>> = BTreeMap::new();
        let observers = &self.observers;
        self.roll.unheard.retain(|hyperty| {
            let runtime = observers.get(hyperty).and_then(|entry| entry.runtime.clone());
            let is_there = runtime.is_some();
            if let Some(runtime) = runtime {
                silent.entry(runtime).or_default().insert(hyperty.clone());
            }
            is_there
        });
        silent
    }
}
