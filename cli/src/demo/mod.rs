//! `hyperty demo`: the product at work, on real data, with what goes wrong in real life.
//!
//! A message node on a loopback port, three runtimes that reach it by WebSocket: a weather station that reports, two
//! observers that write notes. Half way the station stops like a crash and starts again from its store, and so does
//! one observer. In the end every copy is compared with the object computed straight from the CSV.

mod compare;
mod observers;
mod party;
mod progress;
mod record;
mod station;
mod table;
mod weather;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_message_node::{MessageNode, NodeConfig, serve};
use hyperty_model::change::Change;
use hyperty_model::{Ids, SeededIds, SystemClock, SystemIds};
use hyperty_storage::MemoryTables;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::args::DemoArgs;
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::stop::Stop;
use compare::Expected;
use observers::{Role, Watcher};
use progress::Progress;
use record::Published;
use station::Station;
use table::Outcome;

/// How long the last changes and notes may take to reach everybody.
const SETTLE_WAIT: Duration = Duration::from_secs(20);

/// How often is looked whether the notes have reached everybody.
const SETTLE_LOOK: Duration = Duration::from_millis(5);

/// Runs the demo.
///
/// # Errors
/// When a copy differs, or anything was lost or came twice.
pub(crate) async fn run(args: DemoArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let folder = Folder::new()?;
    let outcome = stop.or(replay(&args, &folder.0)).await?;
    match output.format() {
        Format::Ndjson => output.json(&outcome.json()),
        Format::Text => output.line(&outcome.table()),
    };
    compare::verdict(&outcome.differences)
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("hyperty-demo-{}", SystemIds.uuid()));
        let failed = |error| Failure::error(format_args!("{}: {error}", path.display()));
        std::fs::create_dir_all(&path).map_err(failed)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "{} is left behind", self.0.display());
        }
    }
}

/// The message node of the demo.
struct Node {
    url: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    driver: JoinHandle<()>,
}

impl Node {
    async fn start() -> Result<Node, Failure> {
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let config = NodeConfig::new(party::DOMAIN);
        let tables = Arc::new(MemoryTables::new());
        let (node, driver) = MessageNode::new(config, tables, clock, ids).map_err(Failure::error)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::error)?;
        let url = format!("ws://{}/ws", listener.local_addr().map_err(Failure::error)?);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(node, listener, async move { drop(stopped.await) }));
        Ok(Node { url, stop, served, driver: tokio::spawn(driver.run()) })
    }

    async fn stop(self) -> Result<(), Failure> {
        // A node that stopped by itself says why below.
        let _ = self.stop.send(());
        let served = self.served.await.map_err(Failure::error)?;
        self.driver.abort();
        served.map_err(Failure::error)
    }
}

/// What happens when.
struct Plan {
    changes: Vec<Change>,
    /// So many changes are made when the station is stopped.
    station_stops: usize,
    /// So many changes are made when an observer is stopped.
    observer_stops: usize,
    /// Which observer.
    stopped: Role,
}

impl Plan {
    /// Half way, give or take some days that the seed decides: in the middle of one the station stops, of a later
    /// one the observer.
    fn new(days: &[weather::Day], seed: u64) -> (Plan, Progress) {
        let (changes, starts) = weather::changes(days);
        let ids = SeededIds::new(seed);
        let below = |bound: u128| usize::try_from(ids.random() % bound).unwrap_or_default();
        let station_day = days.len() / 2 - 5 + below(10);
        let observer_day = station_day + 2 + below(5);
        let stopped = if below(2) == 0 { Role::Snow } else { Role::Months };
        let (station_stops, observer_stops) =
            (starts[station_day] + below(5), starts[observer_day] + below(5));
        let total = changes.len();
        let dates = starts.into_iter().zip(days.iter().map(|day| day.date.clone())).collect();
        (Plan { changes, station_stops, observer_stops, stopped }, Progress::new(total, dates))
    }
}

async fn replay(args: &DemoArgs, dir: &Path) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let days = weather::days(args.days.map(usize::from))?;
    let (plan, progress) = Plan::new(&days, args.seed);
    let total = plan.changes.len();
    let published = Arc::new(Published::new(total));
    let node = Node::start().await?;
    let station = Station::start(&node.url, dir).await?;
    let object = station.reporter.url().clone();
    progress.say(&format!("{} reports {object} through {}", party::DOMAIN, node.url));
    let (first, second) = tokio::try_join!(
        Watcher::start(Role::Snow, &node.url, dir, &object, total, &published),
        Watcher::start(Role::Months, &node.url, dir, &object, total, &published),
    )?;
    let watchers = if plan.stopped == Role::Snow { [first, second] } else { [second, first] };

    let make = async |station: &Station, end| {
        station.publish(&plan.changes, end, args.pace, &published, &progress).await
    };
    make(&station, plan.station_stops).await?;
    progress.say(&format!("station stopped hard on {}", progress.date(plan.station_stops)));
    let (station, stopped) = station.crash(&node.url, dir).await?;
    let resumed_at = station.reporter.version();
    make(&station, usize::try_from(resumed_at).unwrap_or(total) + 1).await?;
    station.acknowledged(resumed_at + 1).await?;
    let station_resumed_after = stopped.elapsed();
    progress.say(&format!("station resumed at version {resumed_at} after {station_resumed_after:.0?}"));
    make(&station, plan.observer_stops).await?;
    let (made, watchers) =
        tokio::join!(make(&station, total), restart(watchers, plan.observer_stops, &progress));
    made?;
    let watchers = watchers?;

    let (reporter, runtime, acknowledged) = station.finish().await?;
    let expected = Expected::of(&days);
    let everybody = settle(&watchers, &reporter, &expected, total as u64);
    let settled = timeout(SETTLE_WAIT, everybody).await.is_ok();
    progress.end();
    let mut outcome = Outcome {
        seed: args.seed,
        days: days.len(),
        published: acknowledged,
        observers: Vec::new(),
        children: reporter.children("notes").map_err(Failure::error)?.list().len(),
        station_resumed_after,
        took: started.elapsed(),
        differences: Vec::new(),
    };
    inspect(&mut outcome, &reporter, &watchers, &expected)?;
    if !settled && outcome.differences.is_empty() {
        outcome.differences.push(format!("not everything arrived within {SETTLE_WAIT:?}"));
    }
    for watcher in watchers {
        watcher.finish().await?;
    }
    runtime.shutdown().await.map_err(Failure::error)?;
    node.stop().await?;
    outcome.took = started.elapsed();
    Ok(outcome)
}

/// Stops the first observer hard, and starts it again, while changes go on to be made.
async fn restart(watchers: [Watcher; 2], at: usize, progress: &Progress) -> Result<[Watcher; 2], Failure> {
    let [first, second] = watchers;
    let name = first.role().name();
    progress.say(&format!("{name} stopped hard on {}", progress.date(at)));
    let first = first.crash().await?;
    progress.say(&format!("{name} resumed at version {}", first.observer.version()));
    Ok([first, second])
}

/// Waits until everything has reached everybody.
async fn settle(
    watchers: &[Watcher],
    reporter: &hyperty_runtime::syncher::Reporter,
    expected: &Expected,
    version: u64,
) {
    for watcher in watchers {
        while watcher.shared.record.lock().position() < version && !watcher.is_over() {
            watcher.shared.moved.notified().await;
        }
    }
    let handles = watchers.iter().map(|watcher| watcher.observer.children("notes"));
    let handles: Vec<_> = handles.chain([reporter.children("notes")]).flatten().collect();
    let mut looks = tokio::time::interval(SETTLE_LOOK);
    while !handles.iter().all(|children| expected.has_notes(children)) {
        looks.tick().await;
    }
}

/// Compares every copy, and sums up.
fn inspect(
    outcome: &mut Outcome,
    reporter: &hyperty_runtime::syncher::Reporter,
    watchers: &[Watcher],
    expected: &Expected,
) -> Result<(), Failure> {
    let mut differences = Vec::new();
    let mut check = |who: &str, difference: Option<String>| {
        differences.extend(difference.map(|difference| format!("{who}: {difference}")));
    };
    let children = reporter.children("notes").map_err(Failure::error)?;
    check("station", reporter.with_data(|data| expected.difference(data)));
    check("station", expected.missing(&children));
    for watcher in watchers {
        let name = watcher.role().name();
        let children = watcher.observer.children("notes").map_err(Failure::error)?;
        check(name, watcher.observer.with_data(|data| expected.difference(data)));
        check(&format!("{name}, replayed"), expected.difference(&watcher.shared.replayed.lock()));
        check(name, expected.missing(&children));
        let tally = watcher.shared.record.lock().tally();
        let counted = |count: u64, what: &str| (count > 0).then(|| format!("{count} changes {what}"));
        check(name, counted(tally.lost, "lost"));
        check(name, counted(tally.duplicated, "duplicated"));
        outcome.observers.push((name, tally, children.mine().len()));
    }
    outcome.observers.sort_by_key(|(name, ..)| std::cmp::Reverse(*name));
    outcome.differences = differences;
    Ok(())
}
