//! The children of one object, and the messages that its own operations are.

use std::sync::{Arc, Weak};

use hyperty_model::change::{Change, diff};
use hyperty_model::message::{ChildBody, DeleteBody, ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::object::{ChildEntry, ChildId, ChildValue, Children};
use hyperty_model::{Body, ChildrenName, Message, MessageId, MessageType, ObjectUrl, Url, UrlKind};
use parking_lot::{Mutex, ReentrantMutex};
use serde_json::Value;
use tokio::sync::oneshot;

use super::state::{ChildrenState, Key, Operation, What};
use super::{Child, ChildCommit, ChildError, ChildView, Heard, UnknownChildren};
use crate::core::{Core, Live};
use crate::data::{as_sent, check_change, check_data};
use crate::outbox::Outbox;

/// The answer to an own operation.
pub(super) type Answer = oneshot::Receiver<Result<(), ChildError>>;

/// The children of one object. It outlives the object's handles while own operations are unanswered, so that no id
/// is drawn twice.
pub(crate) struct Board {
    core: Arc<Core>,
    object: ObjectUrl,
    state: Mutex<ChildrenState>,
    outbox: Outbox,
    /// Held by whoever makes own operations, so that an edit sees nobody else's between its copy and its changes.
    /// The same thread may make others within an edit.
    writing: ReentrantMutex<()>,
    itself: Weak<Board>,
}

/// A snapshot of an object is being asked for; ends when dropped.
pub(crate) struct Asking(Arc<Board>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state.lock().asked();
    }
}

impl Board {
    pub(crate) fn new(core: &Arc<Core>, object: ObjectUrl) -> Arc<Board> {
        Arc::new_cyclic(|itself| Board {
            core: Arc::clone(core),
            state: Mutex::new(ChildrenState::new(core.hyperty().clone(), object.clone())),
            object,
            outbox: Outbox::default(),
            writing: ReentrantMutex::new(()),
            itself: Weak::clone(itself),
        })
    }

    /// A handle's object begins, perhaps again: what arrives is kept until [`Board::merge`].
    pub(crate) fn open(&self) {
        self.state.lock().begin();
    }

    /// A snapshot is being asked for: what arrives stays when it is taken over, until what this gives is dropped.
    pub(crate) fn ask(self: &Arc<Board>) -> Asking {
        self.state.lock().ask();
        Asking(Arc::clone(self))
    }

    /// Adds names; true if there were new ones.
    pub(crate) fn learn(&self, names: &[ChildrenName]) -> bool {
        self.state.lock().learn(names)
    }

    pub(crate) fn names(&self) -> Vec<ChildrenName> {
        self.state.lock().names().to_vec()
    }

    /// Takes over the children of a snapshot. What it changed is told under the lock, so that the events of a child
    /// come in the order in which things happened; so it is with all that takes a `tell`.
    pub(crate) fn merge(&self, children: Children, schema: &Url, tell: impl FnOnce(Heard)) {
        let mut state = self.state.lock();
        state.schema = Some(schema.clone());
        tell(state.merge(children));
    }

    /// Takes over children that were missed; the others stay.
    pub(crate) fn extend(&self, children: Children, tell: impl FnOnce(Heard)) {
        tell(self.state.lock().extend(children));
    }

    /// Takes in a message of a children channel.
    pub(crate) fn on_message(&self, message: &Message, tell: impl FnOnce(Heard)) {
        tell(self.state.lock().on_message(message, self.core.config.limits.buffered_max));
    }

    /// Runs with the children as this hyperty sees them; none changes meanwhile.
    pub(crate) fn with_children<T>(&self, run: impl FnOnce(Children) -> T) -> T {
        let state = self.state.lock();
        run(state.children())
    }

    pub(crate) fn handle(
        self: &Arc<Board>,
        name: &str,
        owner: Live,
    ) -> Result<super::ChildrenHandle, UnknownChildren> {
        let known = self.names();
        match known.iter().find(|known| known.as_str() == name) {
            Some(found) => Ok(super::ChildrenHandle::new(Arc::clone(self), found.clone(), owner)),
            None => Err(UnknownChildren { name: name.to_owned(), known }),
        }
    }

    /// The address of the children of a name.
    pub(crate) fn channel(&self, name: &ChildrenName) -> Url {
        self.object.children(name)
    }

    pub(super) fn list(&self, name: &ChildrenName) -> Vec<ChildView> {
        self.state.lock().list(name).into_iter().map(|entry| ChildView::of(name, entry)).collect()
    }

    pub(super) fn own(&self, name: &ChildrenName) -> Vec<ChildId> {
        let state = self.state.lock();
        let mine = state.list(name).into_iter().filter(|entry| entry.value.reporter == *self.core.hyperty());
        mine.map(|entry| entry.value.url.clone()).collect()
    }

    pub(super) fn view(&self, key: &Key) -> Option<ChildView> {
        self.state.lock().get(key).map(|entry| ChildView::of(&key.0, entry))
    }

    /// The object has ended, or the Syncher: what is unanswered fails.
    pub(crate) fn close(&self, error: &ChildError) {
        let failed = {
            let mut state = self.state.lock();
            state.closed = Some(error.clone());
            self.outbox.clear();
            state.give_up()
        };
        self.settle(failed, |_| Err(error.clone()));
    }
}

/// Own operations: made under the lock, in the order of their messages.
impl Board {
    pub(super) fn add(&self, name: &ChildrenName, data: Value, owner: Live) -> ChildCommit<Child> {
        if let Err(error) = check_data(&data) {
            return ChildCommit::ready(Err(error.into()));
        }
        let (sent, key) = {
            let _writing = self.writing.lock();
            let mut state = self.state.lock();
            let key = (name.clone(), state.next_id(name));
            (self.send_new(&mut state, &key, data), key)
        };
        match self.itself.upgrade() {
            Some(board) => self.commit(sent, Child { board, key, _owner: owner }),
            None => ChildCommit::ready(Err(ChildError::Closed)),
        }
    }

    fn send_new(&self, state: &mut ChildrenState, key: &Key, data: Value) -> Result<Answer, ChildError> {
        let core = &self.core;
        let now = core.now();
        let value = ChildValue {
            parent: Some(self.object.clone()),
            runtime: Some(core.config.runtime.clone()),
            schema: state.schema.clone(),
            created: Some(now),
            last_modified: Some(now),
            children: Some(key.0.clone()),
            ..ChildValue::new(key.1.clone(), core.hyperty().clone(), data)
        };
        let identity = core.config.identity.clone();
        let resource = key.1.to_string();
        let body = ChildBody { resource, value: value.clone(), identity: identity.clone(), mutual: None };
        let what = What::Create(Box::new(ChildEntry { value, identity }));
        self.send(state, key, MessageType::Create, what, body)
    }

    pub(super) fn change(&self, key: &Key, change: Change) -> ChildCommit<u64> {
        let made = {
            let _writing = self.writing.lock();
            self.sent_as(key, change).and_then(|changes| self.make(key, changes))
        };
        self.commit_version(made)
    }

    pub(super) fn edit(&self, key: &Key, edit: impl FnOnce(&mut Value)) -> ChildCommit<u64> {
        let made = {
            let _writing = self.writing.lock();
            self.edited(key, edit).and_then(|changes| self.make(key, changes))
        };
        self.commit_version(made)
    }

    pub(super) fn delete(&self, key: &Key) -> ChildCommit<()> {
        let identity = self.core.config.identity.clone();
        let body = DeleteBody { resource: Some(key.1.to_string()), identity, ..DeleteBody::default() };
        let sent = {
            let _writing = self.writing.lock();
            self.send(&mut self.state.lock(), key, MessageType::Delete, What::Delete, body)
        };
        self.commit(sent, ())
    }

    fn sent_as(&self, key: &Key, change: Change) -> Result<Vec<Change>, ChildError> {
        check_change(&change)?;
        let state = self.state.lock();
        state.check_open()?;
        let child = state.get(key).ok_or(ChildError::Deleted)?;
        Ok(as_sent(&child.value.data, change)?)
    }

    /// The changes that lead from a child's data, as one sees it, to what `edit` makes of it.
    fn edited(&self, key: &Key, edit: impl FnOnce(&mut Value)) -> Result<Vec<Change>, ChildError> {
        self.state.lock().check_open()?;
        let before = self.view(key).ok_or(ChildError::Deleted)?.data;
        let mut after = before.clone();
        edit(&mut after);
        check_data(&after)?;
        Ok(diff(&before, &after))
    }

    /// Makes changes, and gives the answer to wait for, if there is one, and the version they lead to.
    fn make(&self, key: &Key, changes: Vec<Change>) -> Result<(Option<Answer>, u64), ChildError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let answer = self.send_changes(&mut state, key, changes)?;
        Ok((answer, state.get(key).map_or(0, |entry| entry.value.version)))
    }

    fn commit_version(&self, made: Result<(Option<Answer>, u64), ChildError>) -> ChildCommit<u64> {
        match made {
            Ok((None, version)) => ChildCommit::ready(Ok(version)),
            Ok((Some(answer), version)) => self.commit(Ok(answer), version),
            Err(error) => self.commit(Err(error), 0),
        }
    }

    /// One message per change; the answer to the last is the answer to all.
    fn send_changes(
        &self,
        state: &mut ChildrenState,
        key: &Key,
        changes: Vec<Change>,
    ) -> Result<Option<Answer>, ChildError> {
        let mut last = None;
        for change in changes {
            let version = state.get(key).ok_or(ChildError::Deleted)?.value.version + 1;
            let body = Arc::new(UpdateBody {
                version: Some(version),
                source: Some(self.core.hyperty().as_url().clone()),
                resource: Some(key.1.to_string()),
                last_modified: Some(self.core.now()),
                ..UpdateBody::new(UpdateKind::Change(change))
            });
            let what = What::Update(Arc::clone(&body));
            last = Some(self.send(state, key, MessageType::Update, what, Body::shared(body))?);
        }
        Ok(last)
    }

    fn send(
        &self,
        state: &mut ChildrenState,
        key: &Key,
        kind: MessageType,
        what: What,
        body: impl Into<Body>,
    ) -> Result<Answer, ChildError> {
        state.check_open()?;
        let limit = self.core.config.limits.child_operations_max;
        if state.unanswered() >= limit {
            return Err(ChildError::TooManyInFlight(limit));
        }
        let Some(board) = self.itself.upgrade() else { return Err(ChildError::Closed) };
        let channel = self.channel(&key.0);
        let message = self.core.minibus.new_message(kind, self.core.hyperty(), &channel, body);
        let (done, answer) = oneshot::channel();
        state.perform(key, Operation { id: message.id().clone(), what, done: Some(done) })?;
        self.core.expect_child_answer(message.id(), board, key.clone());
        self.outbox.push(message);
        Ok(answer)
    }

    fn commit<T: Send + 'static>(&self, sent: Result<Answer, ChildError>, value: T) -> ChildCommit<T> {
        self.outbox.drain(&self.core.minibus);
        match sent {
            Ok(answer) => ChildCommit::waiting(answer, self.core.config.timeouts.child, value),
            Err(error) => ChildCommit::ready(Err(error)),
        }
    }

    /// The answer to an own operation. Only a Sync Manager's counts: other receivers may say that they got it.
    pub(crate) fn on_answer(&self, key: &Key, id: &MessageId, answer: &ResponseBody) {
        let from_peer = answer.source.as_ref().is_some_and(|source| source.kind() == UrlKind::Hyperty);
        // What did not get through is sent again.
        if from_peer || answer.code.is_provisional() || answer.is_of_the_way() {
            return;
        }
        let (code, reason) = (answer.code, answer.why());
        if code.is_success() {
            let settled = self.state.lock().accepted(key, id);
            return self.settle(settled, |_| Ok(()));
        }
        // An operation may fail at the Reporter's side because one before it was lost on the way: both are sent again.
        // The Sync Manager here sends nothing again that it refused itself.
        let is_final = answer.source.as_ref().is_none_or(|source| *source == self.core.sync_manager);
        let settled = {
            let mut state = self.state.lock();
            if !is_final && !state.is_next(key, id) {
                return;
            }
            state.refused(key, id)
        };
        self.settle(settled, |which| {
            let reason = reason.to_owned();
            Err(if which == id {
                ChildError::Refused { code, reason }
            } else {
                ChildError::Undone { code, reason }
            })
        });
    }

    fn settle(&self, operations: Vec<Operation>, outcome: impl Fn(&MessageId) -> Result<(), ChildError>) {
        for operation in operations {
            self.core.forget_child_answer(&operation.id);
            if let Some(done) = operation.done {
                // Nobody need wait for it.
                let _ = done.send(outcome(&operation.id));
            }
        }
    }
}
