use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use hyperty_model::object::Metadata;
use hyperty_model::{ChildrenName, ObjectUrl, Position, Snapshot};
use serde_json::Value;

use super::shared::ObserverShared;
use super::{RequestError, UnsubscribeError};
use crate::core::Live;
use crate::queue::Taken;
use crate::{ChangeEvent, ChildrenHandle, Lag, ObserverEvent, UnknownChildren};

/// A live copy of an object that somebody else reports.
///
/// The copy is kept up to date whether events are read or not. Each handle has a place of its own in the stream of
/// events: the first one begins right behind the snapshot it was subscribed with, a clone where the original stands.
/// Only so many unread events are kept; then one [`ObserverEvent::Resync`] with the whole state takes their place.
///
/// Dropping the last handle (and with it the last [`Child`](crate::Child) and [`ChildrenHandle`] of the object) stops
/// what is delivered here, but the subscription stays: use [`Observer::unsubscribe`] to end it.
pub struct Observer {
    shared: Arc<ObserverShared>,
    cursor: u64,
}

/// Whether a copy is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObserverState {
    /// Changes arrive.
    Live,
    /// The Reporter cannot be reached, or is reached again and what was missed is being made up for; the copy is the
    /// last state known.
    Disconnected,
    /// The observation ended; the copy stays what it was.
    Closed,
}

impl Observer {
    /// A handle whose place in the stream is now.
    pub(super) fn at(shared: &Arc<ObserverShared>) -> Observer {
        let cursor = shared.state.lock().add_cursor(shared.core.config.limits.events_max);
        Observer { shared: Arc::clone(shared), cursor }
    }

    pub(crate) fn of(shared: Arc<ObserverShared>) -> Observer {
        Observer::at(&shared)
    }

    /// The object's URL.
    pub fn url(&self) -> &ObjectUrl {
        self.shared.url()
    }

    /// A copy of the data as it is now; unread events may lead up to it.
    pub fn data(&self) -> Value {
        self.with_data(Value::clone)
    }

    /// Looks at the data as it is now. A change that arrives meanwhile is not seen, and copies the data.
    pub fn with_data<T>(&self, look: impl FnOnce(&Value) -> T) -> T {
        let data = Arc::clone(self.shared.state.lock().copy.data());
        look(&data)
    }

    /// The whole object as it is now. What is unread and led up to it is skipped, so that the next event is what
    /// comes right behind it: adding the changes to the snapshot always gives the object.
    pub fn snapshot(&mut self) -> Snapshot {
        self.shared.board.with_children(|children| {
            let state = &mut *self.shared.state.lock();
            let position = state.copy.position();
            if let Some(cursor) = state.cursors.iter_mut().find(|cursor| cursor.id == self.cursor) {
                cursor.events.skip();
                cursor.catch_up(state.cut, position);
            }
            let Position { epoch, version } = position;
            let data = Value::clone(state.copy.data());
            Snapshot { metadata: metadata_of(&state.copy), version, epoch, data, children }
        })
    }

    /// The position of the data.
    pub fn position(&self) -> Position {
        self.shared.state.lock().copy.position()
    }

    /// The version of the data.
    pub fn version(&self) -> u64 {
        self.position().version
    }

    /// Everything that is known of the object beside its data.
    pub fn metadata(&self) -> Metadata {
        metadata_of(&self.shared.state.lock().copy)
    }

    /// Whether changes arrive.
    pub fn state(&self) -> ObserverState {
        let state = self.shared.state.lock();
        match (&state.end, &state.cut) {
            (Some(_), _) => ObserverState::Closed,
            (None, Some(_)) => ObserverState::Disconnected,
            (None, None) => ObserverState::Live,
        }
    }

    /// How far the copy is behind what is known, and since when nothing was heard.
    pub fn lag(&self) -> Lag {
        let state = self.shared.state.lock();
        Lag::between(state.copy.position(), state.copy.horizon(), state.heard)
    }

    /// The next change of the data; `None` when the observation has ended.
    ///
    /// Every other event before it is passed over. A whole state in place of unread or missed changes is told as a
    /// change of the empty path.
    pub async fn next(&mut self) -> Option<ChangeEvent> {
        loop {
            match self.next_event().await? {
                ObserverEvent::Change(change) => return Some(change),
                ObserverEvent::Resync { version, data, .. } => {
                    return Some(ChangeEvent::whole(data, version));
                }
                _ => {}
            }
        }
    }

    /// The next event; `None` after the last, which is [`ObserverEvent::Deleted`] or [`ObserverEvent::Closed`].
    pub async fn next_event(&mut self) -> Option<ObserverEvent> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// The events as a stream.
    pub fn into_events(self) -> ObserverEvents {
        ObserverEvents { observer: self }
    }

    /// The names of the children the object has.
    pub fn children_names(&self) -> Vec<ChildrenName> {
        self.shared.board.names()
    }

    /// The children of one name.
    ///
    /// # Errors
    /// [`UnknownChildren`] when the object's schema has no such name.
    pub fn children(&self, name: &str) -> Result<ChildrenHandle, UnknownChildren> {
        self.shared.board.handle(name, Live::Observer(Arc::clone(&self.shared)))
    }

    /// Asks the Reporter's application to do something, and waits for its answer: this is how an observer changes what
    /// it does not own. `params` travel as a list; one that is none is its only element. While the application says that
    /// it is at it, the wait goes on.
    ///
    /// # Errors
    /// [`RequestError`] says why it was not done.
    ///
    /// ```no_run
    /// # async fn ask(observer: hyperty_syncher::Observer) -> Result<(), Box<dyn std::error::Error>> {
    /// let seat = observer.request("reserve", serde_json::json!({"row": 4})).await?;
    /// println!("{seat}");
    /// # Ok(()) }
    /// ```
    pub async fn request(&self, method: &str, params: Value) -> Result<Value, RequestError> {
        self.shared.request(method, params).await
    }

    /// Ends the subscription of this hyperty. What is unread can be read still, then comes
    /// [`ObserverEvent::Closed`].
    ///
    /// # Errors
    /// [`UnsubscribeError`]; the observation has ended here all the same.
    pub async fn unsubscribe(&self) -> Result<(), UnsubscribeError> {
        self.shared.unsubscribe().await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<ObserverEvent>> {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let Some(cursor) = state.cursors.iter_mut().find(|cursor| cursor.id == self.cursor) else {
            return Poll::Ready(None); // a cursor lives as long as its handle
        };
        loop {
            match cursor.take() {
                Taken::Event(queued) => match queued.into_event() {
                    Some(event) => return Poll::Ready(Some(event)),
                    None => continue,
                },
                Taken::Lagged => {
                    let (data, position) = (Arc::clone(state.copy.data()), state.copy.position());
                    cursor.catch_up(state.cut, position);
                    let Position { epoch, version } = position;
                    return Poll::Ready(Some(ObserverEvent::Resync { epoch, version, data }));
                }
                Taken::Nothing => {}
            }
            let Some(end) = &state.end else {
                cursor.events.wait(context.waker());
                return Poll::Pending;
            };
            let told = std::mem::replace(&mut cursor.end_told, true);
            return Poll::Ready((!told).then(|| end.event()));
        }
    }
}

fn metadata_of(copy: &super::copy::Copy) -> Metadata {
    copy.metadata().cloned().expect("a handle is given out when the first snapshot is there")
}

impl Clone for Observer {
    fn clone(&self) -> Observer {
        let shared = Arc::clone(&self.shared);
        let cursor = {
            let mut state = shared.state.lock();
            let limit = shared.core.config.limits.events_max;
            state.copy_cursor(self.cursor).unwrap_or_else(|| state.add_cursor(limit))
        };
        Observer { shared, cursor }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let cursor = state.cursors.iter().position(|cursor| cursor.id == self.cursor);
        let dropped = cursor.map(|at| state.cursors.remove(at));
        drop(state);
        drop(dropped);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({} at {})", self.url(), self.position())
    }
}

/// The events of an [`Observer`] as a stream; see [`Observer::into_events`].
#[derive(Debug)]
pub struct ObserverEvents {
    observer: Observer,
}

impl ObserverEvents {
    /// The observer.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }
}

impl Stream for ObserverEvents {
    type Item = ObserverEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ObserverEvent>> {
        self.observer.poll_event(context)
    }
}
