//! Updates of the Reporter (protocol 5.4): checked, taken in, committed, released.

use std::sync::Arc;

use hyperty_model::change::{apply_with_inverse, check_value};
use hyperty_model::message::{Body, UpdateBody, UpdateKind};
use hyperty_model::{Message, MessageType, StatusCode};

use super::commit::{Release, Staged};
use super::object::{Phase, Reported, State};
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;

impl SyncManager {
    /// Whatever is posted to `O/changes` of a reported object comes here and nowhere else (A2).
    pub(crate) fn on_changes(&self, object: &Arc<Reported>, message: &Message) {
        match message.kind() {
            MessageType::Update => self.on_update(object, message),
            MessageType::Response => {}
            kind => {
                tracing::warn!(object = %object.url, %kind, from = %message.from(), "refused on a stream of changes");
                let refusal =
                    Refusal::new(StatusCode::FORBIDDEN, "only the Sync Manager publishes this here");
                if kind != MessageType::Delete {
                    Question::new(self.bus(), message.clone()).answer(refusal);
                }
            }
        }
    }

    fn on_update(&self, object: &Arc<Reported>, message: &Message) {
        let (taken, receipt) = match message.decode::<UpdateBody>() {
            Ok(body) => (self.take_update(object, &mut object.lock(), message, &body), body.receipt),
            // Whoever wrote it may wait for an answer.
            Err(error) => (Err(Refusal::from(error)), true),
        };
        if let Err(refusal) = taken {
            tracing::debug!(object = %object.url, %refusal, "an update was refused");
            let by_reporter = message.sender() == Some(object.lock().metadata.reporter.as_url());
            match () {
                // A forged update from outside is not told where it failed.
                () if !receipt || message.is_remote() => {}
                () if by_reporter => self.answer_update(message, refusal.into()),
                () => self.answer_writer(message, refusal.into()),
            }
        }
    }

    fn take_update(
        &self,
        object: &Arc<Reported>,
        state: &mut State,
        message: &Message,
        body: &Arc<UpdateBody>,
    ) -> Result<(), Refusal> {
        check_writer(object, state, message, body)?;
        self.check_change_size(body)?;
        let next = state.head_position.next();
        if body.version != Some(next.version) {
            let got = body.version.map_or("none".to_owned(), |version| version.to_string());
            let text = format!("version {got} is not the next, {}", next.version);
            return Err(Refusal::new(StatusCode::CONFLICT, text).because("order"));
        }
        take_in(object, state, &body.kind)?;
        state.ahead.note_time(body);
        state.head_position = next;
        let receipt = body.receipt;
        let out = Arc::new(UpdateBody {
            receipt: false,
            epoch: (next.epoch > 0).then_some(next.epoch),
            ..UpdateBody::clone(body)
        });
        let ticket = self.commit_update(object, state, &out);
        let message = message.clone().with_body(Body::shared(Arc::clone(&out)));
        self.stage(
            object,
            state,
            Staged { ticket, release: Release::Update { message, body: out, receipt } },
        );
        Ok(())
    }

    /// Hands a change to the store. What must be durable before it is published has a ticket.
    fn commit_update(
        &self,
        object: &Reported,
        state: &State,
        body: &UpdateBody,
    ) -> Option<hyperty_storage::Ticket> {
        if !state.options.resumable {
            return None;
        }
        let appended = self.storage().append(hyperty_storage::Role::Reporter, &object.url, body);
        if appended.checkpoint_due {
            let names = object.names().cloned().collect();
            self.storage().checkpoint(&state.record(names, hyperty_storage::RecordStatus::Live));
        }
        state.options.store.then_some(appended.ticket)
    }
}

/// Only the Reporter writes, only from this runtime, only while the object is live (3.5, INV-UPD-2).
fn check_writer(
    object: &Reported,
    state: &State,
    message: &Message,
    body: &UpdateBody,
) -> Result<(), Refusal> {
    let reporter = state.metadata.reporter.as_url();
    let by_reporter = message.sender() == Some(reporter)
        && message.from() == object.url.as_url()
        && body.source.as_ref().is_none_or(|source| source == reporter);
    if message.is_remote() || !by_reporter {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "only the Reporter changes the object"));
    }
    match &state.phase {
        Phase::Live => Ok(()),
        Phase::Condemned | Phase::Deleting => Err(Refusal::new(StatusCode::GONE, "the object is deleted")),
        Phase::Deposed => {
            Err(Refusal::new(StatusCode::CONFLICT, "the object has another Reporter").because("owner"))
        }
        Phase::Frozen => {
            let text = "the object is being given to another Reporter";
            Err(Refusal::new(StatusCode::CONFLICT, text).because("frozen"))
        }
        Phase::Delegated => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "the object is another's now").because("delegated"))
        }
        Phase::Ending => {
            let text = "the store is closed: the runtime is ending";
            Err(Refusal::new(StatusCode::INTERNAL, text).because("storage"))
        }
        Phase::Closed(why) => {
            let text = format!("the object is closed for writing since its store failed: {why}");
            Err(Refusal::new(StatusCode::INTERNAL, text).because("storage"))
        }
    }
}

/// Applies a change to the copy that is ahead, or to the metadata that is; if the result is not valid, both stay as they
/// were.
fn take_in(object: &Reported, state: &mut State, kind: &UpdateKind) -> Result<(), Refusal> {
    match kind {
        UpdateKind::Change(change) => {
            for value in change.values() {
                check_value(value)
                    .map_err(|error| Refusal::bad_request(error.to_string()).because("value"))?;
            }
            let data = state.head.as_mut().unwrap_or_else(|| Arc::make_mut(&mut state.data));
            let inverse = apply_with_inverse(data, change)
                .map_err(|error| Refusal::bad_request(error.to_string()).because("path"))?;
            if let Err(violation) = object.schema.validate(data) {
                inverse.undo(data);
                return Err(Refusal::bad_request(violation.to_string()).because("schema"));
            }
            Ok(())
        }
        // Who reports is changed by a delegation, never by an update of the Reporter.
        UpdateKind::Metadata { attribute, .. } if attribute == "reporter" => {
            Err(Refusal::bad_request("the reporter is not changed by updates").because("value"))
        }
        UpdateKind::Metadata { attribute, value } => {
            let set = state.ahead.set(&state.metadata, attribute, value);
            set.map_err(|error| Refusal::bad_request(error.to_string()).because("value"))
        }
        _ => Err(Refusal::bad_request("not a change of the object")),
    }
}
