//! The weather station: the Reporter.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_model::change::Change;
use hyperty_runtime::syncher::{Accept, Commit, Reporter};
use hyperty_runtime::{Hyperty, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::party;
use super::progress::Progress;
use super::record::Published;
use super::weather;
use crate::exit::Failure;

/// The schema of what the station reports.
const SCHEMA: &str = include_str!("../../data/weather.schema.json");

/// How often changes are made that are due.
const TICK: Duration = Duration::from_millis(5);

/// Changes that are not acknowledged yet: then the station waits for the disk.
const IN_FLIGHT_MAX: usize = 4_096;

/// A station that runs.
pub(crate) struct Station {
    runtime: Runtime,
    /// Keeps the hyperty deployed.
    _hyperty: Hyperty,
    /// Its object.
    pub reporter: Reporter,
    commits: mpsc::Sender<Commit>,
    acknowledging: JoinHandle<Result<(), Failure>>,
    acknowledged: Arc<watch::Sender<u64>>,
}

impl Station {
    /// Starts the station, and its object.
    ///
    /// # Errors
    /// When the object is not created.
    pub(crate) async fn start(node: &str, dir: &Path) -> Result<Station, Failure> {
        let (runtime, hyperty) = party::start("station", node, dir).await?;
        let schema = runtime.schema(SCHEMA).map_err(Failure::error)?;
        let create = hyperty.create(schema).name("seattle").data(weather::initial());
        let reporter = create.store(true).accept(Accept::All).await?;
        Ok(Station::of(runtime, hyperty, reporter, Arc::default()))
    }

    fn of(
        runtime: Runtime,
        hyperty: Hyperty,
        reporter: Reporter,
        acknowledged: Arc<watch::Sender<u64>>,
    ) -> Station {
        let (commits, receiver) = mpsc::channel(IN_FLIGHT_MAX);
        let acknowledging = tokio::spawn(acknowledge(receiver, Arc::clone(&acknowledged)));
        Station { runtime, _hyperty: hyperty, reporter, commits, acknowledging, acknowledged }
    }

    /// Makes the changes up to number `end`, those that it has not made yet, at a pace.
    ///
    /// # Errors
    /// When a change is refused.
    pub(crate) async fn publish(
        &self,
        changes: &[Change],
        end: usize,
        pace: u32,
        published: &Published,
        progress: &Progress,
    ) -> Result<(), Failure> {
        // Change number n leads to version n.
        let first = usize::try_from(self.reporter.version()).unwrap_or(usize::MAX);
        let start = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        let mut next = first;
        while next < end {
            ticks.tick().await;
            let due = first + (start.elapsed().as_secs_f64() * f64::from(pace)) as usize + 1;
            while next < end.min(due) {
                let room = self.commits.reserve().await;
                let room = room.map_err(|_| Failure::error("the station's changes are not acknowledged"))?;
                published.now(next + 1);
                room.send(self.reporter.change(changes[next].clone()));
                next += 1;
            }
            progress.at(next);
        }
        Ok(())
    }

    /// Waits until this version is acknowledged.
    ///
    /// # Errors
    /// When it never will be.
    pub(crate) async fn acknowledged(&self, version: u64) -> Result<(), Failure> {
        let mut acknowledged = self.acknowledged.subscribe();
        let reached = acknowledged.wait_for(|acknowledged| *acknowledged >= version).await;
        reached.map(drop).map_err(|_| Failure::error("the station's changes are not acknowledged"))
    }

    /// Stops hard, as if the process had crashed, and starts again over what is in the store. Returns the new
    /// station and when the old one was stopped.
    ///
    /// # Errors
    /// When the object is not resumed, or lacks what was acknowledged.
    pub(crate) async fn crash(self, node: &str, dir: &Path) -> Result<(Station, Instant), Failure> {
        let Station { runtime, _hyperty, reporter, commits, acknowledging, acknowledged } = self;
        let stopped = Instant::now();
        runtime.abort();
        drop((commits, reporter, _hyperty, runtime));
        // Ends with what can no longer be acknowledged.
        let _ = acknowledging.await;
        let (runtime, hyperty) = party::start("station", node, dir).await?;
        let resumed = hyperty.resumed().reporters.first().cloned();
        let reporter = resumed.ok_or_else(|| Failure::error("the station's object was not resumed"))?;
        reporter.accept(Accept::All);
        let (kept, promised) = (reporter.version(), *acknowledged.borrow());
        if kept < promised {
            let text = format!("version {promised} was acknowledged, but the store has version {kept} only");
            return Err(Failure::error(text));
        }
        Ok((Station::of(runtime, hyperty, reporter, acknowledged), stopped))
    }

    /// Waits until everything is acknowledged; the number of changes that are.
    ///
    /// # Errors
    /// When a change was refused.
    pub(crate) async fn finish(self) -> Result<(Reporter, Runtime, u64), Failure> {
        let Station { runtime, reporter, commits, acknowledging, acknowledged, _hyperty } = self;
        drop(commits);
        acknowledging.await.map_err(Failure::error)??;
        Ok((reporter, runtime, *acknowledged.borrow()))
    }
}

/// Waits for one commit after the other.
async fn acknowledge(
    mut commits: mpsc::Receiver<Commit>,
    acknowledged: Arc<watch::Sender<u64>>,
) -> Result<(), Failure> {
    while let Some(commit) = commits.recv().await {
        let position = commit.await.map_err(Failure::error)?;
        acknowledged.send_replace(position.version);
    }
    Ok(())
}
