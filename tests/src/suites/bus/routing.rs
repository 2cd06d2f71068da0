//! Who gets a message, against a model that keeps everything in lists and looks through all of them.

use std::sync::Arc;

use hyperty_message_bus::{Protostub, Route, RouteResolver};
use hyperty_model::{Body, Message, MessageType, Url};
use proptest::prelude::*;

use super::recorder::{Log, RecordingStub, over_the_wire, url};
use super::{Bus, Fresh, Handle};
use crate::suites::{Checked, Suite, demand};

const ADDRESSES: [&str; 4] =
    ["comm://a/o", "comm://a/o/changes", "comm://a/o/children/notes", "hyperty-runtime://a/r1/sm"];
/// Of these nobody answers: many may listen.
const PUBLISHED: [usize; 2] = [1, 2];
const STUBS: usize = 3;

/// What a random test does next.
#[derive(Debug, Clone)]
enum Step {
    Listen(usize),
    Sequence(usize),
    /// Drops the handle at this place, modulo how many there are.
    Remove(usize),
    Publish(usize, usize),
    Unpublish(usize),
    Post(usize, MessageType),
    /// Through one stub, and before that perhaps through another.
    Receive(usize, usize, Option<usize>, MessageType),
    Release(usize, MessageType),
}

fn step(connections: bool, sequencing: bool) -> impl Strategy<Value = Step> {
    let at = || 0..ADDRESSES.len();
    let kinds = [
        MessageType::Update,
        MessageType::Read,
        MessageType::Response,
        MessageType::Event,
        MessageType::Create,
    ];
    let kind = move || prop::sample::select(kinds.to_vec());
    let (stubs, sequencers) = (u32::from(connections), u32::from(sequencing));
    prop_oneof![
        4 => at().prop_map(Step::Listen),
        sequencers => at().prop_map(Step::Sequence),
        3 => any::<usize>().prop_map(|at| Step::Remove(at % 16)),
        2 * stubs => (at(), 0..STUBS).prop_map(|(at, stub)| Step::Publish(at, stub)),
        2 * stubs => any::<usize>().prop_map(|at| Step::Unpublish(at % 16)),
        4 => (at(), kind()).prop_map(|(at, kind)| Step::Post(at, kind)),
        4 * stubs => (at(), 0..STUBS, proptest::option::of(0..STUBS), kind())
            .prop_map(|(at, stub, earlier, kind)| Step::Receive(at, stub, earlier, kind)),
        sequencers => (at(), kind()).prop_map(|(at, kind)| Step::Release(at, kind)),
    ]
}

pub(super) fn run(suite: &mut Suite, fresh: Fresh<'_>) {
    let bus = fresh();
    let step = step(bus.connections().is_some(), bus.sequencing().is_some());
    drop(bus);
    suite.sequences(
        "each message reaches whom it should, once and in order",
        "4.1",
        proptest::collection::vec(step, 1..50),
        |steps| play(fresh(), steps),
    );
}

/// Who got a message; answers made by the bus included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Got {
    Handler(usize),
    Stub(usize),
    /// A 404 to a local sender.
    AnsweredHere,
    /// A 404 through this stub.
    AnsweredThrough(usize),
}

#[derive(Default)]
struct Model {
    /// Handler number, address, whether it sequences.
    handlers: Vec<(usize, usize, bool)>,
    /// Address and stub, one for each reference.
    published: Vec<(usize, usize)>,
    connections: bool,
}

impl Model {
    fn has(&self, at: usize, sequencer: bool) -> bool {
        self.handlers.iter().any(|&(_, address, sequences)| address == at && sequences == sequencer)
    }

    fn delivered(&self, at: usize, came: &[usize]) -> Vec<Got> {
        let listeners = self.handlers.iter().filter(|&&(_, address, sequences)| address == at && !sequences);
        let mut got: Vec<Got> = listeners.map(|&(number, ..)| Got::Handler(number)).collect();
        for &(address, stub) in &self.published {
            if address == at && !came.contains(&stub) && !got.contains(&Got::Stub(stub)) {
                got.push(Got::Stub(stub));
            }
        }
        got
    }

    /// What the bus says in the place of nobody, through where the request came from.
    fn answer(at: usize, kind: MessageType, came: &[usize]) -> Vec<Got> {
        if PUBLISHED.contains(&at) || matches!(kind, MessageType::Response | MessageType::Event) {
            return Vec::new();
        }
        vec![came.last().map_or(Got::AnsweredHere, |&stub| Got::AnsweredThrough(stub))]
    }

    fn dispatched(&self, at: usize, kind: MessageType, came: &[usize]) -> Vec<Got> {
        let published = self.published.iter().any(|&(address, _)| address == at);
        if !self.has(at, true) && !self.has(at, false) && !published {
            let to_stub = self.connections && ADDRESSES[at].starts_with("comm:") && !came.contains(&0);
            return if to_stub { vec![Got::Stub(0)] } else { Model::answer(at, kind, came) };
        }
        match self.handlers.iter().find(|&&(_, address, sequences)| address == at && sequences) {
            Some(&(number, ..)) => vec![Got::Handler(number)],
            None => self.delivered(at, came),
        }
    }

    fn released(&self, at: usize, kind: MessageType) -> Vec<Got> {
        let published = self.published.iter().any(|&(address, _)| address == at);
        let anybody = self.has(at, false) || published;
        if anybody { self.delivered(at, &[]) } else { Model::answer(at, kind, &[]) }
    }
}

/// Leads addresses of objects to stub 0, and says of the rest that it is here.
struct Resolver(Arc<RecordingStub>);

impl RouteResolver for Resolver {
    fn resolve(&self, to: &Url) -> Route {
        if to.scheme() == "comm" { Route::Stub(Arc::clone(&self.0) as _) } else { Route::Local }
    }
}

struct Rig {
    bus: Arc<dyn Bus>,
    log: Log<Got>,
    stubs: Vec<Arc<RecordingStub>>,
    handles: Vec<Handle>,
    routes: Vec<Handle>,
    next_handler: usize,
    next_id: u64,
    _sender: Handle,
}

impl Rig {
    fn new(bus: Arc<dyn Bus>) -> Rig {
        let log = Log::new();
        let stubs: Vec<_> = (0..STUBS).map(RecordingStub::new).collect();
        if let Some(connections) = bus.connections() {
            stubs.iter().for_each(|stub| connections.attach(stub.clone()));
            connections.resolve_by(Arc::new(Resolver(Arc::clone(&stubs[0]))));
        }
        let answers = log.clone();
        let sender = bus.listen(&bus.address(), Box::new(move |_| answers.add(Got::AnsweredHere)));
        let (handles, routes) = (Vec::new(), Vec::new());
        Rig { bus, log, stubs, handles, routes, next_handler: 0, next_id: 1, _sender: sender }
    }

    fn message(&mut self, at: usize, kind: MessageType) -> Message {
        self.next_id += 1;
        let body = match kind {
            MessageType::Response => Body::of(serde_json::json!({"code": 200})),
            _ => Body::empty(),
        };
        Message::new(self.next_id, kind, self.bus.address(), url(ADDRESSES[at]), body)
    }

    fn add(&mut self, model: &mut Model, at: usize, sequences: bool) -> Checked {
        let (log, number) = (self.log.clone(), self.next_handler);
        let handler = Box::new(move |_: &Message| log.add(Got::Handler(number)));
        let address = url(ADDRESSES[at]);
        let handle = match (sequences, self.bus.sequencing()) {
            (true, Some(sequencing)) => {
                let handle = sequencing.sequence(&address, handler);
                let free = !model.has(at, true);
                demand!(
                    "4.1",
                    handle.is_some() == free,
                    "a second sequencer on {address}, or not even a first"
                );
                handle
            }
            (true, None) => None,
            (false, _) => Some(self.bus.listen(&address, handler)),
        };
        if let Some(handle) = handle {
            self.next_handler += 1;
            self.handles.push(handle);
            model.handlers.push((number, at, sequences));
        }
        Ok(())
    }

    /// Does the step and says what the model expects of it.
    fn take(&mut self, model: &mut Model, step: &Step) -> Result<Vec<Got>, crate::suites::Broken> {
        let bus = Arc::clone(&self.bus);
        match *step {
            Step::Listen(at) => self.add(model, at, false)?,
            Step::Sequence(at) => self.add(model, at, true)?,
            Step::Remove(at) if !self.handles.is_empty() => {
                let at = at % self.handles.len();
                drop(self.handles.remove(at));
                model.handlers.remove(at);
            }
            Step::Publish(at, stub) => {
                if let Some(connections) = bus.connections() {
                    self.routes.push(connections.publish_route(&url(ADDRESSES[at]), self.stubs[stub].url()));
                    model.published.push((at, stub));
                }
            }
            Step::Unpublish(at) if !self.routes.is_empty() => {
                let at = at % self.routes.len();
                drop(self.routes.remove(at));
                model.published.remove(at);
            }
            Step::Remove(_) | Step::Unpublish(_) => {}
            Step::Post(at, kind) => {
                bus.post(self.message(at, kind));
                return Ok(model.dispatched(at, kind, &[]));
            }
            Step::Receive(at, stub, earlier, kind) => {
                let Some(connections) = bus.connections() else { return Ok(Vec::new()) };
                let message = self.received(at, kind, earlier);
                connections.receive(self.stubs[stub].url(), message);
                if earlier == Some(stub) {
                    return Ok(Vec::new());
                }
                let came: Vec<usize> = earlier.into_iter().chain([stub]).collect();
                return Ok(model.dispatched(at, kind, &came));
            }
            Step::Release(at, kind) => {
                let message = self.message(at, kind);
                if let Some(sequencing) = bus.sequencing() {
                    sequencing.release(&message);
                }
                return Ok(model.released(at, kind));
            }
        }
        Ok(Vec::new())
    }

    fn received(&mut self, at: usize, kind: MessageType, earlier: Option<usize>) -> Message {
        let mut frame: serde_json::Value =
            serde_json::from_slice(self.message(at, kind).wire()).unwrap_or_default();
        if let Some(stub) = earlier {
            frame["body"]["via"] = serde_json::json!([self.stubs[stub].url()]);
        }
        over_the_wire(frame.to_string())
    }

    /// Everything that happened: handlers as they were called, then the stubs.
    fn took(&self) -> Vec<Got> {
        let mut took = self.log.take();
        for (number, stub) in self.stubs.iter().enumerate() {
            for sent in stub.sent.take() {
                let answer = *sent.to() == self.bus.address();
                took.push(if answer { Got::AnsweredThrough(number) } else { Got::Stub(number) });
            }
        }
        took
    }
}

fn play(bus: Arc<dyn Bus>, steps: &[Step]) -> Checked {
    let connections = bus.connections().is_some();
    let (mut rig, mut model) = (Rig::new(bus), Model { connections, ..Model::default() });
    for step in steps {
        let expected = rig.take(&mut model, step)?;
        compare(&rig.took(), &expected, step)?;
    }
    Ok(())
}

fn compare(got: &[Got], expected: &[Got], after: &Step) -> Checked {
    let part = |all: &[Got], of: fn(&Got) -> bool| -> Vec<Got> { all.iter().copied().filter(of).collect() };
    let handlers = |one: &Got| matches!(one, Got::Handler(_));
    let answers = |one: &Got| matches!(one, Got::AnsweredHere | Got::AnsweredThrough(_));
    let (is, should) = (part(got, handlers), part(expected, handlers));
    demand!("4.1", is == should, "called {is:?}, should be {should:?}, after {after:?}");
    let (is, should) = (part(got, answers), part(expected, answers));
    demand!("INV-MSG-1", is == should, "the bus answered {is:?}, should be {should:?}, after {after:?}");
    let stubs = |one: &Got| matches!(one, Got::Stub(_));
    let (is, mut should) = (part(got, stubs), part(expected, stubs));
    should.sort_unstable();
    if let Step::Receive(_, stub, earlier, _) = after {
        let back = |one: &&Got| {
            **one == Got::Stub(*stub) || earlier.is_some_and(|earlier| **one == Got::Stub(earlier))
        };
        let back = is.iter().find(back);
        demand!("INV-MSG-4", back.is_none(), "{back:?} was visited twice, after {after:?}");
    }
    demand!("4.2", is == should, "left through {is:?}, should be {should:?}, after {after:?}");
    Ok(())
}
