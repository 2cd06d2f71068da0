//! One observer that reads a byte a second among a thousand that read at once: what it costs, and whom it delays.
//!
//! One publisher, 1,000 sessions over loopback, updates at a steady pace. Rounds with and without the slow session
//! take turns in one run; what is compared is the time from sending an update to its arrival at each quick session, and
//! the node's CPU for each delivery. Run with `cargo bench -p hyperty-message-node --bench slow_observer`.

#[path = "../shared/client.rs"]
mod client;
#[path = "../shared/server.rs"]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_model::queue::QUEUE_BYTES_MAX;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::{interval, sleep, timeout};

use client::{Client, Frames, update};
use server::Server;

const SESSIONS: usize = 1_000;
const VALUE_BYTES: usize = 1_000;
const ROUNDS: usize = 4;
const UPDATES: usize = 200;

/// Fifty thousand deliveries a second: far from what a node can do, so that what waits, waits for a reason.
const PACE: Duration = Duration::from_millis(20);

/// The slow session has this much behind it before it is measured: its queue is full then, and stays so.
const FILL_BYTES: usize = 5 * QUEUE_BYTES_MAX;
const FILL_VALUE_BYTES: usize = 10_000;
const FILL: &str = "comm://example.com/5d2f6f0e-3c1b-4b55-8f0e-7a1c2d3e4f50";

const OBJECT: &str = "comm://example.com/8a7b1f04-6f1c-4a55-9d2e-0c6a2f1f7c11";

/// Arrivals of a round, in microseconds since its start, by update.
type Arrivals = Arc<Mutex<Vec<Vec<u32>>>>;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime for the load");
    runtime.block_on(run());
}

async fn run() {
    let server = Server::start();
    let arrivals: Arrivals = Arc::default();
    let epoch = Instant::now();
    for number in 0..SESSIONS {
        let client = subscribed(&server, &format!("quick-{number}"), None).await;
        tokio::spawn(watch(client.into_socket(), Arc::clone(&arrivals), epoch));
    }
    let mut publisher = Client::open(server.address, "reporter", None).await;
    publisher.subscribe(&format!(r#""{OBJECT}","{FILL}""#)).await;
    let mut publisher = publisher.into_socket();
    println!(
        "{SESSIONS} quick sessions, updates of {VALUE_BYTES} B every {PACE:?}, {ROUNDS} rounds in turn\n"
    );
    println!(
        "round                p50 µs    p99 µs    max µs   node µs per delivery   waiting for the slow one"
    );
    for _ in 0..ROUNDS {
        let alone = measure(&server, &mut publisher, &arrivals, epoch).await;
        alone.print("without", None);
        let slow = subscribed(&server, "slow", Some(4 * 1024)).await;
        let reading = tokio::spawn(a_byte_a_second(slow.into_socket()));
        fill(&server, &mut publisher).await;
        let beside = measure(&server, &mut publisher, &arrivals, epoch).await;
        let status = server.node.status();
        let slow =
            status.sessions.iter().find(|session| session.runtime.ends_with("/slow")).expect("it is there");
        assert!(
            slow.queued_bytes <= QUEUE_BYTES_MAX + FILL_VALUE_BYTES + 1_000,
            "it costs its queue: {slow:?}"
        );
        assert!(slow.conflated > 0, "it fell behind: {slow:?}");
        let others = status.sessions.iter().filter(|session| !session.runtime.ends_with("/slow"));
        let others = others.map(|session| session.conflated).sum();
        beside.print("with the slow one", Some((slow.queued_bytes, slow.conflated, others)));
        reading.abort();
        while server.node.stats().live > SESSIONS + 1 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn subscribed(server: &Server, name: &str, room: Option<u32>) -> Client {
    let mut client = Client::open(server.address, name, room).await;
    let more = if room.is_some() { format!(r#","{FILL}/changes""#) } else { String::new() };
    client.subscribe(&format!(r#""{OBJECT}/changes"{more}"#)).await;
    client
}

/// Notes when each frame came. They come in order and without a hole, so counting tells which it is.
async fn watch(mut socket: TcpStream, arrivals: Arrivals, epoch: Instant) {
    let (mut frames, mut next) = (Frames::default(), 0);
    let mut input = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = socket.read(&mut input).await {
        let now = u32::try_from(epoch.elapsed().as_micros()).unwrap_or(u32::MAX);
        let ended = frames.ended(&input[..read]);
        let mut arrivals = arrivals.lock();
        for of_update in arrivals.iter_mut().skip(next).take(ended) {
            of_update.push(now);
        }
        next += ended;
    }
}

async fn a_byte_a_second(mut socket: TcpStream) {
    while socket.read_u8().await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
}

/// Publishes what only the slow session listens to, until its queue is full.
async fn fill(server: &Server, publisher: &mut TcpStream) {
    let frame = update(FILL, FILL_VALUE_BYTES);
    for _ in 0..FILL_BYTES / FILL_VALUE_BYTES {
        publisher.write_all(&frame).await.expect("a server that reads");
    }
    while server.node.status().sessions[0].conflated == 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// One round: so many updates at a steady pace.
async fn measure(server: &Server, publisher: &mut TcpStream, arrivals: &Arrivals, epoch: Instant) -> Round {
    let from = arrivals.lock().len();
    let cpu = server.cpu().await;
    let mut ticks = interval(PACE);
    let mut sent = Vec::with_capacity(UPDATES);
    let frame = update(OBJECT, VALUE_BYTES);
    for _ in 0..UPDATES {
        ticks.tick().await;
        arrivals.lock().push(Vec::with_capacity(SESSIONS));
        sent.push(u32::try_from(epoch.elapsed().as_micros()).unwrap_or(u32::MAX));
        publisher.write_all(&frame).await.expect("a server that reads");
    }
    let complete = async {
        while arrivals.lock()[from..].iter().any(|of_update| of_update.len() < SESSIONS) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), complete).await.expect("nothing is lost on the way to who reads");
    let cpu = server.cpu().await - cpu;
    let mut arrivals = arrivals.lock();
    let of_round = arrivals[from..].iter_mut().map(std::mem::take);
    let waits = of_round.zip(sent).flat_map(|(arrived, sent)| arrived.into_iter().map(move |at| at - sent));
    let mut waits: Vec<u32> = waits.collect();
    waits.sort_unstable();
    Round { waits, cpu }
}

struct Round {
    waits: Vec<u32>,
    cpu: Duration,
}

impl Round {
    fn print(&self, name: &str, slow: Option<(usize, u64, u64)>) {
        let at = |share: f64| self.waits[((self.waits.len() - 1) as f64 * share) as usize];
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.waits.len() as f64;
        let slow = slow.map_or(String::new(), |(bytes, conflated, others)| {
            format!("{bytes} B, {conflated} conflated; {others} conflated for others")
        });
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        println!("{name:<18} {p50:>8}  {p99:>8}  {max:>8}   {cpu:>20.2}   {slow}");
    }
}
