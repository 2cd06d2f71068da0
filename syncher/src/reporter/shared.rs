//! What the handles of one reported object share.

use std::sync::{Arc, Weak};
use std::task::Waker;

use hyperty_message_bus::{BusError, Listener};
use hyperty_model::message::DeposedBody;
use hyperty_model::object::Metadata;
use hyperty_model::{
    ChildrenName, DerivedTail, HypertyUrl, Message, MessageType, ObjectUrl, Position, Snapshot, Url,
};
use parking_lot::{Mutex, ReentrantMutex};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::invite::Invites;
use super::journal::Journal;
use super::observers::ObserversBoard;
use super::{Accept, ActionRequest, WriteError};
use crate::ReporterEvent;
use crate::children::{Board, ChildError, Heard};
use crate::core::{Core, Live};
use crate::outbox::Outbox;
use crate::queue::{EventQueue, Taken};

/// Who waits for a change to be committed.
pub(super) type Waiting = oneshot::Sender<Result<Position, WriteError>>;

pub(crate) struct ReporterShared {
    pub(super) core: Arc<Core>,
    pub(super) url: ObjectUrl,
    pub(super) changes: Url,
    pub(super) board: Arc<Board>,
    pub(super) state: Mutex<State>,
    pub(super) outbox: Outbox,
    pub(super) invites: Invites,
    /// How far the backup is.
    pub(super) backed_up: watch::Sender<Option<Position>>,
    /// Held by whoever makes changes, so that an edit sees nobody else's between its copy and its changes. The same
    /// thread may make others within an edit. Never held while something is posted.
    pub(super) writing: ReentrantMutex<()>,
    pub(super) itself: Weak<ReporterShared>,
}

pub(super) struct State {
    pub(super) journal: Journal<Waiting>,
    pub(super) metadata: Metadata,
    pub(super) accept: Accept,
    pub(super) events: EventQueue<ReporterEvent>,
    /// Who observes.
    pub(super) observers: ObserversBoard,
    /// What observers ask for.
    pub(super) requests: EventQueue<ActionRequest>,
    /// Why nothing can be written any more.
    pub(super) closed: Option<WriteError>,
    /// Whether the last event has been told.
    pub(super) ended: bool,
    pub(super) repairing: bool,
    /// When a change was answered last, or the first of those that wait was made.
    pub(super) heard: Instant,
    /// Stopped, because the object may be given away.
    frozen: bool,
    /// Somebody waits to hear whether it is given away.
    giving: bool,
    listeners: Vec<Listener>,
}

/// What is left of an object that has ended here, to be seen to without its lock.
struct Over {
    /// What nobody answers any more.
    unanswered: Vec<ActionRequest>,
    /// Who waits for something that will not come.
    waiters: Vec<Waker>,
    listeners: Vec<Listener>,
}

impl State {
    /// Nothing can be written or is told any more.
    fn close(&mut self, error: &WriteError) -> Over {
        (self.closed, self.ended) = (Some(error.clone()), true);
        let mut unanswered = Vec::new();
        loop {
            match self.requests.take() {
                Taken::Event(request) => unanswered.push(request),
                Taken::Lagged => {}
                Taken::Nothing => break,
            }
        }
        let mut waiters = self.events.waiters();
        waiters.extend(self.observers.end());
        waiters.extend(self.requests.waiters());
        Over { unanswered, waiters, listeners: std::mem::take(&mut self.listeners) }
    }
}

impl ReporterShared {
    /// Enters an object that was created or resumed, or finds it entered already.
    pub(crate) fn adopt(
        core: &Arc<Core>,
        snapshot: Snapshot,
        names: &[ChildrenName],
        accept: Accept,
    ) -> Result<Arc<ReporterShared>, BusError> {
        let Snapshot { metadata, version, epoch, data, children } = snapshot;
        let url = metadata.url.clone();
        match core.live(&url) {
            Some(Live::Reporter(known)) => return Ok(known),
            // It was observed by this hyperty, which has taken it over.
            Some(Live::Observer(former)) => former.reporting(),
            None => {}
        }
        let board = core.board(&url);
        board.open();
        board.learn(names);
        let schema = metadata.schema.clone();
        let state = State {
            journal: Journal::new(data, Position::new(epoch, version)),
            metadata,
            accept,
            events: EventQueue::new(core.config.limits.events_max),
            observers: ObserversBoard::untold(),
            requests: EventQueue::new(core.config.limits.requests_max),
            closed: None,
            ended: false,
            repairing: false,
            heard: Instant::now(),
            frozen: false,
            giving: false,
            listeners: Vec::new(),
        };
        let shared = Arc::new_cyclic(|itself| ReporterShared {
            core: Arc::clone(core),
            changes: url.changes(),
            url,
            board,
            state: Mutex::new(state),
            outbox: Outbox::default(),
            invites: Invites::default(),
            backed_up: watch::Sender::new(None),
            writing: ReentrantMutex::new(()),
            itself: Weak::clone(itself),
        });
        shared.listen(names)?;
        if let Err(Live::Reporter(known)) = core.insert(&shared.url, &Live::Reporter(Arc::clone(&shared))) {
            return Ok(known);
        }
        shared.board.merge(children, &schema, |heard| shared.on_heard(heard));
        let held = core.take_held(&shared.url).into_iter().filter(|message| is_meant(message, epoch));
        held.for_each(|message| shared.receive(&message));
        Ok(shared)
    }

    fn listen(&self, names: &[ChildrenName]) -> Result<(), BusError> {
        let channels = names.iter().map(|name| self.url.children(name));
        let mut listeners = Vec::new();
        for url in channels.chain([self.url.as_url().clone(), self.url.observers()]) {
            let weak = Weak::clone(&self.itself);
            listeners.push(self.core.minibus.listen(&url, move |message| {
                if let Some(reporter) = weak.upgrade() {
                    reporter.receive(message);
                }
            })?);
        }
        self.state.lock().listeners = listeners;
        Ok(())
    }

    /// Takes in a message for the object or one of its addresses.
    pub(crate) fn receive(&self, message: &Message) {
        if message.to() == self.url.as_url() {
            return self.on_answer(message);
        }
        if message.kind() == MessageType::Event {
            return self.on_event(message);
        }
        if message.to() == self.core.hyperty().as_url() {
            if message.kind() == MessageType::Execute {
                return self.on_control(message);
            }
            return self.on_forward(message);
        }
        match message.to().split_derived() {
            Some((_, Some(DerivedTail::Children(_)))) => {
                self.board.on_message(message, |heard| self.on_heard(heard));
            }
            Some((_, Some(DerivedTail::Observers))) => self.on_observers(message),
            _ => {}
        }
    }

    /// Runs under the board's lock.
    pub(super) fn on_heard(&self, heard: Heard) {
        for event in heard.events {
            self.raise(ReporterEvent::Child(event));
        }
        if heard.missing {
            self.repair();
        }
    }

    /// Tells the application; what finds no room although it must be answered is refused by being dropped.
    pub(crate) fn raise(&self, event: ReporterEvent) {
        let (refused, waiters) = {
            let mut state = self.state.lock();
            (state.events.push(event).err(), state.events.waiters())
        };
        drop(refused);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Tells why the object has ended here: this is never lost, however far behind its reader is.
    pub(super) fn raise_last(&self, event: ReporterEvent) {
        let waiters = {
            let mut state = self.state.lock();
            state.events.push_last(event);
            state.events.waiters()
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// The copy now, without holding anybody up.
    pub(super) fn data(&self) -> Arc<Value> {
        Arc::clone(self.state.lock().journal.data())
    }

    pub(crate) fn url(&self) -> &ObjectUrl {
        &self.url
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// The object is gone: what waits fails, nothing is listened to, and the events end.
    pub(super) fn end(&self, error: &WriteError, children: &ChildError) {
        let (waiting, over) = {
            let mut state = self.state.lock();
            self.outbox.clear();
            (state.journal.give_up(), state.close(error))
        };
        self.board.close(children);
        self.tell_end(waiting, over, error);
    }

    /// Everybody who waits for anything of the object hears that it has ended here; no lock is held.
    fn tell_end(&self, waiting: Vec<Waiting>, over: Over, error: &WriteError) {
        let Over { unanswered, waiters, listeners } = over;
        drop((listeners, unanswered));
        self.invites.end();
        for waiting in waiting {
            let _ = waiting.send(Err(error.clone()));
        }
        self.core.remove(&self.url, std::ptr::from_ref(self).cast());
        waiters.into_iter().for_each(Waker::wake);
        self.backed_up.send_modify(|_| ());
    }

    /// The object is another's: nothing is listened to, what waits fails, and what was not committed is undone. Gives what
    /// this hyperty goes on from as an observer.
    pub(crate) fn hand_over(&self, to: HypertyUrl) -> (Snapshot, Vec<ChildrenName>) {
        let children = self.board.with_children(|children| children);
        let (snapshot, waiting, over) = {
            let mut state = self.state.lock();
            self.outbox.clear();
            let waiting = state.journal.withdraw();
            let Position { epoch, version } = state.journal.position();
            let data = Value::clone(state.journal.data());
            let snapshot = Snapshot { metadata: state.metadata.clone(), version, epoch, data, children };
            state.events.push_last(ReporterEvent::Delegated { to });
            (snapshot, waiting, state.close(&WriteError::Delegated))
        };
        self.tell_end(waiting, over, &WriteError::Delegated);
        (snapshot, self.board.names())
    }

    /// Nothing leaves from here on, but what was made before.
    pub(crate) fn freeze(&self) {
        {
            let mut state = self.state.lock();
            state.frozen = true;
            self.outbox.pause();
        }
        self.outbox.drain(&self.core.minibus);
    }

    /// What was kept back leaves. False if nothing was being kept back.
    pub(crate) fn thaw(&self) -> bool {
        let was_frozen = {
            let mut state = self.state.lock();
            self.outbox.go_on();
            std::mem::take(&mut state.frozen)
        };
        self.outbox.drain(&self.core.minibus);
        was_frozen || self.is_giving()
    }

    /// Whether everything that was made before it was stopped has left.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.outbox.is_idle()
    }

    /// Notes whether somebody waits to hear what becomes of an offer.
    pub(crate) fn set_giving(&self, giving: bool) {
        self.state.lock().giving = giving;
    }

    fn is_giving(&self) -> bool {
        self.state.lock().giving
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn itself(&self) -> Option<Arc<ReporterShared>> {
        self.itself.upgrade()
    }

    pub(crate) fn schema(&self) -> Url {
        self.state.lock().metadata.schema.clone()
    }

    pub(crate) fn stop(&self) {
        self.end(&WriteError::Stopped, &ChildError::Stopped);
    }
}

/// Whether what was kept for an object is meant for a Reporter of this epoch: not the end of what was before it, nor of
/// an observation.
fn is_meant(message: &Message, epoch: u64) -> bool {
    let of_former = message.decode::<DeposedBody>().is_ok_and(|body| body.epoch < epoch);
    !of_former && message.kind() != MessageType::Unsubscribe
}

impl Drop for ReporterShared {
    fn drop(&mut self) {
        self.core.remove(&self.url, std::ptr::from_ref(self).cast());
    }
}
