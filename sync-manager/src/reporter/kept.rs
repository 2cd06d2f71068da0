//! What the store keeps of a reported object: everything taken in, released or not (M2).

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{Children, Metadata, MetadataError};
use hyperty_model::{ChildrenName, HypertyUrl, Timestamp};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Subscriber};

use super::object::State;

/// What the metadata is with every change taken in, as far as that differs from the released one. Nothing of it is shown
/// to anybody before it is durable, and it goes away when it is not kept.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// None while no change of metadata waits.
    metadata: Option<Box<Metadata>>,
    /// The time of the latest change.
    modified: Option<Timestamp>,
}

impl Ahead {
    /// The metadata with what is ahead of it.
    fn of(&self, released: &Metadata) -> Metadata {
        let mut metadata = self.metadata.as_deref().unwrap_or(released).clone();
        metadata.last_modified = self.modified.unwrap_or(metadata.last_modified);
        metadata
    }

    /// Takes in a change of metadata.
    ///
    /// # Errors
    /// [`MetadataError`] when it is none; then nothing is changed.
    pub(super) fn set(
        &mut self,
        released: &Metadata,
        attribute: &str,
        value: &serde_json::Value,
    ) -> Result<(), MetadataError> {
        let mut metadata = self.of(released);
        metadata.set(attribute, value)?;
        self.metadata = Some(Box::new(metadata));
        Ok(())
    }

    /// Notes when a change was made that is taken in.
    pub(super) fn note_time(&mut self, change: &UpdateBody) {
        self.modified = change.last_modified.or(self.modified);
    }
}

impl State {
    /// A change that was taken in is released: the metadata is what it made of it.
    pub(super) fn release_metadata(&mut self, change: &UpdateBody) {
        if let UpdateKind::Metadata { attribute, value } = &change.kind
            && let Err(error) = self.metadata.set(attribute, value)
        {
            // It could be set when it was taken in, and nothing that is set depends on what was there.
            tracing::error!(%error, "a committed change does not fit the metadata");
        }
        self.metadata.last_modified = change.last_modified.unwrap_or(self.metadata.last_modified);
        if self.position.version == self.head_position.version {
            self.ahead = Ahead::default();
        }
    }

    /// What the store keeps, without data, children and observers: they stay as they are stored.
    pub(crate) fn header(&self, names: Vec<ChildrenName>, status: RecordStatus) -> ObjectRecord {
        ObjectRecord {
            role: Role::Reporter,
            metadata: self.ahead.of(&self.metadata),
            position: self.head_position,
            data: None,
            log: Vec::new(),
            broken: false,
            children: Children::default(),
            children_names: names,
            subscriptions: Vec::new(),
            grants: self.grants.iter().cloned().collect(),
            invitations: self.invitations.kept(),
            reporter_user: self.reporter_user.clone(),
            status,
            store: self.options.store,
            domain_registration: self.options.domain_registration,
            domain_routing: self.options.domain_routing,
            backup: self.options.backup,
            delegation: self.origin.clone(),
            pending: Default::default(),
        }
    }

    /// What the store keeps: everything taken in, released or not.
    pub(crate) fn record(&self, names: Vec<ChildrenName>, status: RecordStatus) -> ObjectRecord {
        ObjectRecord {
            data: self.head.clone(),
            children: self.children.clone(),
            subscriptions: self.subscribers(),
            ..self.header(names, status)
        }
    }

    /// Who observes and is remembered, and who was removed.
    pub(crate) fn subscribers(&self) -> Vec<Subscriber> {
        let observers = self.observers.iter().filter(|(_, entry)| entry.resumable || self.options.store);
        let joining = self.joining.iter().filter(|joining| !self.observers.contains_key(&joining.hyperty));
        let subscriptions =
            observers.map(|(hyperty, entry)| entry.subscriber(hyperty)).chain(joining.cloned());
        let returned = |hyperty: &HypertyUrl| {
            self.observers.contains_key(hyperty) || self.joining.find(hyperty).is_some()
        };
        let removed = self.removed.subscribers().filter(|removed| !returned(&removed.hyperty));
        subscriptions.chain(removed).collect()
    }
}
