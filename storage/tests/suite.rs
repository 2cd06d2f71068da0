//! Every backend through the suite.

use std::sync::Arc;

use bytes::Bytes;
use hyperty_conformance::suites::storage::objects::{self, Claims, Open, Site};
use hyperty_conformance::suites::storage::{Capabilities, Place, TempDir, model, objects_model, tables};
use hyperty_storage::{
    Batch, DataObjectStorage, Durability, DurableTables, FaultPlan, FaultyTables, MemoryTables, ObjectStore,
    Progress, SimulatedDisk, SimulatedTables, StorageError, Tables, Ticket, Torn,
};
use tokio::sync::watch;

const MEMORY: Capabilities = Capabilities { durable: false };
const DURABLE: Capabilities = Capabilities { durable: true };

fn memory() -> Box<dyn Place> {
    Box::new(|| Arc::new(MemoryTables::new()) as Arc<dyn Tables>)
}

fn faultless() -> Box<dyn Place> {
    Box::new(|| Arc::new(FaultyTables::new(MemoryTables::new(), FaultPlan::default())) as Arc<dyn Tables>)
}

fn frozen() -> Box<dyn Place> {
    let plan = FaultPlan { freeze_at: Some(1), ..FaultPlan::default() };
    Box::new(move || Arc::new(Thawing(FaultyTables::new(MemoryTables::new(), plan))) as Arc<dyn Tables>)
}

fn durable() -> Box<dyn Place> {
    let dir = TempDir::new();
    let open =
        move || DurableTables::open(dir.path().join("below").join("hyperty.redb")).expect("it is free");
    Box::new(move || Arc::new(open()) as Arc<dyn Tables>)
}

fn faultless_durable() -> Box<dyn Place> {
    let dir = TempDir::new();
    let open = move || DurableTables::open(dir.path().join("hyperty.redb")).expect("it is free");
    Box::new(move || Arc::new(FaultyTables::new(open(), FaultPlan::default())) as Arc<dyn Tables>)
}

fn simulated() -> Box<dyn Place> {
    let disk = SimulatedDisk::new(1);
    Box::new(move || Arc::new(Synced(disk.open().expect("it is free"))) as Arc<dyn Tables>)
}

fn objects_in_memory() -> Open {
    let tables = Arc::new(MemoryTables::new());
    Box::new(move || Arc::new(ObjectStore::new(Arc::clone(&tables) as _)))
}

fn objects_on_disk() -> Open {
    let dir = TempDir::new();
    let open = move || DurableTables::open(dir.path().join("hyperty.redb")).expect("it is free");
    Box::new(move || Arc::new(ObjectStore::new(Arc::new(open()))))
}

/// A storage on a disk that can crash. It syncs when somebody asks for progress, unless it may acknowledge earlier.
struct Crashing(SimulatedDisk);

impl Site for Crashing {
    fn open(&self, durability: Durability) -> Arc<dyn DataObjectStorage> {
        let tables = self.0.open_with(durability).expect("it is free");
        Arc::new(match durability {
            Durability::Durable => ObjectStore::new(Arc::new(Synced(tables))),
            Durability::Buffered { .. } => ObjectStore::new(Arc::new(tables)),
        })
    }

    fn crash(&self) {
        self.0.crash(Torn::Tail);
    }
}

#[test]
fn objects_in_memory_pass_the_suite() {
    objects::run(Claims::IN_GOOD_ORDER, &|| Box::new(objects_in_memory())).assert_passed();
}

#[test]
fn objects_on_disk_pass_the_suite() {
    objects::run(Claims::IN_GOOD_ORDER, &|| Box::new(objects_on_disk())).assert_passed();
}

#[test]
fn objects_on_a_disk_that_crashes_pass_the_suite() {
    let verdict = objects::run(Claims::ALL, &|| Box::new(Crashing(SimulatedDisk::new(1))));
    verdict.assert_passed();
    assert!(!verdict.to_string().contains("skipped"), "{verdict}");
}

#[tokio::test]
async fn simulated_tables_pass_the_suite() {
    tables::run(DURABLE, &simulated).await;
}

#[test]
fn simulated_tables_equal_a_map() {
    model::equals_a_map(DURABLE, &simulated);
}

#[test]
fn objects_in_memory_equal_records_in_memory() {
    objects_model::equals_records(512, &objects_in_memory);
}

#[test]
fn objects_on_disk_equal_records_in_memory() {
    objects_model::equals_records(24, &objects_on_disk);
}

#[tokio::test]
async fn memory_tables_pass_the_suite() {
    tables::run(MEMORY, &memory).await;
}

#[test]
fn memory_tables_equal_a_map() {
    model::equals_a_map(MEMORY, &memory);
}

#[tokio::test]
async fn durable_tables_pass_the_suite() {
    tables::run(DURABLE, &durable).await;
}

#[test]
fn durable_tables_equal_a_map() {
    model::equals_a_map(DURABLE, &durable);
}

#[tokio::test]
async fn a_fault_injector_without_a_plan_passes_the_suite() {
    tables::run(MEMORY, &faultless).await;
    tables::run(DURABLE, &faultless_durable).await;
}

#[test]
fn a_hanging_disk_reads_like_any_other() {
    model::equals_a_map(MEMORY, &frozen);
}

/// Hangs until somebody asks for progress.
struct Thawing(FaultyTables<MemoryTables>);

impl Tables for Thawing {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.0.get(table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.0.scan(table, prefix)
    }
    fn commit(&self, batch: Batch) -> Ticket {
        self.0.commit(batch)
    }
    fn progress(&self) -> watch::Receiver<Progress> {
        self.0.thaw();
        self.0.progress()
    }
    fn close(&self) {
        self.0.close();
    }
}

/// Syncs whenever somebody asks for progress.
struct Synced(SimulatedTables);

impl Tables for Synced {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.0.get(table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.0.scan(table, prefix)
    }
    fn commit(&self, batch: Batch) -> Ticket {
        self.0.commit(batch)
    }
    fn progress(&self) -> watch::Receiver<Progress> {
        // A failure is in the progress too.
        let _ = self.0.sync();
        self.0.progress()
    }
    fn close(&self) {
        self.0.close();
    }
}
