//! Records at the backup of the domain (protocol 5.19): another device of the user, with nothing in its store, goes on
//! with what was lost.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::{Link, World};
use hyperty_model::{Position, StatusCode};
use hyperty_runtime::{BackedUp, Hyperty, Runtime, RuntimeBuilder};
use hyperty_storage::MemoryTables;
use hyperty_syncher::{Accept, Observer, ObserverEvent, Reporter, ReporterEvent, ResumeError, WriteError};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{settled, topic};
use crate::takeover::{of_user, user};

/// Longer than anything is waited for and tried again; time is paused, so it costs nothing.
pub(crate) const AFTERWARDS: Duration = Duration::from_secs(300);

/// Longer than the grace of a session.
pub(crate) const GONE: Duration = Duration::from_secs(90);

pub(crate) fn backed_up(builder: RuntimeBuilder) -> RuntimeBuilder {
    builder.backup(BackedUp::AllStored)
}

/// A device of a user.
pub(crate) struct Device {
    pub(crate) name: &'static str,
    owner: &'static str,
    tables: Arc<MemoryTables>,
    pub(crate) runtime: Runtime,
    pub(crate) hyperty: Hyperty,
}

impl Device {
    /// One with an empty store.
    pub(crate) async fn new(world: &World, name: &'static str, owner: &'static str) -> Device {
        Device::over(world, name, owner, Arc::new(MemoryTables::new())).await
    }

    pub(crate) async fn over(
        world: &World,
        name: &'static str,
        owner: &'static str,
        tables: Arc<MemoryTables>,
    ) -> Device {
        let runtime = world.runtime_with(name, &tables, backed_up).await;
        runtime.schema(SCHEMA).unwrap();
        let hyperty = runtime.deploy(name).user(&user(owner)).await.unwrap();
        Device { name, owner, tables, runtime, hyperty }
    }

    /// Stops hard; what it had stored is there still.
    pub(crate) fn stop(self) -> Arc<MemoryTables> {
        let image = Arc::new(self.tables.snapshot());
        self.runtime.abort();
        image
    }

    pub(crate) async fn crash(self, world: &World) -> Device {
        let (name, owner) = (self.name, self.owner);
        let image = self.stop();
        Device::over(world, name, owner, image).await
    }

    pub(crate) async fn create(&self, data: Value) -> Reporter {
        let schema = self.runtime.schema(SCHEMA).unwrap();
        self.hyperty.create(schema).name("board").data(data).store(true).accept(Accept::All).await.unwrap()
    }

    /// Takes over what its user has, which is one object.
    pub(crate) async fn take_over(&self) -> Reporter {
        timeout(AFTERWARDS, self.runtime.connected()).await.unwrap();
        let resumed = self.hyperty.resume_by(of_user(self.owner)).await.unwrap();
        assert_eq!((resumed.reporters.len(), resumed.missing.len()), (1, 0), "{resumed:?}");
        resumed.reporters[0].clone()
    }
}

/// Waits until the backup has what the Reporter has.
pub(crate) async fn is_backed_up(reporter: &Reporter) {
    let waiting = async {
        let mut known = reporter.backed_up();
        while known != Some(reporter.position()) {
            known = Some(reporter.backed_up_beyond(known).await.expect("it is reported here"));
        }
    };
    timeout(AFTERWARDS, waiting).await.expect("it is backed up in time");
}

pub(crate) async fn same(copy: &Observer, reporter: &Reporter) {
    let waiting = async {
        while copy.position() != reporter.position() || copy.data() != reporter.data() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(AFTERWARDS, waiting).await.expect("the copy has what the Reporter has");
}

pub(crate) fn kept(world: &World) -> usize {
    world.node().unwrap().stats().backups
}

#[tokio::test(start_paused = true)]
async fn another_device_with_an_empty_store_goes_on_inv_bak_2() {
    let world = World::new(9301);
    let phone = Device::new(&world, "phone", "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = phone.create(topic("a")).await;
    let url = board.url().clone();
    let mut copy = bob.observe(&board).await;
    board.set("n", 1).await.unwrap();
    board.children("notes").unwrap().add(json!({"text": "note"})).await.unwrap();
    is_backed_up(&board).await;
    sleep(Duration::from_secs(5)).await;
    drop(board);
    phone.stop();
    sleep(GONE).await;

    let tablet = Device::new(&world, "tablet", "alice").await;
    assert!(tablet.hyperty.resumed().reporters.is_empty(), "there is nothing in its store");
    let board = tablet.take_over().await;
    assert_eq!((board.url(), board.data()), (&url, json!({"topic": "a", "n": 1})));
    assert_eq!(board.position(), Position::new(1, 2), "a new epoch, and one change: who reports it (M8)");
    assert_eq!(board.children("notes").unwrap().list().len(), 1);
    // INV-RES-1, INV-RES-2: who observes follows without an action of its own.
    board.set("n", 2).await.unwrap();
    settled(&mut copy, 3).await;
    same(&copy, &board).await;
    // It is backed up from here on, in the place of the first record.
    is_backed_up(&board).await;
    assert_eq!(kept(&world), 1);
    // It is in the store of this device now.
    drop(board);
    let tablet = tablet.crash(&world).await;
    let board = tablet.hyperty.resumed().reporters[0].clone();
    assert_eq!((board.data()["n"].clone(), board.position().epoch), (json!(2), 1));
}

/// What a lost device had published and not backed up is lost: whoever has it is told so by a new state, and the device,
/// if it comes back, hears what is missing and stands down.
#[tokio::test(start_paused = true)]
async fn what_was_not_backed_up_is_missing_and_visibly_so_inv_res_5() {
    let world = World::new(9302);
    let phone = Device::new(&world, "phone", "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = phone.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    is_backed_up(&board).await;
    // Within the interval between two saves.
    board.set("topic", "published, not saved").await.unwrap();
    board.set("topic", "published last").await.unwrap();
    settled(&mut copy, 2).await;
    let before = board.backed_up().unwrap();
    assert!(before < board.position(), "{before}");
    world.cut("phone");
    sleep(GONE).await;
    board.set("topic", "never published").await.unwrap();

    let tablet = Device::new(&world, "tablet", "alice").await;
    let new = tablet.take_over().await;
    assert_eq!(new.position(), Position::new(1, before.version + 1));
    new.set("topic", "b").await.unwrap();
    let mut resync = false;
    while copy.position() != new.position() {
        let event = timeout(AFTERWARDS, copy.next_event()).await.unwrap().unwrap();
        resync |= matches!(event, ObserverEvent::Resync { .. });
    }
    assert!(resync, "what it saw and is not so is never corrected in silence");

    let mut events = board.events();
    world.heal("phone");
    let unpublished = loop {
        let event = timeout(AFTERWARDS, events.next()).await.unwrap();
        if let ReporterEvent::Deposed { epoch: 1, unpublished, .. } = event.unwrap() {
            break unpublished.unwrap();
        }
    };
    assert_eq!(unpublished.len() as u64, 3 - before.version, "{unpublished:?}");
    assert_eq!(board.set("topic", "x").await.unwrap_err(), WriteError::Deposed { epoch: 1 });
    sleep(AFTERWARDS).await;
    // The record is the new device's, and the former one becomes an observer if it likes to.
    is_backed_up(&new).await;
    assert_eq!(kept(&world), 1);
    new.accept(Accept::All);
    let mine = phone.hyperty.subscribe(new.url()).await.unwrap();
    same(&mine, &new).await;

    // The other order: the tablet is lost, and the phone goes on with what it saved.
    is_backed_up(&new).await;
    let at = new.position();
    drop((new, mine));
    tablet.stop();
    sleep(GONE).await;
    let again = phone.take_over().await;
    assert_eq!(again.position(), Position::new(2, at.version + 1));
    assert_eq!(again.data(), topic("b"));
    same(&copy, &again).await;
}

/// Both devices are lost, in either order, and a third goes on with the later state.
#[tokio::test(start_paused = true)]
async fn of_two_lost_devices_the_later_state_is_gone_on_with() {
    for first_comes_back in [false, true] {
        let world = World::new(9303);
        let phone = Device::new(&world, "phone", "alice").await;
        let board = phone.create(topic("phone's")).await;
        is_backed_up(&board).await;
        let image = phone.stop();
        sleep(GONE).await;
        let tablet = Device::new(&world, "tablet", "alice").await;
        let taken = tablet.take_over().await;
        taken.set("topic", "tablet's").await.unwrap();
        is_backed_up(&taken).await;
        let at = taken.position();
        tablet.stop();
        if first_comes_back {
            // It has an older state, in an epoch that is over; whatever it saves is refused.
            let phone = Device::over(&world, "phone", "alice", image).await;
            let old = phone.hyperty.resumed().reporters[0].clone();
            let _ = old.set("topic", "too late").await;
            sleep(AFTERWARDS).await;
            assert!(old.is_closed(), "it stood down");
            phone.stop();
        }
        sleep(GONE).await;
        let watch = Device::new(&world, "watch", "alice").await;
        let last = watch.take_over().await;
        assert_eq!((last.data(), last.position().version), (topic("tablet's"), at.version + 1));
        assert!(last.position().epoch > at.epoch);
    }
}

/// INV-RES-4.
#[tokio::test(start_paused = true)]
async fn a_stranger_gets_nothing_of_it_inv_res_4() {
    let world = World::new(9304);
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(topic("a")).await;
    let url = board.url().clone();
    is_backed_up(&board).await;
    phone.stop();
    sleep(GONE).await;
    let mallory = Device::new(&world, "mallory", "mallory").await;
    timeout(AFTERWARDS, mallory.runtime.connected()).await.unwrap();
    let forged = mallory.hyperty.resume_by(of_user("alice")).await.unwrap_err();
    assert!(matches!(forged, ResumeError::Refused { code: StatusCode::FORBIDDEN, .. }), "{forged}");
    for criteria in [of_user("mallory"), of_user("mallory").resources([url])] {
        let found = mallory.hyperty.resume_by(criteria).await.unwrap();
        assert!(found.reporters.is_empty() && found.missing.is_empty(), "{found:?}");
    }
    let tablet = Device::new(&world, "tablet", "alice").await;
    assert_eq!(tablet.take_over().await.data(), topic("a"));
}

/// However much is written: never two saves at a time, one an interval, and the writer waits for none.
#[tokio::test(start_paused = true)]
async fn a_busy_object_is_saved_now_and_then_and_nobody_waits_for_it() {
    let world = World::new(9306);
    let phone = Device::new(&world, "phone", "alice").await;
    let board = phone.create(json!({"n": 0})).await;
    let start = tokio::time::Instant::now();
    for second in 0..10 {
        for n in 0..100 {
            board.set("n", second * 100 + n).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(11));
    is_backed_up(&board).await;
    let saves = phone.runtime.stats().backed_up;
    assert!((5..=14).contains(&saves), "{saves} saves of 1000 changes in ten seconds");
    // Nobody takes what is sent: changes are durable all the same.
    world.set_link("phone", Link::Stalled);
    for n in 0..50 {
        timeout(Duration::from_secs(1), board.set("n", n)).await.unwrap().unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    world.set_link("phone", Link::Up);
    is_backed_up(&board).await;
}

#[tokio::test(start_paused = true)]
async fn a_large_object_is_kept_and_restored_in_parts() {
    let world = World::new(9307);
    let phone = Device::new(&world, "phone", "alice").await;
    let data: Value = (0..30).map(|at| (format!("k{at}"), json!("ü\"x".repeat(10_000)))).collect();
    let board = phone.create(data.clone()).await;
    is_backed_up(&board).await;
    let bytes = world.node().unwrap().stats().backup_bytes;
    assert!(bytes > 1_500_000, "{bytes}");
    phone.stop();
    sleep(GONE).await;
    let tablet = Device::new(&world, "tablet", "alice").await;
    assert!(tablet.take_over().await.data() == data);
}

/// What a lost device had under way elsewhere gets through when it is back, though the node lets nothing pass until its
/// routes are sorted out: one of them is another's by now.
#[tokio::test(start_paused = true)]
async fn what_the_lost_device_did_elsewhere_arrives_m18() {
    let world = World::new(9313);
    let phone = Device::new(&world, "phone", "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = phone.create(topic("a")).await;
    let elsewhere = bob.create(topic("b")).await;
    let copy = phone.hyperty.subscribe(elsewhere.url()).store(true).await.unwrap();
    is_backed_up(&board).await;
    world.cut("phone");
    sleep(Duration::from_secs(1)).await;
    let note = copy.children("notes").unwrap().add(json!({"text": "made without a connection"}));
    sleep(GONE).await;
    let tablet = Device::new(&world, "tablet", "alice").await;
    let taken = tablet.take_over().await;
    world.heal("phone");
    sleep(AFTERWARDS).await;
    assert!(board.is_closed() && !taken.is_closed());
    // Its application was told by then that there was no answer in time.
    drop(note);
    let held = |notes: hyperty_syncher::ChildrenHandle| notes.list().len();
    assert_eq!(held(elsewhere.children("notes").unwrap()), 1);
    assert_eq!(held(copy.children("notes").unwrap()), 1);
}
