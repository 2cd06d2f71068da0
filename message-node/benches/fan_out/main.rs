//! Fan-out over loopback WebSockets: one publisher to 1, 100 and 1000 sessions of a node, against the least server
//! that does the same: no sessions, no checks, no limits, ready-made frames, one write for all that is ready.
//!
//! Each server has a thread of its own, the load another; both servers are measured in turns in one run, so that the
//! ratio means something on a busy machine. Run with `cargo bench -p hyperty-message-node --bench fan_out`.

mod baseline;
mod load;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hyperty_message_node::{MessageNode, NodeConfig, serve};
use hyperty_model::{SystemClock, SystemIds};
use hyperty_storage::MemoryTables;
use load::{Load, Measured};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

const SESSIONS: [usize; 3] = [1, 100, 1000];
const VALUES: [(&str, usize); 3] = [("100 B", 100), ("1 kB", 1_000), ("10 kB", 10_000)];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(350);

fn main() {
    println!("deliveries per second (median of {ROUNDS}), server CPU per delivery, node : baseline\n");
    println!("sessions  value         node   baseline  ratio    node µs  baseline µs  ratio");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime for the load");
    for sessions in SESSIONS {
        runtime.block_on(compare(sessions));
    }
}

async fn compare(sessions: usize) {
    let node = Server::start(|listener| async move {
        let tables = Arc::new(MemoryTables::new());
        let config = NodeConfig::new("example.com");
        let (node, driver) =
            MessageNode::new(config, tables, Arc::new(SystemClock), Arc::new(SystemIds)).unwrap();
        tokio::spawn(driver.run());
        serve(node, listener, std::future::pending()).await.unwrap();
    });
    let baseline = Server::start(baseline::serve);
    let mut node_load = Load::on_node(node.address, sessions).await;
    let mut baseline_load = Load::on_baseline(baseline.address, sessions).await;
    for (name, bytes) in VALUES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(node.measure(&mut node_load, bytes).await);
            theirs.push(baseline.measure(&mut baseline_load, bytes).await);
        }
        let (ours, theirs) = (Figures::of(&ours), Figures::of(&theirs));
        println!(
            "{sessions:8}  {name:>5}  {:>11.0} {:>10.0}  {:>5.2}  {:>9.2}  {:>11.2}  {:>5.2}",
            ours.rate,
            theirs.rate,
            ours.rate / theirs.rate,
            ours.cpu_micros,
            theirs.cpu_micros,
            ours.cpu_micros / theirs.cpu_micros,
        );
    }
}

/// A server on a thread of its own.
struct Server {
    address: SocketAddr,
    handle: Handle,
}

impl Server {
    fn start<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> Server {
        let (tell, told) = mpsc::channel();
        // The thread ends with the process.
        thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build().expect("a runtime for the server");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let address = listener.local_addr().expect("an address");
                tell.send((address, Handle::current())).expect("somebody waits");
                serve(listener).await;
            });
        });
        let (address, handle) = told.recv().expect("a server");
        Server { address, handle }
    }

    /// CPU time of the server's thread so far.
    async fn cpu(&self) -> Duration {
        let read = self.handle.spawn(async { std::fs::read_to_string("/proc/thread-self/schedstat") });
        let text = read.await.expect("the server lives").unwrap_or_default();
        Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
    }

    async fn measure(&self, load: &mut Load, bytes: usize) -> (Measured, Duration) {
        let before = self.cpu().await;
        let measured = load.run(bytes, ROUND).await;
        (measured, self.cpu().await - before)
    }
}

struct Figures {
    rate: f64,
    cpu_micros: f64,
}

impl Figures {
    fn of(rounds: &[(Measured, Duration)]) -> Figures {
        let rate =
            rounds.iter().map(|(measured, _)| measured.deliveries as f64 / measured.time.as_secs_f64());
        let cpu = rounds.iter().map(|(measured, cpu)| cpu.as_secs_f64() * 1e6 / measured.deliveries as f64);
        Figures { rate: median(rate), cpu_micros: median(cpu) }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
