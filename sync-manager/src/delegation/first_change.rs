//! The first change of a new Reporter, which says who that is (protocol 5.11 step 12): made by its Sync Manager, durable
//! with the record that makes it the owner, and published after that.

use std::sync::Arc;

use hyperty_model::message::{Body, UpdateBody, UpdateKind};
use hyperty_model::{HypertyUrl, MessageType, Position};
use serde_json::Value;
use tokio::time::Instant;

use crate::manager::SyncManager;
use crate::reporter::{Reported, State};

impl SyncManager {
    /// Step 12.
    pub(super) fn first_change(&self, reporter: &HypertyUrl, at: Position) -> UpdateBody {
        let kind = UpdateKind::Metadata {
            attribute: "reporter".to_owned(),
            value: Value::String(reporter.to_string()),
        };
        UpdateBody {
            source: Some(reporter.as_url().clone()),
            last_modified: Some(self.shared.parts.clock.now()),
            ..UpdateBody::new(kind).at(at)
        }
    }

    /// Passes on the change that says who reports the object now.
    pub(super) fn release_first_change(&self, object: &Reported, state: &mut State) {
        if let Some(body) = state.first_change.take() {
            let (from, to) = (object.url.as_url(), object.url.changes());
            let message = self.bus().new_message(MessageType::Update, from, &to, Body::shared(body));
            self.bus().release(&message);
            self.tally().released.add(1);
        }
        state.beat.last_change = Some(Instant::now());
        self.schedule_beat(object, state);
    }
}

impl State {
    /// Takes in the first change of a new Reporter, which says who that is: it is released when it is durable.
    pub(crate) fn note_first_change(&mut self, body: &Arc<UpdateBody>) {
        let position = self.position.next();
        (self.position, self.head_position) = (position, position);
        self.metadata.last_modified = body.last_modified.unwrap_or(self.metadata.last_modified);
        self.log.push(position, Arc::clone(body));
        self.answers.outdate();
        self.first_change = Some(Arc::clone(body));
    }
}
