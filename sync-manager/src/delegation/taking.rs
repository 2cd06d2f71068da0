//! What the taking side keeps of an object that is to be its own.

use std::collections::VecDeque;
use std::sync::Arc;

use hyperty_message_bus::Listener;
use hyperty_model::delegation::Taker;
use hyperty_model::object::Metadata;
use hyperty_model::{HypertyUrl, Identity, Message, ObjectUrl, Position, StatusCode, Url};
use hyperty_registry::Schema;
use hyperty_storage::{Delegation, ObjectRecord, RecordStatus, Role};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::answer::Refusal;
use crate::manager::SyncManager;

/// Most requests held until the object is served here: it is for seconds, and who is refused asks again.
const HELD_MAX: usize = 1_024;

/// An object that a hyperty of this runtime has accepted, until it owns it or has given it up.
pub(crate) struct Taking {
    pub(crate) url: ObjectUrl,
    /// The new Reporter.
    pub(crate) to: HypertyUrl,
    pub(super) identity: Option<Identity>,
    pub(super) schema: Arc<Schema>,
    /// As it was offered.
    pub(super) metadata: Metadata,
    /// What the new Reporter wants kept.
    pub(super) store: bool,
    pub(super) resumable: bool,
    /// And at the backup of the domain, if it is registered there.
    pub(super) backup: bool,
    state: Mutex<Taker<String, Url>>,
    held: Mutex<Held>,
    /// A1 and A3, while nobody may answer there yet.
    pub(super) listeners: Mutex<Vec<Listener>>,
    outcome: watch::Sender<Option<Result<(), Refusal>>>,
}

#[derive(Default)]
struct Held {
    open: bool,
    /// It is decided whose the object is: what would be held would stay.
    over: bool,
    messages: VecDeque<Message>,
}

/// Why a request is not held.
pub(super) enum NotHeld {
    /// There are [`HELD_MAX`].
    Full,
    /// It is not waited for any more.
    Over,
}

impl Held {
    /// A double is held once.
    fn add(&mut self, message: Message) -> Result<(), NotHeld> {
        if self.over {
            return Err(NotHeld::Over);
        }
        let same = |one: &Message| {
            one.id() == message.id() && one.from() == message.from() && one.to() == message.to()
        };
        if self.messages.iter().any(same) {
            return Ok(());
        }
        if self.messages.len() >= HELD_MAX {
            return Err(NotHeld::Full);
        }
        self.messages.push_back(message);
        Ok(())
    }
}

/// What is known when it is accepted.
pub(super) struct Accepted {
    pub(super) url: ObjectUrl,
    pub(super) to: HypertyUrl,
    pub(super) identity: Option<Identity>,
    pub(super) schema: Arc<Schema>,
    pub(super) metadata: Metadata,
    pub(super) store: bool,
    pub(super) resumable: bool,
    pub(super) backup: bool,
}

impl Taking {
    pub(super) fn new(accepted: Accepted, state: Taker<String, Url>) -> Taking {
        let Accepted { url, to, identity, schema, metadata, store, resumable, backup } = accepted;
        Taking {
            url,
            to,
            identity,
            schema,
            metadata,
            store,
            resumable,
            backup,
            state: Mutex::new(state),
            held: Mutex::default(),
            listeners: Mutex::default(),
            outcome: watch::Sender::new(None),
        }
    }

    pub(super) fn state(&self) -> Taker<String, Url> {
        self.state.lock().clone()
    }

    pub(super) fn step<R>(&self, step: impl FnOnce(&mut Taker<String, Url>) -> R) -> R {
        step(&mut self.state.lock())
    }

    pub(super) fn offer(&self) -> String {
        self.state.lock().offer().clone()
    }

    pub(super) fn giver(&self) -> Url {
        self.state.lock().giver().clone()
    }

    /// Whether it is taken by this offer from this Sync Manager.
    pub(crate) fn is(&self, offer: &str, giver: &Url) -> bool {
        let state = self.state.lock();
        state.offer() == offer && state.giver() == giver
    }

    /// From here on requests are held.
    pub(super) fn begin_holding(&self) {
        self.held.lock().open = true;
    }

    /// Holds a request; `false` if that has not begun.
    pub(super) fn hold(&self, message: Message) -> Result<bool, NotHeld> {
        let mut held = self.held.lock();
        if !held.open {
            return Ok(false);
        }
        held.add(message).map(|()| true)
    }

    /// Holds a request of which it is known that it is for the object as it will be here.
    pub(super) fn hold_early(&self, message: Message) -> Result<(), NotHeld> {
        self.held.lock().add(message)
    }

    /// Ends the holding, and gives what was held.
    pub(super) fn end_holding(&self) -> VecDeque<Message> {
        let mut held = self.held.lock();
        held.open = false;
        std::mem::take(&mut held.messages)
    }

    /// The same for good.
    fn end_holding_for_good(&self) -> VecDeque<Message> {
        self.held.lock().over = true;
        self.end_holding()
    }

    /// It is over, in one way or the other.
    pub(super) fn finish(&self, outcome: Result<(), Refusal>) {
        self.outcome.send_replace(Some(outcome));
    }

    /// How it ended, once it has.
    pub(super) fn outcome(&self) -> watch::Receiver<Option<Result<(), Refusal>>> {
        self.outcome.subscribe()
    }

    /// What is kept of it while it is not ours.
    pub(super) fn record(&self, status: RecordStatus) -> ObjectRecord {
        ObjectRecord {
            role: Role::Reporter,
            metadata: self.metadata.clone(),
            position: Position::default(),
            data: None,
            log: Vec::new(),
            broken: false,
            children: Default::default(),
            children_names: self.schema.children.iter().map(|rule| rule.name.clone()).collect(),
            subscriptions: Vec::new(),
            grants: Vec::new(),
            invitations: Vec::new(),
            reporter_user: self.identity.clone(),
            status,
            store: self.store,
            domain_registration: false,
            domain_routing: false,
            backup: self.backup,
            delegation: Some(Delegation::Taking { state: self.state().to_write(), from: None }),
            pending: Default::default(),
        }
    }
}

impl SyncManager {
    /// An object that is being taken over here.
    pub(crate) fn taking(&self, url: &ObjectUrl) -> Option<Arc<Taking>> {
        self.shared.taking.lock().get(url).cloned()
    }

    /// Enters it; there is one at a time for each object.
    pub(super) fn enter_taking(&self, taking: &Arc<Taking>) -> Result<(), Refusal> {
        let mut table = self.shared.taking.lock();
        if table.contains_key(&taking.url) {
            return Err(Refusal::new(StatusCode::CONFLICT, "the object is being taken over already"));
        }
        table.insert(taking.url.clone(), Arc::clone(taking));
        Ok(())
    }

    pub(super) fn leave_taking(&self, taking: &Taking) {
        self.shared.taking.lock().remove(&taking.url);
        taking.listeners.lock().clear();
        for message in taking.end_holding_for_good() {
            crate::answer::Question::new(self.bus(), message).answer(super::pass::elsewhere());
        }
    }

    /// Writes how far it has come and waits until that is durable.
    pub(super) async fn keep_taking(&self, taking: &Taking, status: RecordStatus) -> Result<(), Refusal> {
        if !taking.resumable {
            return Ok(());
        }
        self.storage().save(&taking.record(status));
        Ok(self.on_disk().await?)
    }
}
