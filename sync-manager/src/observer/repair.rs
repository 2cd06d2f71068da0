//! The one repair function (protocol 3.4, 10.1, M7, M11): one read, whatever was missed.

use std::sync::Arc;

use hyperty_model::message::{ReadBody, ReadCriteria, ResponseBody};
use hyperty_model::object::Children;
use hyperty_model::{MessageType, ObjectUrl, Position, Snapshot, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::children::All;
use super::object::{Observed, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::parts::Progress;
use crate::timers::Due;

impl SyncManager {
    /// Has the copy of an observed object repaired, as soon as the driver gets to it.
    pub(crate) fn repair_soon(&self, url: &ObjectUrl) {
        self.shared.timers.set(url, Due::Repair, Instant::now());
    }

    /// Something of the stream came while it counts as cut, by a new session say, and nothing was repaired yet. An observer
    /// here may have been removed meanwhile, of which the Reporter's side speaks ahead of its answer to a repair
    /// (5.7): nothing is passed on before, and the repair brings this, too.
    pub(super) fn repair_first(&self, object: &Observed, state: &mut State) {
        if state.repair.running {
            state.repair.again = true;
        } else if state.repair.pause.is_none() {
            self.repair_soon(&object.url);
        }
    }

    /// Brings the copy of an observed object up to the Reporter's, or plans the next try.
    pub(crate) async fn repair(&self, url: &ObjectUrl) {
        let Some(object) = self.observed(url) else { return };
        if object.lock().observers.is_empty() {
            return; // Its first observer is subscribing, and gets a state with the answer; or its last has left.
        }
        if !self.is_live(url.home()) {
            // What is sent now would wait for the session, and be outdated by the repair that follows it (M11).
            self.disconnected(&object);
            return self.try_again(&object);
        }
        {
            let mut state = object.lock();
            if std::mem::replace(&mut state.repair.running, true) {
                state.repair.again = true;
                return;
            }
        }
        let outcome = self.fetch(&object).await;
        let again = {
            let mut state = object.lock();
            state.repair.running = false;
            std::mem::take(&mut state.repair.again)
        };
        match outcome {
            Ok(()) => {
                self.connected(&object);
                self.learn_rules(&object);
                let incomplete = object.lock().replica.need().is_some();
                if again || incomplete {
                    self.try_again(&object);
                }
            }
            Err(refusal) => self.repair_failed(&object, refusal).await,
        }
    }

    async fn repair_failed(&self, object: &Arc<Observed>, refusal: Refusal) {
        tracing::debug!(object = %object.url, %refusal, "a repair failed");
        self.tally().repairs_failed.add(1);
        match refusal.code {
            _ if refusal.is_incomplete() => self.try_again(object),
            _ if refusal.is_unreachable() => {
                self.disconnected(object);
                self.await_registration(object);
                self.try_again(object);
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.subscribe_again(object).await,
            StatusCode::NOT_FOUND | StatusCode::GONE => self.forget_deleted(object),
            _ => self.try_again(object),
        }
    }

    /// Plans the next try, after a pause that grows.
    pub(crate) fn try_again(&self, object: &Observed) {
        let pause = {
            let mut state = object.lock();
            let pause = state.repair.pause.unwrap_or(self.config().retry_min);
            state.repair.pause = Some((pause * 2).min(self.config().retry_max));
            pause
        };
        self.shared.timers.set(&object.url, Due::Repair, Instant::now() + pause);
    }

    /// One round trip to the Reporter's side: changes since the copy's position, or a whole state.
    pub(crate) async fn fetch(&self, object: &Arc<Observed>) -> Result<(), Refusal> {
        self.fetch_telling(object, &|| ()).await
    }

    /// The same for somebody who waits, and is told if it takes long.
    pub(crate) async fn fetch_telling(
        &self,
        object: &Arc<Observed>,
        progress: Progress<'_>,
    ) -> Result<(), Refusal> {
        let _asking = object.ask();
        let (since, whole) = {
            let mut state = object.lock();
            (state.wanted(), std::mem::take(&mut state.repair.whole))
        };
        let fetched = self.fetch_since(object, since, progress).await;
        // A try that failed leaves the wish for a whole state to the next; one that came up meanwhile stands.
        object.lock().repair.whole |= whole && fetched.is_err();
        fetched
    }

    async fn fetch_since(
        &self,
        object: &Arc<Observed>,
        since: Option<Position>,
        progress: Progress<'_>,
    ) -> Result<(), Refusal> {
        let criteria = Some(ReadCriteria { since });
        let body = ReadBody { criteria, parts: Some(true), ..ReadBody::default() };
        let message = self.bus().new_message(MessageType::Read, self.address(), object.url.as_url(), body);
        let body = self.ask_whole(message, self.config().repair_timeout, progress).await?;
        if !body.code.is_success() {
            return Err(Refusal::relayed(&body));
        }
        let from = object.lock().replica.position();
        let by = self.install(object, &body)?;
        let count = match by {
            RepairedBy::Changes => &self.tally().repairs_by_changes,
            RepairedBy::Snapshot => &self.tally().repairs_by_snapshot,
        };
        count.add(1);
        tracing::debug!(object = %object.url, %from, to = %object.lock().replica.position(), ?by, "repaired");
        Ok(())
    }

    /// Takes over what the Reporter's side answered to a read or a subscription.
    pub(crate) fn install(&self, object: &Arc<Observed>, body: &ResponseBody) -> Result<RepairedBy, Refusal> {
        let mut state = object.lock();
        state.repair.pause = None;
        let by = match body.recovered {
            Some(true) => self.install_changes(object, &mut state, body)?,
            _ => self.install_value(object, &mut state, body)?,
        };
        let position = state.replica.position();
        self.tell_position(object, &state, position);
        Ok(by)
    }

    fn install_changes(
        &self,
        object: &Arc<Observed>,
        state: &mut State,
        body: &ResponseBody,
    ) -> Result<RepairedBy, Refusal> {
        let version = body.version.ok_or_else(|| unusable("no version"))?;
        let members = serde_json::Value::Object(body.extra.clone());
        let children: Children =
            serde_json::from_value(members).map_err(|error| unusable(&error.to_string()))?;
        let to = Position::new(body.epoch.unwrap_or(0), version);
        let changes: Vec<_> = body.changes.iter().flatten().cloned().map(Arc::new).collect();
        let from = state.replica.position();
        let released = state.replica.on_changes(to, &changes);
        if state.replica.position().epoch == from.epoch {
            self.keep_observed(state, released.iter());
        } else {
            // It changed hands where the copy stood.
            self.keep_continued(state, from, &released);
        }
        self.release_held(object, &released);
        self.install_children(object, state, children, All::ButUnchanged);
        Ok(RepairedBy::Changes)
    }

    fn install_value(
        &self,
        object: &Arc<Observed>,
        state: &mut State,
        body: &ResponseBody,
    ) -> Result<RepairedBy, Refusal> {
        let value = body.value.as_ref().ok_or_else(|| unusable("no value"))?;
        let snapshot = Snapshot::deserialize(value).map_err(|error| unusable(&error.to_string()))?;
        if snapshot.metadata.url != object.url {
            return Err(unusable("the snapshot of another object"));
        }
        self.install_snapshot(object, state, snapshot);
        Ok(RepairedBy::Snapshot)
    }
}

/// What brought a copy up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepairedBy {
    /// The changes it had missed.
    Changes,
    /// A whole state.
    Snapshot,
}

fn unusable(what: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("the answer of the Reporter's side cannot be used: {what}"))
}
