//! The bounded queue of events between what arrives and what the application reads.

use std::collections::VecDeque;
use std::task::Waker;

/// An event that may or may not give way when the queue is full.
pub(crate) trait Event {
    /// Whether it must be read or answered, so that it never gives way.
    fn is_kept(&self) -> bool;
}

/// What a reader takes out.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken<E> {
    /// The oldest event.
    Event(E),
    /// Events gave way here: the owner hands out the whole state in their place.
    Lagged,
    /// Nothing is waiting.
    Nothing,
}

/// Events in order, at most `limit` of them.
///
/// When it is full, every event that may give way is dropped and the reader gets [`Taken::Lagged`] in their place.
/// Until it has read that mark further such events are dropped too, because whoever reads the mark looks at the
/// state as it is *then*, which includes them. So a slow reader costs a bounded queue and loses nothing silently.
#[derive(Debug)]
pub(crate) struct EventQueue<E> {
    events: VecDeque<E>,
    limit: usize,
    lagged: bool,
    waiting: Vec<Waker>,
}

impl<E: Event> EventQueue<E> {
    pub(crate) fn new(limit: usize) -> EventQueue<E> {
        EventQueue { events: VecDeque::new(), limit, lagged: false, waiting: Vec::new() }
    }

    /// Adds an event; gives back one that must not be lost and finds no room.
    pub(crate) fn push(&mut self, event: E) -> Result<(), E> {
        let kept = event.is_kept();
        if self.lagged && !kept {
            return Ok(());
        }
        if self.events.len() >= self.limit {
            self.events.retain(E::is_kept);
            self.lagged = true;
            if !kept {
                return Ok(());
            }
            if self.events.len() >= self.limit {
                return Err(event);
            }
        }
        self.events.push_back(event);
        Ok(())
    }

    /// Adds the last event there will be, whether there is room or not: it is one, and says why nothing follows.
    pub(crate) fn push_last(&mut self, event: E) {
        if self.events.len() >= self.limit {
            let before = self.events.len();
            self.events.retain(E::is_kept);
            self.lagged |= self.events.len() < before;
        }
        self.events.push_back(event);
    }

    /// Takes what comes next.
    pub(crate) fn take(&mut self) -> Taken<E> {
        if std::mem::take(&mut self.lagged) {
            return Taken::Lagged;
        }
        self.events.pop_front().map_or(Taken::Nothing, Taken::Event)
    }

    /// Forgets what may give way: the reader has just been handed the whole state.
    pub(crate) fn skip(&mut self) {
        self.events.retain(E::is_kept);
        self.lagged = false;
    }

    /// Another queue at the same point.
    pub(crate) fn fork(&self) -> EventQueue<E>
    where
        E: Clone,
    {
        EventQueue { events: self.events.clone(), waiting: Vec::new(), ..*self }
    }

    /// Remembers who to wake when something is added.
    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Takes those who wait; they are woken after the lock is released.
    pub(crate) fn waiters(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Item {
        Step(u64),
        Question(u64),
    }

    impl Event for Item {
        fn is_kept(&self) -> bool {
            matches!(self, Item::Question(_))
        }
    }

    proptest! {
        /// Whatever is dropped is covered by a mark that is read later, a reader that takes the state at each mark
        /// sees every step exactly once, and nothing that must be kept is lost or reordered.
        #[test]
        fn a_lag_mark_covers_every_drop(
            limit in 1_usize..6,
            ops in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => Just(1), 2 => Just(2)], 0..200),
        ) {
            let mut queue = EventQueue::new(limit);
            let (mut state, mut seen, mut asked, mut answered) = (0_u64, 0_u64, 0_u64, Vec::new());
            let mut refused = Vec::new();
            let mut read = |queue: &mut EventQueue<Item>, state: u64| -> bool {
                match queue.take() {
                    Taken::Event(Item::Step(step)) => { assert_eq!(step, seen + 1); seen = step; true }
                    Taken::Event(Item::Question(number)) => { answered.push(number); true }
                    Taken::Lagged => { seen = state; true }
                    Taken::Nothing => { assert_eq!(seen, state); false }
                }
            };
            for op in ops {
                match op {
                    0 => { state += 1; prop_assert!(queue.push(Item::Step(state)).is_ok()); }
                    1 => { asked += 1; if queue.push(Item::Question(asked)).is_err() { refused.push(asked); } }
                    _ => { read(&mut queue, state); }
                }
                prop_assert!(queue.events.len() <= limit);
            }
            while read(&mut queue, state) {}
            prop_assert_eq!(seen, state);
            prop_assert!(answered.is_sorted());
            let mut all: Vec<u64> = answered.into_iter().chain(refused).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (1..=asked).collect::<Vec<_>>());
        }
    }
}
