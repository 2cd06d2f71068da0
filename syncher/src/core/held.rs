//! Messages for objects that are about to appear (protocol 5.1.1).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyperty_model::message::ControlBody;
use hyperty_model::{DerivedTail, Message, MessageType, ObjectUrl};

use super::{Core, Entry, Live};

/// Most messages kept while creations or resumes are under way: what arrives for objects that are about to appear.
const HELD_MAX: usize = 4_096;

impl Core {
    /// Keeps what arrives for unknown objects until the guard is dropped.
    pub(crate) fn adopt(self: &Arc<Core>) -> Adopting {
        self.adopting.fetch_add(1, Ordering::SeqCst);
        Adopting { core: Arc::clone(self), leaves: self.objects.lock().leaves }
    }

    pub(crate) fn is_adopting(&self) -> bool {
        self.adopting.load(Ordering::SeqCst) > 0
    }

    /// Whatever comes for an address that is not the hyperty's own, while something is about to appear.
    pub(super) fn on_any(&self, message: &Message) {
        let Some((object, tail)) = message.to().split_derived() else { return };
        let of_child = matches!(tail, Some(DerivedTail::Children(_)));
        if message.kind() == MessageType::Delete && !of_child {
            self.keep_end(&object, message);
            if let Some(live) = self.live(&object) {
                live.receive(message);
            }
            return;
        }
        // What is told to Reporters only, of an object that is observed here: an answer that makes it this hyperty's is
        // on its way.
        if matches!(tail, Some(DerivedTail::Observers)) {
            return self.hold_for_reporter(object, message);
        }
        // Its own listeners may have been added while this message was on its way: they know a double.
        if let Some(live) = self.hold(object, message) {
            live.receive(message);
        }
    }

    /// Keeps a message for whoever will report an object; if it is reported by now it is received.
    pub(crate) fn hold_for_reporter(&self, object: ObjectUrl, message: &Message) {
        if let Some(Live::Reporter(reporter)) =
            self.hold_unless(object, message, |it| matches!(it, Live::Reporter(_)))
        {
            reporter.receive(message);
        }
    }

    /// Keeps a message for an object; if the object is there it is returned instead.
    pub(crate) fn hold(&self, object: ObjectUrl, message: &Message) -> Option<Live> {
        self.hold_unless(object, message, |_| true)
    }

    /// Keeps the word that ends an object, whether or not it is here: an answer that was given before may be on its way,
    /// and must not begin anew what has ended.
    pub(crate) fn keep_end(&self, object: &ObjectUrl, message: &Message) {
        if self.is_adopting() {
            push(&mut self.objects.lock().held, object.clone(), message);
        }
    }

    /// This hyperty ends an observation itself: an answer that was given before may be on its way, and must not begin it
    /// anew.
    pub(crate) fn note_left(&self, object: &ObjectUrl) {
        if !self.is_adopting() {
            return;
        }
        let mut objects = self.objects.lock();
        objects.leaves += 1;
        let at = objects.leaves;
        if objects.left.len() < HELD_MAX {
            objects.left.insert(object.clone(), at);
        } else {
            tracing::warn!(%object, "too many observations end while others are resumed");
        }
    }

    fn hold_unless(&self, object: ObjectUrl, message: &Message, takes: fn(&Live) -> bool) -> Option<Live> {
        let mut objects = self.objects.lock();
        let live = objects.live.get(&object).and_then(Entry::upgrade);
        if live.as_ref().is_some_and(takes) {
            return live;
        }
        push(&mut objects.held, object, message);
        // In this order: the last handle of an object comes back to the table.
        drop(objects);
        drop(live);
        None
    }

    /// Nothing is about to appear any more: requests that were kept are answered.
    fn release_held(&self) {
        let held = {
            let mut objects = self.objects.lock();
            objects.left.clear();
            std::mem::take(&mut objects.held)
        };
        for (_, message) in held {
            let is_asked = message.kind() == MessageType::Forward;
            if is_asked || message.decode::<ControlBody>().is_ok() {
                self.not_here(&message);
            }
        }
    }
}

fn push(held: &mut VecDeque<(ObjectUrl, Message)>, object: ObjectUrl, message: &Message) {
    if held.len() < HELD_MAX {
        held.push_back((object, message.clone()));
    } else {
        tracing::warn!(?message, "too many messages for objects that are not here yet: dropped");
    }
}

/// While it lives, messages for unknown objects are kept.
pub(crate) struct Adopting {
    core: Arc<Core>,
    /// How many observations this hyperty had ended before.
    leaves: u64,
}

impl Adopting {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Whether this hyperty has ended its observation of an object meanwhile.
    pub(crate) fn has_left(&self, object: &ObjectUrl) -> bool {
        self.core.objects.lock().left.get(object).is_some_and(|at| *at > self.leaves)
    }
}

impl Drop for Adopting {
    fn drop(&mut self) {
        if self.core.adopting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.core.release_held();
        }
    }
}
