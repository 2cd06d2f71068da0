//! What is many in an object is written one by one: what it costs to write the next does not depend on how many there
//! are. Counted in rows, and in bytes of keys and values, as they are handed to the tables: a thousand operations on
//! children that wait are 1.4 MB, with the children themselves, and were 371 MB when each wrote all that waited; ten
//! invitations to an object with 5,000 grants are 10 kB, and were 3.3 MB.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::World;
use hyperty_model::Url;
use hyperty_storage::{Batch, MemoryTables, ObjectStore, Op, Progress, Role, StorageError, Tables, Ticket};
use hyperty_storage::{DataObjectStorage, ObjectRecord};
use hyperty_syncher::Accept;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::invitations::invited;
use crate::support::topic;

const A_WHILE: Duration = Duration::from_secs(60);

/// Tables that count what is written to them.
struct Counted {
    inner: MemoryTables,
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Counted {
    fn over(inner: MemoryTables) -> Arc<Counted> {
        Arc::new(Counted { inner, rows: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }

    /// How many rows were written since it was asked last.
    fn rows(&self) -> usize {
        self.rows.swap(0, Ordering::Relaxed)
    }

    /// What was written since it was asked last.
    fn bytes(&self) -> usize {
        self.bytes.swap(0, Ordering::Relaxed)
    }

    /// What is kept of the only object on a side.
    fn record(&self, role: Role) -> ObjectRecord {
        let store = ObjectStore::new(Arc::new(self.inner.snapshot()));
        store.load(role).unwrap().pop().expect("an object is kept")
    }
}

impl Tables for Counted {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.inner.scan(table, prefix)
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let bytes = |op: Op<'_>| match op {
            Op::Put { key, value } | Op::Append { key, value } => key.len() + value.len(),
            Op::Delete { key } => key.len(),
            Op::DeleteRange { from, to } => from.len() + to.len(),
        };
        self.rows.fetch_add(batch.ops().count(), Ordering::Relaxed);
        let all: usize = batch.ops().map(|(_, op)| bytes(op)).sum();
        self.bytes.fetch_add(all, Ordering::Relaxed);
        self.inner.commit(batch)
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.progress()
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// A thousand operations on children that nobody answers, a crash, and their answers (M18, INV-DOM-5).
#[tokio::test(start_paused = true)]
async fn operations_that_wait_are_written_one_by_one_m18() {
    const MANY: usize = 1_000;
    let world = World::new(770);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Counted::over(MemoryTables::new());
    let runtime = world.runtime("bob", &tables).await;
    runtime.schema(SCHEMA).unwrap();
    let bob = runtime.deploy("app").await.unwrap();
    let copy = bob.subscribe(board.url()).store(true).await.unwrap();
    world.cut("alice");
    sleep(A_WHILE).await;

    let notes = copy.children("notes").unwrap();
    tables.bytes();
    let mut waiting: Vec<_> = (0..100).map(|n| notes.add(json!({"n": n}))).collect();
    sleep(Duration::from_secs(1)).await;
    let first = tables.bytes();
    waiting.extend((100..MANY).map(|n| notes.add(json!({"n": n}))));
    sleep(Duration::from_secs(1)).await;
    let added = first + tables.bytes();
    assert_eq!(tables.record(Role::Observer).pending.len(), MANY);
    assert!(added < 12 * first, "{first} bytes for 100, {added} for {MANY}");

    // All of them, in their order, are there for the next session.
    let tables = Counted::over(tables.inner.snapshot());
    runtime.abort();
    drop((waiting, notes, copy, bob, runtime));
    let runtime = world.runtime("bob", &tables).await;
    let bob = runtime.deploy("app").await.unwrap();
    let [copy] = &bob.resumed().observers[..] else { panic!("one observation") };
    assert_eq!(copy.children("notes").unwrap().list().len(), MANY);
    tables.bytes();
    world.heal("alice");
    sleep(A_WHILE).await;
    let answered = tables.bytes();
    let kept = board.children("notes").unwrap().list();
    let order: Vec<_> = kept.iter().map(|child| child.data["n"].clone()).collect();
    assert_eq!(order.len(), MANY);
    assert!(tables.record(Role::Observer).pending.is_empty(), "what is answered is forgotten");
    assert!(answered < added, "{added} bytes for what waits, {answered} for the answers");
    println!("{MANY} operations: {added} bytes written, {answered} for their answers");
}

/// Ten thousand may observe: each answer to an invitation costs what it says (5.2).
#[tokio::test(start_paused = true)]
async fn grants_and_invitations_are_written_one_by_one_inv_inv_1() {
    const GRANTS: usize = 5_000;
    const GUESTS: usize = 10;
    let world = World::new(771);
    let tables = Counted::over(MemoryTables::new());
    let runtime = world.runtime("alice", &tables).await;
    let schema = runtime.schema(SCHEMA).unwrap();
    let alice = runtime.deploy("app").await.unwrap();
    let create = alice.create(schema).name("board").data(topic("a")).store(true);
    let board = create.accept(Accept::None).await.unwrap();
    let users = (0..GRANTS).map(|n| format!("user://example.com/user-{n}").parse::<Url>().unwrap());
    tables.bytes();
    board.invite(users).await.unwrap();
    let granted = tables.bytes();
    let bob = Party::new(&world, "bob").await;
    let mut guests = Vec::new();
    for number in 0..GUESTS {
        guests.push(bob.runtime.deploy(&format!("guest-{number}")).await.unwrap());
    }
    tables.bytes();
    board.invite(guests.iter().map(|guest| guest.url().clone())).await.unwrap();
    for (number, guest) in guests.iter().enumerate() {
        let invitation = invited(guest).await;
        match number % 2 {
            0 => drop(invitation.accept().await.unwrap()),
            _ => invitation.decline("no time"),
        }
    }
    sleep(A_WHILE).await;
    let answered = tables.bytes();
    let record = tables.record(Role::Reporter);
    assert!(record.invitations.is_empty(), "{:?}", record.invitations);
    assert_eq!(record.grants.len(), GRANTS + GUESTS / 2, "declining takes the grant back");
    println!(
        "{GRANTS} grants: {granted} bytes written, {answered} for {GUESTS} invitations and their answers"
    );
    assert!(
        answered < granted / 10,
        "{granted} bytes for {GRANTS} grants, {answered} for {GUESTS} invitations"
    );

    // After a crash the same may come in.
    let tables = Counted::over(tables.inner.snapshot());
    runtime.abort();
    drop((board, alice, runtime));
    let runtime = world.runtime("alice", &tables).await;
    let alice = runtime.deploy("app").await.unwrap();
    let [board] = &alice.resumed().reporters[..] else { panic!("one object") };
    board.accept(Accept::None);
    for (number, guest) in guests.iter().enumerate() {
        let observing = timeout(A_WHILE, guest.subscribe(board.url())).await.expect("an answer in time");
        assert_eq!(observing.is_ok(), number % 2 == 0, "guest {number}");
    }
}

/// However many hyperties of a runtime observe an object, one more or less costs the same, and each is known after a crash.
#[tokio::test(start_paused = true)]
async fn each_observer_of_a_runtime_costs_its_own_row() {
    const ALL: usize = 40;
    let world = World::new(343);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(topic("a")).await;
    let tables = Counted::over(MemoryTables::new());
    let runtime = world.runtime("bob", &tables).await;
    let (mut observers, mut joining, mut leaving) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..ALL {
        let hyperty = runtime.deploy(&format!("app-{n}")).await.unwrap();
        tables.rows();
        let observer = hyperty.subscribe(board.url()).store(true).await.unwrap();
        joining.push(tables.rows());
        observers.push((hyperty, observer));
    }
    assert_eq!(joining[1], joining[ALL - 1], "{joining:?}");
    for (_, observer) in observers.drain(ALL / 2..) {
        tables.rows();
        observer.unsubscribe().await.unwrap();
        leaving.push(tables.rows());
    }
    assert!(leaving.iter().all(|rows| *rows == leaving[0]), "{leaving:?}");
    board.set("topic", "b").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    runtime.abort();
    drop((observers, runtime));
    let tables = Arc::new(tables.inner.snapshot());
    let runtime = world.runtime("bob", &tables).await;
    for n in 0..ALL {
        let hyperty = runtime.deploy(&format!("app-{n}")).await.unwrap();
        let resumed = hyperty.resumed();
        assert_eq!(resumed.observers.len(), usize::from(n < ALL / 2), "{n}");
        if let Some(observer) = resumed.observers.first() {
            assert_eq!(observer.data(), topic("b"), "{n}");
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(board.observers().len(), ALL / 2);
}
