//! Five thousand sessions that come to a node at once, each with its routes in one request, over loopback.
//!
//! All connect, open and replay as soon as they can, without the pauses by chance that real runtimes make. What is
//! measured is how long each waits until its routes stand, and what a node needs for that. Beside it, in turns, the
//! same without routes. Run with `cargo bench -p hyperty-message-node --bench reconnect`; it needs 10,100 file
//! descriptors (`ulimit -n`).

#[path = "../shared/client.rs"]
mod client;
#[path = "../shared/server.rs"]
mod server;

use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use client::Client;
use server::Server;

const SESSIONS: usize = 5_000;
const ROUNDS: usize = 3;

/// Routes of each: ten objects of four addresses.
const ROUTES: usize = 40;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime for the load");
    println!("{SESSIONS} sessions at once\n");
    println!("routes each   all after ms   p50 ms   p99 ms   sessions/s   node µs each   node bytes each");
    runtime.block_on(async {
        for _ in 0..ROUNDS {
            round(0).await;
            round(ROUTES).await;
        }
    });
}

async fn round(routes: usize) {
    let server = Server::start();
    let (before, cpu) = (resident_bytes(), server.cpu().await);
    let begun = Instant::now();
    let mut fleet = JoinSet::new();
    for number in 0..SESSIONS {
        let address = server.address;
        fleet.spawn(async move {
            let mut client = Client::open(address, &format!("ship-{number}"), None).await;
            if routes > 0 {
                let url = |route: usize| format!(r#""comm://example.com/{number}-{route}/changes""#);
                let urls: Vec<_> = (0..routes).map(url).collect();
                client.subscribe(&urls.join(",")).await;
            }
            (client, begun.elapsed())
        });
    }
    let (ships, mut waits): (Vec<_>, Vec<Duration>) = fleet.join_all().await.into_iter().unzip();
    let (took, cpu) = (begun.elapsed(), server.cpu().await - cpu);
    let bytes = resident_bytes().saturating_sub(before) / SESSIONS;
    let stats = server.node.stats();
    assert_eq!((stats.live, stats.routes), (SESSIONS, SESSIONS * routes));
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_millis();
    println!(
        "{routes:>11}   {:>12}   {:>6}   {:>6}   {:>10.0}   {:>12.1}   {bytes:>15}",
        took.as_millis(),
        at(0.5),
        at(0.99),
        SESSIONS as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / SESSIONS as f64,
    );
    drop(ships);
}

/// The memory of this process, both ends of the connections in it.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}
