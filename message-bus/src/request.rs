//! Waiting for the answer to a request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyperty_model::Message;
use tokio::time::{Instant, Sleep};

use crate::answers;
use crate::isolate::Handler;
use crate::requests::{Pending, Progress, Refusal, Requests};
use crate::{MessageBus, MiniBus};

/// A request and the wait for its answer, which is the output: the final response, or a synthetic one with code 408
/// when none came in time (INV-MSG-3). Every provisional response starts the time anew.
///
/// The request is sent when this is first polled, or by [`Request::send`]. Dropping it gives the wait up; a response
/// that comes later goes to the listeners of its address.
///
/// # Panics
/// When awaited outside a tokio runtime with time enabled.
#[must_use = "a request is sent when it is first polled"]
pub struct Request {
    bus: MessageBus,
    table: Arc<Requests>,
    message: Message,
    timeout: Duration,
    on_provisional: Option<Handler>,
    stage: Stage,
}

enum Stage {
    Unsent,
    /// The timer is made by the first poll: only there a tokio runtime is sure to be entered.
    Sent(Arc<Pending>),
    Waiting(Arc<Pending>, Pin<Box<Sleep>>),
    /// Known without asking anybody.
    Refused(Message),
    Done,
}

impl Request {
    pub(crate) fn new(bus: &MessageBus, table: &Arc<Requests>, message: Message) -> Request {
        Request {
            bus: bus.clone(),
            table: Arc::clone(table),
            message,
            timeout: bus.config().response_timeout,
            on_provisional: None,
            stage: Stage::Unsent,
        }
    }

    /// Waits this long instead of [`BusConfig::response_timeout`](crate::BusConfig::response_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout = timeout;
        self
    }

    /// Hands every provisional response to `f`, on the thread and at the moment it arrives: what `f` listens to is
    /// listened to before the next message is delivered.
    pub fn on_provisional(mut self, f: impl Fn(&Message) + Send + Sync + 'static) -> Request {
        self.on_provisional = Some(Arc::new(f));
        self
    }

    /// Sends the request now instead of at the first poll. The time runs from the first poll all the same.
    pub fn send(&mut self) {
        if !matches!(self.stage, Stage::Unsent) {
            return;
        }
        match self.table.insert(&self.message, self.on_provisional.take()) {
            Ok(pending) => {
                self.stage = Stage::Sent(pending);
                self.bus.post(self.message.clone());
            }
            Err(refusal) => {
                if let Refusal::Full(max) = refusal {
                    tracing::error!(max, request = ?self.message, "too many requests wait: refused");
                }
                let body = answers::refused(refusal);
                self.stage = Stage::Refused(self.bus.synthetic(&self.message, body));
            }
        }
    }

    fn finish(&mut self, answer: Message) -> Poll<Message> {
        self.stage = Stage::Done;
        Poll::Ready(answer)
    }
}

impl Future for Request {
    type Output = Message;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Message> {
        let this = &mut *self;
        this.send();
        if let Stage::Sent(pending) = &this.stage {
            this.stage = Stage::Waiting(Arc::clone(pending), Box::pin(tokio::time::sleep(this.timeout)));
        }
        let (pending, sleep) = match &mut this.stage {
            Stage::Waiting(pending, sleep) => (pending, sleep),
            Stage::Refused(answer) => {
                let answer = answer.clone();
                return this.finish(answer);
            }
            // A future that is done must not be polled; one that is can only wait for ever.
            Stage::Done | Stage::Unsent | Stage::Sent(_) => return Poll::Pending,
        };
        loop {
            match pending.poll(context) {
                Poll::Ready(Progress::Final(answer)) => return this.finish(answer),
                Poll::Ready(Progress::Restart) => sleep.as_mut().reset(Instant::now() + this.timeout),
                Poll::Pending => break,
            }
        }
        // If somebody else takes the entry at this moment, the answer follows and wakes us.
        if sleep.as_mut().poll(context).is_ready() && this.table.remove(pending) {
            let answer = this.bus.synthetic(&this.message, answers::timed_out(&this.message));
            return this.finish(answer);
        }
        Poll::Pending
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Stage::Sent(pending) | Stage::Waiting(pending, _) = &self.stage {
            self.table.remove(pending);
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({:?})", self.message)
    }
}

impl MessageBus {
    /// Sends a request and waits for its answer; see [`Request`].
    pub fn request(&self, message: Message) -> Request {
        Request::new(self, self.requests(), message)
    }
}

impl MiniBus {
    /// Sends a request in the name of this hyperty and waits for its answer; see [`Request`]. One in another name is
    /// answered 403, see [`MiniBus::post`].
    pub fn request(&self, message: Message) -> Request {
        let refused = self.check(&message).err();
        let mut request = Request::new(self.outer(), self.requests(), self.stamped(message));
        if let Some(refusal) = refused {
            request.stage = Stage::Refused(self.outer().synthetic(&request.message, refusal.into()));
        }
        request
    }
}
