//! The one repair function (protocol 3.4, 10.1, M7, M11): one read, whatever was missed.

use std::sync::Arc;

use hyperty_model::message::{ReadBody, ReadCriteria, ResponseBody};
use hyperty_model::object::Children;
use hyperty_model::replica::Need;
use hyperty_model::{MessageType, ObjectUrl, Position, Snapshot, StatusCode};
use tokio::time::Instant;

use super::children::All;
use super::object::Observed;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::timers::Due;

impl SyncManager {
    /// Has the copy of an observed object repaired, as soon as the driver gets to it.
    pub(crate) fn repair_soon(&self, url: &ObjectUrl) {
        self.shared.timers.set(url, Due::Repair, Instant::now());
    }

    /// Brings the copy of an observed object up to the Reporter's, or plans the next try.
    pub(crate) async fn repair(&self, url: &ObjectUrl) {
        let Some(object) = self.observed(url) else { return };
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
        let _asking = object.ask();
        let since = {
            let state = object.lock();
            let live = !state.repair.whole && state.replica.is_live() && state.replica.data().is_some();
            (live && state.replica.need() != Some(Need::Snapshot)).then(|| state.replica.position())
        };
        let body = ReadBody { criteria: Some(ReadCriteria { since }), ..ReadBody::default() };
        let message = self.bus().new_message(MessageType::Read, self.address(), object.url.as_url(), body);
        let answer = self.bus().request(message).timeout(self.config().repair_timeout).await;
        let body = answer.decode::<ResponseBody>()?;
        if !body.code.is_success() {
            return Err(Refusal::relayed(&body));
        }
        self.install(object, &body)
    }

    fn install(&self, object: &Arc<Observed>, body: &ResponseBody) -> Result<(), Refusal> {
        let unusable =
            |what: String| Refusal::new(StatusCode::BAD_REQUEST, format!("unusable answer: {what}"));
        let mut state = object.lock();
        state.repair.pause = None;
        if body.recovered == Some(true) {
            let to = Position::new(body.epoch.unwrap_or(0), body.version.unwrap_or(0));
            let changes: Vec<_> = body.changes.iter().flatten().cloned().map(Arc::new).collect();
            let released = state.replica.on_changes(to, &changes);
            self.tally().repairs_by_changes.add(1);
            self.keep_observed(&mut state, released.iter());
            self.release_held(object, &released);
            let members = serde_json::Value::Object(body.extra.clone());
            let children: Children =
                serde_json::from_value(members).map_err(|error| unusable(error.to_string()))?;
            self.install_children(object, &mut state, children, All::ButUnchanged);
            let position = state.replica.position();
            self.tell_position(object, &state, position);
            return Ok(());
        }
        let value = body.value.clone().ok_or_else(|| unusable("no value".to_owned()))?;
        let snapshot: Snapshot =
            serde_json::from_value(value).map_err(|error| unusable(error.to_string()))?;
        if snapshot.metadata.url != object.url {
            return Err(unusable("the snapshot of another object".to_owned()));
        }
        // Only now: a try that failed leaves the wish for a whole state to the next.
        state.repair.whole = false;
        self.tally().repairs_by_snapshot.add(1);
        self.install_snapshot(object, &mut state, snapshot);
        let position = state.replica.position();
        self.tell_position(object, &state, position);
        Ok(())
    }
}
