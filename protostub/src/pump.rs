//! Carrying messages over a live connection, both ways at once in one task.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyperty_message_bus::MessageBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Body, Message, MessageId, MessageType, Url};

use crate::driver::{End, SessionDriver};
use crate::error::SessionError;
use crate::handshake::session_answer;
use crate::renewal::keep_admitted;
use crate::stub::Shared;
use crate::transport::{
    Connection, FrameSink, FrameStream, Incoming, Outgoing, SILENT_INTERVALS_MAX, STUCK_INTERVALS_MAX,
    TransportError,
};

/// Bytes taken from the queue for one flush: far more than a socket takes at once, little against the queue's limit.
const BATCH_BYTES: usize = 256 * 1024;

/// Frames taken in before the writer has its turn: a node that never pauses must not silence us.
const FRAMES_PER_TURN: u32 = 64;

/// What the parts of a pump tell each other.
#[derive(Default)]
struct Signals {
    /// Something came in since this was last looked at.
    heard: AtomicBool,
    /// The writer is to send a ping.
    ping: AtomicBool,
    /// The writer has something that the connection has not taken.
    writing: AtomicBool,
    /// The connection took something since this was last looked at.
    taken: AtomicBool,
}

impl SessionDriver {
    /// Carries messages until the connection ends or the stub is closed. Dropping the connection afterwards loses
    /// what was handed to it; nothing else.
    pub(crate) async fn pump(&mut self, connection: Connection) -> End {
        let Connection { outgoing, incoming, keep_alive } = connection;
        let shared = Arc::clone(&self.shared);
        let signals = Signals::default();
        let session = &mut self.session;
        let inbound = Inbound { shared: &shared, bus: &self.bus, unconfirmed: &mut session.unconfirmed };
        let writer = Writer {
            shared: &shared,
            bus: &self.bus,
            signals: &signals,
            replay: &mut session.replay,
            unsent: &mut session.unsent,
            close_from: session.reopen_from.as_ref(),
        };
        let mut closing = shared.closing.subscribe();
        let close_deadline = async {
            let _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(shared.config.close_timeout).await;
        };
        let lost = tokio::select! {
            biased;
            lost = read(incoming, inbound, &signals) => lost,
            lost = writer.run(outgoing) => lost,
            lost = listen_for_silence(keep_alive, &signals, &shared) => lost,
            lost = keep_admitted(&shared, &self.bus) => lost,
            () = close_deadline => return End::Closed,
        };
        let ended = shared.renewal.ended();
        if ended.is_some() {
            // The node keeps nothing of an ended session.
            self.session.reopen_from = None;
        }
        let lost = ended.unwrap_or(lost);
        if *shared.closing.borrow() { End::Closed } else { End::Lost(lost) }
    }

    pub(crate) fn inbound(&mut self) -> Inbound<'_> {
        Inbound { shared: &self.shared, bus: &self.bus, unconfirmed: &mut self.session.unconfirmed }
    }
}

async fn read(mut incoming: FrameStream, mut inbound: Inbound<'_>, signals: &Signals) -> SessionError {
    let mut turn = 0;
    loop {
        match incoming.next().await {
            Some(Ok(Incoming::Frame(frame))) => {
                inbound.accept(frame, None);
            }
            Some(Ok(Incoming::Alive)) => {}
            Some(Err(error)) => return error.into(),
            None => return TransportError::Closed.into(),
        }
        signals.heard.store(true, Ordering::Relaxed);
        turn += 1;
        if turn == FRAMES_PER_TURN {
            turn = 0;
            let_the_writer_run().await;
        }
    }
}

/// Returns at the task's next turn. The task stays among those that are ready: `yield_now` would put it behind
/// everything else that runs, again and again under load.
async fn let_the_writer_run() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Where frames from the node go.
pub(crate) struct Inbound<'a> {
    shared: &'a Shared,
    bus: &'a MessageBus,
    unconfirmed: &'a mut HashSet<MessageId>,
}

impl Inbound<'_> {
    /// Hands on what a frame holds; returns the answer to the session message `asked`, if it is that.
    pub(crate) fn accept(&mut self, frame: Bytes, asked: Option<&MessageId>) -> Option<Arc<ResponseBody>> {
        let messages = match Message::from_frame(frame.clone(), &self.shared.config.frames) {
            Ok(messages) => messages,
            Err(error) => {
                self.shared.refuse(&frame, &error);
                return None;
            }
        };
        let mut answer = None;
        for message in messages {
            if *message.from() == node::session() {
                self.shared.renewal.take(&message);
                answer = answer.or_else(|| session_answer(&message, asked?));
            } else {
                self.hand_on(message);
            }
        }
        answer
    }

    fn hand_on(&mut self, message: Message) {
        if !self.unconfirmed.is_empty() && message.kind() == MessageType::Response {
            self.unconfirmed.remove(message.id());
        }
        self.shared.counters.received.fetch_add(1, Ordering::Relaxed);
        self.bus.receive(&self.shared.config.url, message);
    }
}

/// Takes all that is ready, feeds it, and flushes once: the system call is what costs.
struct Writer<'a> {
    shared: &'a Shared,
    bus: &'a MessageBus,
    signals: &'a Signals,
    replay: &'a mut VecDeque<Message>,
    unsent: &'a mut VecDeque<Message>,
    /// The session's own address, for the goodbye.
    close_from: Option<&'a Url>,
}

impl Writer<'_> {
    async fn run(mut self, mut outgoing: FrameSink) -> SessionError {
        match self.write(&mut outgoing).await {
            Ok(()) => {
                // The goodbye is said: the reader waits for the node's end of the connection.
                std::future::pending().await
            }
            Err(error) => error.into(),
        }
    }

    async fn write(&mut self, outgoing: &mut FrameSink) -> Result<(), TransportError> {
        loop {
            if self.unsent.is_empty() {
                self.shared.outbox.lock().queue.pop_ready(BATCH_BYTES, self.unsent);
            }
            let ping = self.signals.ping.swap(false, Ordering::Relaxed);
            let renewal = self.shared.renewal.take_outgoing();
            if self.replay.is_empty() && self.unsent.is_empty() && renewal.is_none() && !ping {
                if *self.shared.closing.borrow() {
                    return self.say_goodbye(outgoing).await;
                }
                self.shared.ready.notified().await;
                continue;
            }
            self.signals.writing.store(true, Ordering::Relaxed);
            if let Some(renewal) = renewal {
                outgoing.feed(Outgoing::Frame(renewal.wire().clone())).await?;
            }
            feed(outgoing, self.replay, self.shared, self.signals).await?;
            feed(outgoing, self.unsent, self.shared, self.signals).await?;
            if ping {
                outgoing.feed(Outgoing::Ping).await?;
            }
            outgoing.flush().await?;
            self.signals.writing.store(false, Ordering::Relaxed);
        }
    }

    async fn say_goodbye(&mut self, outgoing: &mut FrameSink) -> Result<(), TransportError> {
        let from = self.close_from.unwrap_or(self.shared.config.runtime.as_url()).clone();
        let close =
            Message::new(self.bus.next_id(), MessageType::Close, from, node::session(), Body::empty());
        outgoing.feed(Outgoing::Frame(close.wire().clone())).await?;
        outgoing.close().await
    }
}

/// A message leaves `messages` when the connection has taken it, not before: the rest is for the next connection.
async fn feed(
    outgoing: &mut FrameSink,
    messages: &mut VecDeque<Message>,
    shared: &Shared,
    signals: &Signals,
) -> Result<(), TransportError> {
    while let Some(message) = messages.front() {
        outgoing.feed(Outgoing::Frame(message.wire().clone())).await?;
        messages.pop_front();
        signals.taken.store(true, Ordering::Relaxed);
        shared.counters.sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Asks a silent node whether it is there, and returns when it is not; or when it takes nothing of what is sent,
/// though it may speak: half of the connection is dead then.
async fn listen_for_silence(
    keep_alive: Option<std::time::Duration>,
    signals: &Signals,
    shared: &Shared,
) -> SessionError {
    let Some(interval) = keep_alive else { return std::future::pending().await };
    let (mut silent, mut stuck) = (0, 0);
    while silent < SILENT_INTERVALS_MAX {
        tokio::time::sleep(interval).await;
        let taken = signals.taken.swap(false, Ordering::Relaxed);
        stuck = if taken || !signals.writing.load(Ordering::Relaxed) { 0 } else { stuck + 1 };
        if stuck >= STUCK_INTERVALS_MAX {
            return SessionError::Stuck;
        }
        if signals.heard.swap(false, Ordering::Relaxed) {
            silent = 0;
        } else {
            silent += 1;
            signals.ping.store(true, Ordering::Relaxed);
            shared.ready.notify_one();
        }
    }
    SessionError::Silent
}
