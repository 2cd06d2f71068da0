//! Observers resume after a restart (protocol 5.10.2), automatically for the same HypertyURL.

use std::sync::Arc;

use hyperty_model::message::{Limits, ObserversOperation, ResponseBody};
use hyperty_model::replica::{GapLimits, Replica};
use hyperty_model::resume::Criteria;
use hyperty_model::{HypertyUrl, Message, ObjectUrl, StatusCode};
use hyperty_storage::ObjectRecord;
use serde_json::{Value, json};

use super::object::{Link, LocalObserver, Observed};
use super::pending::Kept;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::reporter::{Path, homes_of, resumed_value};

impl SyncManager {
    pub(crate) async fn resume_observers(&self, question: Question, hyperty: HypertyUrl) {
        if let Err(refusal) = self.may_resume(&hyperty, None).await {
            return question.answer(refusal);
        }
        let (values, resumed) = self.resume_observed(&hyperty, &Criteria::default()).await;
        if values.is_empty() {
            return question.answer(Refusal::new(StatusCode::NOT_FOUND, "not found"));
        }
        question.answer(ResponseBody::ok().with_value(Value::Array(values)));
        for url in resumed {
            self.repair_soon(&url);
        }
    }

    /// Brings back what a hyperty observes and the criteria cover. Returns the copies, and which of them need a repair.
    pub(super) async fn resume_observed(
        &self,
        hyperty: &HypertyUrl,
        criteria: &Criteria,
    ) -> (Vec<Value>, Vec<ObjectUrl>) {
        if criteria.subscriber.as_ref().is_some_and(|who| who != hyperty) {
            return Default::default();
        }
        let _one_at_a_time = self.shared.resuming.lock().await;
        let mut values = self.rejoin_reported(hyperty, criteria);
        values.extend(self.rejoin_dormant(hyperty, criteria));
        self.wake_observed(hyperty, criteria).await;
        let mut resumed = Vec::new();
        for object in self.all_observed() {
            let covered = {
                let state = object.lock();
                let covers = |metadata| criteria.covers(metadata, state.replica.data());
                state.metadata.as_ref().map_or(criteria.is_empty(), covers)
            };
            let value = covered.then(|| self.rejoin_observed(&object, hyperty)).flatten();
            if let Some(value) = value {
                values.push(value);
                resumed.push(object.url.clone());
            }
        }
        (values, resumed)
    }

    /// Objects that are reported in this runtime and that the hyperty observes.
    fn rejoin_reported(&self, hyperty: &HypertyUrl, criteria: &Criteria) -> Vec<Value> {
        let mut values = Vec::new();
        for object in self.all_reported() {
            let observes = {
                let state = object.lock();
                let entry = state.observers.get(hyperty);
                entry.is_some_and(|entry| entry.runtime.as_ref() == Some(&self.shared.parts.runtime))
                    && criteria.covers(&state.metadata, Some(&state.data))
            };
            if !observes {
                continue;
            }
            match self.observer_routes(&object, &Path::Local(hyperty.clone())) {
                Ok(routes) => {
                    let mut state = object.lock();
                    if let Some(entry) = state.observers.get_mut(hyperty) {
                        entry.routes = routes;
                        if entry.away.take().is_some() {
                            self.tell_observers(&object, ObserversOperation::Back, hyperty, entry);
                        }
                        values.extend(resumed_value(&object, &state));
                    }
                }
                Err(refusal) => tracing::error!(object = %object.url, %refusal, "cannot resume an observer"),
            }
        }
        values
    }

    /// Brings back the records in which the hyperty observes.
    async fn wake_observed(&self, hyperty: &HypertyUrl, criteria: &Criteria) {
        let records: Vec<ObjectRecord> = {
            let dormant = self.shared.dormant.lock();
            let own =
                dormant.observed.values().filter(|r| r.subscriptions.iter().any(|s| s.hyperty == *hyperty));
            let wanted = own.filter(|record| criteria.covers(&record.metadata, record.data.as_ref()));
            wanted.cloned().collect()
        };
        let homes = homes_of(&records);
        for record in records {
            let url = record.metadata.url.clone();
            match self.restore_observed(record).await {
                Ok(()) => {
                    self.shared.dormant.lock().observed.remove(&url);
                }
                Err(refusal) => {
                    tracing::error!(object = %url, %refusal, "an observation could not be resumed")
                }
            }
        }
        self.begin_routes(homes);
    }

    /// Brings back whoever here observed an object before a restart and has not resumed yet: one that begins to observe it
    /// takes nobody's place, here or in the store.
    pub(super) async fn restore_others(&self, url: &ObjectUrl) -> Result<(), Refusal> {
        if !self.shared.dormant.lock().observed.contains_key(url) {
            return Ok(());
        }
        let _one_at_a_time = self.shared.resuming.lock().await;
        let record = self.shared.dormant.lock().observed.get(url).cloned();
        if let Some(record) = record {
            self.restore_observed(record).await?;
            self.shared.dormant.lock().observed.remove(url);
            // Queued ahead of what is asked for next.
            self.begin_routes([url.home().to_ascii_lowercase()]);
        }
        Ok(())
    }

    pub(crate) async fn restore_observed(&self, record: ObjectRecord) -> Result<(), Refusal> {
        let url = record.metadata.url.clone();
        let (object, _setup) = self.set_up(&url).await;
        if object.lock().metadata.is_some() {
            return Ok(()); // Subscribed anew in this session: that copy is younger than the record.
        }
        let names = record.children_names.clone();
        let backed_up = record.subscriptions.iter().any(|subscriber| subscriber.backup);
        let again = backed_up.then(|| ObjectRecord { data: None, log: Vec::new(), ..record.clone() });
        {
            let mut state = object.lock();
            if record.data.is_some() {
                state.replica = Replica::live(record.position, record.data, GapLimits::default());
            }
            state.metadata = Some(record.metadata);
            state.children = record.children;
            state.link = Link::Disconnected;
            for subscriber in record.subscriptions {
                let observer = LocalObserver {
                    identity: subscriber.identity,
                    store: record.store,
                    resumable: true,
                    backup: subscriber.backup,
                    forwards: Vec::new(),
                };
                state.observers.insert(subscriber.hyperty, observer);
            }
        }
        tracing::info!(object = %url, position = %object.lock().replica.position(), "an observation is resumed");
        self.add_shared_routes(&object, &names)?;
        let wish = self.shared.parts.routes.wish(url.home(), object.stream(&names));
        wish.begin_with_others();
        object.lock().routes.wishes.push(wish);
        for (number, value) in record.pending {
            match stored_message(&value) {
                Some(message) => {
                    let mut state = object.lock();
                    self.make_again(&object, &mut state, &message);
                    self.keep_pending(&object, &mut state, message, Kept::Before(number));
                }
                None => tracing::warn!(object = %url, "a stored child operation cannot be read"),
            }
        }
        if let Some(record) = again {
            self.mirror_again(&record);
        }
        Ok(())
    }

    /// Gives one hyperty its routes again; `None` if it does not observe this object.
    pub(crate) fn rejoin_observed(&self, object: &Arc<Observed>, hyperty: &HypertyUrl) -> Option<Value> {
        let names = {
            let state = object.lock();
            state.observers.contains_key(hyperty).then(|| state.names.clone())?
        };
        let forwards = match self.forwards(&object.url, &names, hyperty) {
            Ok(forwards) => forwards,
            Err(refusal) => {
                tracing::error!(object = %object.url, %refusal, "cannot resume an observer");
                return None;
            }
        };
        let mut state = object.lock();
        state.observers.get_mut(hyperty)?.forwards = forwards;
        let mut value = match state.snapshot() {
            Some(snapshot) => snapshot.into_value(),
            // Only metadata was kept: the copy starts empty, and the repair that follows replaces it.
            None => {
                let mut value = serde_json::to_value(state.metadata.as_ref()?).ok()?;
                value
                    .as_object_mut()?
                    .extend([("version".to_owned(), json!(0)), ("data".to_owned(), json!({}))]);
                value
            }
        };
        let members = value.as_object_mut()?;
        members.insert("childrenResources".to_owned(), json!(state.name_strings()));
        if state.link == Link::Disconnected {
            members.insert("status".to_owned(), json!("disconnected"));
        }
        Some(value)
    }
}

/// A child operation as it was kept, again in the name of the hyperty that posted it.
pub(super) fn stored_message(value: &Value) -> Option<Message> {
    let frame = serde_json::to_vec(value).ok()?;
    let decoded = Message::from_frame(frame.into(), &Limits::default()).ok()?;
    let message = decoded.into_iter().next()?;
    let sender = message.from().clone();
    Some(message.with_sender(sender))
}
