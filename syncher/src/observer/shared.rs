//! What the handles of one observed object share.

use std::sync::{Arc, Weak};
use std::task::Waker;

use hyperty_message_bus::{BusError, Listener};
use hyperty_model::{ChildrenName, Message, MessageId, MessageType, ObjectUrl, Position, Snapshot, Url};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::copy::{Base, Copy};
use super::end::End;
use crate::children::{Board, Heard};
use crate::core::{Core, Live};
use crate::events::Queued;
use crate::lag::versions_between;
use crate::queue::{EventQueue, Taken};

pub(crate) struct ObserverShared {
    pub(super) core: Arc<Core>,
    pub(super) url: ObjectUrl,
    pub(super) changes: Url,
    pub(super) board: Arc<Board>,
    /// Never taken while another lock is taken after it; the board's may be held before it.
    pub(super) state: Mutex<State>,
    /// One subscription of the same object at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) itself: Weak<ObserverShared>,
}

pub(super) struct State {
    pub(super) copy: Copy,
    pub(super) cursors: Vec<Cursor>,
    next_cursor: u64,
    /// The Reporter cannot be reached, or what was missed meanwhile is not made up for yet.
    pub(super) cut: Option<Cut>,
    /// When something of the object's stream was heard last.
    pub(super) heard: Instant,
    pub(super) end: Option<End>,
    pub(super) repairing: bool,
    /// Who said, before the first snapshot has come, that this observer is removed.
    pub(super) removed_by: Option<Url>,
    /// The request to subscribe that was sent last.
    pub(super) asking: Option<MessageId>,
    /// The children have to be read anew, with everything else.
    pub(super) read_whole: bool,
    /// The names of the children whose channels are listened to. The board may know them from a former observation.
    names: Vec<ChildrenName>,
    pub(super) listeners: Vec<Listener>,
    /// A listener that could not be added when it should have been.
    pub(super) deaf: Option<BusError>,
}

/// A stream that is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Where the copy stood.
    pub(super) at: Position,
    /// The stream is whole again, and the copy is being repaired.
    pub(super) mending: bool,
}

/// The place of one handle in the stream of events.
pub(super) struct Cursor {
    pub(super) id: u64,
    pub(super) events: EventQueue<Queued>,
    /// Where the copy stood when the reader learnt that the Reporter cannot be reached, until it learns that it can.
    pub(super) cut_told: Option<Position>,
    pub(super) end_told: bool,
}

impl State {
    /// Adds a place that begins now.
    pub(super) fn add_cursor(&mut self, limit: usize) -> u64 {
        // Whoever gets a handle sees its state.
        let cut_told = self.cut.map(|cut| cut.at);
        self.insert_cursor(EventQueue::new(limit), cut_told, false)
    }

    /// Adds a place at the same point as another.
    pub(super) fn copy_cursor(&mut self, id: u64) -> Option<u64> {
        let cursor = self.cursors.iter().find(|cursor| cursor.id == id)?;
        let (events, cut_told, end_told) = (cursor.events.fork(), cursor.cut_told, cursor.end_told);
        Some(self.insert_cursor(events, cut_told, end_told))
    }

    fn insert_cursor(
        &mut self,
        events: EventQueue<Queued>,
        cut_told: Option<Position>,
        end_told: bool,
    ) -> u64 {
        self.next_cursor += 1;
        self.cursors.push(Cursor { id: self.next_cursor, events, cut_told, end_told });
        self.next_cursor
    }

    /// Runs something that tells events, and gives back who is to be woken for them.
    pub(super) fn tell(&mut self, run: impl FnOnce(&mut Copy, &mut dyn FnMut(Queued))) -> Vec<Waker> {
        let State { copy, cursors, .. } = self;
        let mut waiters = Vec::new();
        run(copy, &mut |event| {
            if let Some((last, others)) = cursors.split_last_mut() {
                for cursor in others {
                    cursor.add(event.clone(), &mut waiters);
                }
                last.add(event, &mut waiters);
            }
        });
        waiters
    }
}

impl Cursor {
    fn add(&mut self, event: Queued, waiters: &mut Vec<Waker>) {
        // Nothing here must be kept, so nothing is given back.
        let _ = self.events.push(event);
        waiters.append(&mut self.events.waiters());
    }

    /// Takes what comes next, and notes what it tells of the connection.
    pub(super) fn take(&mut self) -> Taken<Queued> {
        let taken = self.events.take();
        match &taken {
            Taken::Event(Queued::Disconnected(at)) => self.cut_told = Some(*at),
            Taken::Event(Queued::Resumed(_)) => self.cut_told = None,
            _ => {}
        }
        taken
    }

    /// The whole state took the place of what was unread: what the reader has not learnt of the connection comes next.
    pub(super) fn catch_up(&mut self, cut: Option<Cut>, position: Position) {
        let event = match (self.cut_told, cut) {
            (None, Some(cut)) => Queued::Disconnected(cut.at),
            (Some(at), None) => Queued::Resumed(versions_between(at, position)),
            _ => return,
        };
        // There is room: nothing is unread now.
        let _ = self.events.push(event);
    }
}

impl ObserverShared {
    /// An object that waits for its first snapshot, and keeps what arrives before it.
    pub(super) fn provisional(core: &Arc<Core>, url: &ObjectUrl) -> Result<Arc<ObserverShared>, BusError> {
        let board = core.board(url);
        board.open();
        let state = State {
            copy: Copy::waiting(core.config.limits.buffered_max),
            cursors: Vec::new(),
            next_cursor: 0,
            cut: None,
            heard: Instant::now(),
            end: None,
            repairing: false,
            removed_by: None,
            asking: None,
            read_whole: false,
            names: Vec::new(),
            listeners: Vec::new(),
            deaf: None,
        };
        let shared = Arc::new_cyclic(|itself| ObserverShared {
            core: Arc::clone(core),
            url: url.clone(),
            changes: url.changes(),
            board,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
            itself: Weak::clone(itself),
        });
        // The stream is what nearly all messages are: it need not be told from the others.
        shared.listen(&shared.changes, ObserverShared::on_stream)?;
        shared.listen(&url.status(), ObserverShared::receive)?;
        Ok(shared)
    }

    /// Takes up an object from the store of this runtime; `None` if this hyperty reports it itself.
    pub(crate) fn resumed(
        core: &Arc<Core>,
        snapshot: Snapshot,
        names: &[ChildrenName],
        disconnected: bool,
    ) -> Result<Option<Arc<ObserverShared>>, BusError> {
        let url = snapshot.metadata.url.clone();
        let new = Live::Observer(match core.live(&url) {
            Some(Live::Observer(known)) => known,
            Some(Live::Reporter(_)) => return Ok(None),
            None => ObserverShared::provisional(core, &url)?,
        });
        let Live::Observer(shared) = core.insert(&url, &new).err().unwrap_or(new) else { return Ok(None) };
        if disconnected && !shared.is_live() {
            // Before what was kept meanwhile, which may tell that it is connected again.
            shared.state.lock().cut = Some(Cut { at: snapshot.position(), mending: false });
        }
        shared.learn(names);
        let held = core.take_held(&url);
        held.iter().for_each(|message| shared.receive(message));
        shared.install(snapshot, names);
        shared.mended();
        // That it has ended meanwhile; who may say so is known now.
        let ends = held.iter().filter(|message| message.kind() == MessageType::Unsubscribe);
        ends.for_each(|message| core.end_observation(&shared, message));
        let deaf = shared.state.lock().deaf.take();
        deaf.map_or(Ok(Some(shared)), Err)
    }

    fn listen(&self, address: &Url, take: fn(&ObserverShared, &Message)) -> Result<(), BusError> {
        let weak = Weak::clone(&self.itself);
        let listener = self.core.minibus.listen(address, move |message| {
            if let Some(observer) = weak.upgrade() {
                take(&observer, message);
            }
        })?;
        self.state.lock().listeners.push(listener);
        Ok(())
    }

    /// Listens to the channels of children whose names are new; true if there were any.
    pub(super) fn learn(&self, names: &[ChildrenName]) -> bool {
        let new: Vec<ChildrenName> = {
            let listened = &mut self.state.lock().names;
            let before = listened.len();
            for name in names {
                if !listened.contains(name) {
                    listened.push(name.clone());
                }
            }
            listened[before..].to_vec()
        };
        for name in &new {
            if let Err(error) = self.listen(&self.url.children(name), ObserverShared::receive) {
                tracing::error!(object = %self.url, %name, %error, "cannot listen to children");
                self.state.lock().deaf = Some(error);
            }
        }
        self.board.learn(&new);
        !new.is_empty()
    }

    /// Takes over a snapshot; `names` came with it.
    pub(super) fn install(&self, snapshot: Snapshot, names: &[ChildrenName]) {
        let first_names = self.state.lock().names.is_empty();
        if self.learn(names) && first_names {
            // What was said on these channels before is not known (protocol M21).
            self.state.lock().read_whole = true;
        }
        let Snapshot { metadata, version, epoch, data, children } = snapshot;
        let schema = metadata.schema.clone();
        let base = Base { metadata, position: Position::new(epoch, version), data };
        let waiters = self.state.lock().tell(|copy, tell| copy.on_snapshot(base, tell));
        waiters.into_iter().for_each(Waker::wake);
        self.board.merge(children, &schema, |heard| self.on_heard(heard));
        self.repair();
    }

    /// Runs under the board's lock, so that the events of a child are told in the order in which they happened.
    pub(super) fn on_heard(&self, heard: Heard) {
        if heard.events.is_empty() && !heard.missing {
            return;
        }
        let waiters = {
            let mut state = self.state.lock();
            state.read_whole |= heard.missing;
            let events = heard.events.into_iter().map(|event| Queued::Child(Box::new(event)));
            state.tell(|_, tell| events.for_each(tell))
        };
        waiters.into_iter().for_each(Waker::wake);
        if heard.missing {
            self.repair();
        }
    }

    pub(crate) fn url(&self) -> &ObjectUrl {
        &self.url
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Whether the first snapshot has come, and the observation has not ended.
    pub(crate) fn is_live(&self) -> bool {
        let state = self.state.lock();
        state.end.is_none() && state.copy.metadata().is_some()
    }

    pub(crate) fn is_reported_by(&self, who: &Url) -> bool {
        self.state.lock().copy.reporter().is_some_and(|reporter| reporter.as_url() == who)
    }
}

impl Drop for ObserverShared {
    fn drop(&mut self) {
        self.core.remove(&self.url, std::ptr::from_ref(self).cast());
    }
}
