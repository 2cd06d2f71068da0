//! Who wants to be an observer after a restart too is kept first, then accepted (protocol M4): the store is waited for
//! outside the sequencer, and what was true before is looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::message::{ForwardBody, ForwardKind, ResponseBody};
use hyperty_model::object::Metadata;
use hyperty_model::{HypertyUrl, RuntimeUrl, StatusCode};
use hyperty_storage::{Role, Subscriber, Ticket};
use tokio::time::Instant;

use super::object::{Reported, State};
use super::subscribe::Applicant;
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// Those of which the store keeps that they observe, before they do. Bounded by the number of procedures.
#[derive(Default)]
pub(crate) struct Joining {
    entries: BTreeMap<u64, Subscriber>,
    next: u64,
}

impl Joining {
    fn add(&mut self, subscriber: Subscriber) -> u64 {
        self.next += 1;
        self.entries.insert(self.next, subscriber);
        self.next
    }

    /// Ends one; false if it was called off.
    fn end(&mut self, number: u64) -> bool {
        self.entries.remove(&number).is_some()
    }

    /// In the order in which they asked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        self.entries.values()
    }

    /// The latest of a hyperty.
    pub(crate) fn find(&self, hyperty: &HypertyUrl) -> Option<&Subscriber> {
        self.entries.values().rev().find(|subscriber| subscriber.hyperty == *hyperty)
    }

    /// It leaves before it has begun; false if it was not going to.
    pub(crate) fn call_off(&mut self, hyperty: &HypertyUrl) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, subscriber| subscriber.hyperty != *hyperty);
        self.entries.len() < before
    }

    /// The session of these has ended.
    pub(crate) fn call_off_all_of(&mut self, runtime: &RuntimeUrl) {
        self.entries.retain(|_, subscriber| subscriber.runtime.as_ref() != Some(runtime));
    }
}

impl SyncManager {
    /// Until when a subscription that is asked for now has to be answered: after the Reporter's application may have
    /// decided, before whoever asked gives up (M9).
    pub(crate) fn joining_deadline(&self) -> Instant {
        Instant::now() + (self.config().decision_timeout + self.config().peer_timeout) / 2
    }

    /// Accepts an applicant that was admitted. What shall be known after a restart is durable before; if it cannot be
    /// kept nothing is left.
    pub(crate) async fn accept(
        &self,
        object: &Arc<Reported>,
        applicant: Applicant,
        deadline: Instant,
        answer: impl FnOnce(ResponseBody, &Metadata),
    ) -> Result<(), Refusal> {
        let (hyperty, identity) = (applicant.hyperty.clone(), applicant.identity.clone());
        let mut number = None;
        let accepted = match self.begin_joining(object, &applicant, &mut number) {
            Ok(None) => self.accept_kept(object, &mut object.lock(), applicant, answer),
            Ok(Some(ticket)) => match self.durable_by(ticket, deadline).await {
                Ok(()) => self.end_joining(object, applicant, number, answer),
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        if accepted.is_err() {
            let forward = ForwardBody {
                kind: ForwardKind::Unsubscribe,
                from: hyperty.as_url().clone(),
                to: object.url.clone(),
                identity,
                authorised: Some(true),
                mutual: None,
            };
            if self.undo_joining(object, &hyperty, number) {
                // It was told of an observer.
                self.tell_reporter(object, forward);
            }
        }
        accepted
    }

    /// Writes that somebody observes; no ticket where that is not to be known after a restart.
    fn begin_joining(
        &self,
        object: &Reported,
        applicant: &Applicant,
        number: &mut Option<u64>,
    ) -> Result<Option<Ticket>, Refusal> {
        let mut state = object.lock();
        self.check_room(&state, applicant)?;
        if !state.options.resumable || !applicant.resumable {
            return Ok(None);
        }
        let known = state.observers.get(&applicant.hyperty);
        let since = known.map_or_else(|| Some(self.now()), |entry| entry.since);
        let subscriber = Subscriber {
            runtime: applicant.runtime.clone(),
            identity: applicant.identity.clone(),
            children: state.may_write_children(&applicant.hyperty, applicant.identity.as_ref(), self.now()),
            since,
            ..Subscriber::new(applicant.hyperty.clone())
        };
        let ticket = self.storage().put_subscriber(Role::Reporter, &object.url, &subscriber);
        *number = Some(state.joining.add(subscriber));
        Ok(Some(ticket))
    }

    fn end_joining(
        &self,
        object: &Reported,
        applicant: Applicant,
        number: Option<u64>,
        answer: impl FnOnce(ResponseBody, &Metadata),
    ) -> Result<(), Refusal> {
        let mut state = object.lock();
        if !number.is_some_and(|number| state.joining.end(number)) {
            self.check_not_removed(&state, &applicant.hyperty)?;
            return Err(Refusal::new(StatusCode::TIMEOUT, "the observer has left meanwhile"));
        }
        self.accept_kept(object, &mut state, applicant, answer)
    }

    /// Takes back what was written of somebody who is refused after all. True if it does not observe the object,
    /// which is there.
    fn undo_joining(&self, object: &Reported, hyperty: &HypertyUrl, number: Option<u64>) -> bool {
        let mut state = object.lock();
        if let Some(number) = number {
            state.joining.end(number);
            self.write_as_it_is(object, &state, hyperty);
        }
        state.check_there().is_ok() && !state.observers.contains_key(hyperty)
    }

    /// Whatever the store was told before of a hyperty, this is how it is.
    fn write_as_it_is(&self, object: &Reported, state: &State, hyperty: &HypertyUrl) {
        if !state.is_its_own() {
            // The record is gone, or another's.
        } else if state.observers.contains_key(hyperty) {
            self.persist_observer_of(object, state, hyperty);
        } else if let Some(subscriber) = state.joining.find(hyperty) {
            self.storage().put_subscriber(Role::Reporter, &object.url, subscriber);
        } else if let Some(removed) = state.removed.subscriber(hyperty) {
            self.storage().put_subscriber(Role::Reporter, &object.url, &removed);
        } else {
            self.storage().remove_subscriber(Role::Reporter, &object.url, hyperty);
        }
    }
}
