//! The two observers: each keeps a copy, counts what comes, and writes notes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use hyperty_model::ObjectUrl;
use hyperty_model::change::apply;
use hyperty_runtime::syncher::{Child, ChildrenHandle, Observer, ObserverEvent, ObserverState};
use hyperty_runtime::{Hyperty, Runtime};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::party;
use super::record::{Published, Record};
use super::weather;
use crate::exit::Failure;

/// What an observer notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A note for every day with snow.
    Snow,
    /// A note for every month, brought up to date every day.
    Months,
}

impl Role {
    /// The name of its runtime.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Snow => "snow-notes",
            Role::Months => "month-notes",
        }
    }
}

/// What the task that reads the events shares with the demo.
pub(crate) struct Shared {
    /// What came.
    pub record: Mutex<Record>,
    /// The copy that the events lead to, beside the one that the observer keeps.
    pub replayed: Mutex<Value>,
    /// Something came.
    pub moved: Notify,
    published: Arc<Published>,
}

/// An observer that runs.
pub(crate) struct Watcher {
    role: Role,
    node: String,
    dir: PathBuf,
    runtime: Runtime,
    hyperty: Hyperty,
    /// What its task shares.
    pub shared: Arc<Shared>,
    /// A handle of the copy.
    pub observer: Observer,
    task: JoinHandle<Result<(), Failure>>,
}

impl Watcher {
    /// Starts an observer of the object.
    ///
    /// # Errors
    /// When it cannot observe.
    pub(crate) async fn start(
        role: Role,
        node: &str,
        dir: &Path,
        object: &ObjectUrl,
        versions: usize,
        published: &Arc<Published>,
    ) -> Result<Watcher, Failure> {
        let (runtime, hyperty) = party::start(role.name(), node, dir).await?;
        let observer = hyperty.subscribe(object).store(true).await?;
        let shared = Arc::new(Shared {
            record: Mutex::new(Record::new(versions)),
            replayed: Mutex::default(),
            moved: Notify::new(),
            published: Arc::clone(published),
        });
        let task = follow(role, observer.clone(), &shared)?;
        let (node, dir) = (node.to_owned(), dir.to_owned());
        Ok(Watcher { role, node, dir, runtime, hyperty, shared, observer, task })
    }

    /// Stops hard, as if the process had crashed, and starts again over what is in the store.
    ///
    /// # Errors
    /// When the observation is not resumed.
    pub(crate) async fn crash(self) -> Result<Watcher, Failure> {
        let Watcher { role, node, dir, runtime, hyperty, shared, observer, task } = self;
        task.abort();
        let stopped = Instant::now();
        runtime.abort();
        drop((hyperty, observer, runtime));
        // Cancelled, or over with the runtime.
        let _ = task.await;
        shared.record.lock().stopped(stopped);
        let (runtime, hyperty) = party::start(role.name(), &node, &dir).await?;
        let resumed = hyperty.resumed().observers.first().cloned();
        let observer = resumed.ok_or_else(|| Failure::error("the observation was not resumed"))?;
        let task = follow(role, observer.clone(), &shared)?;
        Ok(Watcher { role, node, dir, runtime, hyperty, shared, observer, task })
    }

    /// What it notes.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Why it follows no longer, if so.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Leaves cleanly.
    ///
    /// # Errors
    /// What went wrong while it followed, or when it left.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        self.task.abort();
        match self.task.await {
            Ok(followed) => followed?,
            Err(error) if error.is_cancelled() => {}
            Err(error) => return Err(Failure::error(error)),
        }
        self.runtime.shutdown().await.map_err(Failure::error)
    }
}

/// Reads the events from now on, in a task.
fn follow(
    role: Role,
    mut observer: Observer,
    shared: &Arc<Shared>,
) -> Result<JoinHandle<Result<(), Failure>>, Failure> {
    let children = observer.children("notes").map_err(Failure::error)?;
    let mut notes = Notes::of(role, children);
    let shared = Arc::clone(shared);
    Ok(tokio::spawn(async move {
        let snapshot = observer.snapshot();
        notes.wait = observer.state() != ObserverState::Live;
        shared.state(snapshot.version, snapshot.data, &mut notes);
        while let Some(event) = observer.next_event().await {
            match event {
                ObserverEvent::Change(change) => {
                    shared.record.lock().change(change.version, &shared.published);
                    if let Some(change) = change.change() {
                        apply(&mut shared.replayed.lock(), change).map_err(Failure::error)?;
                    }
                    if let (Some(value), Some(month)) = (change.value(), month_of(change.path.as_str())) {
                        notes.month(&month, value);
                    }
                }
                ObserverEvent::Resync { version, data, .. } => {
                    shared.state(version, Value::clone(&data), &mut notes);
                }
                ObserverEvent::Resumed { .. } => {
                    notes.wait = false;
                    observer.with_data(|data| notes.all(data));
                }
                ObserverEvent::Deleted | ObserverEvent::Closed { .. } => break,
                _ => {}
            }
            shared.moved.notify_one();
        }
        Ok(())
    }))
}

impl Shared {
    /// A whole state takes the place of the copy, and the notes are brought in line with it.
    fn state(&self, version: u64, data: Value, notes: &mut Notes) {
        self.record.lock().state(version);
        notes.all(&data);
        *self.replayed.lock() = data;
        self.moved.notify_one();
    }
}

/// `2012-03` of `years.2012.months.03`.
fn month_of(path: &str) -> Option<String> {
    let (year, month) = path.strip_prefix("years.")?.split_once(".months.")?;
    Some(format!("{year}-{month}"))
}

/// An observer's own notes, by what they are about. They follow from the object alone, so that an observer that
/// missed changes, or was restarted, writes what is missing and nothing twice.
struct Notes {
    role: Role,
    children: ChildrenHandle,
    own: BTreeMap<String, Child>,
    /// A copy that was just resumed may lack notes that were on their way when the runtime stopped: none is written
    /// before the copy is up to date.
    wait: bool,
}

impl Notes {
    fn of(role: Role, children: ChildrenHandle) -> Notes {
        Notes { role, children, own: BTreeMap::new(), wait: false }
    }

    /// The whole object is now so.
    fn all(&mut self, data: &Value) {
        for (year, of_year) in data["years"].as_object().into_iter().flatten() {
            for (month, value) in of_year["months"].as_object().into_iter().flatten() {
                self.month(&format!("{year}-{month}"), value);
            }
        }
    }

    /// A month of the object is now so.
    fn month(&mut self, month: &str, value: &Value) {
        if self.wait {
            return;
        }
        match self.role {
            Role::Snow => {
                for date in value["snow"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    self.note(date, || weather::snow_note(date));
                }
            }
            Role::Months => {
                let days = value["days"].as_i64().unwrap_or_default();
                self.note(month, || weather::month_note(month, days));
                if let Some(child) = self.own.get(month).filter(|child| child.data()["days"] != days) {
                    watch(child.set("days", days));
                }
            }
        }
    }

    /// Adds a note unless there is one.
    fn note(&mut self, about: &str, data: impl FnOnce() -> Value) {
        if self.own.contains_key(about) {
            return;
        }
        if self.find(about).is_none() {
            watch(self.children.add(data()));
        }
        if let Some(child) = self.find(about) {
            self.own.insert(about.to_owned(), child);
        }
    }

    /// The own note about this day or month.
    fn find(&self, about: &str) -> Option<Child> {
        self.children.mine().into_iter().find(|child| {
            let data = child.data();
            data["date"] == about || data["month"] == about
        })
    }
}

/// Says so if an operation on a note is refused; what is not answered yet is kept and sent again.
fn watch<T: Send + 'static>(commit: hyperty_runtime::syncher::ChildCommit<T>) {
    use hyperty_runtime::syncher::ChildError;
    tokio::spawn(async move {
        match commit.await {
            Ok(_) | Err(ChildError::Unanswered | ChildError::Stopped | ChildError::Closed) => {}
            Err(error) => tracing::error!(%error, "a note was not taken"),
        }
    });
}
