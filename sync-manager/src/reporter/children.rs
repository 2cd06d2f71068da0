//! Children at the Reporter's side (protocol 5.9, M18, M19): the hub that checks, keeps, passes on and answers.

use std::sync::Arc;

use hyperty_model::change::check_value;
use hyperty_model::message::{ChildBody, DeleteBody, ResponseBody, UpdateBody};
use hyperty_model::object::{ChildEntry, ChildId, ChildOutcome, ChildRefusal};
use hyperty_model::{ChildrenName, DerivedTail, HypertyUrl, Identity, Message, MessageType, StatusCode, Url};
use hyperty_storage::{Role, Ticket};

use super::commit::{Release, Staged};
use super::object::{Phase, Reported, State};
use crate::answer::Refusal;
use crate::delegation::full;
use crate::manager::SyncManager;

/// A child operation that was taken in.
struct Taken {
    child: (ChildrenName, ChildId),
    outcome: ChildOutcome,
    /// The child before and after, where the operation is not to be seen at once.
    before: Option<ChildEntry>,
    after: Option<ChildEntry>,
    ticket: Option<Ticket>,
}

impl SyncManager {
    /// What is sent to a children channel of a reported object, and the policy lets pass ([`super::permit_child`]).
    pub(crate) fn on_child(&self, object: &Arc<Reported>, message: &Message) {
        if !matches!(message.kind(), MessageType::Create | MessageType::Update | MessageType::Delete) {
            return;
        }
        let mut state = object.lock();
        match state.phase {
            Phase::Ending => return,
            Phase::Frozen | Phase::Delegated => {
                // Those from elsewhere are sent again until they are answered (M18), by whoever answers then.
                if !message.is_remote() && state.handing.hold(message.clone()).is_err() {
                    self.answer_child(message, full().into());
                }
                return;
            }
            _ => {}
        }
        match self.take_child(object, &mut state, message) {
            Ok(Taken { child, outcome: ChildOutcome::Applied, before, after, ticket }) => {
                let (name, id) = child.clone();
                state.unreleased.note(name, id, before);
                let ticket = ticket.filter(|_| state.options.store);
                let release = Release::Child { message: message.clone(), child, after: after.map(Box::new) };
                self.stage(object, &mut state, Staged { ticket, release });
            }
            // Sent again because the first answer was lost.
            Ok(Taken { outcome: ChildOutcome::Duplicate, .. }) => {
                let release = Release::ChildAgain { message: message.clone() };
                self.stage(object, &mut state, Staged { ticket: None, release });
            }
            // Sent again while the first waits for the store, behind what came after it: that one is answered.
            Err(_) if waits(&state, message) => {
                let release = Release::ChildAgain { message: message.clone() };
                self.stage(object, &mut state, Staged { ticket: None, release });
            }
            Err(refusal) => {
                tracing::debug!(object = %object.url, %refusal, "a child operation was refused");
                self.answer_child(message, refusal.into());
            }
        }
    }

    /// Who writes, and the user behind it as it was accepted.
    ///
    /// # Errors
    /// As an operation of it on a child is refused.
    pub(super) fn child_writer(
        &self,
        object: &Reported,
        name: &ChildrenName,
        message: &Message,
    ) -> Result<(HypertyUrl, Option<Identity>), Refusal> {
        let writer = writer_of(object, message)?;
        let state = object.lock();
        check_child_writer(object, &state, name, &writer, message)?;
        let identity = match state.observers.get(&writer) {
            Some(entry) => entry.identity.clone(),
            None => state.reporter_user.clone(),
        };
        Ok((writer, identity))
    }

    /// Checks an operation and applies it to the copy that is ahead; what it changed is handed to the store.
    fn take_child(&self, object: &Reported, state: &mut State, message: &Message) -> Result<Taken, Refusal> {
        let name = match message.to().split_derived() {
            Some((_, Some(DerivedTail::Children(name)))) => name,
            _ => return Err(Refusal::bad_request("not a children channel")),
        };
        let writer = writer_of(object, message)?;
        check_child_writer(object, state, &name, &writer, message)?;
        let operation = Operation::read(message)?;
        let id = operation.id()?;
        self.check_child_size(message)?;
        // Released in this call, it has no time in which it must not be seen.
        let waits = state.options.store || !state.staged.is_empty();
        let present = |state: &State| state.children.get(&name, id.as_str()).filter(|_| waits).cloned();
        let before = present(state);
        let outcome = match operation {
            Operation::Create(body) => self.create_child(state, &name, &writer, &body)?,
            Operation::Update(body) => {
                for value in body.values() {
                    check_value(value).map_err(|error| Refusal::bad_request(error.to_string()))?;
                }
                let updated = state.children.update(&name, id.as_str(), writer.as_url(), &body);
                updated.map_err(child_refusal)?
            }
            Operation::Delete(_) => {
                state.children.delete(&name, id.as_str(), writer.as_url()).map_err(child_refusal)?
            }
        };
        let ticket = match outcome {
            ChildOutcome::Applied => self.store_child(object, state, &name, &id),
            ChildOutcome::Duplicate => None,
        };
        let after = present(state);
        Ok(Taken { child: (name, id), outcome, before, after, ticket })
    }

    fn create_child(
        &self,
        state: &mut State,
        name: &ChildrenName,
        writer: &HypertyUrl,
        body: &ChildBody,
    ) -> Result<ChildOutcome, Refusal> {
        if body.value.reporter != *writer {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "a child is created by its own reporter"));
        }
        if body.resource != body.value.url.as_str() {
            return Err(Refusal::bad_request("resource and value.url name different children"));
        }
        if state.children.len() >= self.config().children_max {
            return Err(
                Refusal::new(StatusCode::INTERNAL, "the object has too many children").because("limit")
            );
        }
        check_value(&body.value.data).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let entry = ChildEntry { value: body.value.clone(), identity: body.identity.clone() };
        state.children.create(name, entry).map_err(child_refusal)
    }

    /// Writes what an operation made of a child.
    pub(crate) fn store_child(
        &self,
        object: &Reported,
        state: &State,
        name: &ChildrenName,
        id: &ChildId,
    ) -> Option<Ticket> {
        let keep = state.options.resumable;
        keep.then(|| match state.children.get(name, id.as_str()) {
            Some(entry) => self.storage().put_child(Role::Reporter, &object.url, name, entry),
            None => self.storage().delete_child(Role::Reporter, &object.url, name, id.as_str()),
        })
    }

    /// Answers the writer of a child operation; nobody else does (M19).
    pub(crate) fn answer_child(&self, message: &Message, body: ResponseBody) {
        let body = body.with_source(self.address().clone());
        self.bus().post(message.reply(body));
    }
}

/// Whether this very operation was taken in and waits to be released.
fn waits(state: &State, again: &Message) -> bool {
    state.staged.iter().any(|staged| match &staged.release {
        Release::Child { message, .. } => message.id() == again.id() && message.from() == again.from(),
        _ => false,
    })
}

/// What is to be done to a child.
enum Operation {
    Create(Arc<ChildBody>),
    Update(Arc<UpdateBody>),
    Delete(Arc<DeleteBody>),
}

impl Operation {
    fn read(message: &Message) -> Result<Operation, Refusal> {
        Ok(match message.kind() {
            MessageType::Create => Operation::Create(message.decode()?),
            MessageType::Update => Operation::Update(message.decode()?),
            _ => Operation::Delete(message.decode()?),
        })
    }

    fn id(&self) -> Result<ChildId, Refusal> {
        let id = match self {
            Operation::Create(body) => Some(body.value.url.as_str()),
            Operation::Update(body) => body.resource.as_deref(),
            Operation::Delete(body) => body.child_id(),
        };
        let id = id.ok_or_else(|| Refusal::missing("resource"))?;
        // What cannot be an id is no child's.
        ChildId::parse(id).map_err(|_| child_refusal(ChildRefusal::Unknown))
    }
}

/// Who writes: the sender, or `source` where an older peer sends it in the object's name (5.9.3).
fn writer_of(object: &Reported, message: &Message) -> Result<HypertyUrl, Refusal> {
    let actor = if message.from() == object.url.as_url() {
        let source =
            message.decode::<serde_json::Value>()?.get("source").and_then(|s| s.as_str().map(Url::parse));
        match source {
            Some(Ok(source)) => source,
            _ => return Err(Refusal::missing("source")),
        }
    } else {
        message.from().clone()
    };
    if !message.is_remote() && message.sender() != Some(&actor) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "a hyperty writes children in its own name only"));
    }
    HypertyUrl::try_from(actor).map_err(|_| Refusal::bad_request("only hyperties write children"))
}

/// P-CHILD: the Reporter, or an observer where the schema lets observers write (3.6).
fn check_child_writer(
    object: &Reported,
    state: &State,
    name: &ChildrenName,
    writer: &HypertyUrl,
    message: &Message,
) -> Result<(), Refusal> {
    let forbidden = |text: &str| Err(Refusal::new(StatusCode::FORBIDDEN, text));
    let Some(rule) = object.schema.children.iter().find(|rule| rule.name == *name) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("the schema defines no children {name}")));
    };
    match &state.phase {
        Phase::Live => {}
        Phase::Condemned | Phase::Deleting => {
            return Err(Refusal::new(StatusCode::GONE, "the object is deleted"));
        }
        Phase::Frozen | Phase::Delegated => {
            return Err(Refusal::new(StatusCode::CONFLICT, "the object is changing hands"));
        }
        Phase::Ending => return Err(Refusal::new(StatusCode::INTERNAL, "the runtime is ending")),
        Phase::Deposed => {
            let text = "the object has another Reporter";
            return Err(Refusal::new(StatusCode::TIMEOUT, text).because("owner"));
        }
        Phase::Closed(why) => {
            return Err(Refusal::new(StatusCode::INTERNAL, format!("storage: {why}")).because("storage"));
        }
    }
    if *writer == state.metadata.reporter {
        return if message.is_remote() {
            forbidden("the Reporter writes from its own runtime")
        } else {
            Ok(())
        };
    }
    let Some(entry) = state.observers.get(writer) else {
        return forbidden("only the Reporter and its observers write children");
    };
    if withdraws(state, name, writer, message) {
        return Ok(());
    }
    if !entry.children {
        return forbidden("the invitation of this observer allows no children");
    }
    if !rule.observers_may_write {
        return forbidden("the schema lets observers only read these children");
    }
    Ok(())
}

/// Whether an observer deletes what it wrote itself. It may, also where it may write no more: as the Reporter that it
/// was, or before the policy changed. The others have believed it by then (5.9.4).
pub(super) fn withdraws(state: &State, name: &ChildrenName, writer: &HypertyUrl, message: &Message) -> bool {
    if message.kind() != MessageType::Delete {
        return false;
    }
    let Ok(body) = message.decode::<DeleteBody>() else { return false };
    let child = body.child_id().and_then(|id| state.children.get(name, id));
    child.is_some_and(|child| child.value.reporter == *writer)
}

fn child_refusal(refusal: ChildRefusal) -> Refusal {
    let code = match refusal {
        ChildRefusal::Unknown => StatusCode::NOT_FOUND,
        ChildRefusal::NotReporter | ChildRefusal::OtherReporter => StatusCode::FORBIDDEN,
        ChildRefusal::Deleted => StatusCode::GONE,
        ChildRefusal::Gap => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    };
    Refusal::new(code, refusal.to_string())
}
