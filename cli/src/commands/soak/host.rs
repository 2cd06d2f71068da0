//! The message node of a soak, and its restarts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::{MessageNode, NodeConfig, Stats, serve};
use hyperty_model::{Ids, SeededIds, SystemClock, SystemIds};
use hyperty_storage::{DurableTables, Tables};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::court::Phase;
use super::tally::Count;
use super::{DOMAIN, Soak};
use crate::exit::Failure;

/// How long routes of lost connections are kept. Short, so that what is left of a session can be counted soon.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// The mean time between two restarts.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(6);

/// How long a node is away.
const AWAY_MAX: Duration = Duration::from_millis(1_500);

/// How long a new process may wait for the address of the last one.
const BIND_TRIES: u32 = 200;

/// The machine that the node runs on. The node has an executor of its own, so that it can end as if it were killed.
pub(super) struct Host {
    address: SocketAddr,
    folder: PathBuf,
    running: Mutex<Option<Running>>,
}

/// An executor that may be dropped anywhere, with all that runs on it.
struct Executor(Option<Runtime>);

impl Executor {
    fn new() -> std::io::Result<Executor> {
        Ok(Executor(Some(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)))
    }

    fn tasks(&self) -> usize {
        self.0.as_ref().map_or(0, |executor| executor.metrics().num_alive_tasks())
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(executor) = self.0.take() {
            executor.shutdown_background();
        }
    }
}

struct Running {
    executor: Executor,
    node: MessageNode,
    tables: Arc<DurableTables>,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Host {
    /// Starts a node on a free port.
    pub(super) fn start(folder: &Path) -> Result<Host, Failure> {
        let folder = folder.join("node");
        let mut host = Host { address: ([127, 0, 0, 1], 0).into(), folder, running: Mutex::new(None) };
        let (running, address) = host.launch()?;
        host.address = address;
        *host.running.lock() = Some(running);
        Ok(host)
    }

    /// Where runtimes reach it.
    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn launch(&self) -> Result<(Running, SocketAddr), Failure> {
        let executor = Executor::new().map_err(Failure::error)?;
        let tables = Arc::new(DurableTables::open(self.folder.join("node.redb")).map_err(Failure::error)?);
        let mut config = NodeConfig::new(DOMAIN);
        config.timers.grace = GRACE;
        config.limits.routes_per_session = hyperty_message_node::ROUTES_PER_SESSION_MAX;
        let shared: Arc<dyn Tables> = Arc::clone(&tables) as _;
        let (stop, asked) = oneshot::channel::<()>();
        let (told, stopped) = oneshot::channel::<()>();
        let guard = executor.0.as_ref().map(Runtime::enter);
        let listener =
            bind(self.address).map_err(|error| Failure::error(format_args!("{}: {error}", self.address)))?;
        let address = listener.local_addr().map_err(Failure::error)?;
        let made = MessageNode::new(config, shared, Arc::new(SystemClock), Arc::new(SystemIds));
        let (node, driver) = made.map_err(Failure::error)?;
        tokio::spawn(driver.run());
        let served = serve(node.clone(), listener, async {
            let _ = asked.await;
        });
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the node's listener failed");
            }
            let _ = told.send(());
        });
        drop(guard);
        Ok((Running { executor, node, tables, stop, stopped }, address))
    }

    /// What the node counts, and how many tasks it has; `None` while it is away.
    pub(super) fn stats(&self) -> Option<(Stats, usize)> {
        let running = self.running.lock();
        let running = running.as_ref()?;
        Some((running.node.stats(), running.executor.tasks()))
    }

    /// Ends it like a kill: nothing is flushed, no connection is said goodbye.
    fn kill(&self) {
        let Some(running) = self.running.lock().take() else { return };
        running.tables.close();
        drop(running.executor);
    }

    /// Stops it in order.
    async fn leave(&self) -> Result<(), Failure> {
        let Some(Running { executor, tables, stop, stopped, node }) = self.running.lock().take() else {
            return Ok(());
        };
        let _ = stop.send(());
        let _ = stopped.await;
        let flushed = hyperty_storage::flush_and_close(&*tables).await;
        drop((node, executor));
        flushed.map_err(Failure::error)
    }

    /// The end.
    pub(super) fn stop(&self) {
        self.kill();
    }
}

/// The address was another node's until now: the system may take a moment to give it back.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        tries += 1;
        match bound {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                std::thread::sleep(Duration::from_millis(10));
            }
            bound => return bound,
        }
    }
}

/// Restarts the node now and then, in order or by crash.
pub(super) async fn restart(soak: Arc<Soak>, ids: Arc<SeededIds>) {
    loop {
        pause(&soak, &ids, BETWEEN_RESTARTS).await;
        if soak.court.phase() == Phase::Pause {
            continue;
        }
        if ids.random() & 1 == 0 {
            if let Err(failure) = soak.host.leave().await {
                soak.tally.wrong(&format!("the node did not leave in order: {failure}"));
            }
            soak.tally.add(Count::NodeRestarts);
        } else {
            soak.host.kill();
            soak.tally.add(Count::NodeCrashes);
        }
        sleep(some(&ids, AWAY_MAX)).await;
        match soak.host.launch() {
            Ok((running, _)) => *soak.host.running.lock() = Some(running),
            Err(failure) => return soak.tally.wrong(&format!("the node did not come back: {failure}")),
        }
    }
}

/// Waits about so long, or until the work goes on after a pause that came in between.
pub(super) async fn pause(soak: &Soak, ids: &SeededIds, mean: Duration) {
    tokio::select! {
        biased;
        () = soak.court.reached(Phase::Pause) => soak.court.reached(Phase::Work).await,
        () = sleep(some(ids, 2 * mean)) => {}
    }
}

/// A part of `most`, by chance.
pub(super) fn some(ids: &SeededIds, most: Duration) -> Duration {
    most.mul_f64((ids.random() & 0xffff) as f64 / f64::from(0xffff_u32))
}
