use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperty_message_bus::{MessageBus, Protostub, Replay, SendError, StubStatus};
use hyperty_model::message::{DecodeError, HOPS_MAX, ResponseBody, Rewrite, salvage_header};
use hyperty_model::queue::{ConflatingQueue, Pushed};
use hyperty_model::{Ids, Message, MessageType, Url};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::driver::SessionDriver;
use crate::error::{SessionError, StubClosed};
use crate::renewal::Renewal;
use crate::{Connector, StubConfig};

/// The session of a runtime with the message node of a domain.
///
/// It connects as soon as its [`SessionDriver`] runs, and again whenever the connection is lost, until it is closed.
/// What is sent meanwhile waits in a bounded queue. Its state is told to whoever listens on `<stub>/status`.
pub struct SessionStub {
    shared: Arc<Shared>,
}

/// What a stub and its driver have in common.
pub(crate) struct Shared {
    pub(crate) config: StubConfig,
    pub(crate) outbox: Mutex<Outbox>,
    /// Wakes the writer: the outbox is no longer empty, or the stub is being closed.
    pub(crate) ready: Notify,
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) state: watch::Sender<State>,
    pub(crate) last_error: Mutex<Option<SessionError>>,
    pub(crate) renewal: Renewal,
    pub(crate) counters: Counters,
}

pub(crate) struct Outbox {
    pub(crate) queue: ConflatingQueue<Message>,
    pub(crate) open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) status: StubStatus,
    /// The driver is gone.
    pub(crate) ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) looped: AtomicU64,
    pub(crate) superseded: AtomicU64,
    pub(crate) evicted: AtomicU64,
}

/// What a stub has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StubCounters {
    /// Messages handed to the connection.
    pub sent: u64,
    /// Messages handed to the bus.
    pub received: u64,
    /// Frames that were no message, and were refused.
    pub malformed: u64,
    /// Messages to be sent that had come through this stub, and were dropped.
    pub looped: u64,
    /// Queued updates that a newer one replaced because the queue was full.
    pub superseded: u64,
    /// Queued updates that were dropped with no newer one to replace them.
    pub evicted: u64,
}

impl SessionStub {
    /// A stub and what drives it. Nothing happens before [`SessionDriver::run`] is polled.
    ///
    /// `replay` gives what a fresh session must be told first. Randomness, for the pace of attempts, comes from `ids`.
    pub fn new(
        config: StubConfig,
        connector: Arc<dyn Connector>,
        bus: MessageBus,
        replay: Arc<dyn Replay>,
        ids: Arc<dyn Ids>,
    ) -> (Arc<SessionStub>, SessionDriver) {
        let shared = Arc::new(Shared {
            outbox: Mutex::new(Outbox { queue: ConflatingQueue::new(config.queue), open: true }),
            config,
            ready: Notify::new(),
            closing: watch::Sender::new(false),
            state: watch::Sender::new(State { status: StubStatus::Created, ended: false }),
            last_error: Mutex::new(None),
            renewal: Renewal::default(),
            counters: Counters::default(),
        });
        let driver = SessionDriver::new(Arc::clone(&shared), connector, bus, replay, ids);
        (Arc::new(SessionStub { shared }), driver)
    }

    /// Waits until the session is live.
    ///
    /// # Errors
    /// [`StubClosed`] when it never will be. Why it is not yet, [`SessionStub::last_error`] tells.
    pub async fn live(&self) -> Result<(), StubClosed> {
        let mut state = self.shared.state.subscribe();
        match state.wait_for(|state| state.ended || state.status == StubStatus::Live).await {
            Ok(state) if !state.ended => Ok(()),
            _ => Err(StubClosed),
        }
    }

    /// Ends the session: takes nothing more to send, sends what waits, and says goodbye to the node, which then
    /// forgets the session's routes at once. Returns when the driver has ended, after
    /// [`StubConfig::close_timeout`] at the latest. What waits for a connection that is not live is dropped.
    pub async fn close(&self) {
        self.begin_close();
        let mut state = self.shared.state.subscribe();
        // The sender lives as long as `self`, so this ends with the driver.
        let _ = state.wait_for(|state| state.ended).await;
    }

    fn begin_close(&self) {
        self.shared.outbox.lock().open = false;
        self.shared.closing.send_replace(true);
        self.shared.ready.notify_one();
    }

    /// What went wrong last; `None` while nothing did since the session was last live.
    pub fn last_error(&self) -> Option<SessionError> {
        self.shared.last_error.lock().clone()
    }

    /// How many messages wait to be sent.
    pub fn queued(&self) -> usize {
        self.shared.outbox.lock().queue.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> StubCounters {
        let Counters { sent, received, malformed, looped, superseded, evicted } = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StubCounters {
            sent: read(sent),
            received: read(received),
            malformed: read(malformed),
            looped: read(looped),
            superseded: read(superseded),
            evicted: read(evicted),
        }
    }
}

impl Shared {
    /// Queues a message for the node.
    pub(crate) fn send(&self, message: Message) -> Result<(), SendError> {
        let Some(message) = self.outbound(message) else { return Ok(()) };
        // Encodes what was made in this process, before the lock is held.
        let bytes = message.wire().len();
        if bytes > self.config.frames.bytes {
            tracing::error!(stub = %self.config.url, ?message, bytes, "longer than a connection takes: refused");
            return Err(SendError::Full);
        }
        let mut outbox = self.outbox.lock();
        if !outbox.open {
            return Err(SendError::Closed);
        }
        let first = outbox.queue.is_empty();
        let pushed = outbox.queue.push(message);
        drop(outbox);
        match pushed {
            Pushed::Queued if first => self.ready.notify_one(),
            Pushed::Queued => {}
            Pushed::Conflated { superseded, evicted } => {
                self.counters.superseded.fetch_add(superseded as u64, Ordering::Relaxed);
                self.counters.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
            }
            Pushed::Refused(_) => return Err(SendError::Full),
        }
        Ok(())
    }

    /// Answers a frame that is no message, as far as it says to whom: whoever asked is not left waiting (INV-MSG-1).
    pub(crate) fn refuse(&self, frame: &[u8], error: &DecodeError) {
        self.counters.malformed.fetch_add(1, Ordering::Relaxed);
        let stub = &self.config.url;
        tracing::warn!(%stub, %error, "frame dropped");
        let Some((id, from, to)) = salvage_header(frame) else { return };
        let body = ResponseBody::failure(error.code(), error.to_string()).with_reason("malformed");
        if let Err(error) = self.send(Message::new(id, MessageType::Response, to, from, body)) {
            tracing::debug!(%stub, %error, "a frame that is no message stays unanswered");
        }
    }

    /// The message as it leaves: with the way it came, if it came from elsewhere. `None` for what must not leave
    /// here (protocol 2.6).
    fn outbound(&self, message: Message) -> Option<Message> {
        let hops = message.hops();
        if hops.is_empty() {
            return Some(message);
        }
        if hops.len() >= HOPS_MAX || hops.contains(&self.config.url) {
            self.counters.looped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        match message.clone().relayed(&Rewrite { via: Some(hops), ..Rewrite::default() }) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::error!(stub = %self.config.url, ?message, %error, "no receiver could read this: dropped");
                None
            }
        }
    }
}

impl Drop for SessionStub {
    /// The last handle is gone: nobody could close the session later.
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl Protostub for SessionStub {
    fn url(&self) -> &Url {
        &self.shared.config.url
    }

    fn domain(&self) -> &str {
        &self.shared.config.domain
    }

    fn status(&self) -> StubStatus {
        self.shared.state.borrow().status
    }

    fn send(&self, message: Message) -> Result<(), SendError> {
        self.shared.send(message)
    }
}
