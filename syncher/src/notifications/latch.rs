//! Where notifications wait until the application reads them.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Something that must be answered, and may be answered before it is read.
pub(crate) trait Notice {
    /// Whether it waits for an answer still.
    fn is_open(&self) -> bool;
}

/// Notifications of one kind in the order in which they came, at most `limit` of them: what finds no room is given
/// back. There is one queue for all who read; each notification goes to whoever asks first.
pub(crate) struct Latch<N> {
    limit: usize,
    state: Mutex<State<N>>,
}

struct State<N> {
    waiting: VecDeque<N>,
    wakers: Vec<Waker>,
    closed: bool,
}

impl<N: Notice> Latch<N> {
    pub(crate) fn new(limit: usize) -> Latch<N> {
        Latch {
            limit,
            state: Mutex::new(State { waiting: VecDeque::new(), wakers: Vec::new(), closed: false }),
        }
    }

    /// Adds one; gives it back when there is no room or nobody will ever read.
    pub(crate) fn raise(&self, notice: N) -> Result<(), N> {
        let (answered, wakers) = {
            let mut state = self.state.lock();
            let mut answered = Vec::new();
            if state.waiting.len() >= self.limit {
                // Dropped outside of the lock: dropping may answer, and answering may come back here.
                let (open, over) =
                    std::mem::take(&mut state.waiting).into_iter().partition::<VecDeque<N>, _>(N::is_open);
                state.waiting = open;
                answered.extend(over);
            }
            if state.closed || state.waiting.len() >= self.limit {
                drop(state);
                return Err(notice);
            }
            state.waiting.push_back(notice);
            (answered, std::mem::take(&mut state.wakers))
        };
        drop(answered);
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// The next one that waits for an answer; `None` once it is closed and empty.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<N>> {
        loop {
            let notice = {
                let mut state = self.state.lock();
                match state.waiting.pop_front() {
                    Some(notice) => notice,
                    None if state.closed => return Poll::Ready(None),
                    None => {
                        if !state.wakers.iter().any(|known| known.will_wake(context.waker())) {
                            state.wakers.push(context.waker().clone());
                        }
                        return Poll::Pending;
                    }
                }
            };
            if notice.is_open() {
                return Poll::Ready(Some(notice));
            }
        }
    }

    /// Nothing is taken any more; gives what nobody has read.
    pub(crate) fn close(&self) -> VecDeque<N> {
        let (waiting, wakers) = {
            let mut state = self.state.lock();
            state.closed = true;
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        waiting
    }
}

/// Reads a latch as a stream.
pub(crate) async fn next<N: Notice>(latch: &Latch<N>) -> Option<N> {
    std::future::poll_fn(|context| latch.poll(context)).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Item(u8, AtomicBool);

    impl Notice for Arc<Item> {
        fn is_open(&self) -> bool {
            self.1.load(Ordering::SeqCst)
        }
    }

    fn item(number: u8) -> Arc<Item> {
        Arc::new(Item(number, AtomicBool::new(true)))
    }

    #[tokio::test]
    async fn what_came_before_a_reader_is_read_in_order_and_what_is_over_is_not() {
        let latch = Latch::new(3);
        let items = [item(1), item(2), item(3)];
        for one in &items {
            assert!(latch.raise(Arc::clone(one)).is_ok());
        }
        items[1].1.store(false, Ordering::SeqCst);
        assert_eq!(next(&latch).await.unwrap().0, 1);
        assert_eq!(next(&latch).await.unwrap().0, 3);
    }

    #[tokio::test]
    async fn a_full_latch_gives_back_and_makes_room_for_what_is_over() {
        let latch = Latch::new(1);
        let first = item(1);
        assert!(latch.raise(Arc::clone(&first)).is_ok());
        assert_eq!(latch.raise(item(2)).map_err(|refused| refused.0), Err(2));
        first.1.store(false, Ordering::SeqCst);
        assert!(latch.raise(item(3)).is_ok());
        assert_eq!(next(&latch).await.unwrap().0, 3);
    }

    #[tokio::test]
    async fn a_closed_latch_ends_its_readers() {
        let latch: Latch<Arc<Item>> = Latch::new(1);
        assert!(latch.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(latch.close().len(), 0);
        assert!(next(&latch).await.is_none());
        assert!(latch.raise(item(1)).is_err());
    }
}
