//! The skin of a black box: every message that crosses it is written down, and an [`Interceptor`] may change it.
//!
//! A runtime touches the world in two kinds of places: the seat of each hyperty on its bus, and its connection to the
//! message node. Whoever mutates what passes there makes a runtime with a fault out of one without, and neither the
//! suite nor the runtime can tell the difference.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

/// Most entries that are kept for the trace; the oldest are dropped first. No case comes near it, random ones are
/// shorter, and a case that does is told by its last messages.
pub const TRACE_MAX: usize = 50_000;

/// Longest text of a body in a printed trace; what is essential stands in front.
const SHOWN_MAX: usize = 240;

/// Where a message crosses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At the seat of this hyperty on the bus.
    Bus(String),
    /// At the connection to the message node.
    Node,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Into the runtime.
    In,
    /// Out of it.
    Out,
}

/// One message that crosses.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing {
    /// Where.
    pub place: Place,
    /// Which way.
    pub way: Way,
    /// What.
    pub message: Value,
}

/// Changes what crosses: drops, mutates, doubles, invents. It is asked about each message once; what it returns is
/// delivered in that order and not shown to it again.
pub trait Interceptor: Send {
    /// What becomes of this message: one crossing, none, or several, also at other places or the other way.
    fn cross(&mut self, crossing: Crossing) -> Vec<Crossing>;
}

/// A message that crossed, as the suite saw it: before it was changed on its way in, after that on its way out.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, since the trace began.
    pub at: std::time::Duration,
    /// What and where.
    pub crossing: Crossing,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crossing { place, way, message } = &self.crossing;
        let arrow = if *way == Way::In { "→" } else { "←" };
        let place = match place {
            Place::Bus(hyperty) => hyperty.rsplit('/').next().unwrap_or(hyperty),
            Place::Node => "node",
        };
        let text = |member: &str| message[member].as_str().unwrap_or("?").to_owned();
        let mut body = message["body"].to_string();
        if body.len() > SHOWN_MAX {
            let end = (0..=SHOWN_MAX).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
            body.truncate(end);
            body.push('…');
        }
        let (id, kind, from, to) = (&message["id"], text("type"), text("from"), text("to"));
        write!(
            f,
            "{:>9.3} s  {place:<10} {arrow} {kind:<11} {id:<12} {from} to {to} {body}",
            self.at.as_secs_f64()
        )
    }
}

type Sink = Arc<dyn Fn(Bytes) + Send + Sync>;

/// The skin itself. Clones are the same one.
#[derive(Clone)]
pub struct Boundary {
    inner: Arc<Mutex<Inner>>,
    began: Instant,
}

struct Inner {
    interceptor: Option<Box<dyn Interceptor>>,
    sinks: BTreeMap<(Place, Way), Sink>,
    trace: VecDeque<Entry>,
    dropped: usize,
}

impl Boundary {
    /// A skin that lets everything pass unless an interceptor changes it.
    pub fn new(interceptor: Option<Box<dyn Interceptor>>) -> Boundary {
        let inner = Inner { interceptor, sinks: BTreeMap::new(), trace: VecDeque::new(), dropped: 0 };
        Boundary { inner: Arc::new(Mutex::new(inner)), began: Instant::now() }
    }

    /// Sets where what crosses at a place goes to; the former target is forgotten.
    pub fn connect(&self, place: Place, way: Way, sink: impl Fn(Bytes) + Send + Sync + 'static) {
        let former = self.inner.lock().sinks.insert((place, way), Arc::new(sink));
        drop(former);
    }

    /// What crosses at this place goes nowhere any more.
    pub fn disconnect(&self, place: &Place) {
        let former: Vec<Option<Sink>> = {
            let mut inner = self.inner.lock();
            [Way::In, Way::Out].map(|way| inner.sinks.remove(&(place.clone(), way))).into()
        };
        drop(former);
    }

    /// Lets a frame cross. One that is not JSON passes as it is.
    pub fn cross(&self, place: Place, way: Way, frame: Bytes) {
        let Ok(message) = serde_json::from_slice::<Value>(&frame) else {
            return self.deliver(vec![(place, way, frame)]);
        };
        let crossing = Crossing { place, way, message };
        let out = {
            let mut inner = self.inner.lock();
            if way == Way::In {
                inner.note(self.began, &crossing);
            }
            let crossed = match &mut inner.interceptor {
                Some(interceptor) => interceptor.cross(crossing.clone()),
                None => vec![crossing.clone()],
            };
            for one in crossed.iter().filter(|one| one.way == Way::Out) {
                inner.note(self.began, one);
            }
            crossed
        };
        // What is unchanged keeps its bytes: spelling and order of members are part of some cases.
        let frames = out.into_iter().map(|one| {
            let bytes = if one == crossing { frame.clone() } else { Bytes::from(one.message.to_string()) };
            (one.place, one.way, bytes)
        });
        self.deliver(frames.collect());
    }

    fn deliver(&self, frames: Vec<(Place, Way, Bytes)>) {
        for (place, way, frame) in frames {
            let sink = self.inner.lock().sinks.get(&(place, way)).cloned();
            if let Some(sink) = sink {
                sink(frame);
            }
        }
    }

    /// What has crossed so far.
    pub fn trace(&self) -> Vec<Entry> {
        self.inner.lock().trace.iter().cloned().collect()
    }

    /// How many messages have crossed so far; [`Boundary::trace_since`] gives those after it.
    pub fn mark(&self) -> usize {
        let inner = self.inner.lock();
        inner.dropped + inner.trace.len()
    }

    /// What has crossed since a mark.
    pub fn trace_since(&self, mark: usize) -> Vec<Entry> {
        let inner = self.inner.lock();
        inner.trace.iter().skip(mark.saturating_sub(inner.dropped)).cloned().collect()
    }
}

impl Inner {
    fn note(&mut self, began: Instant, crossing: &Crossing) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
            self.dropped += 1;
        }
        self.trace.push_back(Entry { at: began.elapsed(), crossing: crossing.clone() });
    }
}
