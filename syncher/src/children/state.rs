//! The children of one object as one participant knows them, without any I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hyperty_model::message::{ChildBody, DeleteBody, UpdateBody};
use hyperty_model::object::{ChildEntry, ChildId, ChildOutcome, ChildRefusal, Children, MergedAs, Trust};
use hyperty_model::{ChildrenName, HypertyUrl, Message, MessageId, MessageType, ObjectUrl, Url};

use super::ChildError;
use crate::{ChildEvent, ChildOp};

/// A child by name and id.
pub(crate) type Key = (ChildrenName, ChildId);

/// What is told when an operation is answered or fails.
pub(super) type Done = tokio::sync::oneshot::Sender<Result<(), ChildError>>;

/// All that is known of an object's children.
///
/// `known` is what the Reporter's side has let through: everybody's operations, and one's own once they are
/// answered. One's own operations that are not answered yet lie over it, so that a refusal only takes them away.
#[derive(Debug)]
pub(super) struct ChildrenState {
    pub(super) me: HypertyUrl,
    object: ObjectUrl,
    names: Vec<ChildrenName>,
    pub(super) known: Children,
    pub(super) mine: BTreeMap<Key, Unanswered>,
    pub(super) unanswered: usize,
    /// The number of the next own child of each name: an id is never used again, not even a refused one.
    pub(super) next: BTreeMap<ChildrenName, u64>,
    /// What arrived before the first snapshot; `None` afterwards.
    waiting: Option<VecDeque<Message>>,
    /// The children of an observation that has ended, until the first snapshot of the next one.
    pub(super) former: BTreeSet<Key>,
    /// How many snapshots are being asked for.
    asking: usize,
    /// Of which children something arrived meanwhile: an answer may be too old to know of it.
    arrived: BTreeSet<Key>,
    /// The schema of the object; it travels with a new child.
    pub(super) schema: Option<Url>,
    /// Why no own operation is possible any more.
    pub(super) closed: Option<ChildError>,
}

/// One's own operations on one child that are not answered yet, and what the child looks like with them.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// `None` when the last operation is a deletion.
    pub(super) entry: Option<ChildEntry>,
    pub(super) operations: VecDeque<Operation>,
    /// The Sync Manager has said meanwhile that there is no such child: whatever it says is younger than the answers
    /// that it has seen, which may reach this side later.
    pub(super) taken_back: bool,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: MessageId,
    pub(super) what: What,
    pub(super) done: Option<Done>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Create(Box<ChildEntry>),
    Update(Arc<UpdateBody>),
    Delete,
}

/// What came of a message on the children channel.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// What to tell the application.
    pub(crate) events: Vec<ChildEvent>,
    /// Something before it is missing: the object must be read anew.
    pub(crate) missing: bool,
}

impl ChildrenState {
    pub(super) fn new(me: HypertyUrl, object: ObjectUrl) -> ChildrenState {
        ChildrenState {
            me,
            object,
            names: Vec::new(),
            known: Children::default(),
            mine: BTreeMap::new(),
            unanswered: 0,
            next: BTreeMap::new(),
            waiting: Some(VecDeque::new()),
            former: BTreeSet::new(),
            asking: 0,
            arrived: BTreeSet::new(),
            schema: None,
            closed: None,
        }
    }

    pub(super) fn names(&self) -> &[ChildrenName] {
        &self.names
    }

    /// Adds the names that are new; true if there were any.
    pub(super) fn learn(&mut self, names: &[ChildrenName]) -> bool {
        let before = self.names.len();
        for name in names {
            if !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
        self.names.len() > before
    }

    /// It is observed or reported, perhaps again. Between two observations nobody told what became of the children: they
    /// are what the first snapshot says, unless they are heard of before it. Where an observer becomes the Reporter, or
    /// the other way round, nothing was missed between, and only one's own have to be in that snapshot.
    pub(super) fn begin(&mut self) {
        self.waiting.get_or_insert_default();
        for name in self.known.names() {
            let next = self.next.entry(name.clone()).or_insert(1);
            *next = self.known.next_number(name, &self.me).max(*next);
        }
        let was_closed = self.closed.is_some();
        let former = self.known.iter().filter(|(_, _, entry)| was_closed || entry.value.reporter == self.me);
        self.former = former.map(|(name, id, _)| (name.clone(), id.clone())).collect();
        if was_closed {
            self.known.forget_deleted();
            self.arrived.clear();
        }
    }

    /// A snapshot is being asked for.
    pub(super) fn ask(&mut self) {
        self.asking += 1;
    }

    /// The answer was taken over, or will not come.
    pub(super) fn asked(&mut self) {
        self.asking -= 1;
        if self.asking == 0 {
            self.arrived.clear();
        }
    }

    /// Takes over the children of a snapshot. One's own of this observation stay: their reporter is the truth (protocol
    /// M18). So does what became of those of which something arrived meanwhile. What the first snapshot holds is no event.
    pub(super) fn merge(&mut self, mut snapshot: Children) -> Heard {
        let former = std::mem::take(&mut self.former);
        let own = self.known.iter().filter(|(_, _, entry)| entry.value.reporter == self.me);
        let mut keep: BTreeSet<Key> = own.map(|(name, id, _)| (name.clone(), id.clone())).collect();
        keep.retain(|key| !former.contains(key));
        for (name, id) in &self.arrived {
            if self.known.get(name, id.as_str()).is_none() {
                snapshot.forget(name, id.as_str());
            }
            keep.insert((name.clone(), id.clone()));
        }
        let first = self.waiting.is_some();
        if first {
            // Not before: until then nobody observes, and if it is refused nobody will (5.9).
            self.closed = None;
        }
        let mut heard = self.merge_trusting(snapshot, |key| match key {
            _ if keep.contains(key) => Trust::MayBeOld,
            _ if former.contains(key) => Trust::IsRight,
            _ => Trust::KnowsAll,
        });
        if first {
            heard.events.clear();
        }
        for message in self.waiting.take().unwrap_or_default() {
            let more = self.hear(&message);
            heard.events.extend(more.events);
            heard.missing |= more.missing;
        }
        heard
    }

    /// Takes over some children that were missed; all others stay.
    pub(super) fn extend(&mut self, children: Children) -> Heard {
        self.merge_trusting(children, |_| Trust::MayBeOld)
    }

    fn merge_trusting(&mut self, mut children: Children, trust: impl Fn(&Key) -> Trust) -> Heard {
        children.name_flat(&self.names);
        let before = self.known.clone();
        let mut heard = Heard::default();
        for merged in self.known.merge_trusting(children, |name, id| trust(&(name.clone(), id.clone()))) {
            let (op, table) = match merged.what {
                MergedAs::Created => (ChildOp::Create, &self.known),
                MergedAs::Updated | MergedAs::Replaced => (ChildOp::Update, &self.known),
                MergedAs::Deleted => (ChildOp::Delete, &before),
            };
            let entry = table.get(&merged.name, merged.id.as_str());
            let entry = entry.filter(|entry| entry.value.reporter != self.me);
            heard.events.extend(entry.map(|entry| event(op, &merged.name, entry)));
        }
        heard
    }

    /// Takes in a message of somebody on a children channel.
    pub(super) fn on_message(&mut self, message: &Message, limit: usize) -> Heard {
        match &mut self.waiting {
            Some(waiting) if waiting.len() < limit => waiting.push_back(message.clone()),
            // The oldest go first: the snapshot to come holds them.
            Some(waiting) => {
                waiting.pop_front();
                waiting.push_back(message.clone());
            }
            None => return self.hear(message),
        }
        Heard::default()
    }

    fn hear(&mut self, message: &Message) -> Heard {
        let Some(name) = self.name_of(message) else { return Heard::default() };
        if message.from() == self.me.as_url() {
            if let Some(id) = self.recollect(&name, message) {
                self.note_arrival(name, id);
            }
            return Heard::default();
        }
        let outcome = match message.kind() {
            MessageType::Create => self.hear_create(&name, message),
            MessageType::Update => self.hear_update(&name, message),
            MessageType::Delete => self.hear_delete(&name, message),
            _ => None,
        };
        if let Some(Ok(event)) = &outcome
            && let Ok(id) = ChildId::parse(&event.id)
        {
            self.note_arrival(name, id);
        }
        match outcome {
            Some(Ok(event)) => Heard { events: vec![event], missing: false },
            // Of these a creation or update before it was missed.
            Some(Err(ChildRefusal::Unknown | ChildRefusal::Gap | ChildRefusal::Diverged(_))) => {
                Heard { events: Vec::new(), missing: true }
            }
            Some(Err(refusal)) => {
                tracing::debug!(?message, %refusal, "an operation on a child is ignored");
                Heard::default()
            }
            None => Heard::default(),
        }
    }

    fn note_arrival(&mut self, name: ChildrenName, id: ChildId) {
        if self.asking > 0 {
            self.arrived.insert((name, id));
        }
    }

    /// The name of the channel, if the object has children of this name.
    fn name_of(&self, message: &Message) -> Option<ChildrenName> {
        use hyperty_model::DerivedTail::Children;
        let (object, tail) = message.to().split_derived()?;
        let Some(Children(name)) = tail else { return None };
        (object == self.object && self.names.contains(&name)).then_some(name)
    }

    /// Who wrote it, unless that is oneself: the sender, or `source` where the object is named as sender.
    fn writer(&self, message: &Message, source: Option<&Url>) -> Option<Url> {
        let from_object = message.from() == self.object.as_url();
        let writer = if from_object { source? } else { message.from() };
        (writer != self.me.as_url()).then(|| writer.clone())
    }

    fn hear_create(
        &mut self,
        name: &ChildrenName,
        message: &Message,
    ) -> Option<Result<ChildEvent, ChildRefusal>> {
        let body = message.decode::<ChildBody>().ok()?;
        let writer = self.writer(message, Some(body.value.reporter.as_url()))?;
        if body.value.reporter.as_url() != &writer || body.resource != body.value.url.as_str() {
            return Some(Err(ChildRefusal::NotReporter));
        }
        let entry = ChildEntry { value: body.value.clone(), identity: body.identity.clone() };
        let event = event(ChildOp::Create, name, &entry);
        applied(self.known.create(name, entry), || Some(event))
    }

    fn hear_update(
        &mut self,
        name: &ChildrenName,
        message: &Message,
    ) -> Option<Result<ChildEvent, ChildRefusal>> {
        let body = message.decode::<UpdateBody>().ok()?;
        let writer = self.writer(message, body.source.as_ref())?;
        let id = body.resource.as_deref()?;
        let outcome = self.known.update(name, id, &writer, &body);
        applied(outcome, || Some(event(ChildOp::Update, name, self.known.get(name, id)?)))
    }

    fn hear_delete(
        &mut self,
        name: &ChildrenName,
        message: &Message,
    ) -> Option<Result<ChildEvent, ChildRefusal>> {
        let body = message.decode::<DeleteBody>().ok()?;
        let writer = self.writer(message, body.source.as_ref())?;
        let id = body.child_id()?;
        let last = self.known.get(name, id).map(|entry| event(ChildOp::Delete, name, entry));
        if body.source.as_ref().is_some_and(|source| *source != writer) {
            // The Sync Manager says so after a repair: it is not there, and may be again, also if it was deleted.
            if let Ok(id) = ChildId::parse(id) {
                self.known.put_back(name, &id, None);
            }
            return last.map(Ok);
        }
        applied(self.known.delete(name, id, &writer), || last)
    }
}

fn applied(
    outcome: Result<ChildOutcome, ChildRefusal>,
    event: impl FnOnce() -> Option<ChildEvent>,
) -> Option<Result<ChildEvent, ChildRefusal>> {
    match outcome {
        Ok(ChildOutcome::Applied) => event().map(Ok),
        Ok(ChildOutcome::Duplicate) => None,
        Err(refusal) => Some(Err(refusal)),
    }
}

fn event(op: ChildOp, name: &ChildrenName, entry: &ChildEntry) -> ChildEvent {
    let child = &entry.value;
    ChildEvent {
        op,
        name: name.clone(),
        id: child.url.to_string(),
        data: child.data.clone(),
        version: child.version,
        reporter: child.reporter.clone(),
    }
}
