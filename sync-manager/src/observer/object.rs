//! The state of one observed object: the replica of this runtime, shared by all its observers here.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{Listener, PublishRoute, ResponseWatch, Wish};
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::{ResponseBody, UpdateBody};
use hyperty_model::object::{ChildEntry, ChildId, Children, Metadata};
use hyperty_model::replica::{GapLimits, Need, Replica};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, Message, ObjectUrl, Position, Snapshot, Url};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Subscriber};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::answered::OneAnswer;
use super::disagreement::Disagreement;
use super::removed::JoiningHere;
use super::verify::Doubt;
use crate::digest::DigestCache;
use crate::reporter::snapshot_answer;

/// How much is kept for observers here that missed changes. They are served in the same process: who misses more than
/// this was not listening at all, and gets the state.
pub(crate) const LOCAL_LOG: LogLimits = LogLimits { changes: 128, bytes: 128 << 10 };

/// One observed object. Everything that orders what its observers see happens under the lock of `state`.
pub(crate) struct Observed {
    pub(crate) url: ObjectUrl,
    /// Held while routes are set up or taken down, which may wait for a message node.
    pub(crate) setup: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

/// The sequencer's state.
pub(crate) struct State {
    pub(crate) metadata: Option<Metadata>,
    pub(crate) replica: Replica,
    /// The latest changes of the copy: what an observer here that missed them is told.
    pub(crate) log: ChangeLog,
    /// The digest of the copy.
    pub(crate) digest: DigestCache,
    pub(crate) doubt: Doubt,
    /// How often a whole state took the place of the copy.
    pub(crate) replaced: u64,
    pub(crate) children: Children,
    pub(crate) disagreement: Disagreement,
    pub(crate) names: Vec<ChildrenName>,
    /// Children that observers only read; `None` while the schema is not known here.
    pub(crate) read_only: Option<Vec<ChildrenName>>,
    pub(crate) observers: BTreeMap<HypertyUrl, LocalObserver>,
    /// Subscriptions whose answer is awaited. Bounded by the number of procedures.
    pub(crate) joining: Vec<JoiningHere>,
    pub(crate) routes: Routes,
    pub(crate) link: Link,
    pub(crate) repair: RepairState,
    /// Child operations of this runtime that the Reporter's side has not answered, in order (M18).
    pub(crate) pending: VecDeque<PendingChild>,
    /// How many requests for the Reporter's state are under way.
    pub(crate) asking: usize,
    /// Children of which something arrived meanwhile.
    pub(crate) arrived: BTreeSet<(ChildrenName, ChildId)>,
    /// When anything of the object was heard last.
    pub(crate) heard: Instant,
    /// The observation has ended.
    pub(crate) gone: bool,
    /// It has ended because the object is reported in this runtime from now on.
    pub(crate) moved_here: bool,
    /// Whether the whole record was written in this session: what others told of it is no record.
    pub(crate) stored: Cell<bool>,
}

/// A hyperty of this runtime that observes the object.
pub(crate) struct LocalObserver {
    pub(crate) identity: Option<Identity>,
    pub(crate) store: bool,
    pub(crate) resumable: bool,
    /// Whether the user's other devices shall know of it.
    pub(crate) backup: bool,
    /// B2 and B4; none while the hyperty has not come back after a restart.
    pub(crate) forwards: Vec<Listener>,
}

impl LocalObserver {
    /// What is kept of it, if it asked for that.
    pub(crate) fn subscriber(&self, hyperty: &HypertyUrl) -> Option<Subscriber> {
        let (identity, backup) = (self.identity.clone(), self.backup);
        let kept = || Subscriber { identity, backup, ..Subscriber::new(hyperty.clone()) };
        self.resumable.then(kept)
    }
}

/// The routes shared by all observers here.
#[derive(Default)]
pub(crate) struct Routes {
    /// B1 and B3.
    pub(crate) listeners: Vec<Listener>,
    /// B5.
    pub(crate) publishes: Vec<PublishRoute>,
    /// B8 and B9.
    pub(crate) wishes: Vec<Wish>,
    /// `O/registration`, while the Reporter cannot be reached.
    pub(crate) registration: Option<(Listener, Wish)>,
}

/// Whether the stream is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// As far as is known.
    Live,
    /// Cut: the node or the Reporter cannot be reached.
    Disconnected,
}

/// One repair at a time for each object (3.4).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RepairState {
    pub(crate) running: bool,
    /// Asked for while one was running.
    pub(crate) again: bool,
    pub(crate) pause: Option<Duration>,
    /// Changes would not do: the children have to be compared with all of the Reporter's.
    pub(crate) whole: bool,
}

/// A child operation that waits for its answer.
pub(crate) struct PendingChild {
    /// Its place in the order of those that wait; under it it is kept.
    pub(crate) number: u64,
    pub(crate) message: Message,
    pub(crate) child: String,
    /// When it is kept durably; `None` where nothing is kept, or it was read from the store.
    pub(crate) ticket: Option<hyperty_storage::Ticket>,
    /// Not sent before it is kept.
    pub(crate) sent: bool,
    /// What the child was before it.
    pub(crate) before: Before,
    /// It was sent more than once, or may have been.
    pub(crate) repeated: bool,
    pub(crate) answer: OneAnswer,
    /// Sees what is answered to it.
    pub(crate) watch: ResponseWatch,
}

impl PendingChild {
    /// As it is kept.
    pub(super) fn stored(&self) -> Option<Value> {
        serde_json::from_slice(self.message.wire()).ok()
    }
}

/// What is to be again when an operation is refused.
pub(crate) enum Before {
    /// There was no such child.
    Nothing,
    /// The child as it was.
    Child(Box<ChildEntry>),
    /// It was in a former session.
    Forgotten,
}

impl Observed {
    pub(crate) fn new(url: ObjectUrl) -> Observed {
        let state = State {
            metadata: None,
            replica: Replica::waiting(GapLimits::default()),
            digest: DigestCache::default(),
            doubt: Doubt::default(),
            replaced: 0,
            log: ChangeLog::new(LOCAL_LOG),
            children: Children::default(),
            disagreement: Disagreement::default(),
            names: Vec::new(),
            read_only: None,
            observers: BTreeMap::new(),
            joining: Vec::new(),
            routes: Routes::default(),
            link: Link::Live,
            repair: RepairState::default(),
            pending: VecDeque::new(),
            asking: 0,
            arrived: BTreeSet::new(),
            heard: Instant::now(),
            gone: false,
            moved_here: false,
            stored: Cell::new(false),
        };
        Observed { url, setup: Arc::default(), state: Mutex::new(state) }
    }

    /// Enters the sequencer. Never held over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Marks the time in which the Reporter's side is asked for its state.
    pub(crate) fn ask(&self) -> Asking<'_> {
        self.lock().asking += 1;
        Asking(self)
    }

    /// `O/changes` and every C(n).
    pub(crate) fn stream(&self, names: &[ChildrenName]) -> Vec<Url> {
        std::iter::once(self.url.changes()).chain(names.iter().map(|name| self.url.children(name))).collect()
    }
}

/// The Reporter's side is being asked for its state; ends when dropped.
pub(crate) struct Asking<'a>(&'a Observed);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.asking -= 1;
        if state.asking == 0 {
            state.arrived.clear();
        }
    }
}

impl State {
    /// The copy as a snapshot; `None` before the first one has come.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let metadata = self.metadata.clone().filter(|_| self.replica.is_live())?;
        let position = self.replica.position();
        Some(Snapshot {
            metadata,
            version: position.version,
            epoch: position.epoch,
            data: self.replica.data().cloned().unwrap_or_else(|| Value::Object(Map::new())),
            children: self.children.clone(),
        })
    }

    /// What an observer here is told that stands at a position, or wants everything; `None` before the first state has
    /// come. The children are the same for all here, and told as they change.
    pub(crate) fn answer_since(&self, since: Option<Position>) -> Option<ResponseBody> {
        let position = self.replica.position();
        match since.and_then(|since| self.log.since(since)) {
            Some(changes) if self.replica.is_live() && self.log.end() == position => Some(ResponseBody {
                resource: Some(self.metadata.as_ref()?.url.to_string()),
                recovered: Some(true),
                epoch: Some(position.epoch),
                version: Some(position.version),
                changes: Some(changes.iter().map(|change| UpdateBody::clone(change)).collect()),
                ..ResponseBody::ok()
            }),
            _ => Some(ResponseBody { recovered: Some(false), ..snapshot_answer(self.snapshot()?) }),
        }
    }

    /// What the Reporter's side can be asked for: what came after the copy's position, or everything.
    pub(crate) fn wanted(&self) -> Option<Position> {
        let usable = !self.repair.whole && self.replica.is_live() && self.replica.data().is_some();
        (usable && self.replica.need() != Some(Need::Snapshot)).then(|| self.replica.position())
    }

    /// Notes changes that lead to where the copy stands now.
    pub(crate) fn log_changes<'a>(&mut self, bodies: impl Iterator<Item = &'a Arc<UpdateBody>> + Clone) {
        let Position { epoch, version } = self.replica.position();
        let first = version.saturating_sub(bodies.clone().count() as u64);
        for (version, body) in (first + 1..).zip(bodies) {
            self.log.push(Position { epoch, version }, Arc::clone(body));
        }
    }

    pub(crate) fn name_strings(&self) -> Vec<String> {
        self.names.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn stores_data(&self) -> bool {
        self.observers.values().any(|observer| observer.store)
    }

    pub(crate) fn is_resumable(&self) -> bool {
        self.observers.values().any(|observer| observer.resumable)
    }

    /// What the record in the store has: observers at all, and the data. `None` if it is not known to be there.
    pub(super) fn kept(&self) -> Option<(bool, bool)> {
        self.stored.get().then(|| (self.is_resumable(), self.stores_data()))
    }

    /// What the store keeps; `None` if no observer asked for it.
    pub(crate) fn record(&self) -> Option<ObjectRecord> {
        let subscribers =
            self.observers.iter().filter_map(|(hyperty, observer)| observer.subscriber(hyperty));
        Some(ObjectRecord {
            data: self.replica.data().filter(|_| self.stores_data()).cloned(),
            children: self.children.clone(),
            subscriptions: subscribers.collect(),
            ..self.header()?
        })
    }

    /// The same without data, children and observers: they stay as they are stored.
    pub(crate) fn header(&self) -> Option<ObjectRecord> {
        let metadata = self.metadata.clone().filter(|_| self.is_resumable())?;
        Some(ObjectRecord {
            role: Role::Observer,
            metadata,
            position: self.replica.position(),
            data: None,
            log: Vec::new(),
            broken: false,
            children: Children::default(),
            children_names: self.names.clone(),
            subscriptions: Vec::new(),
            grants: Vec::new(),
            invitations: Vec::new(),
            reporter_user: None,
            status: RecordStatus::Live,
            store: self.stores_data(),
            domain_registration: false,
            domain_routing: false,
            backup: false,
            delegation: None,
            pending: self.pending.iter().filter_map(|op| Some((op.number, op.stored()?))).collect(),
        })
    }
}
