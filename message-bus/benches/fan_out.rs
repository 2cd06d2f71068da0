//! One shared message of 1 kB to N listeners in this process, in deliveries per second: our bus against plain calls
//! of boxed closures (the limit), a bounded tokio channel for each receiver, and one tokio broadcast channel.
//!
//! All do the same work: a message is made for each publication, and each receiver checks its id and counts. Channels
//! have a task for each receiver on two threads and lose nothing. Rounds are interleaved, medians are shown; only
//! the ratios count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyperty_message_bus::{BusConfig, MessageBus};
use hyperty_model::{Body, Message, MessageType, SeededIds, Url};
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

const ROUNDS: usize = 9;
const DELIVERIES: usize = 600_000;
/// Slots of each channel.
const CAPACITY: usize = 1_024;

/// What is published, and what the receivers saw of it.
struct Publication {
    from: Url,
    to: Url,
    body: Body,
    count: u64,
    seen: Vec<Arc<AtomicU64>>,
}

impl Publication {
    fn new(receivers: usize) -> Publication {
        let url = |text: &str| Url::parse(text).expect("a URL");
        Publication {
            from: url("comm://example.com/8a7b6f1c"),
            to: url("comm://example.com/8a7b6f1c/changes"),
            body: Body::of(json!({ "attribute": "a.b.c", "value": "x".repeat(1_000), "version": 17 })),
            count: (DELIVERIES / receivers) as u64,
            seen: (0..receivers).map(|_| Arc::default()).collect(),
        }
    }

    fn message(&self, id: u64) -> Message {
        Message::new(id, MessageType::Update, self.from.clone(), self.to.clone(), self.body.clone())
    }

    fn check(&self) {
        assert!(
            self.seen.iter().all(|seen| seen.load(Ordering::Relaxed) == self.count),
            "a message was lost"
        );
    }
}

/// What each receiver does with a message.
fn receive(seen: &AtomicU64, message: &Message) {
    let expected = seen.load(Ordering::Relaxed);
    assert_eq!(message.id().as_u64(), Some(expected), "out of order");
    seen.store(expected + 1, Ordering::Relaxed);
}

fn through_our_bus(publication: &Publication) -> Duration {
    let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(1));
    let listen = |seen: &Arc<AtomicU64>| {
        let seen = Arc::clone(seen);
        bus.listen(&publication.to, move |message| receive(&seen, message)).expect("room for a listener")
    };
    let _listeners: Vec<_> = publication.seen.iter().map(listen).collect();
    let start = Instant::now();
    for id in 0..publication.count {
        bus.post(publication.message(id));
    }
    start.elapsed()
}

fn by_plain_calls(publication: &Publication) -> Duration {
    type Call = Box<dyn Fn(&Message)>;
    let call = |seen: &Arc<AtomicU64>| {
        let seen = Arc::clone(seen);
        Box::new(move |message: &Message| receive(&seen, message)) as Call
    };
    let calls: Vec<Call> = publication.seen.iter().map(call).collect();
    let start = Instant::now();
    for id in 0..publication.count {
        let message = publication.message(id);
        for call in &calls {
            call(&message);
        }
    }
    start.elapsed()
}

async fn through_bounded_channels(publication: &Publication) -> Duration {
    let (mut senders, mut tasks) = (Vec::new(), Vec::new());
    for seen in &publication.seen {
        let (sender, mut receiver) = mpsc::channel::<Message>(CAPACITY);
        let seen = Arc::clone(seen);
        senders.push(sender);
        tasks.push(tokio::spawn(async move {
            while let Some(message) = receiver.recv().await {
                receive(&seen, &message);
            }
        }));
    }
    let start = Instant::now();
    for id in 0..publication.count {
        let message = publication.message(id);
        for sender in &senders {
            sender.send(message.clone()).await.expect("the receiver runs");
        }
    }
    drop(senders);
    for task in tasks {
        task.await.expect("the receiver ends");
    }
    start.elapsed()
}

async fn through_broadcast(publication: &Publication) -> Duration {
    // Half a ring at a time, so that nobody lags: the next half starts when all have the one before the last.
    const HALF: u64 = CAPACITY as u64 / 2;
    let (sender, _) = broadcast::channel::<Message>(CAPACITY);
    let mut tasks = Vec::new();
    for seen in &publication.seen {
        let (mut receiver, seen) = (sender.subscribe(), Arc::clone(seen));
        tasks.push(tokio::spawn(async move {
            loop {
                match receiver.recv().await {
                    Ok(message) => receive(&seen, &message),
                    Err(broadcast::error::RecvError::Closed) => return,
                    Err(lagged) => panic!("{lagged}"),
                }
            }
        }));
    }
    let start = Instant::now();
    for id in 0..publication.count {
        if id % HALF == 0 && id >= 2 * HALF {
            let reached = id - HALF;
            while publication.seen.iter().any(|seen| seen.load(Ordering::Relaxed) < reached) {
                tokio::task::yield_now().await;
            }
        }
        sender.send(publication.message(id)).expect("receivers run");
    }
    drop(sender);
    for task in tasks {
        task.await.expect("the receiver ends");
    }
    start.elapsed()
}

const WAYS: [&str; 4] = ["our bus", "plain calls", "tokio mpsc", "tokio broadcast"];

fn round(runtime: &tokio::runtime::Runtime, way: usize, receivers: usize) -> f64 {
    let publication = Arc::new(Publication::new(receivers));
    let sending = Arc::clone(&publication);
    let took = match way {
        0 => through_our_bus(&publication),
        1 => by_plain_calls(&publication),
        // On a worker: from the thread outside each wake-up would cost more.
        2 => runtime
            .block_on(
                async move { tokio::spawn(async move { through_bounded_channels(&sending).await }).await },
            )
            .expect("the sender ends"),
        _ => runtime
            .block_on(async move { tokio::spawn(async move { through_broadcast(&sending).await }).await })
            .expect("the sender ends"),
    };
    publication.check();
    (publication.count * receivers as u64) as f64 / took.as_secs_f64() / 1e6
}

/// The targets hold for 100 and 1000; 1 shows what the routing itself costs.
const RECEIVERS: [usize; 3] = [1, 100, 1_000];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let columns = |name: &str, cells: [String; 3]| {
        println!("{name:<34}{:>10}{:>10}{:>10}", cells[0], cells[1], cells[2]);
    };
    columns("million deliveries/s", RECEIVERS.map(|receivers| format!("N={receivers}")));
    let medians = RECEIVERS.map(|receivers| {
        let mut rates = [[0.0; ROUNDS]; WAYS.len()];
        for number in 0..ROUNDS {
            for (way, rates) in rates.iter_mut().enumerate() {
                rates[number] = round(&runtime, way, receivers);
            }
        }
        rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[ROUNDS / 2]
        })
    });
    for (way, name) in WAYS.iter().enumerate() {
        columns(name, medians.map(|medians| format!("{:.1}", medians[way])));
    }
    for (way, wanted) in [(1, "the limit"), (2, "at least 2"), (3, "at least 1")] {
        let ratios = medians.map(|medians| format!("{:.2}", medians[0] / medians[way]));
        columns(&format!("ours : {} ({wanted})", WAYS[way]), ratios);
    }
}
