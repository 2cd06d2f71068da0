//! One connection to the node, whatever carries it: frames go in, batches of frames come out.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyperty_model::message::{ResponseBody, salvage_header};
use hyperty_model::{Message, MessageType, StatusCode, UrlKind};
use parking_lot::Mutex;

use crate::address::may_be_refused;
use crate::admission::UNADMITTED_BYTES_MAX;
use crate::node::Core;
use crate::outbox::{CloseReason, Outbox, Stop};
use crate::outgoing::Outgoing;
use crate::session::Session;

/// Most bytes handed to a connection at once: enough to make a system call worth while, little enough that memory
/// beside the queue stays small.
const BATCH_BYTES: usize = 256 * 1024;

/// One connection. Dropping it means that it is lost: its session keeps its routes for a while.
///
/// [`Link::receive`] is called for one frame after the other. [`Link::next_batch`] and [`Link::stopped`] are awaited
/// by one task, which may be another.
pub struct Link {
    core: Arc<Core>,
    number: u64,
    state: Mutex<LinkState>,
}

struct LinkState {
    /// What was said before there is a session, in bytes.
    early: usize,
    /// It was refused a session and told why: it is heard no more.
    dismissed: bool,
    /// Its session's outbox, or one of its own before there is a session.
    outbox: Arc<Outbox>,
    session: Option<Arc<Session>>,
}

impl Link {
    pub(crate) fn new(core: Arc<Core>) -> Link {
        let number = core.next_number();
        let outbox = Arc::new(Outbox::new(number, core.config.limits.queue));
        Link {
            core,
            number,
            state: Mutex::new(LinkState { early: 0, dismissed: false, outbox, session: None }),
        }
    }

    /// Whether a session was opened.
    pub fn has_session(&self) -> bool {
        self.state.lock().session.is_some()
    }

    /// Takes one frame. Whatever it holds, nothing worse happens than an answer that says what is wrong with it.
    ///
    /// The frame should be an allocation of its own: as a slice of a read buffer it would keep all of that alive for
    /// as long as it waits for a slow receiver.
    pub fn receive(&self, frame: Bytes) {
        self.core.counters.received.add(1);
        if !self.is_heard(frame.len()) {
            return;
        }
        match Message::from_frame(frame.clone(), &self.core.config.limits.message) {
            Ok(messages) => messages.into_iter().for_each(|message| self.take(message)),
            Err(error) => self.answer_malformed(&frame, error.code(), &error.to_string()),
        }
    }

    /// Whether what comes over this connection is looked at: until there is a session only so much of it is.
    fn is_heard(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        if state.session.is_some() {
            return true;
        }
        state.early = state.early.saturating_add(bytes);
        if state.early > UNADMITTED_BYTES_MAX && !state.dismissed {
            state.dismissed = true;
            tracing::debug!(link = self.number, "said too much before it had a session");
            self.core.counters.refused.add(1);
            state.outbox.close(CloseReason::NotAdmitted);
        }
        !state.dismissed
    }

    fn take(&self, message: Message) {
        if self.state.lock().dismissed {
            return;
        }
        match self.session() {
            // What still comes over a connection that its session has left is nobody's.
            Some(session) if !session.is_served_by(self.number) => {}
            _ if message.to().kind() == UrlKind::Session => self.control(&message),
            Some(session) => self.core.accept(&session, message),
            None => self.refuse(&message, StatusCode::FORBIDDEN, "forbidden", "no session: send open first"),
        }
    }

    fn control(&self, message: &Message) {
        match message.kind() {
            MessageType::Open => self.core.open(self, message),
            MessageType::ReOpen => self.core.reopen(self, message),
            MessageType::Close => self.core.close(self, message),
            _ if !self.has_session() => {
                self.refuse(message, StatusCode::FORBIDDEN, "forbidden", "no session: send open first");
            }
            MessageType::Update => {
                // There is one, as was just seen; it may be over by now.
                if let Some(session) = self.session() {
                    self.core.renew(self, &session, message);
                }
            }
            MessageType::Ping => self.answer(message, ResponseBody::ok()),
            other => {
                let text = format!("{other} is nothing that a session takes");
                self.refuse(message, StatusCode::BAD_REQUEST, "malformed", &text);
            }
        }
    }

    fn answer_malformed(&self, frame: &[u8], code: StatusCode, text: &str) {
        self.core.counters.refused.add(1);
        tracing::debug!(link = self.number, error = text, "refused a malformed frame");
        let Some((id, from, to)) = salvage_header(frame) else { return };
        let body = self.core.explained(ResponseBody::failure(code, text).with_reason("malformed"));
        self.send(Message::new(id, MessageType::Response, to, from, body));
    }

    /// Answers on this connection.
    pub(crate) fn answer(&self, request: &Message, body: ResponseBody) {
        if may_be_refused(request) {
            self.send(request.reply(body));
        }
    }

    /// Answers on this connection that a message cannot be served, and why.
    pub(crate) fn refuse(&self, request: &Message, code: StatusCode, reason: &str, text: &str) {
        self.core.counters.refused.add(1);
        let body = ResponseBody::failure(code, text).with_reason(reason);
        self.answer(request, self.core.explained(body));
    }

    fn send(&self, message: Message) {
        let outbox = Arc::clone(&self.state.lock().outbox);
        self.core.push(&outbox, &Outgoing::published(message), None);
    }

    /// Says why this connection gets no session, and has it closed behind that.
    pub(crate) fn dismiss(&self, answer: Message) {
        let mut state = self.state.lock();
        state.dismissed = true;
        state.outbox.close_behind(Outgoing::published(answer), CloseReason::NotAdmitted);
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.state.lock().session.clone()
    }

    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.state.lock().outbox)
    }

    /// From now on this connection serves `session`. Returns its former outbox.
    pub(crate) fn serve(&self, session: Arc<Session>) -> Arc<Outbox> {
        let mut state = self.state.lock();
        let outbox = Arc::clone(&session.outbox);
        if state.session.replace(session).is_none() {
            self.core.link_decided();
        }
        std::mem::replace(&mut state.outbox, outbox)
    }

    /// Waits for messages to go out, and appends all that are ready to `batch`.
    ///
    /// # Errors
    /// The reason why this connection is to be closed.
    pub async fn next_batch(&self, batch: &mut Vec<Outgoing>) -> Result<(), CloseReason> {
        poll_fn(|cx| self.poll_batch(cx, batch)).await
    }

    /// Waits until this connection is to be closed, also while it cannot be written to.
    pub async fn stopped(&self) -> CloseReason {
        poll_fn(|cx| self.poll_stopped(cx)).await
    }

    /// As [`Link::next_batch`]. One task polls this and [`Link::poll_stopped`].
    pub fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        batch: &mut Vec<Outgoing>,
    ) -> Poll<Result<(), CloseReason>> {
        loop {
            match ready!(self.outbox().poll_take(cx, self.number, BATCH_BYTES, batch)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Stop::Moved) => {}
                Err(Stop::Close(reason)) => return Poll::Ready(Err(reason)),
            }
        }
    }

    /// As [`Link::stopped`].
    pub fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            match ready!(self.outbox().poll_stop(cx, self.number)) {
                Stop::Moved => {}
                Stop::Close(reason) => return Poll::Ready(reason),
            }
        }
    }

    /// Waits until the node takes nothing in any more: what is received later is lost, what is still to be sent
    /// comes out as ever. Follows from [`Link::node_stopping`], too.
    pub async fn node_draining(&self) {
        self.core.draining().await;
    }

    /// Waits until the node stops. What is ready is to be sent, then the connection is to be closed with this reason.
    pub async fn node_stopping(&self) -> CloseReason {
        self.core.stopping().await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.core.link_gone();
        match self.session() {
            Some(session) => self.core.lost(&session, self.number),
            None => self.core.link_decided(),
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("number", &self.number).finish_non_exhaustive()
    }
}
