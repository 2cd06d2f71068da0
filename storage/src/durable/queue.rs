//! What waits for the writing thread, bounded.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use redb::ReadTransaction;

use crate::StorageError;
use crate::engine::mode::Durability;
use crate::tables::{Batch, Ticket};

/// See [`DurableTables::QUEUE_BATCHES_MAX`](super::DurableTables::QUEUE_BATCHES_MAX).
pub(super) const BATCHES_MAX: usize = 65_536;
/// See [`DurableTables::QUEUE_BYTES_MAX`](super::DurableTables::QUEUE_BYTES_MAX).
pub(super) const BYTES_MAX: usize = 32 << 20;

/// Batches in the order of their tickets, joined to groups.
#[derive(Debug, Default)]
pub(super) struct Queue {
    durability: Durability,
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
    /// The last barrier that is not on disk yet.
    barrier: Option<Ticket>,
    /// When the first of the queued batches came, where they wait for others.
    since: Option<Instant>,
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
    /// An empty queue.
    pub(super) fn new(durability: Durability) -> Queue {
        Queue { durability, ..Queue::default() }
    }

    /// Takes a batch; waits while the queue is full. Where batches are acknowledged before they are on disk,
    /// `acknowledge` is called with its ticket, in the order of tickets.
    pub(super) fn push(&self, batch: &Batch, acknowledge: impl FnOnce(Ticket)) -> Ticket {
        let mut state = self.state.lock();
        while state.failed.is_none() && state.is_full(batch) {
            self.space.wait(&mut state);
        }
        state.last.0 += 1;
        if state.failed.is_none() {
            state.queued.extend(batch);
            state.batches += 1;
            if self.durability.is_buffered() {
                state.since.get_or_insert_with(Instant::now);
                if state.barrier.is_none() {
                    acknowledge(state.last);
                }
            }
            if state.batches == 1 || state.is_half_full() {
                self.work.notify_one();
            }
        }
        state.last
    }

    /// Takes a batch without effect, which is on disk when all before it are.
    pub(super) fn barrier(&self) -> Ticket {
        let mut state = self.state.lock();
        state.last.0 += 1;
        if state.failed.is_none() {
            state.batches += 1;
            state.barrier = Some(state.last);
            self.work.notify_one();
        }
        state.last
    }

    /// Waits until there is something to write and it has waited long enough for more; false when there never will
    /// be.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.failed.is_none() && !state.finishing {
            match self.due(&state) {
                None => self.work.wait(&mut state),
                Some(due) if Instant::now() < due => drop(self.work.wait_until(&mut state, due)),
                Some(_) => return true,
            }
        }
        state.batches > 0
    }

    /// When what is queued shall be written.
    fn due(&self, state: &State) -> Option<Instant> {
        match self.durability {
            _ if state.batches == 0 => None,
            Durability::Buffered { sync_every } if state.barrier.is_none() && !state.is_half_full() => {
                state.since.map(|since| since + sync_every)
            }
            _ => Some(Instant::now()),
        }
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
        state.since = None;
        state.in_flight = Some(InFlight { steps: Arc::clone(&steps), before: Arc::new(before) });
        self.space.notify_all();
        Some(Group { steps, last: state.last })
    }

    /// The group taken last is on disk. Calls `acknowledge` with the last ticket that is durable now.
    pub(super) fn done(&self, group: Group, acknowledge: impl FnOnce(Ticket)) {
        let last = group.last;
        drop(group);
        let in_flight = {
            let mut state = self.state.lock();
            if state.barrier.is_some_and(|barrier| barrier <= last) {
                state.barrier = None;
            }
            let all = self.durability.is_buffered() && state.barrier.is_none() && state.failed.is_none();
            acknowledge(if all { state.last } else { last });
            state.in_flight.take()
        };
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

    /// Drops what waits and refuses what comes; returns the first reason that was given, and whether it is this one
    /// and nothing was dropped.
    pub(super) fn fail(&self, reason: StorageError) -> (StorageError, bool) {
        let mut state = self.state.lock();
        let nothing_lost = state.failed.is_none() && state.batches == 0;
        state.queued = Batch::new();
        state.batches = 0;
        state.in_flight = None;
        let reason = state.failed.get_or_insert(reason).clone();
        drop(state);
        self.work.notify_one();
        self.space.notify_all();
        (reason, nothing_lost)
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

    /// Whether what waits for others has waited long enough for that reason.
    fn is_half_full(&self) -> bool {
        self.batches >= BATCHES_MAX / 2 || self.queued.size() >= BYTES_MAX / 2
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
        std::thread::spawn(move || done.send(queue.push(&batch(bytes), |_| ())));
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
            assert_eq!(queue.push(&batch(first), |_| ()), Ticket(1));
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
        (0..BATCHES_MAX).for_each(|_| _ = queue.push(&Batch::new(), |_| ()));
        let waiting = push(&queue, 1);
        assert!(waiting.recv_timeout(Duration::from_millis(50)).is_err());
        assert_eq!(queue.fail(StorageError::Closed), (StorageError::Closed, false));
        assert_eq!(waiting.recv().unwrap(), Ticket(BATCHES_MAX as u64 + 1));
    }

    #[test]
    fn what_was_dropped_is_never_taken() {
        let queue = Queue::default();
        queue.push(&batch(1), |_| ());
        queue.fail(StorageError::Closed);
        queue.push(&batch(1), |_| ());
        assert!(!queue.wait());
        assert!(queue.take(snapshot()).is_none());
        assert_eq!(queue.fail(StorageError::Io("later".to_owned())), (StorageError::Closed, false));
    }
}
