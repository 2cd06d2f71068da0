//! The router against a model that keeps everything in lists and looks through all of them.

use std::sync::Arc;

use hyperty_message_bus::{Listener, MessageBus, Protostub, PublishRoute, Route, RouteResolver};
use hyperty_model::{Body, Message, MessageType, Url};
use proptest::prelude::*;

use crate::support::{Log, RecordingStub, bus, over_the_wire, url};

const ADDRESSES: [&str; 4] =
    ["comm://a/o", "comm://a/o/changes", "comm://a/o/children/notes", "hyperty-runtime://a/r1/sm"];
const STUBS: usize = 3;
const SENDER: &str = "hyperty://a/sender";

#[derive(Debug, Clone)]
enum Step {
    Listen(usize),
    Sequence(usize),
    /// Drops the handle at this place, modulo how many there are.
    Remove(usize),
    Publish(usize, usize),
    Unpublish(usize),
    Post(usize, MessageType),
    Receive(usize, usize, MessageType),
    Release(usize, MessageType),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..ADDRESSES.len();
    let kind = || {
        prop::sample::select(vec![
            MessageType::Update,
            MessageType::Read,
            MessageType::Response,
            MessageType::Event,
            MessageType::Create,
        ])
    };
    let step = prop_oneof![
        4 => at().prop_map(Step::Listen),
        1 => at().prop_map(Step::Sequence),
        3 => any::<usize>().prop_map(Step::Remove),
        2 => (at(), 0..STUBS).prop_map(|(at, stub)| Step::Publish(at, stub)),
        2 => any::<usize>().prop_map(Step::Unpublish),
        4 => (at(), kind()).prop_map(|(at, kind)| Step::Post(at, kind)),
        4 => (at(), 0..STUBS, kind()).prop_map(|(at, stub, kind)| Step::Receive(at, stub, kind)),
        1 => (at(), kind()).prop_map(|(at, kind)| Step::Release(at, kind)),
    ];
    prop::collection::vec(step, 1..60)
}

/// Who got a message; answers made by the bus included.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Handler(usize),
    Stub(usize),
    /// A 404 to a local sender.
    AnsweredHere,
    /// A 404 through this stub.
    AnsweredThrough(usize),
}

/// Leads addresses of objects to stub 0, and says of the rest that it is here.
struct Resolver(Arc<RecordingStub>);

impl RouteResolver for Resolver {
    fn resolve(&self, to: &Url) -> Route {
        if to.scheme() == "comm" { Route::Stub(Arc::clone(&self.0) as _) } else { Route::Local }
    }
}

#[derive(Default)]
struct Model {
    /// Handler number, address, whether it sequences.
    handlers: Vec<(usize, usize, bool)>,
    /// Address and stub, one for each reference.
    published: Vec<(usize, usize)>,
}

impl Model {
    fn sequenced(&self, at: usize) -> bool {
        self.handlers.iter().any(|&(_, address, sequences)| address == at && sequences)
    }

    fn delivered(&self, at: usize, came_through: Option<usize>) -> Vec<Got> {
        let listeners = self.handlers.iter().filter(|&&(_, address, sequences)| address == at && !sequences);
        let mut got: Vec<Got> = listeners.map(|&(number, ..)| Got::Handler(number)).collect();
        for &(address, stub) in &self.published {
            if address == at && came_through != Some(stub) && !got.contains(&Got::Stub(stub)) {
                got.push(Got::Stub(stub));
            }
        }
        got
    }

    fn nobody(&self, at: usize) -> bool {
        !self.handlers.iter().any(|&(_, address, _)| address == at)
            && !self.published.iter().any(|&(address, _)| address == at)
    }

    fn answer(at: usize, kind: MessageType, came_through: Option<usize>) -> Vec<Got> {
        let publish = matches!(at, 1 | 2);
        if publish || matches!(kind, MessageType::Response | MessageType::Event) {
            return Vec::new();
        }
        vec![came_through.map_or(Got::AnsweredHere, Got::AnsweredThrough)]
    }

    fn dispatched(&self, at: usize, kind: MessageType, came_through: Option<usize>) -> Vec<Got> {
        if self.nobody(at) {
            let resolved_to_stub = ADDRESSES[at].starts_with("comm:") && came_through != Some(0);
            return if resolved_to_stub { vec![Got::Stub(0)] } else { Model::answer(at, kind, came_through) };
        }
        let sequencer = self.handlers.iter().find(|&&(_, address, sequences)| address == at && sequences);
        match sequencer {
            Some(&(number, ..)) => vec![Got::Handler(number)],
            None => self.delivered(at, came_through),
        }
    }

    fn released(&self, at: usize, kind: MessageType) -> Vec<Got> {
        let listened = self.handlers.iter().any(|&(_, address, sequences)| address == at && !sequences);
        let published = self.published.iter().any(|&(address, _)| address == at);
        if listened || published { self.delivered(at, None) } else { Model::answer(at, kind, None) }
    }
}

struct Rig {
    bus: MessageBus,
    log: Log<Got>,
    stubs: Vec<Arc<RecordingStub>>,
    handles: Vec<Listener>,
    routes: Vec<PublishRoute>,
    next: usize,
    _sender: Listener,
}

impl Rig {
    fn new() -> Rig {
        let (bus, log) = (bus(), Log::new());
        let stubs: Vec<_> = (0..STUBS).map(|stub| RecordingStub::add_to(&bus, &stub.to_string())).collect();
        bus.set_resolver(Arc::new(Resolver(Arc::clone(&stubs[0]))));
        let answers = log.clone();
        let _sender = bus.listen(&url(SENDER), move |answer| {
            assert_eq!(answer.kind(), MessageType::Response);
            answers.add(Got::AnsweredHere);
        });
        Rig { bus, log, stubs, handles: Vec::new(), routes: Vec::new(), next: 0, _sender: _sender.unwrap() }
    }

    fn message(&self, at: usize, kind: MessageType) -> Message {
        self.bus.new_message(kind, &url(SENDER), &url(ADDRESSES[at]), Body::empty())
    }

    /// Everything that happened: handlers as they were called, then the stubs.
    fn took(&self) -> Vec<Got> {
        let mut took = self.log.take();
        for (number, stub) in self.stubs.iter().enumerate() {
            for sent in stub.sent.take() {
                let answer = sent.to() == &url(SENDER);
                took.push(if answer { Got::AnsweredThrough(number) } else { Got::Stub(number) });
            }
        }
        took
    }

    fn add(&mut self, model: &mut Model, at: usize, sequences: bool) {
        let (log, number) = (self.log.clone(), self.next);
        let f = move |_: &Message| log.add(Got::Handler(number));
        let address = url(ADDRESSES[at]);
        let handle = if sequences { self.bus.sequence(&address, f) } else { self.bus.listen(&address, f) };
        assert_eq!(handle.is_err(), sequences && model.sequenced(at));
        if let Ok(handle) = handle {
            self.next += 1;
            self.handles.push(handle);
            model.handlers.push((number, at, sequences));
        }
    }

    fn take(&mut self, model: &mut Model, step: &Step) -> Vec<Got> {
        match *step {
            Step::Listen(at) => self.add(model, at, false),
            Step::Sequence(at) => self.add(model, at, true),
            Step::Remove(at) if !self.handles.is_empty() => {
                let at = at % self.handles.len();
                drop(self.handles.remove(at));
                model.handlers.remove(at);
            }
            Step::Publish(at, stub) => {
                self.routes.push(self.bus.publish_route(&url(ADDRESSES[at]), self.stubs[stub].url()));
                model.published.push((at, stub));
            }
            Step::Unpublish(at) if !self.routes.is_empty() => {
                let at = at % self.routes.len();
                drop(self.routes.remove(at));
                model.published.remove(at);
            }
            Step::Remove(_) | Step::Unpublish(_) => {}
            Step::Post(at, kind) => {
                self.bus.post(self.message(at, kind));
                return model.dispatched(at, kind, None);
            }
            Step::Receive(at, stub, kind) => {
                let message = over_the_wire(&self.message(at, kind));
                self.bus.receive(self.stubs[stub].url(), message);
                return model.dispatched(at, kind, Some(stub));
            }
            Step::Release(at, kind) => {
                self.bus.release(&self.message(at, kind));
                return model.released(at, kind);
            }
        }
        Vec::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whoever is registered gets each message once, in order of registration; a sequencer alone; stubs once each
    /// and never the one it came through (INV-MSG-4); requests to nobody are answered (INV-MSG-1).
    #[test]
    fn the_router_does_what_the_model_does(steps in steps()) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        for step in &steps {
            let mut expected = rig.take(&mut model, step);
            let got = rig.took();
            // The log has handlers in order; stubs are read by number.
            expected.sort_by_key(|got| match got { Got::Stub(number) => *number + 1, _ => 0 });
            prop_assert_eq!(got, expected, "after {:?}", step);
        }
    }
}
