//! INV-DOM-6, INV-DOM-7: whatever a crash leaves on the disk, the store opens, has every batch that was reported
//! durable, and none in part.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperty_storage::{
    Batch, DiskFaults, DurableTables, OpenError, Progress, SimulatedDisk, SimulatedTables, StorageError,
    Tables, Ticket, Torn, durable, flush,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

const T: &str = "cases/v1";

#[derive(Debug, Clone)]
enum Act {
    /// Rows that are set, or removed where there is no value.
    Commit(Vec<(u8, Option<u16>)>),
    Sync,
    Crash(Torn),
    /// The process ends in good order.
    Drop,
    /// It ends and loses what waits.
    Close,
}

type Rows = BTreeMap<u8, u16>;

/// What the disk may hold: the rows after each batch since the last one that is known to be durable.
struct Model {
    possible: Vec<Rows>,
}

impl Model {
    fn last(&self) -> &Rows {
        self.possible.last().expect("there is always one")
    }

    fn synced(&mut self) {
        self.possible.drain(..self.possible.len() - 1);
    }

    /// What is found must be one of them; from then on it is what there is.
    fn found(&mut self, rows: &Rows, torn: Torn) -> Result<(), TestCaseError> {
        let among = if torn == Torn::Nothing { &self.possible[..1] } else { &self.possible[..] };
        prop_assert!(among.contains(rows), "{rows:?} is none of {among:?}");
        self.possible = vec![rows.clone()];
        Ok(())
    }
}

fn rows(tables: &dyn Tables) -> Rows {
    let value = |value: &[u8]| u16::from_be_bytes(value[..2].try_into().expect("two bytes and padding"));
    let rows = tables.scan(T, b"").expect("the store is open");
    rows.iter().map(|(key, row)| (key[0], value(row))).collect()
}

fn commit(tables: &dyn Tables, model: &mut Model, steps: &[(u8, Option<u16>)]) {
    let mut next = model.last().clone();
    let batch = steps.iter().fold(Batch::new(), |batch, (key, value)| match value {
        Some(value) => {
            next.insert(*key, *value);
            // Large enough that a batch is many pages.
            batch.put(T, [*key], value.to_be_bytes().repeat(1 + usize::from(value % 3_000)))
        }
        None => {
            next.remove(key);
            batch.delete(T, [*key])
        }
    });
    tables.commit(batch);
    model.possible.push(next);
}

fn play(seed: u64, acts: &[Act]) -> Result<(), TestCaseError> {
    let disk = SimulatedDisk::new(seed);
    let mut model = Model { possible: vec![Rows::new()] };
    let mut tables: SimulatedTables = disk.open().expect("it is new");
    for act in acts {
        match act {
            Act::Commit(steps) => {
                commit(&tables, &mut model, steps);
                prop_assert_eq!(&rows(&tables), model.last());
                continue;
            }
            Act::Sync => {
                tables.sync().expect("the disk has no faults");
                model.synced();
                continue;
            }
            Act::Crash(torn) => {
                disk.crash(*torn);
                prop_assert!(tables.get(T, b"a").is_err());
                drop(std::mem::replace(&mut tables, disk.open().expect("what a crash leaves is opened")));
                model.found(&rows(&tables), *torn)?;
            }
            Act::Drop => {
                drop(tables);
                tables = disk.open().expect("it is free");
                model.synced();
                model.found(&rows(&tables), Torn::Nothing)?;
            }
            Act::Close => {
                tables.close();
                tables = disk.open().expect("it is free");
                model.found(&rows(&tables), Torn::Nothing)?;
            }
        }
    }
    Ok(())
}

fn act() -> impl Strategy<Value = Act> {
    let step = (0..24u8, proptest::option::weighted(0.8, any::<u16>()));
    prop_oneof![
        8 => proptest::collection::vec(step, 0..8).prop_map(Act::Commit),
        3 => Just(Act::Sync),
        1 => Just(Act::Crash(Torn::Nothing)),
        2 => Just(Act::Crash(Torn::Tail)),
        1 => Just(Act::Drop),
        1 => Just(Act::Close),
    ]
}

#[test]
fn a_crash_leaves_every_durable_batch_and_none_in_part_inv_dom_6() {
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let cases = (any::<u64>(), proptest::collection::vec(act(), 1..40));
    if let Err(failure) = runner.run(&cases, |(seed, acts)| play(seed, &acts)) {
        panic!("{failure}");
    }
}

/// The crash is in the middle of the writing often enough that all of it, nothing and a part are met.
#[test]
fn torn_tails_are_of_every_kind_and_the_same_for_the_same_seed() {
    let run = |seed| {
        let disk = SimulatedDisk::new(seed);
        let tables = disk.open().unwrap();
        tables.commit(Batch::new().put(T, "a", "1"));
        tables.sync().unwrap();
        let before = disk.image();
        tables.commit((0..50u8).fold(Batch::new(), |batch, i| batch.put(T, [b'b', i], [i; 3_000])));
        disk.crash(Torn::Tail);
        let changed = disk.image() != before;
        (disk.open().unwrap().scan(T, b"").unwrap().len(), changed, disk.image())
    };
    let outcomes: Vec<_> = (0..60).map(run).collect();
    assert!(outcomes.iter().all(|(rows, ..)| [1, 51].contains(rows)));
    assert!(outcomes.iter().any(|(rows, ..)| *rows == 51), "never all of it");
    assert!(
        outcomes.iter().any(|(rows, changed, _)| *rows == 1 && *changed),
        "never a part that does not count"
    );
    assert_eq!(run(7), outcomes[7]);
}

#[test]
fn the_disk_holds_the_file_of_durable_tables() {
    let dir = hyperty_conformance::suites::storage::TempDir::new();
    let path = dir.path().join("hyperty.redb");
    let disk = SimulatedDisk::new(1);
    let tables = disk.open().unwrap();
    tables.commit(Batch::new().put(T, "a", "1"));
    tables.sync().unwrap();
    assert!(matches!(disk.open(), Err(OpenError::Locked { .. })));
    // While it is open, as after a crash; and closed.
    for close in [false, true] {
        if close {
            tables.close();
        }
        std::fs::write(&path, disk.image()).unwrap();
        let file = DurableTables::open(&path).unwrap();
        assert_eq!(file.get(T, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    }
    let tables = SimulatedDisk::of(std::fs::read(&path).unwrap(), 1).open().unwrap();
    assert_eq!(tables.scan(T, b"").unwrap().len(), 1);
    let other = SimulatedDisk::of(b"SQLite format 3\0 and more".to_vec(), 1).open();
    assert!(matches!(other, Err(OpenError::NotAStore { .. })));
}

#[tokio::test(start_paused = true)]
async fn it_syncs_on_the_time_of_tokio() {
    let disk = SimulatedDisk::new(1);
    let tables = disk.open().unwrap();
    let task = tokio::spawn(tables.run(Duration::from_millis(4)));
    let begun = tokio::time::Instant::now();
    let first = tables.commit(Batch::new().put(T, "a", "1"));
    let second = tables.commit(Batch::new().put(T, "b", "1"));
    durable(&tables, first).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(4));
    assert_eq!(tables.progress().borrow().durable, second, "one sync for both");
    disk.set_faults(DiskFaults { freeze_at_sync: Some(2), ..DiskFaults::default() });
    let third = tables.commit(Batch::new().put(T, "c", "1"));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(tables.progress().borrow().durable, second, "the disk hangs");
    disk.set_faults(DiskFaults::default());
    durable(&tables, third).await.unwrap();
    assert_eq!(flush(&tables).await, Ok(()));
    drop(tables);
    tokio::time::timeout(Duration::from_secs(1), task).await.expect("it ends with the tables").unwrap();
}

#[test]
fn a_failed_operation_is_final_and_reported() {
    let disk = SimulatedDisk::new(1);
    let tables = disk.open().unwrap();
    let first = tables.commit(Batch::new().put(T, "a", "1"));
    tables.sync().unwrap();
    disk.set_faults(DiskFaults { fail_at_operation: Some(disk.operations() + 1), ..DiskFaults::default() });
    tables.commit(Batch::new().put(T, "b", "1"));
    let error = tables.sync().unwrap_err();
    assert!(matches!(error, StorageError::Io(_)), "{error:?}");
    assert_eq!(*tables.progress().borrow(), Progress { durable: first, failed: Some(error.clone()) });
    assert_eq!(tables.get(T, b"a"), Err(error.clone()));
    assert_eq!(tables.sync(), Err(error));
    assert_eq!(tables.commit(Batch::new()), Ticket(3));
    drop(tables);
    assert_eq!(disk.open().unwrap().scan(T, b"").unwrap().len(), 1);
}
