//! Reporters resume after a restart (protocol 5.10.1), automatically for the same HypertyURL.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::{CreateObject, ResponseBody};
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Snapshot, StatusCode};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_registry::RegisterError;
use hyperty_storage::{Delegation, ObjectRecord, RecordStatus};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::object::{ObserverEntry, Options, Reported, State};
use super::routes::Path;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;

impl SyncManager {
    pub(crate) async fn resume_reporters(
        &self,
        question: Question,
        hyperty: HypertyUrl,
        body: &CreateObject,
    ) {
        match self.resume_reported(&hyperty, body, None).await {
            Ok(values) if values.is_empty() => {
                question.answer(Refusal::new(StatusCode::NOT_FOUND, "not found"));
            }
            Ok(values) => {
                question.answer(ResponseBody::ok().with_value(Value::Array(values)));
                self.relay_all_unheard(&hyperty);
            }
            Err(refusal) => question.answer(refusal),
        }
    }

    /// Brings back what `hyperty` reported, or only some of it, and returns the snapshots. What is live already is
    /// returned as it is (INV-RES-3). What fails is left out; if all fails, why the last one did is told.
    pub(crate) async fn resume_reported(
        &self,
        hyperty: &HypertyUrl,
        body: &CreateObject,
        only: Option<&BTreeSet<ObjectUrl>>,
    ) -> Result<Vec<Value>, Refusal> {
        self.may_resume(hyperty, body.identity.as_ref()).await?;
        let _one_at_a_time = self.shared.resuming.lock().await;
        let wanted = |url: &ObjectUrl, schema: &hyperty_model::Url| {
            only.is_none_or(|only| only.contains(url))
                && body.resource.as_ref().is_none_or(|listed| listed.0.contains(url))
                && body.schema.as_ref().is_none_or(|wanted| wanted == schema)
        };
        let mut values = Vec::new();
        for object in self.all_reported() {
            let state = object.lock();
            let is_own = state.is_its_own() && state.metadata.reporter == *hyperty;
            if is_own && wanted(&object.url, &state.metadata.schema) {
                values.extend(resumed_reporter_value(&object, &state));
            }
        }
        let records: Vec<ObjectRecord> = {
            let dormant = self.shared.dormant.lock();
            let own = dormant.reported.values().filter(|record| record.metadata.reporter == *hyperty);
            own.filter(|record| wanted(&record.metadata.url, &record.metadata.schema)).cloned().collect()
        };
        let mut failure = None;
        let homes = homes_of(&records);
        for record in records {
            let url = record.metadata.url.clone();
            let pending = self.end_leftover(&record);
            match self.wake_reported(record).await {
                Ok(Some(object)) => {
                    pending.iter().for_each(|message| self.on_child_channel(&object, message));
                    values.extend(resumed_reporter_value(&object, &object.lock()));
                }
                Ok(None) => {}
                Err(refusal) => {
                    tracing::error!(object = %url, %refusal, "an object could not be resumed");
                    failure = Some(refusal);
                }
            }
        }
        self.begin_routes(homes);
        match failure {
            Some(refusal) if values.is_empty() => Err(Refusal { code: StatusCode::INTERNAL, ..refusal }),
            _ => Ok(values),
        }
    }

    /// Whether there is anything that a hyperty could resume.
    fn has_past(&self, hyperty: &HypertyUrl) -> bool {
        let had = {
            let dormant = self.shared.dormant.lock();
            let observed = dormant.observed.values().flat_map(|record| &record.subscriptions);
            dormant.reported.values().any(|record| record.metadata.reporter == *hyperty)
                || observed.into_iter().any(|subscriber| subscriber.hyperty == *hyperty)
        };
        had || self.all_reported().iter().any(|object| object.lock().observers.contains_key(hyperty))
    }

    /// P-RESUME: what the policy says to a hyperty that goes on with what it had.
    pub(crate) async fn may_resume(
        &self,
        hyperty: &HypertyUrl,
        identity: Option<&Identity>,
    ) -> Result<(), Refusal> {
        if !self.has_past(hyperty) {
            return Ok(());
        }
        let user = self.shared.parts.registry.user_of(hyperty).or_else(|| identity.cloned());
        let request = PolicyRequest::new(Point::Resume, hyperty.as_url().clone()).identity(user);
        self.decide(&request).await.map(drop)
    }

    /// Brings one object back: routes, observers, registration. `None` for one that was being created or deleted
    /// when the last session ended: that is taken back or finished instead; and for one that was being taken over.
    pub(super) async fn wake_reported(
        &self,
        mut record: ObjectRecord,
    ) -> Result<Option<Arc<Reported>>, Refusal> {
        let url = record.metadata.url.clone();
        match record.status {
            RecordStatus::Creating => {
                self.shared.dormant.lock().reported.remove(&url);
                // Not waited for: the node may be away, and nobody else needs to know.
                let (manager, registered) = (self.clone(), record.domain_registration);
                self.later(Box::pin(async move { manager.give_up_address(&url, registered).await }));
                return Ok(None);
            }
            RecordStatus::Deleting => return self.resume_delete(record).await.map(|()| None),
            // Nobody's, as far as is known here: whoever began to take it over does so again.
            RecordStatus::Taking => return Ok(None),
            _ => {}
        }
        let interrupted = self.end_interrupted_offer(&mut record);
        let object = self.restore(record).await?;
        let reporter = object.lock().metadata.reporter.clone();
        let listeners = self.reporter_listeners(&object)?;
        let forwards = self.reporter_forwards(&object, &reporter)?;
        let options = {
            let mut state = object.lock();
            (state.listeners, state.forwards) = (listeners, forwards);
            if state.options.domain_routing {
                // Not waited for: the object serves this runtime at once, and its node as soon as that is there. All
                // that are resumed ask the node together.
                let wish = self.wish_of(&object, &state);
                wish.begin_with_others();
                state.wish = Some(wish);
            }
            state.options
        };
        self.add_local_object(&url)?;
        self.shared.reported.insert(url.clone(), Arc::clone(&object));
        self.shared.dormant.lock().reported.remove(&url);
        {
            let state = object.lock();
            let (observers, kept) = (state.observers.len(), state.log.len());
            tracing::info!(object = %url, position = %state.position, observers, changes_kept = kept, "an object is resumed");
        }
        self.mirror_reported(&object);
        self.welcome_early(&object);
        self.remind_removed(&object, &mut object.lock());
        self.schedule_beat(&object, &mut object.lock());
        self.plan_roll_call(&object, &mut object.lock());
        self.plan_invitations(&object);
        if options.domain_registration {
            self.register_again(&object);
        }
        if let Some(offer) = interrupted {
            self.thaw(&reporter, &url, &offer);
        }
        Ok(Some(object))
    }

    /// The same of an object that came back to this runtime.
    pub(crate) async fn wake_again(&self, record: ObjectRecord) -> Result<Arc<Reported>, Refusal> {
        let url = record.metadata.url.clone();
        self.wake_reported(record).await?.ok_or_else(|| Refusal::unknown(&url))
    }

    /// Says at the domain registry that an object is live again, however long it takes to reach it.
    pub(crate) fn register_again(&self, object: &Arc<Reported>) {
        let (manager, object) = (self.clone(), Arc::clone(object));
        self.later(Box::pin(async move {
            let mut pause = manager.config().retry_min;
            while manager.reported(&object.url).is_some() {
                match manager.shared.parts.registrations.resume(manager.registration(&object)).await {
                    Ok(()) => return,
                    Err(RegisterError::Unreachable(reason)) => {
                        tracing::debug!(object = %object.url, reason, "cannot register now");
                    }
                    // Somebody has taken it over, or deleted it, while this runtime was away.
                    Err(RegisterError::Conflict(_) | RegisterError::Gone) => {
                        return manager.find_successor(&object.url).await;
                    }
                    Err(error) => {
                        tracing::error!(object = %object.url, %error, "the domain does not take the object back");
                        return;
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(manager.config().retry_max);
            }
        }));
    }

    /// A deletion that a crash interrupted goes on where it was (5.8.2).
    async fn resume_delete(&self, record: ObjectRecord) -> Result<(), Refusal> {
        let url = record.metadata.url.clone();
        let object = self.restore(record).await?;
        self.shared.dormant.lock().reported.remove(&url);
        object.lock().phase = super::object::Phase::Deleting;
        object.lock().listeners.push(self.listen(&url.subscription())?);
        self.shared.reported.insert(url, Arc::clone(&object));
        let manager = self.clone();
        self.later(Box::pin(async move { manager.finish_delete(&object).await }));
        Ok(())
    }

    /// Builds the state of a stored object, with the changes that observers may have missed. One whose data was not
    /// stored comes back empty; it, and one whose store may have lost changes that others have seen, begins a new epoch
    /// that is durable before anybody hears of it (M8).
    async fn restore(&self, record: ObjectRecord) -> Result<Arc<Reported>, Refusal> {
        let schema = self.shared.parts.catalogue.get(&record.metadata.schema).await?;
        let options = Options {
            store: record.store,
            resumable: true,
            domain_registration: record.domain_registration,
            domain_routing: record.domain_routing,
            backup: record.backup && self.shared.parts.backup.is_some(),
        };
        let mut position = record.position;
        let broken = record.data.is_none() || record.broken;
        // A deletion stays one, whatever else was lost.
        let status = match record.status {
            RecordStatus::Deleting => RecordStatus::Deleting,
            _ => RecordStatus::Live,
        };
        if broken {
            position.epoch += 1;
            self.tally().epochs_raised.add(1);
            tracing::warn!(
                object = %record.metadata.url, from = %record.position, to = %position,
                "the history is broken: changes that others have seen may be lost; a new epoch begins"
            );
        }
        let mut metadata = record.metadata;
        metadata.runtime = self.shared.parts.runtime.clone();
        let data = record.data.unwrap_or_else(|| Value::Object(Map::new()));
        let mut state = State::new(metadata, position, data, options);
        if !broken {
            state.log = ChangeLog::restored(position, &record.log, LogLimits::default());
        }
        if let Some(Delegation::Taking { from, .. }) = &record.delegation {
            state.log = state.log.continued_from(*from);
        }
        state.origin = record.delegation;
        state.children = record.children;
        state.grants = record.grants.into_iter().collect();
        state.invitations = record.invitations.into_iter().collect();
        state.reporter_user = record.reporter_user;
        let object = Arc::new(Reported::new(schema, state));
        for subscriber in record.subscriptions {
            if subscriber.removed.is_some() {
                object.lock().removed.restore(subscriber);
                continue;
            }
            let routes = self.restored_routes(&object, subscriber.runtime.as_ref(), &subscriber.hyperty);
            let entry = ObserverEntry {
                away: (routes.is_none() || subscriber.away).then(Instant::now),
                routes: routes.filter(|_| !subscriber.away).unwrap_or_default(),
                runtime: subscriber.runtime,
                identity: subscriber.identity,
                since: subscriber.since,
                resumable: true,
                children: subscriber.children,
            };
            object.lock().observers.insert(subscriber.hyperty, entry);
        }
        self.plan_away(&object, &object.lock());
        if broken {
            self.save_durably(&object, status).await?;
            self.on_disk().await?;
        }
        Ok(object)
    }

    /// A6 and A7 for an observer elsewhere. One of this runtime gets its routes when it resumes itself.
    fn restored_routes(
        &self,
        object: &Reported,
        runtime: Option<&hyperty_model::RuntimeUrl>,
        hyperty: &HypertyUrl,
    ) -> Option<super::object::ObserverRoutes> {
        if runtime == Some(&self.shared.parts.runtime) || self.shared.parts.registry.is_local(hyperty) {
            return None;
        }
        let stub = self.stub_of(object.url.home())?;
        self.observer_routes(object, &Path::Stub(stub)).ok()
    }
}

/// The domains of objects, each once.
pub(crate) fn homes_of(records: &[ObjectRecord]) -> BTreeSet<String> {
    records.iter().map(|record| record.metadata.url.home().to_ascii_lowercase()).collect()
}

/// An object as it is stored.
pub(crate) fn snapshot_of(record: &ObjectRecord) -> Snapshot {
    Snapshot {
        metadata: record.metadata.clone(),
        version: record.position.version,
        epoch: record.position.epoch,
        data: record.data.clone().unwrap_or_else(|| Value::Object(Map::new())),
        children: record.children.clone(),
    }
}

/// A snapshot with the children names beside it.
pub(crate) fn resumed_value(object: &Reported, state: &State) -> Option<Value> {
    let mut value = state.snapshot().into_value();
    value.as_object_mut()?.insert("childrenResources".to_owned(), json!(object.name_strings()));
    Some(value)
}

/// The same for the Reporter, with who observes: an observer is never told that.
pub(crate) fn resumed_reporter_value(object: &Reported, state: &State) -> Option<Value> {
    let mut value = resumed_value(object, state)?;
    value.as_object_mut()?.insert("observers".to_owned(), state.observers_list());
    Some(value)
}
