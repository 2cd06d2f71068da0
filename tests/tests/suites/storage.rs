//! Broken storages: each fails one case, and no other.

use std::sync::Arc;

use hyperty_conformance::suites::storage::objects::{self, Claims, Site};
use hyperty_model::message::UpdateBody;
use hyperty_model::object::ChildEntry;
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl};
use hyperty_storage::{
    Appended, DataObjectStorage, Delegation, Durability, Entry, Grant, InvitedStage, ObjectRecord,
    ObjectStore, Progress, RecordStatus, Role, SimulatedDisk, SimulatedTables, StorageError, Subscriber,
    Tables, Ticket, Torn,
};
use tokio::sync::watch;

use crate::caught;

/// What is wrong with a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Of the log only the end comes back.
    ShortLog,
    /// That somebody was removed is lost.
    ForgetsRemovals,
    /// Who left is still there.
    KeepsLeavers,
    /// A grant without an end is written as one without limits.
    WidensGrants,
    /// The text of an answer to an invitation is lost.
    LosesReasons,
    /// What was granted stays granted.
    KeepsGrants,
    /// A child operation is written in the place of the one before it.
    LosesOperations,
    /// A status that older releases did not know becomes another.
    OldStatuses,
    /// Where an object stood when it was taken is lost.
    ForgetsWhereItStood,
    /// Everything is acknowledged at once.
    Acknowledges,
    /// A broken history is not told.
    HidesBreaks,
    /// A history that was not broken is told as broken.
    InventsBreaks,
}

struct Place {
    disk: SimulatedDisk,
    fault: Fault,
}

impl Site for Place {
    fn open(&self, durability: Durability) -> Arc<dyn DataObjectStorage> {
        let tables = Arc::new(self.disk.open_with(durability).expect("it is free"));
        let store = ObjectStore::new(Arc::clone(&tables) as Arc<dyn Tables>);
        Arc::new(Broken { store, tables, durability, fault: self.fault, said: watch::Sender::default() })
    }

    fn crash(&self) {
        self.disk.crash(Torn::Nothing);
    }
}

struct Broken {
    store: ObjectStore,
    tables: Arc<SimulatedTables>,
    durability: Durability,
    fault: Fault,
    said: watch::Sender<Progress>,
}

impl Broken {
    fn is_buffered(&self) -> bool {
        matches!(self.durability, Durability::Buffered { .. })
    }

    fn read(&self, mut record: ObjectRecord) -> ObjectRecord {
        match self.fault {
            Fault::ShortLog => drop(record.log.drain(..record.log.len().saturating_sub(3))),
            Fault::HidesBreaks => record.broken = false,
            Fault::InventsBreaks => record.broken |= self.is_buffered(),
            _ => {}
        }
        record
    }

    fn written(&self, record: &ObjectRecord) -> ObjectRecord {
        let mut record = record.clone();
        match self.fault {
            Fault::WidensGrants => {
                let unlimited =
                    |grant: Grant| if grant.until.is_none() { Grant::unlimited(grant.who) } else { grant };
                record.grants = record.grants.into_iter().map(unlimited).collect();
            }
            Fault::LosesReasons => {
                record.invitations.iter_mut().for_each(|invited| without_reason(&mut invited.stage));
            }
            Fault::OldStatuses if record.status == RecordStatus::Returning => {
                record.status = RecordStatus::Requested;
            }
            Fault::ForgetsWhereItStood => {
                if let Some(Delegation::Taking { from, .. }) = &mut record.delegation {
                    *from = None;
                }
            }
            _ => {}
        }
        record
    }
}

fn without_reason(stage: &mut InvitedStage) {
    if let InvitedStage::Answered { description, .. } = stage {
        *description = None;
    }
}

impl DataObjectStorage for Broken {
    fn load(&self, role: Role) -> Result<Vec<ObjectRecord>, StorageError> {
        Ok(self.store.load(role)?.into_iter().map(|record| self.read(record)).collect())
    }

    fn find(&self, role: Role, object: &ObjectUrl) -> Result<Option<ObjectRecord>, StorageError> {
        Ok(self.store.find(role, object)?.map(|record| self.read(record)))
    }

    fn save(&self, record: &ObjectRecord) -> Ticket {
        self.store.save(&self.written(record))
    }

    fn checkpoint(&self, record: &ObjectRecord) -> Ticket {
        self.store.checkpoint(record)
    }

    fn save_metadata(&self, record: &ObjectRecord) -> Ticket {
        self.store.save_metadata(&self.written(record))
    }

    fn append(&self, role: Role, object: &ObjectUrl, change: &UpdateBody) -> Appended {
        self.store.append(role, object, change)
    }

    fn put_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, entry: &ChildEntry) -> Ticket {
        self.store.put_child(role, object, name, entry)
    }

    fn delete_child(&self, role: Role, object: &ObjectUrl, name: &ChildrenName, id: &str) -> Ticket {
        self.store.delete_child(role, object, name, id)
    }

    fn put_subscriber(&self, role: Role, object: &ObjectUrl, subscriber: &Subscriber) -> Ticket {
        let removed = subscriber.removed.filter(|_| self.fault != Fault::ForgetsRemovals);
        self.store.put_subscriber(role, object, &Subscriber { removed, ..subscriber.clone() })
    }

    fn remove_subscriber(&self, role: Role, object: &ObjectUrl, hyperty: &HypertyUrl) -> Ticket {
        match self.fault {
            Fault::KeepsLeavers => Ticket::default(),
            _ => self.store.remove_subscriber(role, object, hyperty),
        }
    }

    fn put_entries(&self, role: Role, object: &ObjectUrl, entries: &[Entry]) -> Ticket {
        let written = |entry: &Entry| match (self.fault, entry.clone()) {
            (Fault::KeepsGrants, Entry::Revoked(_)) => None,
            (Fault::WidensGrants, Entry::Grant(Grant { who, until: None, .. })) => {
                Some(Entry::Grant(Grant::unlimited(who)))
            }
            (Fault::LosesReasons, Entry::Invited(mut invited)) => {
                without_reason(&mut invited.stage);
                Some(Entry::Invited(invited))
            }
            (Fault::LosesOperations, Entry::Pending { number, message }) => {
                Some(Entry::Pending { number: number / 2, message })
            }
            (_, entry) => Some(entry),
        };
        let entries: Vec<Entry> = entries.iter().filter_map(written).collect();
        self.store.put_entries(role, object, &entries)
    }

    fn remove(&self, role: Role, object: &ObjectUrl) -> Ticket {
        self.store.remove(role, object)
    }

    fn barrier(&self) -> Ticket {
        self.store.barrier()
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        if self.fault == Fault::Acknowledges && !self.is_buffered() {
            self.said.send_replace(Progress { durable: Ticket(u64::MAX), failed: None });
            return self.said.subscribe();
        }
        if !self.is_buffered() {
            // A failure is in the progress too.
            let _ = self.tables.sync();
        }
        self.store.progress()
    }
}

#[test]
fn each_fault_of_a_storage_fails_one_case() {
    for (fault, invariant, case) in [
        (Fault::ShortLog, "10.1", "the newest changes are kept"),
        (Fault::ForgetsRemovals, "INV-SUB-3", "who observes"),
        (Fault::KeepsLeavers, "INV-SUB-3", "who observes"),
        (Fault::WidensGrants, "5.2", "grants and invitations"),
        (Fault::LosesReasons, "5.2", "grants and invitations"),
        (Fault::KeepsGrants, "5.2", "grants and invitations"),
        (Fault::LosesOperations, "M18", "operations that wait"),
        (Fault::OldStatuses, "M27", "every status"),
        (Fault::ForgetsWhereItStood, "INV-DLG-1", "a delegation at each step"),
        (Fault::Acknowledges, "INV-RES-7", "what is acknowledged outlives a crash"),
        (Fault::HidesBreaks, "M8", "a buffered store says that history broke"),
        (Fault::InventsBreaks, "M8", "a buffered store says that history broke"),
    ] {
        let verdict = objects::run(Claims::ALL, &|| Box::new(Place { disk: SimulatedDisk::new(1), fault }));
        caught(&format!("{fault:?}"), invariant, &verdict);
        let failed: Vec<&str> = verdict.failures().map(|(name, _)| name).collect();
        assert_eq!(failed, [case], "{fault:?}:\n{verdict}");
    }
}

/// What is not claimed is not asked for.
#[test]
fn a_storage_is_judged_by_what_it_claims() {
    for (fault, claims) in [
        (Fault::ShortLog, Claims { log: false, ..Claims::ALL }),
        (Fault::Acknowledges, Claims { durable: false, ..Claims::ALL }),
    ] {
        let verdict = objects::run(claims, &|| Box::new(Place { disk: SimulatedDisk::new(1), fault }));
        verdict.assert_passed();
        assert!(verdict.to_string().contains("skipped"), "{verdict}");
    }
}
