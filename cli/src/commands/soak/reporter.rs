//! A runtime that reports, writes in bursts, and comes back with what it had stored.

use std::future::{IntoFuture, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::reference::children_of;
use hyperty_model::{Ids, Position, SeededIds};
use hyperty_protostub::WebSocketConnector;
use hyperty_runtime::syncher::{Accept, Reporter, WriteError};
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::Tables;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::court::Phase;
use super::disk::Disk;
use super::host::some;
use super::tally::Count;
use super::{DOMAIN, LOOK, Soak};

/// Objects of each reporter; the last one is a big one.
pub(super) const OBJECTS: usize = 3;

/// The mean time between two bursts on one object.
const BETWEEN_BURSTS: Duration = Duration::from_millis(20);

/// The mean time from a start to a crash or an end in order.
const LIFE: Duration = Duration::from_secs(12);

/// How many changes a storm has.
const STORM: u32 = 400;

/// The length of a big value: more than a message holds, so that it is fetched in parts.
const BIG_BYTES: usize = 900_000;

/// The longest wait between two attempts to connect: shorter than usual, so that a run has many restarts.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long until something that failed for want of a connection is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(200);

/// Starts a runtime over these tables, with a hyperty of nobody.
pub(super) async fn start(
    soak: &Soak,
    name: &str,
    tables: Arc<dyn Tables>,
) -> Result<(Runtime, Hyperty), String> {
    start_as(soak, name, tables, "soak", None).await
}

/// Starts a runtime over these tables, with a hyperty of this name and user.
pub(super) async fn start_as(
    soak: &Soak,
    name: &str,
    tables: Arc<dyn Tables>,
    hyperty: &str,
    user: Option<&str>,
) -> Result<(Runtime, Hyperty), String> {
    let connector = Arc::new(WebSocketConnector::new(soak.host.url()));
    let runtime = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/{name}"))
        .shared_storage(tables)
        .message_node_via(DOMAIN, connector)
        .sessions(|stub| stub.retry.max = RETRY_MAX)
        .start()
        .await
        .map_err(|error| error.to_string())?;
    let deploy = match user {
        Some(user) => {
            // Who takes an object over must know its schema.
            runtime.schema(SCHEMA).map_err(|error| error.to_string())?;
            runtime.deploy(hyperty).user(user)
        }
        None => runtime.deploy(hyperty),
    };
    let hyperty = deploy.await.map_err(|error| error.to_string())?;
    Ok((runtime, hyperty))
}

/// Reports for ever, with restarts in between.
pub(super) async fn report(soak: Arc<Soak>, number: u32, ids: Arc<SeededIds>) {
    let name = format!("reporter-{number}");
    // Every other one is as quick as can be, and not as quick as the disk.
    let mut disk = match number % 2 {
        0 => Disk::File(soak.folder.join(format!("{name}.redb"))),
        _ => Disk::memory(),
    };
    loop {
        let tables = match disk.open() {
            Ok(tables) => tables,
            Err(error) => return soak.tally.lost(&format!("{name}: {error}")),
        };
        let (runtime, hyperty) = match start(&soak, &name, tables).await {
            Ok(started) => started,
            Err(error) => return soak.tally.lost(&format!("{name}: {error}")),
        };
        tracing::debug!(name, hyperty = %hyperty.url(), "started");
        let mut objects = JoinSet::new();
        for object in 0..OBJECTS {
            let Some(board) = open(&soak, &runtime, &hyperty, &format!("{name}-{object}")).await else {
                return;
            };
            let reporting = Reporting::new(&soak, &ids, &hyperty, board, object + 1 == OBJECTS);
            objects.spawn(reporting.work());
        }
        super::host::pause(&soak, &ids, LIFE).await;
        tracing::debug!(name, "ends");
        objects.shutdown().await;
        if ids.random() & 1 == 0 {
            runtime.abort();
            soak.tally.add(Count::RuntimeCrashes);
        } else {
            if let Err(error) = runtime.shutdown().await {
                soak.tally.lost(&format!("{name} did not leave in order: {error}"));
            }
            soak.tally.add(Count::RuntimeRestarts);
        }
        drop((runtime, hyperty));
        sleep(some(&ids, AGAIN)).await;
    }
}

/// The object of this name: the one that is stored, or a new one.
async fn open(soak: &Soak, runtime: &Runtime, hyperty: &Hyperty, name: &str) -> Option<Reporter> {
    let who = hyperty.url().as_str();
    let resumed = hyperty.resumed().reporters.iter().find(|board| board.metadata().name == name).cloned();
    if let Some(board) = resumed {
        board.accept(Accept::All);
        if soak.court.case(board.url()).is_none() {
            // Created, but the crash came before its application heard of it.
            soak.court.created(board.url(), who, board.data());
        } else {
            soak.court
                .check(board.url(), |case| case.reference.resumed(who, board.position(), &board.data()));
        }
        return Some(board);
    }
    let schema = match runtime.schema(SCHEMA) {
        Ok(schema) => schema,
        Err(error) => {
            soak.tally.wrong(&error.to_string());
            return None;
        }
    };
    loop {
        let create = hyperty.create(schema.clone()).name(name).data(json!({"topic": name})).store(true);
        match create.accept(Accept::All).await {
            Ok(board) => {
                soak.court.created(board.url(), who, board.data());
                return Some(board);
            }
            Err(error) => tracing::debug!(name, %error, "not created"),
        }
        sleep(AGAIN).await;
    }
}

type Committing = Pin<Box<dyn Future<Output = Result<Position, WriteError>> + Send>>;

/// One object being written.
struct Reporting {
    soak: Arc<Soak>,
    ids: Arc<SeededIds>,
    who: String,
    board: Reporter,
    big: bool,
    /// In the order in which they were made, which is that in which they end.
    commits: std::collections::VecDeque<Committing>,
}

impl Reporting {
    fn new(
        soak: &Arc<Soak>,
        ids: &Arc<SeededIds>,
        hyperty: &Hyperty,
        board: Reporter,
        big: bool,
    ) -> Reporting {
        let who = hyperty.url().to_string();
        Reporting {
            soak: Arc::clone(soak),
            ids: Arc::clone(ids),
            who,
            board,
            big,
            commits: Default::default(),
        }
    }

    async fn work(mut self) {
        let soak = Arc::clone(&self.soak);
        loop {
            let wait = some(&self.ids, 2 * BETWEEN_BURSTS);
            let due = sleep(if soak.court.phase() == Phase::Pause { LOOK } else { wait });
            tokio::pin!(due);
            loop {
                tokio::select! {
                    biased;
                    committed = next(&mut self.commits) => self.committed(committed),
                    () = &mut due => break,
                }
            }
            if soak.court.phase() == Phase::Pause { self.look() } else { self.burst() }
        }
    }

    fn burst(&mut self) {
        let random = self.ids.random();
        let many = match random % 200 {
            0 => {
                self.soak.tally.add(Count::Storms);
                STORM
            }
            other => 1 + u32::try_from(other & 3).unwrap_or_default(),
        };
        for _ in 0..many {
            self.write();
        }
        if self.big && random >> 64 & 31 == 0 {
            self.soak.tally.add(Count::BigValues);
            let value = "abcdefghi "
                .repeat(BIG_BYTES / 10 - usize::try_from(random >> 96 & 0xff).unwrap_or_default());
            self.change(|board| board.set("blob", value));
        }
    }

    fn write(&mut self) {
        let random = self.ids.random();
        let number = u64::try_from(random & 0xffff).unwrap_or_default();
        self.change(|board| match random >> 64 & 7 {
            0 => board.set("a", json!({"n": number, "deep": [number, {"é": null}]})),
            1 => board.update(|data| data["edited"] = json!(number)),
            _ => board.set("n", number),
        });
    }

    /// Makes a change, and tells what it is before anybody can be shown it.
    fn change(&mut self, change: impl FnOnce(&Reporter) -> hyperty_runtime::syncher::Commit) {
        let url = self.board.url().clone();
        let mut commit = None;
        self.soak.court.check(&url, |case| {
            let before = self.board.position();
            commit = Some(change(&self.board));
            let after = self.board.position();
            if after == before {
                return Ok(());
            }
            self.soak.tally.add_many(Count::Written, after.version - before.version);
            case.reference.proposed(&self.who, after, &self.board.data())
        });
        let Some(commit) = commit else { return };
        self.commits.push_back(Box::pin(commit.into_future()));
    }

    fn committed(&mut self, committed: Result<Position, WriteError>) {
        self.commits.pop_front();
        let url = self.board.url();
        match committed {
            Ok(position) => {
                self.soak.tally.add(Count::Acknowledged);
                self.soak.court.check(url, |case| case.reference.acknowledged(&self.who, position));
            }
            Err(WriteError::Refused { version, .. }) => {
                let epoch = self.board.position().epoch;
                self.soak.court.check(url, |case| match case.reference.latest() {
                    latest if latest.version >= version => {
                        case.reference.undone(&self.who, Position { epoch, version })
                    }
                    _ => Ok(()),
                });
            }
            Err(error) => tracing::debug!(%url, %error, "not committed"),
        }
    }

    /// Tells whether it is settled: everything is committed, and it holds what it must.
    fn look(&self) {
        let (court, url, who) = (&self.soak.court, self.board.url(), &self.who);
        let Ok(notes) = self.board.children("notes") else { return };
        let held = children_of(&notes);
        let Some(case) = court.case(url) else { return };
        let mut case = case.lock();
        let settled = case
            .reference
            .holds_children(who, &held)
            .and_then(|()| case.reference.settled(who, self.board.committed(), &self.board.data()));
        case.children = held;
        drop(case);
        court.looked(format!("reporter of {url}"), settled);
    }
}

/// The outcome of the first, which stays where it is; never, if there is none.
async fn next(commits: &mut std::collections::VecDeque<Committing>) -> Result<Position, WriteError> {
    match commits.front_mut() {
        Some(commit) => commit.as_mut().await,
        None => pending().await,
    }
}
