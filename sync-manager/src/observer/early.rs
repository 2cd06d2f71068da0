//! Observers of this runtime that resume before the Reporter of the object, which lives here too, has come back: they go
//! on with what is stored, and get their stream when the Reporter is there. The order of deployment does not matter.

use std::sync::Arc;

use hyperty_model::message::{ObserversOperation, UpdateBody};
use hyperty_model::resume::Criteria;
use hyperty_model::{HypertyUrl, MessageType, ObjectUrl};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Ticket};
use serde_json::{Value, json};

use crate::manager::SyncManager;
use crate::reporter::{Path, Reported, snapshot_of};

impl SyncManager {
    /// What a hyperty observes of objects whose Reporter has not resumed yet.
    pub(crate) fn rejoin_dormant(&self, hyperty: &HypertyUrl, criteria: &Criteria) -> Vec<Value> {
        let here = &self.shared.parts.runtime;
        let dormant = &mut *self.shared.dormant.lock();
        let mut values = Vec::new();
        for (url, record) in &dormant.reported {
            let observes = |subscriber: &hyperty_storage::Subscriber| {
                subscriber.hyperty == *hyperty
                    && subscriber.runtime.as_ref() == Some(here)
                    && subscriber.removed.is_none()
            };
            let is_live = !matches!(
                record.status,
                RecordStatus::Creating | RecordStatus::Deleting | RecordStatus::Taking
            );
            let covered = criteria.covers(&record.metadata, record.data.as_ref());
            if is_live && covered && record.subscriptions.iter().any(observes) {
                dormant.early.entry(url.clone()).or_default().insert(hyperty.clone());
                values.extend(stored_value(record));
            }
        }
        values
    }

    /// An observer leaves before the Reporter has come back; gives when that is durable, `None` if there is none.
    pub(crate) fn leave_dormant(&self, url: &ObjectUrl, hyperty: &HypertyUrl) -> Option<Ticket> {
        let dormant = &mut *self.shared.dormant.lock();
        let early = dormant.early.get_mut(url)?;
        let left = early.remove(hyperty);
        if early.is_empty() {
            dormant.early.remove(url);
        }
        if !left {
            return None;
        }
        if let Some(record) = dormant.reported.get_mut(url) {
            record.subscriptions.retain(|subscriber| subscriber.hyperty != *hyperty);
        }
        Some(self.storage().remove_subscriber(Role::Reporter, url, hyperty))
    }

    /// The Reporter is back: who resumed before it gets the stream, and is told where it stands.
    pub(crate) fn welcome_early(&self, object: &Arc<Reported>) {
        let early = self.shared.dormant.lock().early.remove(&object.url).unwrap_or_default();
        if early.is_empty() {
            return;
        }
        for hyperty in early {
            match self.observer_routes(object, &Path::Local(hyperty.clone())) {
                Ok(routes) => {
                    let mut state = object.lock();
                    if let Some(entry) = state.observers.get_mut(&hyperty) {
                        entry.routes = routes;
                        entry.away = None;
                        self.tell_observers(object, ObserversOperation::Back, &hyperty, entry);
                    }
                }
                // It has gone again, or will resume anew.
                Err(refusal) => {
                    tracing::debug!(object = %object.url, %hyperty, %refusal, "not resumed early")
                }
            }
        }
        let state = object.lock();
        let beat = UpdateBody::beat(state.position, None);
        let (from, to) = (object.url.as_url(), object.url.changes());
        self.bus().release_locally(&self.bus().new_message(MessageType::Update, from, &to, beat));
        self.tell_status(&object.url, "live");
    }
}

/// An object as it is stored, with the children names beside it.
fn stored_value(record: &ObjectRecord) -> Option<Value> {
    let names: Vec<String> = record.children_names.iter().map(ToString::to_string).collect();
    let mut value = snapshot_of(record).into_value();
    let members = value.as_object_mut()?;
    members.insert("childrenResources".to_owned(), json!(names));
    members.insert("status".to_owned(), json!("disconnected"));
    Some(value)
}
