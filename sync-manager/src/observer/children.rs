//! Children at the Observer's side (protocol 5.9, M18): own operations are kept until they are answered, those of
//! others are passed on once.

use std::sync::Arc;

use hyperty_model::change::check_value;
use hyperty_model::message::{ChildBody, DeleteBody, ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::object::{
    ChildEntry, ChildId, ChildOutcome, ChildRefusal, Children, Merged, MergedAs, Trust,
};
use hyperty_model::{Body, ChildrenName, DerivedTail, Message, MessageType, ObjectUrl, StatusCode, Url};
use hyperty_storage::Role;
use tokio::time::Instant;

use super::answered::is_same;
use super::disagreement::Next;
use super::object::{Before, Link, Observed, State};
use super::pending::Kept;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::timers::Due;

/// How many times an operation that did not reach the Reporter's side is sent again before children that differ are
/// looked at once more: what is heard of one of them meanwhile shows that it is not lost.
pub(super) const LOOKS: u32 = 3;

impl SyncManager {
    /// Whatever is sent to a children channel of an observed object comes here and nowhere else (B3).
    pub(crate) fn on_observed_child(&self, object: &Arc<Observed>, message: &Message) {
        if !matches!(message.kind(), MessageType::Create | MessageType::Update | MessageType::Delete) {
            return;
        }
        let mut state = object.lock();
        if message.is_remote() {
            if !self.is_from_home(&object.url, message) {
                return tracing::warn!(object = %object.url, hops = ?message.hops(), "a child operation came from another domain");
            }
            if is_read_only(&state, message) {
                return tracing::debug!(object = %object.url, from = %message.from(), "only the Reporter writes these children");
            }
            state.disagreement.heard();
            if state.link == Link::Disconnected {
                return self.repair_first(object, &mut state);
            }
            match apply_child(&mut state.children, message) {
                Ok(ChildOutcome::Applied) => {
                    note_arrival(&mut state, message);
                    self.store_observed_child(object, &state, message);
                    self.bus().release(message);
                }
                // Sent again because the Reporter's side had lost it: so may have the state that is being asked for.
                Ok(ChildOutcome::Duplicate) => note_arrival(&mut state, message),
                Err(Applied::Refused(ChildRefusal::Deleted)) => {}
                // Its creation, or a change before this one, was missed.
                Err(Applied::Refused(ChildRefusal::Unknown | ChildRefusal::Gap)) => {
                    self.repair_soon(&object.url)
                }
                Err(error) => tracing::debug!(object = %object.url, ?error, "a child operation was ignored"),
            }
            return;
        }
        // Posted once more by who does not wait: it is answered when the Reporter's side has answered.
        if state.pending.iter().any(|pending| is_same(&pending.message, message)) {
            return;
        }
        if let Err(refusal) = self.take_own_child(object, &mut state, message) {
            self.shared.answered.lock().let_go(message);
            let body = ResponseBody::from(refusal).with_source(self.address().clone());
            self.bus().post(message.reply(body));
        }
    }

    /// An operation of a hyperty here: kept, then shown to the others here and sent to the Reporter's side.
    fn take_own_child(
        &self,
        object: &Arc<Observed>,
        state: &mut State,
        message: &Message,
    ) -> Result<(), Refusal> {
        let forbidden = |text: &str| Refusal::new(StatusCode::FORBIDDEN, text);
        if message.sender() != Some(message.from()) {
            return Err(forbidden("a hyperty writes children in its own name only"));
        }
        if state.gone {
            return Err(Refusal::new(StatusCode::GONE, "the object is deleted"));
        }
        if !state.observers.keys().any(|hyperty| hyperty.as_url() == message.from()) {
            return Err(forbidden("only observers write children"));
        }
        if is_read_only(state, message) {
            return Err(forbidden("the schema lets observers only read these children"));
        }
        if state.pending.len() >= self.config().pending_children_max {
            return Err(
                Refusal::new(StatusCode::INTERNAL, "too many unanswered child operations").because("limit")
            );
        }
        self.check_child_size(message)?;
        let before = before(state, message);
        match apply_child(&mut state.children, message) {
            Ok(ChildOutcome::Applied) => {}
            Ok(ChildOutcome::Duplicate) => return Err(Refusal::new(StatusCode::CONFLICT, "done before")),
            Err(Applied::Malformed(refusal)) => return Err(refusal),
            Err(Applied::Refused(refusal)) => return Err(Refusal::new(refusal.code(), refusal.to_string())),
        }
        // In this order: a child without the operation that made it so would never be sent, and what follows it refused.
        self.keep_pending(object, state, message.clone(), Kept::Now(before));
        self.store_observed_child(object, state, message);
        self.send_kept(object, state);
        self.shared.timers.set(&object.url, Due::Children, Instant::now() + self.config().child_wait);
        Ok(())
    }

    /// An operation that was kept, of which the store may not have what it made of its child.
    pub(crate) fn make_again(&self, object: &Observed, state: &mut State, message: &Message) {
        if matches!(apply_child(&mut state.children, message), Ok(ChildOutcome::Applied)) {
            self.store_observed_child(object, state, message);
        }
    }

    /// Writes the child that an operation was about, if an observer here wants the object kept.
    fn store_observed_child(&self, object: &Observed, state: &State, message: &Message) {
        if !state.is_resumable() {
            return;
        }
        let (Some(name), Some(id)) = (children_name(message), child_id(message)) else { return };
        match state.children.get(&name, &id) {
            Some(entry) => drop(self.storage().put_child(Role::Observer, &object.url, &name, entry)),
            None => drop(self.storage().delete_child(Role::Observer, &object.url, &name, &id)),
        }
    }

    /// The children as the Reporter's side has them are taken over, except for what it may not have known yet:
    /// operations of this runtime that it has not answered, what arrived since it was asked, and, until it turns out
    /// that nothing was under way, whatever it does not know. The observers here are told of every difference.
    pub(crate) fn install_children(
        &self,
        object: &Arc<Observed>,
        state: &mut State,
        theirs: Children,
        all: All,
    ) {
        let mut keep = state.arrived.clone();
        for pending in &state.pending {
            if let (Some(name), Ok(id)) = (children_name(&pending.message), ChildId::parse(&pending.child)) {
                keep.insert((name, id));
            }
        }
        let trust = match all {
            All::ButUnchanged => Trust::MayBeOld,
            All::Children => {
                state.disagreement.trust(&theirs, &state.children, LOOKS * self.config().child_wait)
            }
        };
        let digest = theirs.digest();
        let disagreement = &state.disagreement;
        let changes = state.children.merge_trusting(theirs, |name, id| {
            if keep.contains(&(name.clone(), id.clone())) {
                Trust::MayBeOld
            } else if all == All::Children && disagreement.is_refused(name, id) {
                Trust::IsRight
            } else {
                trust
            }
        });
        self.tell_differences(&object.url, &state.children, &changes);
        if !changes.is_empty() {
            self.save_observed(state);
        }
        if all == All::ButUnchanged {
            return;
        }
        state.disagreement.heeded_refusals();
        // While operations from here are unanswered the two differ by these.
        if state.pending.is_empty()
            && state.disagreement.taken_over(digest, &state.children, trust) == Next::LookAgain
        {
            state.repair.whole = true;
            self.shared.timers.set(
                &object.url,
                Due::Repair,
                Instant::now() + LOOKS * self.config().child_wait,
            );
        }
    }

    /// Tells the observers here what became of children otherwise than by an operation: `children` are as they are now.
    pub(super) fn tell_differences(&self, url: &ObjectUrl, children: &Children, changes: &[Merged]) {
        let tell = |name: &ChildrenName, entry: Option<&ChildEntry>, what| {
            if let Some(entry) = entry {
                self.bus().release_locally(&self.difference(url, name, entry, what));
            }
        };
        for Merged { name, id, what, former } in changes {
            if matches!(what, MergedAs::Deleted | MergedAs::Replaced) {
                tell(name, former.as_ref(), MergedAs::Deleted);
            }
            match what {
                MergedAs::Deleted => {}
                MergedAs::Replaced => tell(name, children.get(name, id.as_str()), MergedAs::Created),
                MergedAs::Created | MergedAs::Updated => tell(name, children.get(name, id.as_str()), *what),
            }
        }
    }

    /// The operation that tells an observer what a repair changed.
    pub(super) fn difference(
        &self,
        url: &ObjectUrl,
        name: &ChildrenName,
        entry: &ChildEntry,
        what: MergedAs,
    ) -> Message {
        let value = &entry.value;
        let (kind, body) = match what {
            MergedAs::Created => {
                let (value, identity) = (value.clone(), entry.identity.clone());
                let body = ChildBody { resource: value.url.to_string(), value, identity, mutual: None };
                (MessageType::Create, Body::of(body))
            }
            MergedAs::Updated => {
                let body = UpdateBody {
                    version: Some(value.version),
                    resource: Some(value.url.to_string()),
                    source: Some(value.reporter.as_url().clone()),
                    last_modified: value.last_modified,
                    ..UpdateBody::new(UpdateKind::Whole(value.data.clone()))
                };
                (MessageType::Update, Body::of(body))
            }
            MergedAs::Deleted | MergedAs::Replaced => {
                // Not in its reporter's name: the child may only have been lost, and come again (M18).
                let (resource, source) = (Some(value.url.to_string()), Some(self.address().clone()));
                let body = DeleteBody { resource, source, ..DeleteBody::default() };
                (MessageType::Delete, Body::of(body))
            }
        };
        self.bus().new_message(kind, value.reporter.as_url(), &url.children(name), body)
    }
}

/// Which children an answer of the Reporter's side holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum All {
    /// Every one: what is not there is gone.
    Children,
    /// Those that changed; one that is gone stands among the deleted (10.1).
    ButUnchanged,
}

/// The child that an operation is about, as it is before it.
fn before(state: &State, message: &Message) -> Before {
    let key = children_name(message).zip(child_id(message));
    let entry = key.and_then(|(name, id)| state.children.get(&name, &id));
    entry.map_or(Before::Nothing, |entry| Before::Child(Box::new(entry.clone())))
}

/// Whether an operation writes children that observers only read, and is not the Reporter's (5.9.1). Who wrote one as the
/// Reporter may still delete it (5.9.4).
fn is_read_only(state: &State, message: &Message) -> bool {
    if message.kind() == MessageType::Delete {
        return false;
    }
    let read_only = state.read_only.as_deref().unwrap_or_default();
    let listed = children_name(message).is_some_and(|name| read_only.contains(&name));
    let reporter = state.metadata.as_ref().map(|metadata| metadata.reporter.as_url());
    let by_object = state.metadata.as_ref().is_some_and(|metadata| message.from() == metadata.url.as_url());
    listed && !by_object && reporter.is_some_and(|reporter| reporter != message.from())
}

/// While the Reporter's side is being asked for its state, remembers what that state may be too old to know.
pub(super) fn note_arrival(state: &mut State, message: &Message) {
    if state.asking == 0 {
        return;
    }
    let id = child_id(message).and_then(|id| ChildId::parse(&id).ok());
    if let (Some(name), Some(id)) = (children_name(message), id) {
        state.arrived.insert((name, id));
    }
}

/// Why an operation was not applied.
#[derive(Debug)]
enum Applied {
    Refused(ChildRefusal),
    Malformed(Refusal),
}

impl From<ChildRefusal> for Applied {
    fn from(refusal: ChildRefusal) -> Applied {
        Applied::Refused(refusal)
    }
}

impl From<hyperty_model::message::BodyError> for Applied {
    fn from(error: hyperty_model::message::BodyError) -> Applied {
        Applied::Malformed(error.into())
    }
}

fn missing(field: &str) -> Applied {
    Applied::Malformed(Refusal::missing(field))
}

/// Applies an operation on a child. Who writes is the sender, or `source` where an older peer sends it in the
/// object's name (5.9.3).
fn apply_child(children: &mut Children, message: &Message) -> Result<ChildOutcome, Applied> {
    let Some((object, Some(DerivedTail::Children(name)))) = message.to().split_derived() else {
        return Err(missing("children"));
    };
    match message.kind() {
        MessageType::Create => {
            let body = message.decode::<ChildBody>()?;
            check_value(&body.value.data)
                .map_err(|error| Applied::Malformed(Refusal::bad_request(error.to_string())))?;
            if message.from() != object.as_url() && *message.from() != *body.value.reporter.as_url() {
                return Err(Applied::Refused(ChildRefusal::NotReporter));
            }
            let entry = ChildEntry { value: body.value.clone(), identity: body.identity.clone() };
            Ok(children.create(&name, entry)?)
        }
        MessageType::Update => {
            let body = message.decode::<UpdateBody>()?;
            let id = body.resource.as_deref().ok_or_else(|| missing("resource"))?;
            let writer = writer(&object, message, body.source.as_ref()).ok_or_else(|| missing("source"))?;
            Ok(children.update(&name, id, &writer, &body)?)
        }
        _ => {
            let body = message.decode::<DeleteBody>()?;
            let id = body.child_id().ok_or_else(|| missing("resource"))?;
            let writer = writer(&object, message, body.source.as_ref()).ok_or_else(|| missing("source"))?;
            Ok(children.delete(&name, id, &writer)?)
        }
    }
}

fn writer(object: &ObjectUrl, message: &Message, source: Option<&Url>) -> Option<Url> {
    if message.from() == object.as_url() { source.cloned() } else { Some(message.from().clone()) }
}

pub(super) fn children_name(message: &Message) -> Option<ChildrenName> {
    match message.to().split_derived()?.1? {
        DerivedTail::Children(name) => Some(name),
        _ => None,
    }
}

/// The id of the child that an operation is about.
pub(super) fn child_id(message: &Message) -> Option<String> {
    match message.kind() {
        MessageType::Create => Some(message.decode::<ChildBody>().ok()?.value.url.to_string()),
        MessageType::Update => message.decode::<UpdateBody>().ok()?.resource.clone(),
        _ => message.decode::<DeleteBody>().ok()?.child_id().map(str::to_owned),
    }
}
