//! A link, with the connections over it.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyperty_model::message::Limits;
use hyperty_model::{Message, MessageType};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::pipe::{Item, Pipe, Transit};
use super::{Affected, LinkProfile, Notice};
use crate::sim::rng::SimRng;
use crate::sim::trace::{Direction, Fate, Trace};

/// How far a frame falls back behind others that overtake it.
const OVERTAKEN: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(400);

/// A link between a runtime and a node.
pub(crate) struct Wire {
    name: Arc<str>,
    trace: Arc<Trace>,
    state: Mutex<State>,
    restored: Notify,
}

struct State {
    profile: LinkProfile,
    rng: SimRng,
    /// How new connections fail while the link is cut.
    cut: Option<Notice>,
    /// Whether what goes up, or down, waits.
    held: [bool; 2],
    connections: Vec<Weak<Connection>>,
}

/// One connection over a link.
pub(crate) struct Connection {
    wire: Arc<Wire>,
    pipes: [Mutex<Pipe>; 2],
}

impl Wire {
    pub(crate) fn new(name: &str, profile: LinkProfile, seed: u64, trace: &Arc<Trace>) -> Arc<Wire> {
        let rng = SimRng::new(seed, name);
        let state = State { profile, rng, cut: None, held: [false; 2], connections: Vec::new() };
        Arc::new(Wire {
            name: name.into(),
            trace: Arc::clone(trace),
            state: Mutex::new(state),
            restored: Notify::new(),
        })
    }

    pub(crate) fn profile(&self) -> LinkProfile {
        self.state.lock().profile.clone()
    }

    pub(crate) fn set_profile(&self, profile: LinkProfile) {
        self.trace.event(&self.name, format!("now {profile:?}"));
        let (connections, before) = {
            let mut state = self.state.lock();
            let before = std::mem::replace(&mut state.profile, profile.clone());
            (state.connections.clone(), before)
        };
        let latency = *profile.latency.end();
        let rates = [(before.up, profile.up), (before.down, profile.down)];
        for connection in connections.iter().filter_map(Weak::upgrade) {
            for (pipe, (before, bytes_per_second)) in connection.pipes.iter().zip(rates) {
                if before != bytes_per_second {
                    pipe.lock().hasten(Transit { latency, bytes_per_second, overtaken: None });
                }
            }
        }
    }

    /// Ends all connections; new ones are refused, or not answered, until the link is restored.
    pub(crate) fn cut(&self, notice: Notice) {
        self.trace.event(&self.name, format!("cut, {notice:?}"));
        self.state.lock().cut = Some(notice);
        self.break_all(notice);
    }

    /// Ends all connections.
    pub(crate) fn break_all(&self, notice: Notice) {
        let connections = std::mem::take(&mut self.state.lock().connections);
        connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.end(notice));
    }

    /// Holds back what goes one way.
    pub(crate) fn hold(&self, direction: Direction) {
        self.trace.event(&self.name, format!("{direction:?} is held"));
        self.state.lock().held[direction as usize] = true;
    }

    /// The link is whole again, whatever was wrong with it but its profile.
    pub(crate) fn restore(&self) {
        let connections = {
            let mut state = self.state.lock();
            if state.cut.is_none() && state.held == [false; 2] {
                return;
            }
            (state.cut, state.held) = (None, [false; 2]);
            state.connections.clone()
        };
        self.trace.event(&self.name, "restored".to_owned());
        for connection in connections.iter().filter_map(Weak::upgrade) {
            connection.pipes.iter().for_each(|pipe| pipe.lock().release());
        }
        self.restored.notify_waiters();
    }

    /// The way there and back of an attempt to connect; `Err` when it is refused. Waits while nobody answers.
    pub(crate) async fn reach(&self) -> Result<(), ()> {
        let latency = {
            let state = self.state.lock();
            state.rng.within(&state.profile.latency)
        };
        tokio::time::sleep(2 * latency).await;
        loop {
            // Before the state is looked at, so that a restoration in between is not missed.
            let restored = self.restored.notified();
            {
                let state = self.state.lock();
                match state.cut {
                    Some(Notice::Told) => return Err(()),
                    None if state.held == [false; 2] => return Ok(()),
                    _ => {}
                }
            }
            restored.await;
        }
    }

    pub(crate) fn connect(self: &Arc<Wire>) -> Arc<Connection> {
        let now = Instant::now();
        let pipes = [Mutex::new(Pipe::new(now)), Mutex::new(Pipe::new(now))];
        let connection = Arc::new(Connection { wire: Arc::clone(self), pipes });
        let mut state = self.state.lock();
        state.connections.retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        connection
    }
}

impl State {
    /// What becomes of an item, and how it travels.
    fn transit(&mut self, item: &Item, direction: Direction) -> (Fate, Transit) {
        let profile = &self.profile;
        let rate = if direction == Direction::Up { profile.up } else { profile.down };
        let mut transit =
            Transit { latency: self.rng.within(&profile.latency), bytes_per_second: rate, overtaken: None };
        let troubled = profile.loss + profile.duplication + profile.reordering > 0.0;
        if !troubled || !is_affected(item, profile.affected) {
            return (Fate::Delivered, transit);
        }
        if self.rng.chance(profile.loss) {
            return (Fate::Lost, transit);
        }
        if self.rng.chance(profile.reordering) {
            transit.overtaken = Some(self.rng.within(&OVERTAKEN));
            return (Fate::Delayed, transit);
        }
        let fate = if self.rng.chance(profile.duplication) { Fate::Doubled } else { Fate::Delivered };
        (fate, transit)
    }
}

fn is_affected(item: &Item, affected: Affected) -> bool {
    let Item::Frame(frame) = item else { return false };
    if affected == Affected::All {
        return true;
    }
    Message::from_frame(frame.clone(), &Limits::default()).is_ok_and(|messages| {
        messages.into_iter().any(|message| {
            message.kind() == MessageType::Update && message.to().as_str().ends_with("/changes")
        })
    })
}

impl Connection {
    /// Whether more can be sent; `Err` when the connection is closed.
    pub(crate) fn poll_room(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.pipes[direction as usize].lock().poll_room(cx)
    }

    pub(crate) fn push(&self, direction: Direction, item: Item) {
        let (fate, transit, held) = {
            let mut state = self.wire.state.lock();
            let (fate, transit) = state.transit(&item, direction);
            (fate, transit, state.held[direction as usize])
        };
        if let (Item::Frame(frame), true) = (&item, fate != Fate::Delivered) {
            self.wire.trace.frame(&self.wire.name, direction, fate, frame);
        }
        if fate == Fate::Lost {
            return;
        }
        let mut pipe = self.pipes[direction as usize].lock();
        if fate == Fate::Doubled {
            pipe.push(item.clone(), transit, held);
        }
        if !pipe.push(item.clone(), transit, held) {
            drop(pipe);
            self.lost(direction, &item);
        }
    }

    /// The next item that has arrived; `None` when the connection is closed.
    pub(crate) fn poll_item(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        timer: Pin<&mut Sleep>,
    ) -> Poll<Option<Item>> {
        let polled = self.pipes[direction as usize].lock().poll_item(cx, timer);
        if let Poll::Ready(Some(Item::Frame(frame))) = &polled {
            self.wire.trace.frame(&self.wire.name, direction, Fate::Delivered, frame);
        }
        polled
    }

    fn end(&self, notice: Notice) {
        for direction in [Direction::Up, Direction::Down] {
            let mut pipe = self.pipes[direction as usize].lock();
            let lost = if notice == Notice::Told { pipe.close() } else { pipe.make_hole() };
            drop(pipe);
            lost.iter().for_each(|item| self.lost(direction, item));
        }
    }

    /// One end is gone: the other is told, if the link lets it, and what is sent to the first is lost.
    pub(crate) fn hang_up(&self, sending: Direction, receiving: Direction) {
        self.push(sending, Item::End);
        let lost = self.pipes[receiving as usize].lock().make_hole();
        lost.iter().for_each(|item| self.lost(receiving, item));
    }

    fn lost(&self, direction: Direction, item: &Item) {
        if let Item::Frame(frame) = item {
            self.wire.trace.frame(&self.wire.name, direction, Fate::Lost, frame);
        }
    }
}
