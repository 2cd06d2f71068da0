//! I6, I8 of whole runtimes: the disk hangs from its n-th sync on, or its n-th operation fails,
//! then the machine crashes. What was acknowledged is there after the restart, and what is there is whole.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::level::{self, Level};
use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_model::ObjectUrl;
use hyperty_runtime::syncher::Accept;
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::{DiskFaults, SimulatedDisk, Torn};
use serde_json::json;
use tokio::time::timeout;

/// A disk answers after so long.
const LATENCY: Duration = Duration::from_millis(2);
/// Nobody waits longer for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which faults are tried: every n, or in a quick run so many of them, evenly spread.
fn points(total: u64, quick: u64) -> impl Iterator<Item = u64> {
    let stride = if Level::of_run() == Level::Quick { (total / quick).max(1) } else { 1 };
    (1..=total).step_by(stride as usize)
}

fn faults(syncs: u64, operations: u64, quick: u64) -> Vec<DiskFaults> {
    let freezing =
        points(syncs, quick).map(|n| DiskFaults { freeze_at_sync: Some(n), ..DiskFaults::default() });
    let failing =
        points(operations, quick).map(|n| DiskFaults { fail_at_operation: Some(n), ..DiskFaults::default() });
    freezing.chain(failing).collect()
}

struct Machine {
    disk: SimulatedDisk,
    runtime: Runtime,
    app: Hyperty,
}

/// Starts a runtime over a disk; `None` if its store fails first.
async fn start(world: &World, name: &str, disk: &SimulatedDisk) -> Option<Machine> {
    let tables = Arc::new(disk.open().ok()?);
    tokio::spawn(tables.run(LATENCY));
    let runtime = world.runtime(name, &tables).await;
    runtime.schema(SCHEMA).ok()?;
    let deploy = timeout(PATIENCE, runtime.deploy("app").into_future()).await;
    let Some(app) = deploy.ok().and_then(Result::ok) else {
        runtime.abort();
        return None;
    };
    Some(Machine { disk: disk.clone(), runtime, app })
}

impl Machine {
    /// The machine stops in the midst of what it does.
    fn crash(self) -> SimulatedDisk {
        self.disk.crash(Torn::Tail);
        self.runtime.abort();
        self.disk.set_faults(DiskFaults::default());
        self.disk
    }
}

/// What was acknowledged to alice, who reports, and to bob, who observes and writes children.
#[derive(Debug, Default)]
struct Acknowledged {
    url: Option<ObjectUrl>,
    version: u64,
    children: usize,
}

/// Alice reports and bob observes, each with a disk, one of which has a fault.
async fn play(seed: u64, fault: DiskFaults, of_bob: bool) -> (u64, u64) {
    let world = World::new(seed);
    let (disk_a, disk_b) = (SimulatedDisk::new(seed), SimulatedDisk::new(seed + 1));
    let faulty = if of_bob { &disk_b } else { &disk_a };
    let (Some(alice), Some(bob)) =
        (start(&world, "alice", &disk_a).await, start(&world, "bob", &disk_b).await)
    else {
        panic!("both disks are whole");
    };
    // Faults are counted from here on.
    let before = (faulty.syncs(), faulty.operations());
    let counts = || (faulty.syncs() - before.0, faulty.operations() - before.1);
    faulty.set_faults(DiskFaults {
        freeze_at_sync: fault.freeze_at_sync.map(|n| n + before.0),
        fail_at_operation: fault.fail_at_operation.map(|n| n + before.1),
    });
    let known = work(&alice, &bob).await;
    let counted = counts();
    let (disk_a, disk_b) = (alice.crash(), bob.crash());
    let what = format!("seed {seed}, {fault:?}, bob {of_bob}: {known:?}");
    let alice = start(&world, "alice", &disk_a).await.unwrap_or_else(|| panic!("{what}: no start"));
    let bob = start(&world, "bob", &disk_b).await.unwrap_or_else(|| panic!("{what}: no start"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    check(&alice, &bob, &known, &what);
    counted
}

/// What both do, as far as the disks let them.
async fn work(alice: &Machine, bob: &Machine) -> Acknowledged {
    let mut known = Acknowledged::default();
    let Ok(schema) = alice.runtime.schema(SCHEMA) else { return known };
    let create = alice.app.create(schema).name("board").data(json!({"topic": "0"})).store(true);
    let created = timeout(PATIENCE, create.accept(Accept::All).into_future()).await;
    let Some(reporter) = created.ok().and_then(Result::ok) else { return known };
    known.url = Some(reporter.url().clone());
    let subscribe = bob.app.subscribe(reporter.url()).store(true);
    let observer = timeout(PATIENCE, subscribe.into_future()).await.ok().and_then(Result::ok);
    for i in 1..=4u64 {
        if let Ok(Ok(position)) = timeout(PATIENCE, reporter.set("topic", i.to_string())).await {
            known.version = position.version;
        }
        let Some(children) = observer.as_ref().and_then(|o| o.children("notes").ok()) else { continue };
        let added = timeout(PATIENCE, children.add(json!({"text": i.to_string()})).into_future()).await;
        known.children += usize::from(matches!(added, Ok(Ok(_))));
    }
    known
}

fn check(alice: &Machine, bob: &Machine, known: &Acknowledged, what: &str) {
    let reporters = alice.app.resumed().reporters.clone();
    let Some(url) = &known.url else {
        assert!(reporters.len() <= 1, "{what}");
        return;
    };
    let reporter = reporters.iter().find(|reporter| reporter.url() == url);
    let reporter = reporter.unwrap_or_else(|| panic!("{what}: the object is gone"));
    let (data, position) = (reporter.data(), reporter.position());
    assert!(position.version >= known.version, "{what}: {position} is there");
    assert_eq!(data["topic"], position.version.to_string(), "{what}: the data of another version");
    let children = reporter.children("notes").map_or(0, |children| children.list().len());
    assert!(children >= known.children, "{what}: {children} children are there");
    for observer in &bob.app.resumed().observers {
        if observer.url() == url {
            assert_eq!(observer.data(), data, "{what}: the copies differ");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reporter_over_a_disk_that_fails_anywhere_i6() {
    let (syncs, operations) = play(1, DiskFaults::default(), false).await;
    assert!(syncs > 5, "{syncs} syncs");
    for fault in faults(syncs, operations, 8) {
        play(level::seed(), fault, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_over_a_disk_that_fails_anywhere_i6() {
    let (syncs, operations) = play(1, DiskFaults::default(), true).await;
    assert!(syncs > 5, "{syncs} syncs");
    for fault in faults(syncs, operations, 8) {
        play(level::seed(), fault, true).await;
    }
}
