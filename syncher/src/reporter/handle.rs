use std::fmt;
use std::sync::Arc;

use hyperty_model::change::{AttrPath, Change, ChangeOp};
use hyperty_model::object::Metadata;
use hyperty_model::{ChildrenName, HypertyUrl, ObjectUrl, Position, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::shared::ReporterShared;
use super::{
    Accept, Commit, DeleteError, Invite, ObserverEntry, ObserversChanges, RemoveError, ReporterEvents,
    Requests, RevokeError,
};
use crate::core::Live;
use crate::{ChildrenHandle, DelegateError, Lag, Observer, UnknownChildren};

/// An object that this hyperty reports: it alone changes its data.
///
/// Every change is applied to the copy here, takes its version, and is on its way when the call returns; the
/// [`Commit`] that is returned only tells when it is committed. So many changes can be in flight. If one is refused,
/// it is undone together with those made after it.
///
/// Clones are the same object. When the last one is dropped (and with it the last [`Child`](crate::Child),
/// [`ChildrenHandle`] and [`ReporterEvents`] of the object), nothing is listened to any more; the object itself goes
/// on to exist.
#[derive(Clone)]
pub struct Reporter {
    pub(crate) shared: Arc<ReporterShared>,
}

/// Whether an object takes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReporterState {
    /// It does.
    Live,
    /// Its store failed: it can be read and observed, and changed again when it is resumed with a store that works.
    ReadOnly,
    /// It is deleted, or the Syncher has stopped.
    Closed,
}

impl Reporter {
    /// The object's URL, by which others observe it.
    pub fn url(&self) -> &ObjectUrl {
        self.shared.url()
    }

    /// A copy of the data, with all changes made so far.
    pub fn data(&self) -> Value {
        self.with_data(Value::clone)
    }

    /// Looks at the data, with all changes made so far. A change made meanwhile is not seen, and copies the data.
    pub fn with_data<T>(&self, look: impl FnOnce(&Value) -> T) -> T {
        look(&self.shared.data())
    }

    /// The position of the data, with all changes made so far.
    pub fn position(&self) -> Position {
        self.shared.state.lock().journal.position()
    }

    /// The version of the data, with all changes made so far.
    pub fn version(&self) -> u64 {
        self.position().version
    }

    /// The position up to which all changes are committed.
    pub fn committed(&self) -> Position {
        self.shared.state.lock().journal.committed()
    }

    /// Whether the object takes changes.
    pub fn state(&self) -> ReporterState {
        let state = self.shared.state.lock();
        match (state.ended, &state.closed) {
            (true, _) => ReporterState::Closed,
            (false, Some(_)) => ReporterState::ReadOnly,
            (false, None) => ReporterState::Live,
        }
    }

    /// How many changes are not committed, and for how long they have waited for a sign of progress.
    pub fn lag(&self) -> Lag {
        let state = self.shared.state.lock();
        let (committed, written) = (state.journal.committed(), state.journal.position());
        Lag::between(committed, written, if committed == written { Instant::now() } else { state.heard })
    }

    /// The application's name for the object.
    pub fn name(&self) -> String {
        self.shared.state.lock().metadata.name.clone()
    }

    /// Everything that is known of the object beside its data.
    pub fn metadata(&self) -> Metadata {
        self.shared.state.lock().metadata.clone()
    }

    /// Sets an attribute, or replaces an array element: `set("members.0.name", "Ann")`. What is above it must exist.
    pub fn set(&self, path: impl Into<AttrPath>, value: impl Into<Value>) -> Commit {
        self.change(Change::new(path, ChangeOp::Set(value.into())))
    }

    /// Removes an attribute.
    pub fn remove(&self, path: impl Into<AttrPath>) -> Commit {
        self.change(Change::new(path, ChangeOp::Delete))
    }

    /// Inserts elements into the array at `path` before the one at `index`; at its length they are appended.
    pub fn insert(
        &self,
        path: impl Into<AttrPath>,
        index: usize,
        elements: impl IntoIterator<Item = impl Into<Value>>,
    ) -> Commit {
        let elements = elements.into_iter().map(Into::into).collect();
        self.change(Change::new(element(&path.into(), index), ChangeOp::Insert(elements)))
    }

    /// Removes `count` elements from the array at `path`, the first at `index`.
    pub fn remove_elements(&self, path: impl Into<AttrPath>, index: usize, count: usize) -> Commit {
        self.change(Change::new(element(&path.into(), index), ChangeOp::Remove(count as u64)))
    }

    /// Makes one change.
    pub fn change(&self, change: Change) -> Commit {
        self.shared.write(change)
    }

    /// Edits a copy of the data, and makes the changes that lead there, each a version of its own; the commit is that
    /// of the last. If one of them is refused, those before it stay.
    ///
    /// Other threads that write wait until `edit` returns, so that it works on the latest data; `edit` itself may
    /// read and write the object. It copies and compares the whole data: to change one attribute of a large object
    /// use [`Reporter::set`].
    pub fn update(&self, edit: impl FnOnce(&mut Value)) -> Commit {
        self.shared.edit(edit)
    }

    /// Replaces the data: makes the changes that lead there, as [`Reporter::update`].
    pub fn replace(&self, data: Value) -> Commit {
        self.update(|copy| *copy = data)
    }

    /// Who may observe and read from now on, where nothing else decides.
    pub fn accept(&self, accept: Accept) {
        self.shared.state.lock().accept = accept;
    }

    /// Invites hyperties, or grants users and domains (`user://…`, `hyperty://<domain>/*`) that they may observe; its
    /// options are set on what this returns, which is then awaited.
    ///
    /// ```
    /// # async fn invite(reporter: hyperty_syncher::Reporter, bob: hyperty_model::HypertyUrl)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let mut answers = reporter.invite([bob]).children(false).await?;
    /// while let Some(answer) = answers.next().await {
    ///     println!("{} says {} {}", answer.invitee, answer.code, answer.reason);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn invite(&self, who: impl IntoIterator<Item = impl Into<Url>>) -> Invite {
        Invite::new(&self.shared, who)
    }

    /// Takes back an invitation or grant that nobody has used; who observes already is removed instead.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, who: &Url) -> Result<(), RevokeError> {
        self.shared.revoke(who.clone()).await
    }

    /// What others ask and do, from the object's beginning here.
    pub fn events(&self) -> ReporterEvents {
        ReporterEvents { reporter: Arc::clone(&self.shared) }
    }

    /// Who observes now, in the order of their URLs: those that are away too, and after a restart of this runtime all
    /// who were known before.
    pub fn observers(&self) -> Vec<ObserverEntry> {
        self.shared.observers()
    }

    /// Who comes and goes from now on. Each stream has all changes; look at [`Reporter::observers`] after it was made,
    /// and a change is told at worst twice.
    pub fn observers_changes(&self) -> ObserversChanges {
        ObserversChanges::of(&self.shared)
    }

    /// Removes an observer: when this has returned, no later version of the object reaches it by any way, and it may
    /// neither read nor come back, also after restarts, before it is invited anew. What it was granted ends; a grant for
    /// its user or domain, a policy or [`Accept`] does not let it in again, and only in a public object nothing keeps it
    /// out. Its children stay, and it cannot change them any more.
    ///
    /// # Errors
    /// [`RemoveError`].
    ///
    /// ```no_run
    /// # async fn remove(reporter: hyperty_syncher::Reporter) -> Result<(), Box<dyn std::error::Error>> {
    /// for observer in reporter.observers() {
    ///     reporter.remove_observer(&observer.url).await?;
    /// }
    /// assert!(reporter.observers().is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn remove_observer(&self, observer: &HypertyUrl) -> Result<(), RemoveError> {
        self.shared.remove_observer(observer).await
    }

    /// What observers ask this application to do. Without a reader each request is answered with 501 after
    /// [`Timeouts::decision`](crate::Timeouts::decision).
    ///
    /// ```no_run
    /// # use hyperty_model::StatusCode;
    /// # async fn serve(reporter: hyperty_syncher::Reporter) {
    /// let mut requests = reporter.requests();
    /// while let Some(request) = requests.next().await {
    ///     match (request.method(), request.params()) {
    ///         ("rename", [name]) => {
    ///             let done = reporter.set("name", name.clone()).await.is_ok();
    ///             request.answer(done.into());
    ///         }
    ///         _ => drop(request.refuse(StatusCode::BAD_REQUEST, "unknown")),
    ///     };
    /// }
    /// # }
    /// ```
    pub fn requests(&self) -> Requests {
        Requests { reporter: Arc::clone(&self.shared) }
    }

    /// The names of the children the object has.
    pub fn children_names(&self) -> Vec<ChildrenName> {
        self.shared.board.names()
    }

    /// The children of one name.
    ///
    /// # Errors
    /// [`UnknownChildren`] when the object's schema has no such name.
    pub fn children(&self, name: &str) -> Result<ChildrenHandle, UnknownChildren> {
        self.shared.board.handle(name, Live::Reporter(Arc::clone(&self.shared)))
    }

    /// Deletes the object, for everybody.
    ///
    /// # Errors
    /// [`DeleteError`]; then the object is as it was.
    pub async fn delete(&self) -> Result<(), DeleteError> {
        self.shared.delete().await
    }

    /// Gives the object to another hyperty, which is asked whether it wants it. Then that one changes it, and this hyperty
    /// observes it by what is returned; every other observer goes on without noticing more than a change of the
    /// `reporter`. This handle is closed, and its last event is [`ReporterEvent::Delegated`](crate::ReporterEvent).
    ///
    /// What was changed before is part of what is given. What is changed while it is being given is sent if it fails,
    /// and undone with [`WriteError::Delegated`](crate::WriteError::Delegated) if not. Dropping the future does not stop
    /// what is under way.
    ///
    /// # Errors
    /// [`DelegateError`]; then the object is as it was.
    pub async fn delegate(&self, to: &HypertyUrl) -> Result<Observer, DelegateError> {
        self.shared.give_to(to.clone()).await
    }

    /// Whether the object is deleted, was given away, or the Syncher has stopped.
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }
}

fn element(array: &AttrPath, index: usize) -> AttrPath {
    AttrPath::new(&format!("{array}.{index}"))
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reporter({} at {})", self.url(), self.position())
    }
}
