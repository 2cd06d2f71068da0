//! I6, I8: the disk hangs from its n-th sync on, or its n-th operation fails, for every n: nothing that was acknowledged
//! is lost, the store opens, and each record is there as a whole or not at all.
//!
//! In a quick run forty of the n of each kind, evenly spread; all of them at the other levels.

use std::sync::Arc;

use hyperty_conformance::level::{self, Level};
use hyperty_conformance::suites::storage::sample::{
    change, child, children_name, hyperty, record, same, set, subscriber,
};
use hyperty_storage::{
    Batch, DataObjectStorage, DiskFaults, ObjectRecord, ObjectStore, RecordStatus, Role, SimulatedDisk,
    SimulatedTables, Tables, Ticket, Torn,
};
use serde_json::json;

/// Everything there is after each call, and the ticket of that call.
type History = Vec<(Ticket, Vec<ObjectRecord>)>;

/// Calls on one object, as its Sync Manager makes them.
struct Writer<'a> {
    store: ObjectStore,
    sync: &'a dyn Fn(),
    record: ObjectRecord,
    history: History,
}

impl<'a> Writer<'a> {
    fn new(tables: Arc<dyn Tables>, sync: &'a dyn Fn(), record: ObjectRecord) -> Writer<'a> {
        let store = ObjectStore::new(tables);
        Writer { store, sync, record, history: vec![(Ticket(0), Vec::new())] }
    }

    /// A call was made: this is what there is from now on.
    fn made(&mut self, ticket: Ticket) {
        self.history.push((ticket, vec![self.record.clone()]));
        // Now and then several calls share a sync.
        if !self.history.len().is_multiple_of(3) {
            (self.sync)();
        }
    }

    fn save(&mut self) {
        let ticket = self.store.save(&self.record);
        self.made(ticket);
    }

    fn change(&mut self, i: u64) {
        let value = json!(format!("{i}{}", "x".repeat(90 * (i as usize % 5))));
        let body = change(&mut self.record, set("n", value));
        let appended = self.store.append(self.record.role, &self.record.metadata.url, &body);
        self.made(appended.ticket);
        if appended.checkpoint_due {
            let ticket = self.store.checkpoint(&self.record);
            self.made(ticket);
        }
    }

    fn child(&mut self, number: u64) {
        let (name, entry) = (children_name("notes"), child("bob", number, json!({"n": number})));
        self.record.children.create(&name, entry.clone()).expect("it is new");
        let ticket = self.store.put_child(self.record.role, &self.record.metadata.url, &name, &entry);
        self.made(ticket);
    }

    fn delete_child(&mut self, number: u64) {
        let (name, id) = (children_name("notes"), child("bob", number, json!({})).value.url);
        self.record.children.delete(&name, id.as_str(), &hyperty("bob")).expect("it is his");
        let ticket = self.store.delete_child(self.record.role, &self.record.metadata.url, &name, id.as_str());
        self.made(ticket);
    }

    fn subscriber(&mut self, name: &str) {
        let subscriber = subscriber(name);
        let ticket = self.store.put_subscriber(self.record.role, &self.record.metadata.url, &subscriber);
        self.record.subscriptions.push(subscriber);
        self.made(ticket);
    }

    fn status(&mut self, status: RecordStatus) {
        self.record.status = status;
        let ticket = self.store.save_metadata(&self.record);
        self.made(ticket);
    }
}

/// A Reporter with children and observers.
fn reporter(tables: Arc<dyn Tables>, sync: &dyn Fn()) -> History {
    let record = ObjectRecord {
        status: RecordStatus::Creating,
        ..record(Role::Reporter, "a", Some(json!({"filler": "y".repeat(200)})))
    };
    let mut writer = Writer::new(tables, sync, record);
    writer.save();
    writer.status(RecordStatus::Live);
    for i in 0..24 {
        writer.change(i);
        match i % 6 {
            1 => writer.subscriber(&format!("s{i:02}")),
            2 | 3 => writer.child(i),
            4 => writer.delete_child(i - 1),
            _ => {}
        }
    }
    writer.record.position.epoch += 1;
    writer.record.log.clear();
    writer.save();
    writer.change(1);
    let ticket = writer.store.remove(writer.record.role, &writer.record.metadata.url);
    writer.history.push((ticket, Vec::new()));
    (writer.sync)();
    writer.history
}

/// The copy of an observer, with snapshots that replace it.
fn observer(tables: Arc<dyn Tables>, sync: &dyn Fn()) -> History {
    let mut writer = Writer::new(tables, sync, record(Role::Observer, "a", Some(json!({}))));
    for i in 0..30 {
        if i % 10 == 0 {
            writer.record.position.version += 5;
            writer.record.log.clear();
            writer.save();
        }
        writer.change(i);
        if i % 4 == 0 {
            writer.child(i);
        }
    }
    writer.history
}

fn records(tables: Arc<dyn Tables>) -> Vec<ObjectRecord> {
    let store = ObjectStore::new(tables);
    let load = |role| store.load(role).expect("no record is there in part");
    [load(Role::Reporter), load(Role::Observer)].concat()
}

/// Plays `workload` on a disk with these faults, crashes it, and looks at what is left.
fn play(
    workload: fn(Arc<dyn Tables>, &dyn Fn()) -> History,
    faults: DiskFaults,
    torn: Torn,
    what: &str,
) -> (u64, u64) {
    let disk = SimulatedDisk::new(level::seed());
    disk.set_faults(faults);
    let counts = || (disk.syncs(), disk.operations());
    let Ok(tables) = disk.open() else {
        // It failed while it was made or opened; the next try finds an empty store.
        assert_eq!(records(Arc::new(disk.open().expect("the fault is over"))), [], "{what}");
        return counts();
    };
    let tables = Arc::new(tables);
    let syncing: &SimulatedTables = &tables;
    // A failure is told by the progress.
    let history = workload(Arc::clone(&tables) as _, &|| drop(syncing.sync()));
    let durable = tables.progress().borrow().durable;
    let counted = counts();
    disk.set_faults(DiskFaults::default());
    disk.crash(torn);
    drop(tables);
    let tables = disk.open().unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = records(Arc::new(tables));
    let is_as = |wanted: &[ObjectRecord]| {
        found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| same(a, b).is_ok())
    };
    let acknowledged = history.iter().rposition(|(ticket, _)| *ticket <= durable).expect("the first");
    let possible = &history[acknowledged..];
    assert!(
        possible.iter().any(|(_, wanted)| is_as(wanted)),
        "{what}: after {acknowledged} calls: {found:?}"
    );
    counted
}

fn every_point(workload: fn(Arc<dyn Tables>, &dyn Fn()) -> History) {
    let (syncs, operations) = play(workload, DiskFaults::default(), Torn::Nothing, "no fault");
    assert!(syncs > 20 && operations > 100, "{syncs} syncs, {operations} operations");
    let stride = |total: u64| if Level::of_run() == Level::Quick { (total / 40).max(1) } else { 1 };
    let torn = |n: u64| if n.is_multiple_of(2) { Torn::Tail } else { Torn::Nothing };
    for n in (1..=syncs).step_by(stride(syncs) as usize) {
        let faults = DiskFaults { freeze_at_sync: Some(n), ..DiskFaults::default() };
        play(workload, faults, torn(n), &format!("hangs at sync {n}"));
    }
    for n in (1..=operations).step_by(stride(operations) as usize) {
        let faults = DiskFaults { fail_at_operation: Some(n), ..DiskFaults::default() };
        play(workload, faults, torn(n), &format!("operation {n} fails"));
    }
}

#[test]
fn a_reporter_with_children_and_observers_i6_i8() {
    every_point(reporter);
}

#[test]
fn the_copy_of_an_observer_i6_i8() {
    every_point(observer);
}

#[test]
fn an_image_of_each_sync_opens_as_a_file_of_its_own() {
    let disk = SimulatedDisk::new(1);
    let tables = disk.open().unwrap();
    for i in 0..20u8 {
        tables.commit(Batch::new().put("cases/v1", [i], [i; 500]));
        tables.sync().unwrap();
        let copy = SimulatedDisk::of(disk.image(), 1).open().unwrap();
        assert_eq!(copy.scan("cases/v1", b"").unwrap().len(), usize::from(i) + 1);
    }
}
