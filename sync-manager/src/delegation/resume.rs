//! After a restart: what was given is still the other's, what was claimed is claimed again, what was to go back goes
//! back (INV-DLG-7).

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::delegation::{Giver, Taker};
use hyperty_storage::{Delegation, ObjectRecord, RecordStatus, Role, Subscriber};
use tokio::time::Instant;

use super::commit::bytes_of;
use super::gift::{Contents, Gift};
use super::taking::{Accepted, Taking};
use super::transfer::Transfer;
use crate::manager::SyncManager;
use crate::reporter::snapshot_of;

/// How often it is looked whether a hyperty that has accepted an object before the restart is deployed again: a table is
/// looked into, and nobody notices so little time.
const DEPLOYED_LOOK: Duration = Duration::from_millis(250);

impl SyncManager {
    /// Takes out of the records those of objects that are not owned here, and goes on with them. Called once, before
    /// anything is served.
    pub(crate) fn resume_delegations(&self) {
        let records: Vec<ObjectRecord> = {
            let dormant = &mut *self.shared.dormant.lock();
            let is_between = |record: &ObjectRecord| {
                matches!(
                    record.status,
                    RecordStatus::Delegated | RecordStatus::Requested | RecordStatus::Returning
                )
            };
            let urls: Vec<_> = dormant
                .reported
                .values()
                .filter(|it| is_between(it))
                .map(|it| it.metadata.url.clone())
                .collect();
            urls.iter().filter_map(|url| dormant.reported.remove(url)).collect()
        };
        for record in records {
            match record.delegation.clone() {
                Some(Delegation::Giving { state, former, from, departed }) => {
                    self.remember_gift(record, state, former, (from, departed))
                }
                Some(Delegation::Taking { state, .. }) => {
                    let manager = self.clone();
                    self.later(Box::pin(async move { manager.resume_taking(record, state).await }));
                }
                None => {
                    tracing::error!(object = %record.metadata.url, "a record does not say to whom its object was given");
                }
            }
        }
    }

    fn remember_gift(
        &self,
        record: ObjectRecord,
        state: Giver<String, hyperty_model::Url>,
        former: hyperty_model::HypertyUrl,
        (from, departed): (hyperty_model::Position, bool),
    ) {
        let (state, _) = state.restarted();
        let Giver::Given { offer, confirmed, .. } = state.clone() else { return };
        let to = record.metadata.reporter.clone();
        let transfer = Arc::new(Transfer::of(offer, to, former.clone(), Instant::now(), state));
        let subscriber = Subscriber {
            runtime: Some(self.shared.parts.runtime.clone()),
            identity: record.reporter_user.clone(),
            ..Subscriber::new(former)
        };
        let contents = Contents::of_record(record, &transfer, from, self);
        let others = contents.record.subscriptions.len() + contents.record.grants.len();
        let bytes = bytes_of(snapshot_of(&contents.record), others);
        let gift = Arc::new(Gift::new(&transfer, contents, true, bytes));
        self.shared.given.lock().insert(gift.url.clone(), Arc::clone(&gift));
        match departed {
            true => gift.transfer.depart(),
            false => self.observe_after_restart(&gift, subscriber),
        }
        self.keep_gift(&gift);
        if !confirmed {
            self.announce_gift(&gift);
        }
        gift.leave_to_the_store();
    }

    /// The crash came between the gift and the record of who observes here now: that is made of the gift. They go on
    /// when they are deployed.
    fn observe_after_restart(&self, gift: &Gift, former: Subscriber) {
        let here = &self.shared.parts.runtime;
        let is_here = |one: &Subscriber| one.removed.is_none() && one.runtime.as_ref() == Some(here);
        let Some(contents) = gift.in_memory() else { return };
        let mut record = contents.record.clone();
        record.subscriptions.retain(|one| is_here(one) && one.hyperty != former.hyperty);
        record.subscriptions.push(former);
        record.role = Role::Observer;
        record.status = RecordStatus::Live;
        record.position = gift.from();
        (record.log, record.grants, record.invitations) = Default::default();
        (record.reporter_user, record.delegation) = (None, None);
        if let Entry::Vacant(entry) = self.shared.dormant.lock().observed.entry(gift.url.clone()) {
            self.storage().save(&record);
            entry.insert(record);
        }
        gift.transfer.depart();
        self.write_gift(gift);
    }

    async fn resume_taking(&self, record: ObjectRecord, state: Taker<String, hyperty_model::Url>) {
        let mut pause = self.config().retry_min;
        let schema = loop {
            match self.shared.parts.catalogue.get(&record.metadata.schema).await {
                Ok(schema) => break schema,
                Err(error) => {
                    tracing::warn!(object = %record.metadata.url, %error, "an object that was accepted waits for its schema");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.config().retry_max);
                }
            }
        };
        let accepted = Accepted {
            url: record.metadata.url.clone(),
            to: record.metadata.reporter.clone(),
            identity: record.reporter_user.clone(),
            schema,
            metadata: record.metadata,
            store: record.store,
            resumable: true,
            backup: record.backup,
        };
        // An object without its Reporter could not be served, and nobody would look for it again.
        while matches!(state, Taker::Requested { .. }) && !self.bus().is_attached(&accepted.to) {
            tokio::time::sleep(DEPLOYED_LOOK).await;
        }
        let taking = Arc::new(Taking::new(accepted, state));
        if self.enter_taking(&taking).is_err() {
            return;
        }
        self.take(&taking).await;
        let ended = taking.outcome().borrow().clone();
        if ended.is_some_and(|ended| ended.is_ok()) {
            self.call_new_reporter(&taking);
        }
    }

    /// An offer that a restart has ended: the object is as it was, and its Reporter hears that.
    pub(crate) fn end_interrupted_offer(&self, record: &mut ObjectRecord) -> Option<String> {
        let delegation = record.delegation.take()?;
        match delegation {
            Delegation::Giving { state, .. } => state.restarted().1,
            // It was taken over; what is left of that says where its first epoch began.
            taken @ Delegation::Taking { .. } => {
                record.delegation = Some(taken);
                None
            }
        }
    }
}
