//! What waits for one session: a bounded queue, filled by whoever delivers and drained by the session's connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use hyperty_model::queue::{ConflatingQueue, Pushed, QueueLimits};
use parking_lot::Mutex;

use crate::outgoing::Outgoing;

/// Why a connection is closed by the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CloseReason {
    /// The runtime closed its session.
    Closed,
    /// The node stops.
    GoingAway,
    /// Requests and responses filled the queue: the client does not read. It has to open a new session.
    Overflow,
    /// The session goes on over another connection.
    Replaced,
    /// Nothing was heard for too long, or no session was opened in time.
    Idle,
    /// The client took nothing of what was sent to it for too long, though it may have spoken.
    Stalled,
    /// The node stops in order, and somebody is expected to start it again: the client comes back.
    Restart,
    /// No session was opened, and the client was told why: its token is missing, not believed, or does not allow what
    /// it asks for.
    NotAdmitted,
    /// The session's token has expired: a new session needs a new token.
    Expired,
}

impl CloseReason {
    /// The WebSocket close code: the standard ones, and 4000 upwards for ours.
    pub fn code(self) -> u16 {
        match self {
            CloseReason::Closed => 1000,
            CloseReason::GoingAway => 1001,
            CloseReason::Overflow => 4000,
            CloseReason::Replaced => 4001,
            CloseReason::Idle => 4002,
            CloseReason::Stalled => 4003,
            CloseReason::NotAdmitted => 4004,
            CloseReason::Expired => 4005,
            CloseReason::Restart => 1012,
        }
    }

    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::Closed => "session closed",
            CloseReason::GoingAway => "the node stops",
            CloseReason::Overflow => "outbound queue full",
            CloseReason::Replaced => "session continued elsewhere",
            CloseReason::Idle => "idle",
            CloseReason::Stalled => "nothing is read",
            CloseReason::NotAdmitted => "not admitted",
            CloseReason::Expired => "the token has expired",
            CloseReason::Restart => "the node restarts: come back",
        }
    }
}

/// What became of a message that was to be queued.
#[derive(Debug)]
pub(crate) enum Push {
    /// It waits, or was superseded by design.
    Taken,
    /// Like `Taken`; this many older updates made room.
    Conflated(usize),
    /// The receiver is gone, unsubscribed, or can no longer be served without a new session.
    Refused,
    /// It did not fit. The queue is given up; what stood in it and the message itself are handed back.
    Overflow(Vec<Outgoing>),
}

/// The queue of a session, or of a connection that has none yet.
#[derive(Debug)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Debug)]
struct State {
    queue: ConflatingQueue<Outgoing>,
    mode: Mode,
    waker: Option<Waker>,
    /// Updates that made room since it was made.
    conflated: u64,
}

/// What waits in an outbox, and what its receiver did not get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Messages.
    pub(crate) count: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Updates that made room for newer ones so far.
    pub(crate) conflated: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The connection of this number drains it.
    Linked(u64),
    /// Waits for a connection.
    Graced,
    /// Something that must not be dropped was dropped: only a new session helps.
    Forfeited,
    /// Nothing goes in any more; the connection that drains it goes when it has taken what is left.
    Leaving(CloseReason),
    /// Nothing goes in or out any more; the connection that drained it goes.
    Closed(CloseReason),
    /// The connection that drained it goes on with another outbox.
    Left,
}

/// What a connection is to do when its outbox has nothing for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Close.
    Close(CloseReason),
    /// Look again: it has another outbox now.
    Moved,
}

impl Outbox {
    /// An empty outbox, drained by the connection `link`.
    pub(crate) fn new(link: u64, limits: QueueLimits) -> Outbox {
        Outbox(Mutex::new(State {
            queue: ConflatingQueue::new(limits),
            mode: Mode::Linked(link),
            waker: None,
            conflated: 0,
        }))
    }

    /// Queues a message, unless `active` says that its receiver unsubscribed in the meantime.
    pub(crate) fn push(&self, item: &Outgoing, active: Option<&AtomicBool>) -> Push {
        let mut state = self.0.lock();
        if active.is_some_and(|active| !active.load(Ordering::Relaxed)) {
            return Push::Refused;
        }
        if !matches!(state.mode, Mode::Linked(_) | Mode::Graced) {
            return Push::Refused;
        }
        let was_empty = state.queue.is_empty();
        let pushed = match state.queue.push(item.clone()) {
            Pushed::Queued => Push::Taken,
            Pushed::Conflated { superseded, evicted } => {
                state.conflated += (superseded + evicted) as u64;
                Push::Conflated(superseded + evicted)
            }
            Pushed::Refused(item) => {
                let mut lost = state.give_up();
                lost.push(item);
                let waker = state.waker.take();
                drop(state);
                wake(waker);
                return Push::Overflow(lost);
            }
        };
        let waker = if was_empty { state.waker.take() } else { None };
        drop(state);
        wake(waker);
        pushed
    }

    /// How full it is.
    pub(crate) fn load(&self) -> Load {
        let state = self.0.lock();
        Load { count: state.queue.len(), bytes: state.queue.bytes(), conflated: state.conflated }
    }

    /// Ends deliveries under `active`: none is queued after this returns.
    pub(crate) fn silence(&self, active: &AtomicBool) {
        let _state = self.0.lock();
        active.store(false, Ordering::Relaxed);
    }

    /// Whether the connection `link` is to stop. The task that asks is also the one that takes.
    pub(crate) fn poll_stop(&self, cx: &mut Context<'_>, link: u64) -> Poll<Stop> {
        let mut state = self.0.lock();
        let stop = state.stop_for(link);
        if stop.is_none() {
            state.wake_with(cx);
        }
        stop.map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes what is ready for the connection `link`, at most about `max_bytes`.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        link: u64,
        max_bytes: usize,
        out: &mut Vec<Outgoing>,
    ) -> Poll<Result<(), Stop>> {
        let mut state = self.0.lock();
        if let Some(stop) = state.stop_for(link) {
            return Poll::Ready(Err(stop));
        }
        if state.queue.is_empty() {
            state.wake_with(cx);
            return Poll::Pending;
        }
        state.queue.pop_ready(max_bytes, out);
        Poll::Ready(Ok(()))
    }

    /// The connection is lost. Returns what does not fit the smaller limits: then all of it, and the outbox is
    /// given up.
    pub(crate) fn grace(&self, limits: QueueLimits) -> Vec<Outgoing> {
        let mut state = self.0.lock();
        match state.mode {
            Mode::Linked(_) => state.mode = Mode::Graced,
            _ => return Vec::new(),
        }
        let lost = state.refill(limits, Vec::new());
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        lost
    }

    /// The connection `link` takes over. What it was told before in its own outbox, and `accepted`, go ahead of what
    /// waits here. `None` if this outbox was given up; else what no longer fits, which is all or nothing.
    pub(crate) fn relink(
        &self,
        link: u64,
        limits: QueueLimits,
        own: &Outbox,
        accepted: Outgoing,
    ) -> Option<Vec<Outgoing>> {
        let mut state = self.0.lock();
        if !matches!(state.mode, Mode::Linked(_) | Mode::Graced) {
            return None;
        }
        state.mode = Mode::Linked(link);
        // Two locks at once, in this order only: `own` has no session yet, so nobody else reaches it.
        let mut first = own.leave();
        first.push(accepted);
        let lost = state.refill(limits, first);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        Some(lost)
    }

    /// The end, for good: what stood in the queue is handed back, the connection closes with `reason`.
    pub(crate) fn close(&self, reason: CloseReason) -> Vec<Outgoing> {
        self.finish(Mode::Closed(reason))
    }

    /// The end, for good, behind a last message; what stood in the queue is handed back.
    pub(crate) fn close_behind(&self, last: Outgoing, reason: CloseReason) -> Vec<Outgoing> {
        let mut state = self.0.lock();
        if !matches!(state.mode, Mode::Linked(_) | Mode::Graced) {
            return Vec::new();
        }
        let mut rest = state.give_up();
        if let Pushed::Refused(last) = state.queue.push(last) {
            rest.push(last);
        }
        state.mode = Mode::Leaving(reason);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        rest
    }

    /// The connection goes on with another outbox; what stood here is handed back.
    pub(crate) fn leave(&self) -> Vec<Outgoing> {
        self.finish(Mode::Left)
    }

    fn finish(&self, mode: Mode) -> Vec<Outgoing> {
        let mut state = self.0.lock();
        let rest = state.give_up();
        state.mode = mode;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        rest
    }
}

impl State {
    /// What the connection `link` is to do instead of draining, if anything.
    fn stop_for(&self, link: u64) -> Option<Stop> {
        match self.mode {
            Mode::Linked(current) if current == link => None,
            Mode::Linked(_) | Mode::Graced => Some(Stop::Close(CloseReason::Replaced)),
            Mode::Forfeited => Some(Stop::Close(CloseReason::Overflow)),
            Mode::Leaving(_) if !self.queue.is_empty() => None,
            Mode::Leaving(reason) => Some(Stop::Close(reason)),
            Mode::Closed(reason) => Some(Stop::Close(reason)),
            Mode::Left => Some(Stop::Moved),
        }
    }

    fn wake_with(&mut self, cx: &mut Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Empties the queue and refuses from now on.
    fn give_up(&mut self) -> Vec<Outgoing> {
        self.mode = Mode::Forfeited;
        let mut rest = Vec::with_capacity(self.queue.len());
        self.queue.pop_ready(usize::MAX, &mut rest);
        rest
    }

    /// Goes on with other limits and `first` in front; updates collapse if they must. Returns everything if what
    /// must not be dropped does not fit.
    fn refill(&mut self, limits: QueueLimits, first: Vec<Outgoing>) -> Vec<Outgoing> {
        let mut old = std::mem::replace(&mut self.queue, ConflatingQueue::new(limits));
        let mut waiting = first;
        old.pop_ready(usize::MAX, &mut waiting);
        let mut waiting = waiting.into_iter();
        while let Some(item) = waiting.next() {
            if let Pushed::Refused(item) = self.queue.push(item) {
                let mut lost = self.give_up();
                lost.push(item);
                lost.extend(waiting);
                return lost;
            }
        }
        Vec::new()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
