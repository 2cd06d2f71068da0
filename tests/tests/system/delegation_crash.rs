//! A crash of either side after each message of a delegation (INV-DLG-1, INV-DLG-2, INV-DLG-7): then there is exactly one
//! owner, nothing that was acknowledged is lost, and observers follow it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::Message;
use hyperty_syncher::Reporter;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::support::{Party, topic};

/// Longer than an offer stands and everything is tried again; time is paused, so it costs nothing.
const AFTERWARDS: Duration = Duration::from_secs(300);

/// More messages than either side sees of a delegation.
const MESSAGES: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Giving,
    Taking,
    /// Both, after a message of the giving side.
    Both,
}

/// Lets so many messages pass, and then none: as far as others can tell the runtime has stopped there.
struct Stop {
    left: AtomicU64,
    hit: Arc<Notify>,
}

impl Interceptor for Stop {
    fn inspect(&self, message: Message, _: Direction) -> Verdict {
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match before {
            Ok(_) => Verdict::Pass(message),
            Err(_) => {
                self.hit.notify_one();
                Verdict::Drop
            }
        }
    }
}

/// Has a runtime stop, as far as others can tell, after so many messages; tells when it does.
pub(crate) fn stop_after(runtime: &hyperty_runtime::Runtime, messages: u64) -> Arc<Notify> {
    let hit = Arc::new(Notify::new());
    let stop = Stop { left: AtomicU64::new(messages), hit: Arc::clone(&hit) };
    runtime.bus().add_interceptor(Arc::new(stop));
    hit
}

/// Whether the crash came before the end.
async fn crashed(side: Side, after: u64) -> bool {
    let world = World::new(7_000 + after);
    let (mut alice, mut bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let board = alice.create(topic("before")).await;
    let copy = carol.observe(&board).await;
    board.set("n", 3).await.unwrap();
    let runtime = if side == Side::Taking { &bob.runtime } else { &alice.runtime };
    let hit = stop_after(runtime, after);
    let mut offers = bob.hyperty.delegations();
    let taken: Arc<Mutex<Option<Reporter>>> = Arc::default();
    let (kept, to) = (Arc::clone(&taken), bob.hyperty.url().clone());
    let taking = tokio::spawn(async move {
        if let Some(offer) = offers.next().await {
            *kept.lock() = offer.accept().await.ok();
        }
    });
    let giving = tokio::spawn({
        let board = board.clone();
        async move { board.delegate(&to).await.ok() }
    });
    // What is written meanwhile is either kept or told to be lost.
    let written = board.set("m", 1);
    let before_the_end = tokio::select! {
        biased;
        () = hit.notified() => true,
        () = sleep(Duration::from_secs(5)) => false,
    };
    if side != Side::Taking {
        alice = alice.crash().await;
    }
    if side != Side::Giving {
        taken.lock().take();
        bob = bob.crash().await;
    }
    let acknowledged = timeout(AFTERWARDS, written).await.is_ok_and(|written| written.is_ok());
    sleep(AFTERWARDS).await;
    taking.abort();

    let open = |party: &Party| {
        let all = party.hyperty.reporters();
        all.into_iter().filter(|reporter| !reporter.is_closed()).collect::<Vec<_>>()
    };
    let owners: Vec<Reporter> = open(&alice).into_iter().chain(open(&bob)).collect();
    assert_eq!(owners.len(), 1, "{side:?} crashed after {after} messages: {owners:?}");
    let owner = &owners[0];
    assert_eq!(owner.with_data(|data| data["n"].clone()), json!(3));
    if acknowledged {
        assert_eq!(owner.with_data(|data| data["m"].clone()), json!(1), "{side:?} after {after}");
    }
    timeout(AFTERWARDS, owner.set("topic", "after")).await.expect("an answer").expect("it is taken");
    for _ in 0..600 {
        if copy.data() == owner.data() && copy.position() == owner.position() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(copy.data(), owner.data(), "{side:?} crashed after {after} messages");
    assert_eq!(copy.position(), owner.position(), "{side:?} crashed after {after} messages");
    giving.abort();
    // Whoever gave it away observes it, from its store if need be.
    if owner.metadata().reporter == *bob.hyperty.url() && side != Side::Taking {
        let observing = alice.hyperty.observers();
        assert_eq!(
            observing.len(),
            1,
            "{side:?} crashed after {after} messages: the former Reporter observes"
        );
        for _ in 0..600 {
            if observing[0].position() == owner.position() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(observing[0].data(), owner.data(), "{side:?} crashed after {after} messages");
    }
    before_the_end
}

async fn everywhere(side: Side) {
    let mut before_the_end = 0;
    for after in 1..=MESSAGES {
        before_the_end += u64::from(crashed(side, after).await);
    }
    assert!(before_the_end > 5, "the crash came before the end {before_the_end} times only");
}

#[tokio::test(start_paused = true)]
async fn the_giving_side_crashes_after_each_message_inv_dlg_7() {
    everywhere(Side::Giving).await;
}

#[tokio::test(start_paused = true)]
async fn the_taking_side_crashes_after_each_message_inv_dlg_7() {
    everywhere(Side::Taking).await;
}

#[tokio::test(start_paused = true)]
async fn both_sides_crash_after_each_message_inv_dlg_7() {
    everywhere(Side::Both).await;
}
