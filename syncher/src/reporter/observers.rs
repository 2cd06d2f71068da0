//! Who observes a reported object, as its Sync Manager tells it (protocol 5.3.5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use hyperty_model::message::{ObserverValue, ObserversBody, ObserversOperation};
use hyperty_model::{HypertyUrl, Identity, Message, Timestamp};

use super::shared::ReporterShared;
use crate::queue::{Event, EventQueue, Taken};

/// One who observes an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObserverEntry {
    /// The hyperty.
    pub url: HypertyUrl,
    /// The user behind it, if one is known.
    pub identity: Option<Identity>,
    /// Since when it observes, by the clock of the Reporter's runtime; `None` where that was not kept.
    pub since: Option<Timestamp>,
    /// Its runtime vanished, and it keeps its place for a while: it may come back.
    pub away: bool,
}

/// A change of the list of observers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ObserversChange {
    /// Somebody observes from now on.
    Joined(ObserverEntry),
    /// Somebody observes no longer: by its own wish, removed, or away for too long.
    Left(ObserverEntry),
    /// The runtime of an observer vanished.
    Away(ObserverEntry),
    /// An observer that was away is there again.
    Back(ObserverEntry),
    /// The whole list, in place of changes that were not read in time.
    Reset(Vec<ObserverEntry>),
}

impl Event for ObserversChange {
    fn is_kept(&self) -> bool {
        false // a reset covers everything
    }
}

/// The changes of the list of observers, from the moment it was asked for; see
/// [`Reporter::observers_changes`](crate::Reporter::observers_changes).
pub struct ObserversChanges {
    reporter: Arc<ReporterShared>,
    reader: u64,
}

/// The list, and who reads its changes.
#[derive(Default)]
pub(super) struct ObserversBoard {
    entries: BTreeMap<HypertyUrl, ObserverEntry>,
    /// Who was spoken of before the list that an answer brought was taken over, which is older.
    spoken_of: Option<BTreeSet<HypertyUrl>>,
    readers: BTreeMap<u64, EventQueue<ObserversChange>>,
    next: u64,
}

impl ObserversBoard {
    /// A list that is yet to be told.
    pub(super) fn untold() -> ObserversBoard {
        ObserversBoard { spoken_of: Some(BTreeSet::new()), ..ObserversBoard::default() }
    }

    fn list(&self) -> Vec<ObserverEntry> {
        self.entries.values().cloned().collect()
    }

    /// Takes over the list that an answer brought. What was said meanwhile is younger, and stands.
    fn take_over(&mut self, list: Vec<ObserverValue>) -> Vec<Waker> {
        let Some(spoken_of) = self.spoken_of.take() else { return Vec::new() };
        let mut waiters = Vec::new();
        for value in list.into_iter().filter(|value| !spoken_of.contains(&value.url)) {
            waiters.extend(self.apply(ObserversOperation::Add, value));
        }
        waiters
    }

    fn apply(&mut self, operation: ObserversOperation, value: ObserverValue) -> Vec<Waker> {
        if let Some(spoken_of) = &mut self.spoken_of {
            spoken_of.insert(value.url.clone());
        }
        let ObserverValue { url, identity, since, away } = value;
        let entry = ObserverEntry { url: url.clone(), identity, since, away };
        let change = match operation {
            ObserversOperation::Remove => match self.entries.remove(&url) {
                Some(known) => ObserversChange::Left(known),
                None => return Vec::new(),
            },
            ObserversOperation::Add | ObserversOperation::Away | ObserversOperation::Back => {
                let before = self.entries.insert(url, entry.clone());
                match before.map(|before| before.away) {
                    None => ObserversChange::Joined(entry),
                    Some(was_away) if was_away == entry.away => return Vec::new(),
                    Some(false) => ObserversChange::Away(entry),
                    Some(true) => ObserversChange::Back(entry),
                }
            }
        };
        let mut waiters = Vec::new();
        for queue in self.readers.values_mut() {
            // Nothing here must be kept, so nothing is given back.
            let _ = queue.push(change.clone());
            waiters.extend(queue.waiters());
        }
        waiters
    }

    /// Those who wait for a change that will not come.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        self.readers.values_mut().flat_map(EventQueue::waiters).collect()
    }
}

impl ReporterShared {
    /// A change of the list, told by the Sync Manager of this runtime.
    pub(super) fn on_observers(&self, message: &Message) {
        if message.is_remote() || message.sender().is_some() || *message.from() != self.url.subscription() {
            tracing::warn!(object = %self.url, from = %message.from(), "only the Sync Manager tells who observes");
            return;
        }
        let Ok(body) = message.decode::<ObserversBody>() else { return };
        let waiters: Vec<Waker> = {
            let board = &mut self.state.lock().observers;
            body.value.iter().flat_map(|value| board.apply(body.operation, value.clone())).collect()
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// The list at a time before anything that arrived here was said.
    pub(crate) fn take_over_observers(&self, list: Vec<ObserverValue>) {
        let waiters = self.state.lock().observers.take_over(list);
        waiters.into_iter().for_each(Waker::wake);
    }

    pub(super) fn observers(&self) -> Vec<ObserverEntry> {
        self.state.lock().observers.list()
    }
}

impl ObserversChanges {
    /// A reader whose place is now.
    pub(super) fn of(reporter: &Arc<ReporterShared>) -> ObserversChanges {
        let reader = {
            let board = &mut reporter.state.lock().observers;
            board.next += 1;
            let queue = EventQueue::new(reporter.core.config.limits.events_max);
            board.readers.insert(board.next, queue);
            board.next
        };
        ObserversChanges { reporter: Arc::clone(reporter), reader }
    }

    /// The next change; `None` when the object is deleted or the Syncher stops.
    pub async fn next(&mut self) -> Option<ObserversChange> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<ObserversChange>> {
        let mut state = self.reporter.state.lock();
        let ended = state.ended;
        let board = &mut state.observers;
        let Some(queue) = board.readers.get_mut(&self.reader) else {
            return Poll::Ready(None); // a queue lives as long as its reader
        };
        match queue.take() {
            Taken::Event(change) => Poll::Ready(Some(change)),
            Taken::Lagged => {
                queue.skip();
                Poll::Ready(Some(ObserversChange::Reset(board.list())))
            }
            Taken::Nothing if ended => Poll::Ready(None),
            Taken::Nothing => {
                queue.wait(context.waker());
                Poll::Pending
            }
        }
    }
}

impl Stream for ObserversChanges {
    type Item = ObserversChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ObserversChange>> {
        self.poll(context)
    }
}

impl Drop for ObserversChanges {
    fn drop(&mut self) {
        self.reporter.state.lock().observers.readers.remove(&self.reader);
    }
}

impl fmt::Debug for ObserversChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObserversChanges({})", self.reporter.url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, away: bool) -> ObserverValue {
        let url = HypertyUrl::parse(&format!("hyperty://example.com/{name}")).unwrap();
        ObserverValue { url, identity: None, since: None, away }
    }

    fn names(board: &ObserversBoard) -> Vec<(String, bool)> {
        let named = |entry: ObserverEntry| (entry.url.path().to_owned(), entry.away);
        board.list().into_iter().map(named).collect()
    }

    #[test]
    fn what_was_said_before_the_first_list_is_younger_than_it() {
        let mut board = ObserversBoard::untold();
        board.apply(ObserversOperation::Remove, value("bob", false));
        board.apply(ObserversOperation::Away, value("carol", true));
        board.take_over(vec![value("bob", false), value("carol", false), value("dave", true)]);
        assert_eq!(names(&board), [("carol".to_owned(), true), ("dave".to_owned(), true)]);
        // Only the first list is one.
        board.take_over(vec![value("erin", false)]);
        assert_eq!(names(&board).len(), 2);
    }
}
