//! The Reporter's side hears of everybody who has left, sooner or later (protocol 5.6 step 2, INV-UNS-4).
//!
//! 1. A leave is noted, and kept in the store if the observation was: in the step in which the observation ends.
//! 2. The Reporter's side is told, at once if it can be reached; else when the session of its domain is back, after a
//!    restart too, and at growing intervals.
//! 3. Whatever answer comes from there ends it, and so does a new subscription of the same hyperty.

use hyperty_model::message::{OneOrMany, ResponseBody, UnsubscribeBody};
use hyperty_model::{HypertyUrl, Identity, MessageType, ObjectUrl, StatusCode, Timestamp};
use hyperty_storage::{RecordStatus, Role, Ticket};
use tokio::time::Instant;

use super::leaves::{About, Left, Withdrawn};
use super::object::State;
use crate::manager::SyncManager;
use crate::timers::Due;

impl SyncManager {
    /// Step 1, in the sequencer of the object. `kept` if the observer had asked to be known after a restart; then the
    /// record has to be written after this.
    pub(super) fn note_leave(
        &self,
        url: &ObjectUrl,
        state: &State,
        hyperty: &HypertyUrl,
        (identity, kept): (Option<Identity>, bool),
    ) -> Left {
        self.shared.leaves.lock().add(url, about(state), hyperty, identity, (self.now(), kept))
    }

    /// Somebody whom the Reporter's side has let in, or may have, does not observe, unless it does. `before` is the leave
    /// that its subscription had withdrawn: it stands again, and is kept as it was.
    pub(super) fn give_back(
        &self,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        (identity, kept): (Option<Identity>, bool),
        before: Option<Withdrawn>,
    ) {
        let before = before.unwrap_or_default();
        let kept = kept || before.kept;
        let knew = before.about.is_some();
        let note = |about: Option<About>| {
            let left = (self.now(), kept);
            self.shared.leaves.lock().add(url, about.or(before.about), hyperty, identity, left);
        };
        match self.observed(url) {
            Some(object) => {
                let state = object.lock();
                if state.observers.contains_key(hyperty) {
                    return;
                }
                note(about(&state));
                if kept && !state.gone {
                    self.save_or_forget(&object, &state);
                }
            }
            None => {
                note(None);
                if kept && knew {
                    self.forget_record(url);
                }
            }
        }
        self.tell_leaves_soon(url);
    }

    /// A new subscription is about to be asked for: a leave that is not confirmed must not end it.
    pub(super) fn withdraw_leave(&self, url: &ObjectUrl, hyperty: &HypertyUrl) -> Option<Withdrawn> {
        self.shared.leaves.lock().take_back(url, hyperty)
    }

    /// Has the Reporter's side told, as soon as the driver gets to it.
    pub(super) fn tell_leaves_soon(&self, url: &ObjectUrl) {
        self.shared.timers.set(url, Due::Leave, Instant::now());
    }

    /// The same for all objects of a domain whose session is back.
    pub(super) fn tell_leaves_at(&self, domain: &str) {
        let left = self.shared.leaves.lock().at(domain);
        left.iter().for_each(|url| self.tell_leaves_soon(url));
    }

    /// Step 2 for all who have left an object.
    pub(crate) async fn tell_leaves(&self, url: &ObjectUrl) {
        self.forget_outdated_leaves();
        if !self.reaches_reporter(url) {
            return; // The session that opens brings it up again.
        }
        let left = self.shared.leaves.lock().begin(url);
        for (hyperty, left) in &left {
            if !self.tell_leave(url, hyperty, left).await {
                break; // Nor would the others arrive.
            }
        }
        if !left.is_empty() {
            let pauses = (self.config().retry_min, self.config().leave_retry_max);
            let pause = self.shared.leaves.lock().told(url, pauses);
            if let Some(pause) = pause {
                self.shared.timers.set(url, Due::Leave, Instant::now() + pause);
            }
        }
    }

    /// Step 2 for one who waits for the outcome, and for whom the rest is done later.
    pub(super) async fn tell_leave_now(&self, url: &ObjectUrl, hyperty: &HypertyUrl, left: &Left) {
        let told = self.reaches_reporter(url) && self.tell_leave(url, hyperty, left).await;
        if !told {
            let pauses = (self.config().retry_min, self.config().leave_retry_max);
            let pause = self.shared.leaves.lock().pause(url, pauses);
            if let Some(pause) = pause {
                self.shared.timers.set(url, Due::Leave, Instant::now() + pause);
            }
        }
    }

    /// Step 3. False if the Reporter's side has not answered.
    async fn tell_leave(&self, url: &ObjectUrl, hyperty: &HypertyUrl, left: &Left) -> bool {
        let body = UnsubscribeBody {
            source: Some(hyperty.as_url().clone()),
            identity: left.identity.clone(),
            resource: Some(url.clone()),
            children_resources: OneOrMany(self.shared.leaves.lock().names(url)),
            reason: None,
        };
        let message =
            self.bus().new_message(MessageType::Unsubscribe, self.address(), &url.subscription(), body);
        let answer = self.bus().request(message).timeout(self.config().peer_timeout).await;
        let body = answer.decode::<ResponseBody>().unwrap_or_default();
        if !is_known_there(&body) {
            tracing::debug!(object = %url, %hyperty, code = %body.code, "the Reporter's side has not heard of a leave");
            return false;
        }
        if self.shared.leaves.lock().confirmed(url, hyperty, left) {
            self.forget_leave(url, hyperty);
        }
        true
    }

    /// What was kept of a leave is not needed any more.
    fn forget_leave(&self, url: &ObjectUrl, hyperty: &HypertyUrl) -> Ticket {
        let remains = self.shared.dormant.lock().observed.contains_key(url);
        if remains {
            return self.storage().remove_subscriber(Role::Observer, url, hyperty);
        }
        if let Some(object) = self.observed(url) {
            let state = object.lock();
            return match state.is_resumable() && state.metadata.is_some() {
                true => self.storage().remove_subscriber(Role::Observer, url, hyperty),
                false => self.forget_record(url),
            };
        }
        let ticket = self.forget_record(url);
        // Subscribed at this very moment: what it had written is written again.
        let saved = self.observed(url).and_then(|object| self.save_observed(&object.lock()));
        saved.unwrap_or(ticket)
    }

    /// Nobody here observes an object: all that is kept of it is who has left and not been confirmed.
    pub(crate) fn forget_record(&self, url: &ObjectUrl) -> Ticket {
        let leaves = self.shared.leaves.lock();
        match leaves.record(url) {
            Some(record) => self.storage().save(&record),
            None => self.storage().remove(Role::Observer, url),
        }
    }

    /// Leaves of the last session. Call it before anything is resumed.
    pub(crate) fn restore_leaves(&self) {
        let mut dormant = self.shared.dormant.lock();
        let mut leaves = self.shared.leaves.lock();
        dormant.observed.retain(|_, record| {
            let left: Vec<_> = record.subscriptions.extract_if(.., |s| s.left.is_some()).collect();
            let is_over = record.status == RecordStatus::Left;
            left.into_iter().for_each(|subscriber| leaves.restore(record, subscriber));
            !is_over
        });
    }

    fn forget_outdated_leaves(&self) {
        let age = u64::try_from(self.config().leave_age.as_millis()).unwrap_or(u64::MAX);
        let oldest = Timestamp::from_millis(self.now().as_millis().saturating_sub(age));
        let outdated = self.shared.leaves.lock().outdated(oldest, self.config().leaves_max);
        for (url, hyperty) in outdated {
            tracing::warn!(object = %url, %hyperty, "the Reporter's side was never told that an observer has left");
            self.forget_leave(&url, &hyperty);
        }
    }

    fn reaches_reporter(&self, url: &ObjectUrl) -> bool {
        self.reported(url).is_some() || self.is_live(url.home())
    }
}

/// What the record of an object needs that is observed, as far as it is known.
fn about(state: &State) -> Option<About> {
    let about = |metadata| About { metadata, position: state.replica.position(), names: state.names.clone() };
    state.metadata.clone().map(about)
}

/// Whether an answer comes from the Reporter's side, which knows then: it has taken it, or it never knew of such an
/// observer or object, or will not listen to this runtime about it.
fn is_known_there(body: &ResponseBody) -> bool {
    match body.code {
        StatusCode::NOT_FOUND => body.reason.as_deref() != Some("no-route"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::GONE => true,
        code => code.is_success(),
    }
}
