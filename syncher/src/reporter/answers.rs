//! The Sync Manager's answers to changes (protocol M2).

use std::sync::Arc;

use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, MessageType, StatusCode};
use tokio::time::Instant;

use super::WriteError;
use super::shared::ReporterShared;
use crate::children::ChildError;

impl ReporterShared {
    pub(super) fn on_answer(&self, message: &Message) {
        if message.kind() != MessageType::Response {
            return self.core.refuse(message, StatusCode::BAD_REQUEST, "not served here");
        }
        // Answers come from the Sync Manager of this runtime only.
        if message.is_remote() {
            return;
        }
        let body = message
            .decode::<ResponseBody>()
            .unwrap_or_else(|error| Arc::new(ResponseBody::failure(StatusCode::INTERNAL, error.to_string())));
        if self.is_invite_answer(message) {
            return self.on_invite_answer(&body);
        }
        match body.code {
            code if code.is_provisional() => {}
            code if code.is_success() => self.on_committed(message),
            _ => self.on_refused(message, &body),
        }
    }

    fn on_committed(&self, message: &Message) {
        let reached = {
            let mut state = self.state.lock();
            state.heard = Instant::now();
            state.journal.commit(message.id())
        };
        for (position, waiting) in reached {
            // Nobody need wait for it.
            let _ = waiting.send(Ok(position));
        }
    }

    fn on_refused(&self, message: &Message, body: &ResponseBody) {
        let (code, reason) = (body.code, body.why().to_owned());
        let undone = {
            let mut state = self.state.lock();
            // What follows a refused change is refused too, and undone already.
            let Some(undone) = state.journal.refuse(message.id()) else { return };
            // What has not left yet was made on top of it.
            self.outbox.clear();
            if code == StatusCode::INTERNAL {
                state.closed = Some(WriteError::StoreFailed { reason: reason.clone() });
            }
            undone
        };
        let version = undone.version;
        let first = match code {
            StatusCode::GONE => WriteError::Deleted,
            StatusCode::INTERNAL => WriteError::StoreFailed { reason: reason.clone() },
            _ => WriteError::Refused { version, code, reason: reason.clone() },
        };
        for waiting in undone.refused {
            let _ = waiting.send(Err(first.clone()));
        }
        for waiting in undone.later {
            let _ = waiting.send(Err(WriteError::Undone { version, code, reason: reason.clone() }));
        }
        match code {
            StatusCode::GONE => self.end(&WriteError::Deleted, &ChildError::Closed),
            // Not caused by a refusal before it, or it would be undone already: the two copies stand apart.
            StatusCode::CONFLICT => self.repair(),
            _ => {}
        }
    }
}
