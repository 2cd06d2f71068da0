//! What waits for the writing thread, bounded.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use redb::ReadTransaction;

use crate::StorageError;
use crate::tables::{Batch, Ticket};

/// See [`DurableTables::QUEUE_BATCHES_MAX`](super::DurableTables::QUEUE_BATCHES_MAX).
pub(super) const BATCHES_MAX: usize = 65_536;
/// See [`DurableTables::QUEUE_BYTES_MAX`](super::DurableTables::QUEUE_BYTES_MAX).
pub(super) const BYTES_MAX: usize = 32 << 20;

/// Batches in the order of their tickets, joined to groups.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when there is something to write, or nothing more will come.
    work: Condvar,
    /// Told when the queue was emptied, or nothing more will be written.
    space: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The next group.
    queued: Batch,
    /// How many batches it is made of.
    batches: usize,
    in_flight: Option<InFlight>,
    /// An empty batch with memory for the next group.
    spare: Batch,
    last: Ticket,
    finishing: bool,
    failed: Option<StorageError>,
}

/// The group that is being written.
pub(super) struct InFlight {
    pub(super) steps: Arc<Batch>,
    /// The file without it. Whether the file as it is has the group already cannot be told from outside, and
    /// some steps must not be applied twice.
    pub(super) before: Arc<ReadTransaction>,
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlight").field("bytes", &self.steps.size()).finish_non_exhaustive()
    }
}

/// What is to be written as one transaction.
pub(super) struct Group {
    pub(super) steps: Arc<Batch>,
    /// The ticket of the last batch in it.
    pub(super) last: Ticket,
}

impl Queue {
    /// Takes a batch; waits while the queue is full.
    pub(super) fn push(&self, batch: &Batch) -> Ticket {
        let mut state = self.state.lock();
        while state.failed.is_none() && state.is_full(batch) {
            self.space.wait(&mut state);
        }
        state.last.0 += 1;
        if state.failed.is_none() {
            state.queued.extend(batch);
            state.batches += 1;
            if state.batches == 1 {
                self.work.notify_one();
            }
        }
        state.last
    }

    /// Waits until there is something to write; false when there never will be.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.batches == 0 && state.failed.is_none() && !state.finishing {
            self.work.wait(&mut state);
        }
        state.batches > 0
    }

    /// All that waits, unless it was dropped meanwhile. `before` is the state of the file.
    pub(super) fn take(&self, before: ReadTransaction) -> Option<Group> {
        let mut state = self.state.lock();
        if state.batches == 0 {
            return None;
        }
        let next = std::mem::take(&mut state.spare);
        let steps = Arc::new(std::mem::replace(&mut state.queued, next));
        state.batches = 0;
        state.in_flight = Some(InFlight { steps: Arc::clone(&steps), before: Arc::new(before) });
        self.space.notify_all();
        Some(Group { steps, last: state.last })
    }

    /// The group taken last is in the file.
    pub(super) fn done(&self, group: Group) {
        drop(group);
        let in_flight = self.state.lock().in_flight.take();
        if let Some(mut steps) = in_flight.and_then(|in_flight| Arc::into_inner(in_flight.steps)) {
            steps.clear();
            self.state.lock().spare = steps;
        }
    }

    /// Nothing more will be pushed: `take` returns what waits, then `None`.
    pub(super) fn finish(&self) {
        self.state.lock().finishing = true;
        self.work.notify_one();
    }

    /// Drops what waits and refuses what comes; returns the first reason that was given.
    pub(super) fn fail(&self, reason: StorageError) -> StorageError {
        let mut state = self.state.lock();
        state.queued = Batch::new();
        state.batches = 0;
        state.in_flight = None;
        let reason = state.failed.get_or_insert(reason).clone();
        drop(state);
        self.work.notify_one();
        self.space.notify_all();
        reason
    }

    /// Calls `look` with what is being written and what waits, which stand still meanwhile.
    pub(super) fn look<R>(
        &self,
        look: impl FnOnce(Option<&InFlight>, &Batch) -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        let state = self.state.lock();
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => look(state.in_flight.as_ref(), &state.queued),
        }
    }
}

impl State {
    fn is_full(&self, batch: &Batch) -> bool {
        self.batches >= BATCHES_MAX || (self.batches > 0 && self.queued.size() + batch.size() > BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn batch(bytes: usize) -> Batch {
        Batch::new().put("cases/v1", "key", vec![0; bytes])
    }

    /// Pushes on a thread of its own; what it gets comes through the channel.
    fn push(queue: &Arc<Queue>, bytes: usize) -> mpsc::Receiver<Ticket> {
        let (queue, (done, ticket)) = (Arc::clone(queue), mpsc::channel());
        std::thread::spawn(move || done.send(queue.push(&batch(bytes))));
        ticket
    }

    fn snapshot() -> ReadTransaction {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).unwrap();
        redb::ReadableDatabase::begin_read(&database).unwrap()
    }

    #[test]
    fn a_full_queue_blocks_until_the_writer_takes_it() {
        for (first, second) in [(BYTES_MAX - 100, 200), (10, BYTES_MAX + 1)] {
            let queue = Arc::new(Queue::default());
            assert_eq!(queue.push(&batch(first)), Ticket(1));
            let waiting = push(&queue, second);
            assert!(waiting.recv_timeout(Duration::from_millis(50)).is_err());
            assert_eq!(queue.take(snapshot()).unwrap().last, Ticket(1));
            assert_eq!(waiting.recv().unwrap(), Ticket(2));
            // One that is larger than the queue goes alone.
            assert_eq!(queue.take(snapshot()).unwrap().last, Ticket(2));
        }
    }

    #[test]
    fn the_number_of_batches_is_bounded_too() {
        let queue = Arc::new(Queue::default());
        (0..BATCHES_MAX).for_each(|_| _ = queue.push(&Batch::new()));
        let waiting = push(&queue, 1);
        assert!(waiting.recv_timeout(Duration::from_millis(50)).is_err());
        assert_eq!(queue.fail(StorageError::Closed), StorageError::Closed);
        assert_eq!(waiting.recv().unwrap(), Ticket(BATCHES_MAX as u64 + 1));
    }

    #[test]
    fn what_was_dropped_is_never_taken() {
        let queue = Queue::default();
        queue.push(&batch(1));
        queue.fail(StorageError::Closed);
        queue.push(&batch(1));
        assert!(!queue.wait());
        assert!(queue.take(snapshot()).is_none());
        assert_eq!(queue.fail(StorageError::Io("later".to_owned())), StorageError::Closed);
    }
}
