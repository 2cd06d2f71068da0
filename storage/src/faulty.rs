//! A store that misbehaves on request.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::StorageError;
use crate::pending;
use crate::tables::{Batch, Progress, Tables, Ticket, reached};

/// What shall go wrong, counted from 1. Nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// This commit fails like a full disk, and with it the store.
    pub fail_commit: Option<u64>,
    /// This read (`get` or `scan`) fails, and no other.
    pub fail_read: Option<u64>,
    /// From this commit on the disk hangs: batches are taken and can be read, but none becomes durable or
    /// reaches the wrapped store until [`FaultyTables::thaw`].
    pub freeze_at: Option<u64>,
}

/// A fault injector around any store. With an empty plan it behaves like what it wraps, except that `commit`
/// waits for the wrapped store to be durable.
#[derive(Debug)]
pub struct FaultyTables<T> {
    inner: T,
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    commits: u64,
    reads: u64,
    frozen: bool,
    held: VecDeque<(Ticket, Batch)>,
    failed: Option<StorageError>,
}

impl<T: Tables> FaultyTables<T> {
    /// Wraps `inner`, which nobody else may write to.
    pub fn new(inner: T, plan: FaultPlan) -> FaultyTables<T> {
        FaultyTables {
            inner,
            state: Mutex::new(State { plan, ..State::default() }),
            progress: watch::Sender::default(),
        }
    }

    /// The wrapped store: what a crash at this moment would leave.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Lets the disk hang from the next commit on, as [`FaultPlan::freeze_at`] does.
    pub fn freeze(&self) {
        let mut state = self.state.lock();
        state.plan.freeze_at = Some(state.commits + 1);
    }

    /// Lets the next commit fail, as [`FaultPlan::fail_commit`] does.
    pub fn fail_next(&self) {
        let mut state = self.state.lock();
        state.plan.fail_commit = Some(state.commits + 1);
    }

    /// Lets a hanging disk go on: what was held becomes durable, and nothing is held any more.
    pub fn thaw(&self) {
        let mut state = self.state.lock();
        state.frozen = false;
        state.plan.freeze_at = None;
        while let Some((ticket, batch)) = state.held.pop_front() {
            self.pass(&mut state, ticket, batch);
        }
    }

    fn pass(&self, state: &mut State, ticket: Ticket, batch: Batch) {
        if state.failed.is_some() {
            return;
        }
        if state.plan.fail_commit == Some(ticket.0) {
            return self.fail(state, StorageError::Io("a fault was injected".to_owned()));
        }
        let inner = self.inner.commit(batch);
        match block_on(reached(self.inner.progress(), inner)) {
            Ok(()) => self.progress.send_modify(|progress| progress.durable = ticket),
            Err(error) => self.fail(state, error),
        }
    }

    fn fail(&self, state: &mut State, error: StorageError) {
        state.held.clear();
        state.failed.get_or_insert_with(|| error.clone());
        self.progress.send_modify(|progress| {
            progress.failed.get_or_insert(error);
        });
    }

    fn reading(&self, state: &mut State) -> Result<(), StorageError> {
        state.reads += 1;
        match &state.failed {
            Some(error) => Err(error.clone()),
            None if state.plan.fail_read == Some(state.reads) => {
                Err(StorageError::Io("a fault was injected".to_owned()))
            }
            None => Ok(()),
        }
    }
}

impl<T: Tables> Tables for FaultyTables<T> {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let mut state = self.state.lock();
        self.reading(&mut state)?;
        let held = state.held(|batch| pending::on_row(batch, table, key));
        Ok(pending::applied_to_row(self.inner.get(table, key)?, key, &held))
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let mut state = self.state.lock();
        self.reading(&mut state)?;
        let held = state.held(|batch| pending::below(batch, table, prefix));
        Ok(pending::applied(self.inner.scan(table, prefix)?, &held))
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let mut state = self.state.lock();
        state.commits += 1;
        let ticket = Ticket(state.commits);
        state.frozen |= state.plan.freeze_at.is_some_and(|at| at <= ticket.0);
        if state.frozen && state.failed.is_none() {
            state.held.push_back((ticket, batch));
        } else {
            self.pass(&mut state, ticket, batch);
        }
        ticket
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn close(&self) {
        let mut state = self.state.lock();
        self.fail(&mut state, StorageError::Closed);
        self.inner.close();
    }
}

impl State {
    fn held(&self, select: impl Fn(&Batch) -> Batch) -> Batch {
        let mut all = Batch::new();
        self.held.iter().for_each(|(_, batch)| all.extend(&select(batch)));
        all
    }
}

/// Runs a future on this thread, which sleeps while the future waits.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    // Within a task, tokio's budget would make the future wait for a turn that never comes.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
