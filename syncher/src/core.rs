//! What a Syncher and the handles of its objects share.

mod held;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use hyperty_message_bus::{BusError, Listener, MiniBus, Request};
use hyperty_model::{
    Body, HypertyUrl, Message, MessageId, MessageType, ObjectUrl, StatusCode, Timestamp, Url,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub(crate) use held::Adopting;

use crate::SyncherConfig;
use crate::children::{Asking, Board, Key};
use crate::decisions::Decisions;
use crate::driver::Job;
use crate::notifications::Notifications;
use crate::observer::ObserverShared;
use crate::reporter::ReporterShared;

/// Most requests that were given up and whose late answer is still undone.
const ABANDONED_MAX: usize = 1_024;

pub(crate) struct Core {
    pub(crate) minibus: MiniBus,
    pub(crate) config: SyncherConfig,
    pub(crate) sync_manager: Url,
    pub(crate) decisions: Arc<Decisions>,
    pub(crate) notifications: Notifications,
    jobs: mpsc::UnboundedSender<Job>,
    /// How many creations and resumes are under way. Beside the lock, because every message asks for it.
    adopting: Arc<AtomicUsize>,
    objects: Mutex<Objects>,
    abandoned: Mutex<VecDeque<(MessageId, Abandoned)>>,
    /// What the Syncher keeps: here go objects that become this hyperty's while nobody waits for them.
    pub(crate) kept: OnceLock<Weak<Mutex<crate::Resumed>>>,
    /// Own operations on children that are not answered: they keep the board they were made on.
    child_answers: Mutex<HashMap<MessageId, (Arc<Board>, Key)>>,
    inbox: OnceLock<[Listener; 2]>,
}

/// A core as a member of a builder: shows only whose it is.
pub(crate) struct CoreRef(pub(crate) Arc<Core>);

impl std::fmt::Debug for CoreRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.hyperty())
    }
}

#[derive(Default)]
struct Objects {
    live: BTreeMap<ObjectUrl, Entry>,
    /// The children of each object, for as long as somebody holds it or an operation of ours is unanswered.
    boards: BTreeMap<ObjectUrl, Weak<Board>>,
    held: VecDeque<(ObjectUrl, Message)>,
    /// Observations that this hyperty has ended itself while something was about to appear, each with its number.
    left: BTreeMap<ObjectUrl, u64>,
    leaves: u64,
    stopped: bool,
}

/// An object this hyperty reports or observes.
#[derive(Clone)]
enum Entry {
    Reporter(Weak<ReporterShared>),
    Observer(Weak<ObserverShared>),
}

/// The same, held.
#[derive(Clone)]
pub(crate) enum Live {
    Reporter(Arc<ReporterShared>),
    Observer(Arc<ObserverShared>),
}

/// A request whose answer nobody waits for any more; if it turns out a success it is undone, but for a delegation, which
/// cannot be: its Reporter goes on as an observer.
#[derive(Clone)]
pub(crate) enum Abandoned {
    Create,
    Subscribe(ObjectUrl),
    Delegate(Weak<ReporterShared>, HypertyUrl),
}

impl Core {
    pub(crate) fn new(
        minibus: MiniBus,
        config: SyncherConfig,
    ) -> Result<(Arc<Core>, mpsc::UnboundedReceiver<Job>), BusError> {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let decisions =
            Decisions::new(minibus.clone(), config.timeouts.decision, config.limits.decisions_max);
        let core = Arc::new(Core {
            notifications: Notifications::new(&minibus, &config),
            sync_manager: config.runtime.sync_manager(),
            minibus,
            config,
            decisions,
            jobs,
            adopting: Arc::default(),
            objects: Mutex::default(),
            abandoned: Mutex::default(),
            kept: OnceLock::new(),
            child_answers: Mutex::default(),
            inbox: OnceLock::new(),
        });
        let (weak, any) = (Arc::downgrade(&core), Arc::downgrade(&core));
        let own = core.minibus.listen(core.hyperty(), move |message| {
            if let Some(core) = weak.upgrade() {
                core.on_message(message);
            }
        })?;
        let adopting = Arc::clone(&core.adopting);
        let any = core.minibus.listen_any(move |message| {
            if adopting.load(Ordering::SeqCst) == 0 {
                return;
            }
            if let Some(core) = any.upgrade() {
                core.on_any(message);
            }
        })?;
        // The cell was made empty above.
        let _ = core.inbox.set([own, any]);
        Ok((core, receiver))
    }

    pub(crate) fn hyperty(&self) -> &HypertyUrl {
        self.minibus.url()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// A message of this hyperty to the Sync Manager.
    pub(crate) fn to_sync_manager(&self, kind: MessageType, body: impl Into<Body>) -> Message {
        self.minibus.new_message(kind, self.hyperty(), &self.sync_manager, body)
    }

    /// Sends a request to the Sync Manager.
    pub(crate) fn ask(&self, kind: MessageType, body: impl Into<Body>) -> Request {
        self.minibus.request(self.to_sync_manager(kind, body)).timeout(self.config.timeouts.response)
    }

    /// Hands work that waits to the driver; without a driver it is dropped.
    pub(crate) fn run_later(&self, job: impl Future<Output = ()> + Send + 'static) {
        let _ = self.jobs.send(Box::pin(job));
    }

    /// Has the driver do something to its end, whether or not anybody waits for that: half of it is never left behind.
    /// `None` without a driver.
    pub(crate) async fn driven<T: Send + 'static>(
        &self,
        job: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, waiting) = oneshot::channel();
        self.run_later(async move {
            // Nobody may be waiting any more.
            let _ = done.send(job.await);
        });
        waiting.await.ok()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.objects.lock().stopped
    }

    /// The driver is gone: everything ends.
    pub(crate) fn stop(&self) {
        let live = {
            let mut objects = self.objects.lock();
            objects.stopped = true;
            objects.held.clear();
            objects.left.clear();
            objects.live.values().filter_map(Entry::upgrade).collect::<Vec<_>>()
        };
        self.notifications.stop();
        for object in live {
            match object {
                Live::Reporter(reporter) => reporter.stop(),
                Live::Observer(observer) => observer.stop(),
            }
        }
    }
}

/// The table of objects.
impl Core {
    pub(crate) fn live(&self, object: &ObjectUrl) -> Option<Live> {
        // Upgraded under the lock, dropped by the caller outside of it: the last handle comes back here.
        self.objects.lock().live.get(object).and_then(Entry::upgrade)
    }

    pub(crate) fn all_live(&self) -> Vec<Live> {
        self.objects.lock().live.values().filter_map(Entry::upgrade).collect()
    }

    /// Enters an object, unless it is there: then that one is returned.
    pub(crate) fn insert(&self, object: &ObjectUrl, new: &Live) -> Result<(), Live> {
        let mut objects = self.objects.lock();
        if let Some(known) = objects.live.get(object).and_then(Entry::upgrade) {
            return Err(known);
        }
        objects.live.insert(object.clone(), Entry::of(new));
        Ok(())
    }

    /// Takes what arrived for an object before it was entered.
    pub(crate) fn take_held(&self, object: &ObjectUrl) -> Vec<Message> {
        let mut objects = self.objects.lock();
        let (taken, kept) = std::mem::take(&mut objects.held).into_iter().partition(|(of, _)| of == object);
        objects.held = kept;
        let taken: VecDeque<(ObjectUrl, Message)> = taken;
        taken.into_iter().map(|(_, message)| message).collect()
    }

    /// Forgets an object whose last handle is gone, or that has ended.
    pub(crate) fn remove(&self, object: &ObjectUrl, which: *const ()) {
        let mut objects = self.objects.lock();
        if objects.live.get(object).is_some_and(|entry| entry.is_at(which)) {
            objects.live.remove(object);
        }
        objects.boards.retain(|_, board| board.strong_count() > 0);
    }

    /// The board of an object's children: the one that is in use, or a new one.
    pub(crate) fn board(self: &Arc<Core>, object: &ObjectUrl) -> Arc<Board> {
        let mut objects = self.objects.lock();
        if let Some(board) = objects.boards.get(object).and_then(Weak::upgrade) {
            return board;
        }
        let board = Board::new(self, object.clone());
        objects.boards.insert(object.clone(), Arc::downgrade(&board));
        board
    }

    /// Snapshots of whatever is known are being asked for.
    pub(crate) fn ask_all(&self) -> Vec<Asking> {
        let boards: Vec<Arc<Board>> = self.objects.lock().boards.values().filter_map(Weak::upgrade).collect();
        boards.iter().map(Board::ask).collect()
    }
}

impl Entry {
    fn of(live: &Live) -> Entry {
        match live {
            Live::Reporter(reporter) => Entry::Reporter(Arc::downgrade(reporter)),
            Live::Observer(observer) => Entry::Observer(Arc::downgrade(observer)),
        }
    }

    fn upgrade(&self) -> Option<Live> {
        match self {
            Entry::Reporter(weak) => weak.upgrade().map(Live::Reporter),
            Entry::Observer(weak) => weak.upgrade().map(Live::Observer),
        }
    }

    fn is_at(&self, address: *const ()) -> bool {
        match self {
            Entry::Reporter(weak) => std::ptr::eq(weak.as_ptr().cast(), address),
            Entry::Observer(weak) => std::ptr::eq(weak.as_ptr().cast(), address),
        }
    }
}

impl Live {
    fn receive(&self, message: &Message) {
        match self {
            Live::Reporter(reporter) => reporter.receive(message),
            Live::Observer(observer) => observer.receive(message),
        }
    }
}

/// Own operations on children.
impl Core {
    pub(crate) fn expect_child_answer(&self, id: &MessageId, board: Arc<Board>, key: Key) {
        self.child_answers.lock().insert(id.clone(), (board, key));
    }

    pub(crate) fn forget_child_answer(&self, id: &MessageId) {
        let forgotten = self.child_answers.lock().remove(id);
        drop(forgotten);
    }

    /// What a response is the answer to, if it comes from the channel that was asked.
    pub(crate) fn child_answer(&self, response: &Message) -> Option<(Arc<Board>, Key)> {
        let (board, key) = self.child_answers.lock().get(response.id()).cloned()?;
        (*response.from() == board.channel(&key.0)).then_some((board, key))
    }
}

/// Requests that were given up.
impl Core {
    pub(crate) fn abandon(&self, id: MessageId, what: Abandoned) {
        let mut abandoned = self.abandoned.lock();
        if abandoned.len() >= ABANDONED_MAX {
            abandoned.pop_front();
        }
        abandoned.push_back((id, what));
    }

    pub(crate) fn take_abandoned(&self, id: &MessageId) -> Option<Abandoned> {
        let mut abandoned = self.abandoned.lock();
        let at = abandoned.iter().position(|(known, _)| known == id)?;
        abandoned.remove(at).map(|(_, what)| what)
    }
}

/// A request under way: given up if this is dropped before [`Asked::answered`].
pub(crate) struct Asked {
    core: Arc<Core>,
    waits: Option<(MessageId, Abandoned)>,
}

impl Asked {
    pub(crate) fn new(core: &Arc<Core>, id: &MessageId, what: Abandoned) -> Asked {
        Asked { core: Arc::clone(core), waits: Some((id.clone(), what)) }
    }

    /// The final answer is here; one that says that none came gives the request up all the same.
    pub(crate) fn answered(mut self, code: StatusCode) {
        if code != StatusCode::TIMEOUT {
            self.waits = None;
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some((id, what)) = self.waits.take() {
            self.core.abandon(id, what);
        }
    }
}
