//! The node's end of a connection: as its WebSocket does it, with pings and an end to silence.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyperty_message_node::{Link, NodeTimers, Outgoing};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::pipe::Item;
use super::wire::Connection;
use crate::sim::trace::Direction;

/// Frames one connection may say before the others have their turn.
const FRAMES_PER_TURN: usize = 64;

struct Serving {
    connection: Arc<Connection>,
    batch: Vec<Outgoing>,
    output: VecDeque<Outgoing>,
    timer: Pin<Box<Sleep>>,
    heard: Instant,
}

/// Serves a connection to its end.
pub(crate) async fn serve(link: Link, connection: Arc<Connection>, timers: NodeTimers) {
    let mut serving = Serving {
        connection,
        batch: Vec::new(),
        output: VecDeque::new(),
        timer: Box::pin(sleep(Duration::ZERO)),
        heard: Instant::now(),
    };
    tokio::select! {
        biased;
        () = serving.run(&link, timers) => {}
        _ = link.node_stopping() => {}
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.connection.hang_up(Direction::Down, Direction::Up);
    }
}

impl Serving {
    async fn run(&mut self, link: &Link, timers: NodeTimers) {
        let opened = Instant::now();
        let mut ping_due = opened + timers.ping;
        loop {
            let open_due = Some(opened + timers.open).filter(|_| !link.has_session());
            let idle_due = self.heard + timers.idle;
            let due = open_due.map_or(idle_due, |due| due.min(idle_due)).min(ping_due);
            tokio::select! {
                biased;
                () = poll_fn(|cx| self.poll(cx, link)) => return,
                () = sleep_until(due) => {}
            }
            let now = Instant::now();
            if self.heard + timers.idle <= now || (opened + timers.open <= now && !link.has_session()) {
                return;
            }
            if ping_due <= now {
                ping_due = now + timers.ping;
                if self.output.is_empty() {
                    self.connection.push(Direction::Down, Item::Ping);
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        if self.poll_output(cx, link).is_ready() {
            return Poll::Ready(());
        }
        // While the connection takes nothing, nobody has asked the link yet.
        if !self.output.is_empty() && link.poll_stopped(cx).is_ready() {
            return Poll::Ready(());
        }
        self.poll_input(cx, link)
    }

    /// Sends all that is ready; ready itself only at the end.
    fn poll_output(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        loop {
            while let Some(item) = self.output.front() {
                match self.connection.poll_room(Direction::Down, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(())) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
                self.connection.push(Direction::Down, Item::Frame(item.bytes().clone()));
                self.output.pop_front();
            }
            match link.poll_batch(cx, &mut self.batch) {
                Poll::Ready(Ok(())) => self.output.extend(self.batch.drain(..)),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        for _ in 0..FRAMES_PER_TURN {
            let Poll::Ready(item) = self.connection.poll_item(Direction::Up, cx, self.timer.as_mut()) else {
                return Poll::Pending;
            };
            self.heard = Instant::now();
            match item {
                Some(Item::Frame(frame)) => link.receive(frame),
                Some(Item::Ping) => self.connection.push(Direction::Down, Item::Pong),
                Some(Item::Pong) => {}
                Some(Item::End) | None => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
