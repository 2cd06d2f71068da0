//! One direction of a connection: what is under way, and when it arrives.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

/// Bytes that may be under way before a sender has to wait: the buffers of two sockets.
const WINDOW_BYTES: usize = 64 * 1024;

/// What one item weighs beside its content.
const ITEM_BYTES: usize = 16;

/// What a pipe carries.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Frame(Bytes),
    Ping,
    Pong,
    /// The sender has nothing more to say.
    End,
}

impl Item {
    fn weight(&self) -> usize {
        ITEM_BYTES + if let Item::Frame(frame) = self { frame.len() } else { 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Takes what it is given, and nothing comes out any more.
    Hole,
    Closed,
}

/// Where an item goes in the order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transit {
    pub(crate) latency: Duration,
    pub(crate) bytes_per_second: Option<u64>,
    /// What is sent later may arrive earlier by this much.
    pub(crate) overtaken: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    /// In the order of arrival.
    under_way: VecDeque<(Instant, Item)>,
    /// Waits for a partition to end.
    held: VecDeque<(Item, Transit)>,
    bytes: usize,
    /// When the slow part of the link has taken all that was sent.
    free_at: Instant,
    /// When the last item in order arrives.
    last_due: Instant,
    mode: Mode,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(crate) fn new(now: Instant) -> Pipe {
        Pipe {
            under_way: VecDeque::new(),
            held: VecDeque::new(),
            bytes: 0,
            free_at: now,
            last_due: now,
            mode: Mode::Open,
            reader: None,
            writer: None,
        }
    }

    /// Whether more may be sent; `Err` when the connection is closed.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        match self.mode {
            Mode::Closed => Poll::Ready(Err(())),
            _ if self.bytes < WINDOW_BYTES => Poll::Ready(Ok(())),
            _ => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes an item; `false` when nobody will ever get it.
    pub(crate) fn push(&mut self, item: Item, transit: Transit, held: bool) -> bool {
        if self.mode == Mode::Closed {
            return false;
        }
        self.bytes += item.weight();
        if self.mode == Mode::Hole {
            return false;
        }
        if held {
            self.held.push_back((item, transit));
        } else {
            self.send(item, transit);
        }
        true
    }

    fn send(&mut self, item: Item, transit: Transit) {
        let now = Instant::now();
        let taken = transit.bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_millis((item.weight() as u64).saturating_mul(1_000) / rate.max(1))
        });
        self.free_at = self.free_at.max(now) + taken;
        let mut due = (self.free_at + transit.latency).max(self.last_due);
        match transit.overtaken {
            None => self.last_due = due,
            Some(late) => due += late,
        }
        let at = self.under_way.partition_point(|(other, _)| *other <= due);
        self.under_way.insert(at, (due, item));
        if at == 0 {
            wake(&mut self.reader);
        }
    }

    /// What was held goes on its way.
    pub(crate) fn release(&mut self) {
        for (item, transit) in std::mem::take(&mut self.held) {
            self.send(item, transit);
        }
    }

    /// The link behaves otherwise from now on: what is under way arrives at the new pace if that is sooner.
    pub(crate) fn hasten(&mut self, transit: Transit) {
        (self.free_at, self.last_due) = (Instant::now(), Instant::now());
        for (due, item) in std::mem::take(&mut self.under_way) {
            if due <= self.last_due {
                self.under_way.push_back((due, item));
            } else {
                self.send(item, transit);
            }
        }
        wake(&mut self.reader);
    }

    /// The next item that has arrived; `None` when the connection is closed.
    pub(crate) fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: std::pin::Pin<&mut Sleep>,
    ) -> Poll<Option<Item>> {
        let now = Instant::now();
        match self.under_way.front() {
            Some((due, _)) if *due <= now => {}
            Some((due, _)) => {
                self.reader = Some(cx.waker().clone());
                timer.as_mut().reset(*due);
                // Registers the waker. A timer that is due already is looked at in the next turn.
                if timer.poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            None if self.mode == Mode::Closed => return Poll::Ready(None),
            None => {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let item = self.under_way.pop_front().map(|(_, item)| item);
        self.bytes -= item.as_ref().map_or(0, Item::weight);
        if self.bytes < WINDOW_BYTES {
            wake(&mut self.writer);
        }
        Poll::Ready(item)
    }

    /// Nothing arrives any more, and nobody is told. Returns what is lost.
    pub(crate) fn make_hole(&mut self) -> Vec<Item> {
        if self.mode == Mode::Open {
            self.mode = Mode::Hole;
        }
        self.forget()
    }

    /// Both ends find it closed at once. Returns what is lost.
    pub(crate) fn close(&mut self) -> Vec<Item> {
        self.mode = Mode::Closed;
        wake(&mut self.reader);
        wake(&mut self.writer);
        self.forget()
    }

    fn forget(&mut self) -> Vec<Item> {
        let held = self.held.drain(..).map(|(item, _)| item);
        self.under_way.drain(..).map(|(_, item)| item).chain(held).collect()
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

use std::future::Future;
