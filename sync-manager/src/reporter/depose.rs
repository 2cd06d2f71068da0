//! A Reporter that was away finds that its object went on without it (protocol 5.10.1, INV-RES-5): it stands down, is
//! told what of its changes the object does not have, and observers of its runtime follow the new owner.

use std::sync::Arc;

use hyperty_model::message::{DeposedBody, UpdateBody};
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl, Position, Url};
use hyperty_registry::{QueryError, RegistrationRecord};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Subscriber};

use super::commit::{Release, Staged};
use super::former::Ended;
use super::kept::Ahead;
use super::object::{Phase, Reported, State};
use crate::answer::Refusal;
use crate::manager::SyncManager;

impl SyncManager {
    /// The registry says that a registration is not this runtime's any more.
    pub(crate) fn registration_lost(&self, url: &Url) {
        let Some(url) = ObjectUrl::try_from(url.clone()).ok().filter(|url| self.reported(url).is_some())
        else {
            return;
        };
        let manager = self.clone();
        self.later(Box::pin(async move { manager.find_successor(&url).await }));
    }

    /// Asks who has the object now, until somebody tells.
    pub(super) async fn find_successor(&self, url: &ObjectUrl) {
        let mut pause = self.config().retry_min;
        while let Some(object) = self.reported(url) {
            let asked = self.shared.parts.registrations.registry().read(url.as_url()).await;
            let successor = match asked {
                Ok(record) => Some(record),
                Err(QueryError::Disconnected(records)) => records.into_iter().next(),
                Err(QueryError::Gone) => return self.depose(&object, None).await,
                Err(QueryError::NotFound) => return self.register_again(&object),
                Err(error) => {
                    tracing::debug!(object = %url, %error, "who reports the object now is not known yet");
                    None
                }
            };
            if let Some(record) = successor {
                return match record.runtime == self.shared.parts.runtime {
                    true => self.follow_own_epoch(&object, record.epoch),
                    false => self.depose(&object, Some(&record)).await,
                };
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.config().retry_max);
        }
    }

    /// A takeover in this runtime was accepted, and a crash came before it was kept: the epoch that the registry has is
    /// used by nobody. The object goes on above it.
    ///
    /// Nobody hears of the new epoch before it is durable (M8), and it takes its turn behind what was taken in before.
    fn follow_own_epoch(&self, object: &Arc<Reported>, registered: u64) {
        let mut state = object.lock();
        if !matches!(state.phase, Phase::Live) {
            return;
        }
        // It may be on its way to the disk already.
        if registered < state.head_position.epoch {
            let waits = state.head_position.epoch > state.position.epoch;
            if !waits {
                self.register_again(object);
            }
            return;
        }
        let epoch = registered + 1;
        tracing::warn!(object = %object.url, epoch, "an epoch was begun and not kept; going on above it");
        state.head_position.epoch = epoch;
        let ticket = self.persist(object, &state, RecordStatus::Live).map(|_| self.storage().barrier());
        self.stage(object, &mut state, Staged { ticket, release: Release::Epoch(epoch) });
    }

    /// Ends the ownership: nothing is published or answered as Reporter from here on.
    async fn depose(&self, object: &Arc<Reported>, successor: Option<&RegistrationRecord>) {
        let url = &object.url;
        let (told, copy, wish) = {
            let mut state = object.lock();
            if matches!(state.phase, Phase::Condemned | Phase::Deleting | Phase::Deposed) {
                return;
            }
            state.phase = Phase::Deposed;
            self.refuse_staged(object, &mut state);
            let told = deposed_body(url, &state, successor);
            let copy = self.as_observed(object, &state, successor);
            state.listeners.clear();
            state.observers.clear();
            (told, copy, state.wish.take())
        };
        let reporter = object.lock().metadata.reporter.clone();
        tracing::warn!(object = %url, epoch = told.epoch, successor = ?told.reporter, "the object went on elsewhere; it is not reported here any more");
        self.shared.parts.registrations.forget(url.as_url());
        let ended = if successor.is_some() { Ended::Deposed } else { Ended::Deleted };
        self.shared.former.lock().note(url, ended);
        self.shared.reported.remove(url);
        self.shared.timers.forget(url, Role::Reporter);
        self.shared.parts.registry.remove_object(url);
        // The record there is the successor's, or what yet another device goes on from.
        self.leave_backup(url);
        self.storage().remove(Role::Reporter, url);
        if let Some(copy) = copy {
            self.observe_instead(copy).await;
        }
        let message = self.bus().new_message(MessageType::Event, self.address(), &reporter, told);
        self.bus().post(message);
        if let Some(wish) = wish {
            self.withdraw(wish).await;
        }
    }

    /// What was taken in and is not released never will be. Writers of children send again, to the new owner.
    fn refuse_staged(&self, object: &Reported, state: &mut State) {
        let refusal = Refusal::new(hyperty_model::StatusCode::CONFLICT, "the object has another Reporter");
        for staged in std::mem::take(&mut state.staged) {
            if let Release::Update { message, receipt: true, .. } = staged.release {
                self.answer_update(&message, refusal.clone().because("owner").into());
            }
        }
        state.ahead = Ahead::default();
        self.shared.committing.lock().remove(&object.url);
    }

    /// The record with which the observers of this runtime go on elsewhere; `None` if there are none, or nowhere.
    fn as_observed(
        &self,
        object: &Reported,
        state: &State,
        successor: Option<&RegistrationRecord>,
    ) -> Option<ObjectRecord> {
        let successor = successor?;
        let here = &self.shared.parts.runtime;
        let locals = state.observers.iter().filter(|(_, entry)| entry.runtime.as_ref() == Some(here));
        let subscriptions: Vec<Subscriber> =
            locals.map(|(hyperty, entry)| entry.subscriber(hyperty)).collect();
        if subscriptions.is_empty() {
            return None;
        }
        let names = object.names().cloned().collect();
        let mut record = state.record(names, RecordStatus::Live);
        record.role = Role::Observer;
        record.metadata.runtime = successor.runtime.clone();
        if let Some(reporter) = &successor.reporter {
            record.metadata.reporter = reporter.clone();
        }
        (record.position, record.data) = (state.position, Some(state.snapshot().data));
        (record.subscriptions, record.grants, record.reporter_user) = (subscriptions, Vec::new(), None);
        Some(record)
    }

    async fn observe_instead(&self, record: ObjectRecord) {
        let url = record.metadata.url.clone();
        let observers: Vec<HypertyUrl> = record.subscriptions.iter().map(|s| s.hyperty.clone()).collect();
        if let Err(refusal) = self.restore_observed(record).await {
            return tracing::error!(object = %url, %refusal, "observers here are cut off");
        }
        let Some(object) = self.observed(&url) else { return };
        for hyperty in observers {
            self.rejoin_observed(&object, &hyperty);
        }
        self.begin_routes([url.home().to_ascii_lowercase()]);
        self.repair_soon(&url);
    }
}

/// What the former Reporter is told. Its changes beyond the position from which its successor went on are lost.
fn deposed_body(url: &ObjectUrl, state: &State, successor: Option<&RegistrationRecord>) -> DeposedBody {
    let ours = state.position;
    let taken_from = successor.and_then(RegistrationRecord::taken_from).filter(|at| at.epoch == ours.epoch);
    DeposedBody {
        resource: url.clone(),
        epoch: successor.map_or(ours.epoch, |record| record.epoch),
        reporter: successor.and_then(|record| record.reporter.clone()),
        runtime: successor.map(|record| record.runtime.clone()),
        unpublished: taken_from.and_then(|from| beyond(state, from)),
    }
}

fn beyond(state: &State, from: Position) -> Option<Vec<UpdateBody>> {
    if from >= state.position {
        return Some(Vec::new());
    }
    let changes = state.log.since(from)?;
    Some(changes.iter().map(|change| UpdateBody::clone(change)).collect())
}
