//! Renewing a live session's admission before it expires.

use std::time::Duration;

use hyperty_message_bus::MessageBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Body, Message, MessageId, MessageType};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::SessionError;
use crate::stub::Shared;

/// Shortest time between two attempts to renew: a node that refuses is not asked without pause.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// When a session's admission ends, and what is done about it.
#[derive(Default)]
pub(crate) struct Renewal {
    state: Mutex<State>,
    /// The time to renew is another.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// When the admission ends; `None` for one that does not.
    until: Option<Instant>,
    /// When to renew it.
    due: Option<Instant>,
    /// The request that is under way.
    asked: Option<MessageId>,
    /// The request that is to be sent.
    outgoing: Option<Message>,
    /// The node said that the session ended, and why.
    ended: Option<SessionError>,
}

impl Renewal {
    /// A session begins, or goes on, with this answer.
    pub(crate) fn begin(&self, answer: &ResponseBody) {
        *self.state.lock() = State::default();
        self.admitted(answer);
    }

    fn admitted(&self, answer: &ResponseBody) {
        let left = answer.extra.get("expiresIn").and_then(|seconds| seconds.as_u64());
        let now = Instant::now();
        let mut state = self.state.lock();
        // Far-off ends are cut: the clock knows no moment that far.
        let left = left.map(|seconds| Duration::from_secs(seconds.min(u64::from(u32::MAX))));
        state.until = left.map(|left| now + left);
        // Time enough for some attempts, however long the life.
        state.due = left.map(|left| now + (left * 3 / 4).max(RENEW_PAUSE));
        drop(state);
        self.changed.notify_one();
    }

    fn failed(&self, why: &dyn std::fmt::Display) {
        tracing::warn!(%why, "the session is not renewed; trying again");
        let now = Instant::now();
        let mut state = self.state.lock();
        let left = state.until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
        state.due = Some(now + (left / 4).max(RENEW_PAUSE));
        drop(state);
        self.changed.notify_one();
    }

    /// What is to be sent.
    pub(crate) fn take_outgoing(&self) -> Option<Message> {
        self.state.lock().outgoing.take()
    }

    /// Takes a message of the node's session component, if it is about this.
    pub(crate) fn take(&self, message: &Message) {
        match message.kind() {
            MessageType::Response => {
                let mut state = self.state.lock();
                if state.asked.as_ref() != Some(message.id()) {
                    return;
                }
                let Ok(answer) = message.decode::<ResponseBody>() else { return };
                if answer.code.is_provisional() {
                    return;
                }
                state.asked = None;
                drop(state);
                if answer.code.is_success() {
                    tracing::debug!("session renewed");
                    self.admitted(&answer);
                } else {
                    self.failed(&answer.why());
                }
            }
            MessageType::Event => {
                let body = message.decode::<serde_json::Value>();
                if body.is_ok_and(|body| body["value"] == "expired") {
                    self.state.lock().ended = Some(SessionError::Expired);
                }
            }
            _ => {}
        }
    }

    /// Why the node ended the session, if it said so.
    pub(crate) fn ended(&self) -> Option<SessionError> {
        self.state.lock().ended.take()
    }

    async fn until_due(&self) {
        loop {
            let due = self.state.lock().due;
            let sleep = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = sleep => return,
            }
        }
    }
}

/// Renews a session for as long as it is polled; never ends.
pub(crate) async fn keep_admitted(shared: &Shared, bus: &MessageBus) -> SessionError {
    let Some(source) = &shared.config.token else { return std::future::pending().await };
    loop {
        shared.renewal.until_due().await;
        match timeout(shared.config.answer_timeout, source.token()).await {
            Ok(Ok(token)) => {
                let from = shared.config.runtime.as_url().clone();
                let body = Body::of(json!({ "accessToken": token }));
                let message = Message::new(bus.next_id(), MessageType::Update, from, node::session(), body);
                let mut state = shared.renewal.state.lock();
                let now = Instant::now();
                // Again if no answer comes.
                let left = state.until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
                state.due = Some(now + (left / 4).max(shared.config.answer_timeout));
                state.asked = Some(message.id().clone());
                state.outgoing = Some(message);
                drop(state);
                shared.ready.notify_one();
            }
            Ok(Err(error)) => shared.renewal.failed(&error),
            Err(_) => shared.renewal.failed(&"there is no token in time"),
        }
    }
}
