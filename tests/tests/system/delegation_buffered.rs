//! Whose an object is is on the disk before anybody acts on it, also in a store that reports everything else durable
//! earlier (protocol 5.11, M8): what such a store forgets is put right by a new epoch, and the next epoch is the new
//! owner's already. There are never two owners of one epoch (INV-DLG-1).

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_model::{HypertyUrl, Position};
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::{Durability, SimulatedDisk, SimulatedTables, Torn};
use hyperty_syncher::{Accept, Delegations, Observer, Reporter};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::delegation::PATIENCE;
use crate::support::{Party, settled, topic};

/// Longer than the test lasts: nothing is on the disk that nobody asked for.
const HARDLY_EVER: Duration = Duration::from_secs(100_000);
const LATENCY: Duration = Duration::from_millis(2);

struct Machine {
    disk: SimulatedDisk,
    tables: Arc<SimulatedTables>,
    runtime: Runtime,
    app: Hyperty,
}

/// Starts one whose store says at once that everything is on its disk.
async fn start(world: &World, name: &str, disk: SimulatedDisk) -> Machine {
    let tables = Arc::new(disk.open_with(Durability::Buffered { sync_every: HARDLY_EVER }).unwrap());
    tokio::spawn(tables.run(LATENCY));
    let runtime = world.runtime(name, &tables).await;
    runtime.schema(SCHEMA).unwrap();
    let app = runtime.deploy("app").await.unwrap();
    Machine { disk, tables, runtime, app }
}

impl Machine {
    /// Stops as if the power failed, and starts again with what is on the disk.
    async fn crash(self, world: &World, name: &str) -> Machine {
        let Machine { disk, tables, runtime, app } = self;
        disk.crash(Torn::Nothing);
        runtime.abort();
        drop((app, runtime, tables));
        start(world, name, disk).await
    }

    fn owned(&self) -> Vec<Reporter> {
        self.app.reporters().into_iter().filter(|reporter| !reporter.is_closed()).collect()
    }
}

async fn create(machine: &Machine) -> Reporter {
    let schema = machine.runtime.schema(SCHEMA).unwrap();
    let create = machine.app.create(schema).data(topic("a")).store(true).accept(Accept::All);
    create.await.unwrap()
}

async fn given(from: &Reporter, mut offers: Delegations, to: &HypertyUrl) -> (Observer, Reporter) {
    let taking = tokio::spawn(async move {
        offers.next().await.unwrap().accept().observers(Accept::All).await.expect("it is taken over")
    });
    let former = timeout(PATIENCE, from.delegate(to)).await.expect("an end").expect("it is given");
    (former, timeout(PATIENCE, taking).await.expect("an end").unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_buffered_store_forgets_no_gift_inv_dlg_1_inv_dlg_7() {
    let world = World::new(960);
    let alice = start(&world, "alice", SimulatedDisk::new(1)).await;
    let bob = start(&world, "bob", SimulatedDisk::new(2)).await;
    let carol = Party::new(&world, "carol").await;
    let board = create(&alice).await;
    let mut copy = carol.observe(&board).await;
    board.set("topic", "b").await.unwrap();
    let (former, report) = given(&board, bob.app.delegations(), bob.app.url()).await;
    assert_eq!(report.position(), Position::new(1, 2));
    drop((board, former));
    let alice = alice.crash(&world, "alice").await;
    assert_eq!(alice.owned().len(), 0, "what was given is forgotten, and its next epoch is another's");
    report.set("topic", "c").await.unwrap();
    settled(&mut copy, 3).await;
    let mut former = alice.app.resumed().observers.first().expect("the former Reporter observes").clone();
    settled(&mut former, 3).await;
    assert_eq!((former.data(), copy.data()), (topic("c"), topic("c")));

    // What the new owner forgets is changes, and a new epoch says so; never that it owns.
    drop(report);
    let bob = bob.crash(&world, "bob").await;
    let owned = bob.owned();
    assert_eq!(owned.len(), 1, "what was taken is forgotten, and nobody's");
    assert_eq!(owned[0].position(), Position::new(2, 2));
    owned[0].set("topic", "d").await.unwrap();
    while (copy.data(), copy.position()) != (topic("d"), Position::new(2, 3)) {
        timeout(PATIENCE, copy.next_event())
            .await
            .expect("an event in time")
            .expect("the observation goes on");
    }
    // The epoch was on the disk before anybody heard of it: the next one is another.
    drop(owned);
    let bob = bob.crash(&world, "bob").await;
    assert_eq!(bob.owned()[0].position(), Position::new(3, 2));
}

/// A crash at any time: at most one side owns it at any epoch, and in the end one does.
#[tokio::test(start_paused = true)]
async fn buffered_stores_that_crash_on_the_way_leave_one_owner_inv_dlg_7() {
    for millis in [0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1_024] {
        for giving in [true, false] {
            let world = World::new(970 + millis);
            let mut alice = start(&world, "alice", SimulatedDisk::new(1)).await;
            let mut bob = start(&world, "bob", SimulatedDisk::new(2)).await;
            let board = create(&alice).await;
            // Else the creation is forgotten, too.
            alice.tables.sync().unwrap();
            let mut offers = bob.app.delegations();
            let taking = tokio::spawn(async move { offers.next().await?.accept().await.ok() });
            let to = bob.app.url().clone();
            let hers = board.clone();
            let asked = tokio::spawn(async move { hers.delegate(&to).await.map(drop) });
            sleep(Duration::from_millis(millis)).await;
            match giving {
                true => alice = alice.crash(&world, "alice").await,
                false => bob = bob.crash(&world, "bob").await,
            }
            sleep(Duration::from_secs(300)).await;
            // Nobody may have been offered anything.
            let taken = timeout(LATENCY, taking).await.ok();
            asked.abort();
            let owned: Vec<Reporter> = alice.owned().into_iter().chain(bob.owned()).collect();
            assert_eq!(owned.len(), 1, "{millis} {giving} {owned:?}");
            for owner in owned {
                timeout(PATIENCE, owner.set("n", 1)).await.expect("an answer").expect("it is taken");
                assert_eq!(owner.data()["n"], json!(1));
            }
            drop((board, taken));
        }
    }
}

/// Within one runtime the record that changes hands is on the disk first as well: its epoch is used once.
#[tokio::test(start_paused = true)]
async fn a_buffered_store_forgets_no_change_of_hands_within_a_runtime_inv_dlg_1() {
    let world = World::new(961);
    let alice = start(&world, "alice", SimulatedDisk::new(3)).await;
    let other = alice.runtime.deploy("other").await.unwrap();
    let board = create(&alice).await;
    let (_former, report) = given(&board, other.delegations(), other.url()).await;
    report.set("topic", "b").await.unwrap();
    assert_eq!(report.position(), Position::new(1, 2));
    drop((board, report, other, _former));
    let alice = alice.crash(&world, "alice").await;
    assert_eq!(alice.owned().len(), 0);
    let other = alice.runtime.deploy("other").await.unwrap();
    let owned = other.reporters();
    assert_eq!((owned.len(), owned[0].position()), (1, Position::new(2, 1)));
}
