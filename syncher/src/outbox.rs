//! Messages leave in the order in which they were queued, and no lock is held while they do.

use std::collections::VecDeque;

use hyperty_message_bus::MiniBus;
use hyperty_model::Message;
use parking_lot::Mutex;

/// Messages on their way to the bus.
///
/// A post runs the Sync Manager and whoever listens, on the caller's thread, and any of them may come back here. So
/// the order is fixed by [`Outbox::push`], under the lock of the state that the message describes, and the post
/// itself is made by [`Outbox::drain`] without any lock. Whoever finds another thread draining leaves it the work.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    /// What was queued since the pause began.
    waiting: Option<VecDeque<Message>>,
    draining: bool,
}

impl Outbox {
    /// Queues a message; call it under the lock that orders the messages.
    pub(crate) fn push(&self, message: Message) {
        let state = &mut *self.state.lock();
        state.waiting.as_mut().unwrap_or(&mut state.queue).push_back(message);
    }

    /// Forgets what has not left yet.
    pub(crate) fn clear(&self) {
        let state = &mut *self.state.lock();
        state.queue.clear();
        if let Some(waiting) = &mut state.waiting {
            waiting.clear();
        }
    }

    /// What is queued from here on waits.
    pub(crate) fn pause(&self) {
        self.state.lock().waiting.get_or_insert_default();
    }

    /// What has waited goes behind what is queued.
    pub(crate) fn go_on(&self) {
        let state = &mut *self.state.lock();
        state.queue.extend(state.waiting.take().unwrap_or_default());
    }

    /// Whether everything has left but what waits.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && !state.draining
    }

    /// Posts what is queued, unless somebody else is at it.
    pub(crate) fn drain(&self, minibus: &MiniBus) {
        {
            let mut state = self.state.lock();
            if state.draining || state.queue.is_empty() {
                return;
            }
            state.draining = true;
        }
        let running = Draining(self);
        while let Some(message) = running.next() {
            minibus.post(message);
        }
    }
}

/// Ends the draining also when a post panics: the next caller goes on.
struct Draining<'a>(&'a Outbox);

impl Draining<'_> {
    /// The next message; without one the draining has ended, in the same step, so that no message is left behind.
    fn next(&self) -> Option<Message> {
        let mut state = self.0.state.lock();
        let message = state.queue.pop_front();
        state.draining = message.is_some();
        message
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().draining = false;
        }
    }
}
