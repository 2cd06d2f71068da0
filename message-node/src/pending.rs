//! Answers that wait for the store: what a node promised is on disk before it is promised.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, StatusCode};
use hyperty_storage::{Progress, Ticket};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::metrics::Asked;
use crate::node::Core;
use crate::outbox::Outbox;
use crate::outgoing::Outgoing;
use crate::session::Session;

/// The answers that wait, in the order of their tickets as far as threads allow: one that is a little out of order
/// waits for its neighbour.
pub(crate) struct PendingAnswers {
    progress: watch::Receiver<Progress>,
    max: usize,
    queue: Mutex<VecDeque<Pending>>,
}

struct Pending {
    ticket: Ticket,
    what: What,
}

/// What waits.
enum What {
    /// An answer to a request, which is a failure if the store fails. Whoever is gone by then is not told.
    Answer { request: Message, answer: Message, outbox: Weak<Outbox>, asked: Asked },
    /// Something to publish, unless the store fails.
    Publish(Message),
}

impl PendingAnswers {
    pub(crate) fn new(progress: watch::Receiver<Progress>, max: usize) -> PendingAnswers {
        PendingAnswers { progress, max, queue: Mutex::default() }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().len()
    }

    /// How far the store has come.
    pub(crate) fn store(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Whether one more may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.lock().len() < self.max
    }
}

impl Core {
    /// Answers as soon as `ticket` is on disk: now, if it is.
    pub(crate) fn answer_when_durable(
        &self,
        session: &Arc<Session>,
        request: &Message,
        body: ResponseBody,
        ticket: Ticket,
        asked: Asked,
    ) {
        if self.is_durable(ticket) {
            self.answer(session, request, body);
            return self.latencies.observe(asked);
        }
        let (request, answer) = (request.clone(), request.reply(body));
        let outbox = Arc::downgrade(&session.outbox);
        self.wait(Pending { ticket, what: What::Answer { request, answer, outbox, asked } });
    }

    /// Publishes as soon as `ticket` is on disk: now, if it is.
    pub(crate) fn publish_when_durable(&self, message: Message, ticket: Ticket) {
        if self.is_durable(ticket) {
            return self.route(None, message);
        }
        self.wait(Pending { ticket, what: What::Publish(message) });
    }

    /// Waits until no answer waits for the store any more.
    pub(crate) async fn settled(&self) {
        let mut progress = self.pending.progress.clone();
        loop {
            progress.borrow_and_update();
            // The driver does the same at the same news; whoever comes first.
            self.send_durable();
            if self.pending.len() == 0 || progress.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_durable(&self, ticket: Ticket) -> bool {
        self.pending.progress.borrow().durable >= ticket
    }

    fn wait(&self, pending: Pending) {
        self.pending.queue.lock().push_back(pending);
        // The store may have come this far in between, and its news may already have been handled.
        self.send_durable();
    }

    /// Sends what waited for the store and is on disk; or, when the store failed, says so to all who wait.
    pub(crate) fn send_durable(&self) {
        let progress = self.pending.progress.borrow().clone();
        // Sent under the lock: two threads must not exchange the order of two answers.
        let mut queue = self.pending.queue.lock();
        while let Some(first) = queue.front() {
            let durable = first.ticket <= progress.durable;
            if !durable && progress.failed.is_none() {
                return;
            }
            match queue.pop_front().map(|pending| pending.what) {
                Some(What::Answer { request, answer, outbox, asked }) => {
                    let answer = if durable { answer } else { request.reply(self.explained(store_failed())) };
                    if let Some(outbox) = outbox.upgrade() {
                        self.push(&outbox, &Outgoing::published(answer), None);
                    }
                    self.latencies.observe(asked);
                }
                Some(What::Publish(message)) if durable => self.route(None, message),
                Some(What::Publish(_)) | None => {}
            }
        }
    }
}

fn store_failed() -> ResponseBody {
    ResponseBody::failure(StatusCode::INTERNAL, "the node's store failed").with_reason("storage")
}
