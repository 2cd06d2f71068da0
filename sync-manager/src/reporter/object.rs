//! The state of one reported object.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hyperty_message_bus::{Listener, PublishRoute, Wish};
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::Scope;
use hyperty_model::message::UpdateBody;
use hyperty_model::object::{Children, Metadata, Unreleased};
use hyperty_model::{
    ChildrenName, HypertyUrl, Identity, ObjectUrl, Position, RuntimeUrl, Snapshot, Timestamp, Url,
};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_registry::Schema;
use hyperty_storage::{Delegation, Subscriber};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::accepted::Accepted;
use super::answers::Answers;
use super::commit::Staged;
use super::execute::Actions;
use super::grants::Grants;
use super::invitations::Invitations;
use super::join::Joining;
use super::kept::Ahead;
use super::permit_child::ChildGate;
use super::removed::{Deciding, Removed};
use super::roll_call::RollCall;
use crate::delegation::Handing;
use crate::digest::DigestCache;

/// One reported object. Everything that orders its changes happens under the lock of `state`.
pub(crate) struct Reported {
    pub(crate) url: ObjectUrl,
    pub(crate) schema: Arc<Schema>,
    /// Whoever deletes waits here for acknowledgements.
    pub(crate) acknowledged: Notify,
    /// Operations on children that wait for the policy.
    pub(crate) child_gate: ChildGate,
    state: Mutex<State>,
}

/// The sequencer's state.
pub(crate) struct State {
    /// The released metadata; what observers may know.
    pub(crate) metadata: Metadata,
    /// What changes that wait to be released make of it.
    pub(super) ahead: Ahead,
    /// Where the released copy stands; what observers may know.
    pub(crate) position: Position,
    /// The released copy.
    pub(crate) data: Arc<Value>,
    /// The copy with every change taken in, for a stored object: ahead of `data` while commits are under way.
    pub(crate) head: Option<Value>,
    /// Where the copy with every change taken in stands.
    pub(crate) head_position: Position,
    pub(crate) log: ChangeLog,
    pub(crate) answers: Answers,
    /// The digest of the released copy.
    pub(crate) digest: DigestCache,
    /// The children with every operation taken in; what others may see of them is [`State::shown_children`].
    pub(crate) children: Children,
    /// The operations on children that wait to be durable.
    pub(crate) unreleased: Unreleased,
    pub(crate) observers: Accepted,
    /// Who of them was not heard of since this runtime was away.
    pub(crate) roll: RollCall,
    /// Those that observe as soon as the store has kept it.
    pub(crate) joining: Joining,
    /// Who was removed, and may not come back without a new permission.
    pub(crate) removed: Removed,
    /// Counts how often all of them who had not heard of it were told: the last time ends those before.
    pub(super) reminders: u64,
    /// Of whom it is being decided whether they may observe.
    pub(crate) deciding: Deciding,
    /// What observers asked for and was not answered.
    pub(crate) actions: Actions,
    pub(crate) grants: Grants,
    /// Who was invited, and is not done with it.
    pub(crate) invitations: Invitations,
    pub(crate) reporter_user: Option<Identity>,
    pub(crate) staged: VecDeque<Staged>,
    pub(crate) phase: Phase,
    pub(crate) options: Options,
    /// Listeners A1 to A4; they end with the object.
    pub(crate) listeners: Vec<Listener>,
    /// What brings the Reporter its answers and the operations on children, A5.
    pub(crate) forwards: Vec<Listener>,
    /// That it is changing hands.
    pub(crate) handing: Handing,
    /// How it came to this runtime, if it was given here.
    pub(crate) origin: Option<Delegation>,
    /// The change that says who reports it now, until it is released.
    pub(crate) first_change: Option<Arc<UpdateBody>>,
    /// The routes at the message node, A12.
    pub(crate) wish: Option<Wish>,
    pub(crate) beat: BeatState,
    /// Runtimes that a deletion still waits for.
    pub(crate) awaited: BTreeSet<RuntimeUrl>,
}

/// What creation chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) store: bool,
    pub(crate) resumable: bool,
    pub(crate) domain_registration: bool,
    pub(crate) domain_routing: bool,
    /// Whether the domain's backup keeps it, too.
    pub(crate) backup: bool,
}

/// Where an object is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes changes and observers.
    Live,
    /// Its store was closed with the runtime. Nobody is told anything any more, as in a crash: who wrote a child sends
    /// it again when the object is resumed.
    Ending,
    /// Its store failed: nothing is written until the runtime is started again. Holds why.
    Closed(String),
    /// That it is to be deleted is being written: nothing is taken any more, and nobody is told that it is deleted
    /// before a crash cannot bring it back.
    Condemned,
    /// Being deleted, or deleted.
    Deleting,
    /// Somebody else reports it in a higher epoch.
    Deposed,
    /// Its Reporter has stopped, so that it can be given away; or it was given, and is not served yet. What comes is held.
    Frozen,
    /// Given away; what still comes is passed on.
    Delegated,
}

/// An accepted observer.
pub(crate) struct ObserverEntry {
    pub(crate) runtime: Option<RuntimeUrl>,
    pub(crate) identity: Option<Identity>,
    pub(crate) resumable: bool,
    /// Whether it may write children, where the schema lets observers.
    pub(crate) children: bool,
    /// Since when it observes; unknown for one that an older release accepted.
    pub(crate) since: Option<Timestamp>,
    /// Since when its session has ended; it keeps its place and gets nothing until it reads again (M13).
    pub(crate) away: Option<Instant>,
    pub(crate) routes: ObserverRoutes,
}

impl ObserverEntry {
    /// What the store keeps of it.
    pub(crate) fn subscriber(&self, hyperty: &HypertyUrl) -> Subscriber {
        Subscriber {
            runtime: self.runtime.clone(),
            identity: self.identity.clone(),
            away: self.away.is_some(),
            children: self.children,
            since: self.since,
            ..Subscriber::new(hyperty.clone())
        }
    }
}

/// The routes that bring an observer the stream: B2 and B4 in this runtime, or A6 and A7 to a stub.
#[derive(Default)]
pub(crate) struct ObserverRoutes {
    pub(crate) forwards: Vec<Listener>,
    pub(crate) publishes: Vec<PublishRoute>,
}

/// When positions are announced (10.2).
#[derive(Default)]
pub(crate) struct BeatState {
    pub(crate) last_change: Option<Instant>,
    pub(crate) interval: Option<std::time::Duration>,
}

impl Reported {
    /// What a policy is asked about this object.
    pub(crate) fn policy_request(
        &self,
        point: Point,
        actor: &Url,
        identity: Option<&Identity>,
    ) -> PolicyRequest {
        let state = self.lock();
        PolicyRequest::new(point, actor.clone())
            .identity(identity.cloned())
            .object(self.url.clone())
            .schema(state.metadata.schema.clone())
            .reporter(state.metadata.reporter.clone(), state.reporter_user.clone())
    }

    pub(crate) fn new(schema: Arc<Schema>, state: State) -> Reported {
        let url = state.metadata.url.clone();
        Reported {
            url,
            schema,
            acknowledged: Notify::new(),
            child_gate: ChildGate::default(),
            state: Mutex::new(state),
        }
    }

    /// Enters the sequencer. Never held over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The names of its children, in the order of the schema.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ChildrenName> {
        self.schema.children.iter().map(|rule| &rule.name)
    }

    pub(crate) fn name_strings(&self) -> Vec<String> {
        self.names().map(ToString::to_string).collect()
    }

    /// `O/changes` and every C(n): what observers listen to.
    pub(crate) fn stream(&self) -> Vec<Url> {
        std::iter::once(self.url.changes()).chain(self.names().map(|name| self.url.children(name))).collect()
    }

    /// `O`, `O/subscription` and every C(n): what the message node routes to the Reporter's runtime (A12).
    pub(crate) fn routed(&self) -> Vec<Url> {
        let own = [self.url.as_url().clone(), self.url.subscription()];
        own.into_iter().chain(self.names().map(|name| self.url.children(name))).collect()
    }
}

impl State {
    /// A state as it stands right after creation or after it was read from the store.
    pub(crate) fn new(metadata: Metadata, position: Position, data: Value, options: Options) -> State {
        State {
            metadata,
            ahead: Ahead::default(),
            position,
            head: options.store.then(|| data.clone()),
            data: Arc::new(data),
            head_position: position,
            log: ChangeLog::starting_at(position, LogLimits::default()),
            answers: Answers::default(),
            digest: DigestCache::default(),
            children: Children::default(),
            unreleased: Unreleased::default(),
            observers: Accepted::default(),
            roll: RollCall::default(),
            joining: Joining::default(),
            removed: Removed::default(),
            reminders: 0,
            deciding: Deciding::default(),
            actions: Actions::default(),
            grants: Grants::default(),
            invitations: Invitations::default(),
            reporter_user: None,
            staged: VecDeque::new(),
            phase: Phase::Live,
            options,
            listeners: Vec::new(),
            forwards: Vec::new(),
            handing: Handing::default(),
            origin: None,
            first_change: None,
            wish: None,
            beat: BeatState::default(),
            awaited: BTreeSet::new(),
        }
    }

    /// The released copy, whole.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { data: Value::clone(&self.data), ..self.snapshot_without_data() }
    }

    /// The released copy but for its data, which is shared.
    pub(crate) fn snapshot_without_data(&self) -> Snapshot {
        Snapshot {
            metadata: self.metadata.clone(),
            version: self.position.version,
            epoch: self.position.epoch,
            data: Value::Null,
            children: self.shown_children().into_owned(),
        }
    }

    /// The children as far as they are released.
    pub(crate) fn shown_children(&self) -> Cow<'_, Children> {
        let mut shown = Cow::Borrowed(&self.children);
        if !self.unreleased.is_empty() {
            self.unreleased.hide(shown.to_mut());
        }
        shown
    }

    /// Goes on in another epoch with what was released: no copy stands in it, and every copy is replaced. What was taken
    /// in behind it is of that epoch already.
    pub(crate) fn enter_epoch(&mut self, epoch: u64) {
        self.position.epoch = epoch;
        self.log = ChangeLog::starting_at(self.position, LogLimits::default());
        self.answers.outdate();
    }

    /// Whether `url` may read and listen without asking the Reporter: observers, granted hyperties and users,
    /// everybody in a public object. Who was removed is let in by a grant of its own only, which is younger than its
    /// removal, and by none for a group.
    pub(crate) fn admits(&self, url: &HypertyUrl, identity: Option<&Identity>, now: Timestamp) -> bool {
        self.metadata.public_observation
            || self.observers.contains_key(url)
            || self.is_granted(url, now)
            || !self.removed.contains(url) && self.grants.find(url, identity, now).is_some()
    }

    /// Whether it has a grant of its own now.
    fn is_granted(&self, url: &HypertyUrl, now: Timestamp) -> bool {
        self.grants.get(url.as_url()).is_some_and(|grant| grant.holds_at(now))
    }

    /// Whether `url` was removed and nothing has let it in since (INV-KICK-1).
    pub(crate) fn shuts_out(&self, url: &HypertyUrl, now: Timestamp) -> bool {
        self.removed.contains(url) && !self.admits(url, None, now)
    }

    /// What the scope of its grant says of an observer and children, as long as it observes: its own grant, else what
    /// it came by before, else the grant of its user or domain. Without a grant nothing is forbidden here.
    pub(crate) fn may_write_children(
        &self,
        url: &HypertyUrl,
        identity: Option<&Identity>,
        now: Timestamp,
    ) -> bool {
        let own =
            self.grants.get(url.as_url()).filter(|grant| grant.holds_at(now)).map(|grant| grant.children);
        let before = || self.observers.get(url).map(|entry| entry.children);
        let group = || self.grants.find(url, identity, now).map(|grant| grant.children);
        own.or_else(before).or_else(group).unwrap_or(true)
    }

    /// Whether some hyperty of this user is an accepted observer.
    pub(crate) fn is_observed_by(&self, user: Option<&Identity>) -> bool {
        let same =
            |entry: &ObserverEntry| entry.identity.as_ref().zip(user).is_some_and(|(a, b)| a.same_user(b));
        self.observers.values().any(same)
    }

    /// What an invited hyperty is told of its grant.
    pub(crate) fn scope_of(&self, who: &Url) -> Scope {
        let grant = self.grants.get(who);
        grant.map_or_else(Scope::default, |grant| Scope {
            children: grant.children,
            until: grant.until.map(Timestamp::from_millis),
        })
    }
}
