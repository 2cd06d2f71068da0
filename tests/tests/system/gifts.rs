//! What a former owner keeps of what it gave away (protocol 5.11 step 8): no more than it must, and no more than its
//! limits say (INV-DLG-7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_runtime::SyncManagerConfig;
use hyperty_storage::Role;
use hyperty_syncher::{Accept, DelegateError, Observer, Reporter};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::delegation::PATIENCE;
use crate::delegation_early::LoseGrants;
use crate::spy::stored;
use crate::support::{Party, settled, topic};

/// Longer than a former owner waits to hear that the new one acts.
const DEPARTED: Duration = Duration::from_secs(20);

/// How long it is remembered that something was given, where that is not the default.
const AGE: Duration = Duration::from_secs(3_600);

/// More grants than are asked for.
const ALL: usize = usize::MAX / 2;

/// One who gives, with these limits, and one who takes all that is offered, and hears of no grant until it is let.
async fn giver_and_taker(world: &World, count: usize, bytes: usize) -> (Party, Party, Arc<LoseGrants>) {
    let mut config = SyncManagerConfig::default();
    (config.gifts_max, config.gift_bytes_max, config.gift_age) = (count, bytes, AGE);
    let alice = Party::with(world, "alice", |builder| builder.sync_manager(config)).await;
    let bob = Party::new(world, "bob").await;
    let losing = Arc::new(LoseGrants(AtomicUsize::new(ALL)));
    bob.runtime.bus().add_interceptor(Arc::clone(&losing) as _);
    let mut offers = bob.hyperty.delegations();
    tokio::spawn(async move {
        while let Some(offer) = offers.next().await {
            // All at once: each waits until its grant arrives.
            tokio::spawn(async move {
                let _report = offer.accept().observers(Accept::All).await;
                std::future::pending::<()>().await;
            });
        }
    });
    (alice, bob, losing)
}

async fn give(board: &Reporter, to: &Party) -> Result<Observer, DelegateError> {
    timeout(PATIENCE, board.delegate(to.hyperty.url())).await.expect("an end")
}

fn is_limit(refused: &Result<Observer, DelegateError>) -> bool {
    matches!(refused, Err(DelegateError::Refused { code: StatusCode::CONDITION, .. }))
}

/// A stored one is in memory only until it is stored who observes there now, and whoever asks again is given it from the
/// store: also after a crash.
#[tokio::test(start_paused = true)]
async fn what_is_stored_is_not_kept_in_memory_too_inv_dlg_7() {
    for crash in [false, true] {
        let world = World::new(9_300);
        let (mut alice, bob, losing) = giver_and_taker(&world, 10, 1 << 20).await;
        let board = alice.create(json!({"topic": "a", "long": "x".repeat(10_000)})).await;
        let note = board.children("notes").unwrap().add(json!({"by": "alice"})).await.unwrap();
        let giving = tokio::spawn({
            let (board, to) = (board.clone(), bob.hyperty.url().clone());
            async move { board.delegate(&to).await }
        });
        sleep(Duration::from_secs(5)).await;
        let stats = alice.runtime.stats();
        assert_eq!(stats.gifts, 1);
        assert!(stats.gift_bytes > 10_000, "{stats:?}");
        let mut former = timeout(PATIENCE, giving).await.expect("an end").unwrap().expect("it is given");
        assert_eq!((alice.runtime.stats().gifts, alice.runtime.stats().gift_bytes), (1, 0));
        if crash {
            drop((board, former, note));
            alice = alice.crash().await;
            assert_eq!((alice.runtime.stats().gifts, alice.runtime.stats().gift_bytes), (1, 0));
            former = alice.observer();
        }
        losing.0.store(0, Ordering::SeqCst);
        sleep(Duration::from_secs(60)).await;
        let report = bob.hyperty.reporters().pop().expect("it is the other's");
        assert_eq!(report.with_data(|data| data["long"].as_str().map(str::len)), Some(10_000));
        assert_eq!(report.children("notes").unwrap().list().len(), 1);
        report.set("topic", "b").await.unwrap();
        settled(&mut former, report.position().version).await;
        assert_eq!((former.data(), former.position()), (report.data(), report.position()));
        if !crash {
            // By then nobody asks any more.
            sleep(2 * AGE).await;
            assert_eq!(alice.runtime.stats().gifts, 0);
            assert!(stored(&alice, Role::Reporter).is_empty());
        }
    }
}

/// L-1 and L are given, L+1 stays with its Reporter; and when the first ones were acknowledged they make room.
#[tokio::test(start_paused = true)]
async fn no_more_is_given_than_is_remembered() {
    const L: usize = 2;
    let world = World::new(9_301);
    let (alice, bob, losing) = giver_and_taker(&world, L, 1 << 20).await;
    let mut boards = Vec::new();
    for _ in 0..=2 * L {
        boards.push(alice.create(topic("a")).await);
    }
    let mut copies = Vec::new();
    for board in &boards[..L] {
        copies.push(give(board, &bob).await.expect("it is given"));
    }
    let refused = give(&boards[L], &bob).await;
    assert!(is_limit(&refused), "{refused:?}");
    assert_eq!(alice.runtime.stats().gifts, L);
    boards[L].set("topic", "hers").await.expect("it is still hers");
    losing.0.store(0, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bob.hyperty.reporters().len(), L, "nothing was forgotten that was not acknowledged");
    for board in &boards[L..] {
        copies.push(give(board, &bob).await.expect("it is given"));
        sleep(DEPARTED).await;
        assert_eq!(alice.runtime.stats().gifts, L);
        assert_eq!(stored(&alice, Role::Reporter).iter().filter(|it| it.delegation.is_some()).count(), L);
    }
    assert_eq!(bob.hyperty.reporters().len(), boards.len());
}

/// The same of bytes, at L-1, L and L+1 of what two objects take.
#[tokio::test(start_paused = true)]
async fn no_more_bytes_are_given_than_are_remembered() {
    let one = {
        let world = World::new(9_302);
        let (alice, bob, _losing) = giver_and_taker(&world, 10, 1 << 20).await;
        let (board, to) = (alice.create(topic("a")).await, bob.hyperty.url().clone());
        let giving = tokio::spawn(async move { board.delegate(&to).await });
        sleep(Duration::from_secs(5)).await;
        giving.abort();
        alice.runtime.stats().gift_bytes
    };
    assert!(one > 100, "{one} bytes");
    for (limit, is_enough) in [(2 * one - 1, false), (2 * one, true), (2 * one + 1, true)] {
        let world = World::new(9_302);
        let (alice, bob, _losing) = giver_and_taker(&world, 10, limit).await;
        let (first, second) = (alice.create(topic("a")).await, alice.create(topic("a")).await);
        let _copy = give(&first, &bob).await.expect("it is given");
        let given = give(&second, &bob).await;
        assert_eq!(given.is_ok(), is_enough, "{limit}: {given:?}");
        assert!(is_enough || is_limit(&given), "{limit}: {given:?}");
    }
}
