//! The bounded queue in front of a connection: when it is full, updates of one object collapse into the newest.
//!
//! Control messages (requests, responses, creations, deletions) are never dropped. What a receiver of a collapsed
//! stream gets is the newest update, whole: its version shows the gap, and the receiver repairs itself
//! (protocol 10.3, M15). Nothing collapses before the queue is full, and what stays keeps its order.
//!
//! ```
//! use hyperty_model::queue::{ConflatingQueue, ConflationKey, Pushed, Queued, QueueLimits};
//! use hyperty_model::Url;
//!
//! struct Update(u64);
//! impl Queued for Update {
//!     fn bytes(&self) -> usize {
//!         100
//!     }
//!     fn conflation_key(&self) -> Option<ConflationKey> {
//!         Url::parse("comm://example.com/8a7b/changes").ok().map(ConflationKey::stream)
//!     }
//! }
//!
//! let mut queue = ConflatingQueue::new(QueueLimits { count: 2, bytes: 1_000 });
//! queue.push(Update(1));
//! queue.push(Update(2));
//! assert!(matches!(queue.push(Update(3)), Pushed::Conflated { superseded: 1, evicted: 0 }));
//! assert_eq!(queue.pop().map(|update| update.0), Some(2));
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::{DerivedTail, Message, MessageType, Url};

/// Most messages that wait for one connection before updates collapse (Q_OUT, protocol M15).
pub const QUEUE_COUNT_MAX: usize = 8_192;

/// Most bytes that wait for one connection before updates collapse (Q_OUT, protocol M15).
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A queue that has been emptied gives its memory back above this many slots, so that an idle connection costs
/// next to nothing after a burst.
const IDLE_SLOTS_MAX: usize = 256;

/// What may stand in a [`ConflatingQueue`].
pub trait Queued {
    /// What it counts for, in bytes. Asked once, when it is pushed.
    fn bytes(&self) -> usize;

    /// What it collapses with; `None` for what must never be dropped. Asked only while a queue is under pressure.
    fn conflation_key(&self) -> Option<ConflationKey>;
}

/// Updates of the same key supersede each other: the newest is enough to show the gap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConflationKey {
    address: Url,
    child: Option<Arc<str>>,
}

impl ConflationKey {
    /// The stream of an object's changes.
    pub fn stream(changes: Url) -> ConflationKey {
        ConflationKey { address: changes, child: None }
    }

    /// One child on a children channel.
    pub fn child(channel: Url, id: &str) -> ConflationKey {
        ConflationKey { address: channel, child: Some(id.into()) }
    }
}

impl Queued for Message {
    fn bytes(&self) -> usize {
        self.wire().len()
    }

    fn conflation_key(&self) -> Option<ConflationKey> {
        if self.kind() != MessageType::Update {
            return None;
        }
        match self.to().split_derived()?.1? {
            DerivedTail::Changes => Some(ConflationKey::stream(self.to().clone())),
            DerivedTail::Children(_) | DerivedTail::FlatChildren => {
                let child: ChildOf<'_> = serde_json::from_slice(self.body().raw()).ok()?;
                Some(ConflationKey::child(self.to().clone(), &child.resource))
            }
            _ => None,
        }
    }
}

/// The one member of a child's update that is needed here.
#[derive(serde::Deserialize)]
struct ChildOf<'a> {
    #[serde(borrow)]
    resource: std::borrow::Cow<'a, str>,
}

/// When a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Most items.
    pub count: usize,
    /// Bytes from which on the queue is full. One item does not count, the largest of what may not be dropped and of
    /// what is pushed: one that is larger than the limit, a snapshot for instance, has to pass too, and must not
    /// close the queue to what comes right behind it. So what waits is less than this and one item.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits { count: QUEUE_COUNT_MAX, bytes: QUEUE_BYTES_MAX }
    }
}

/// What became of a pushed item.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed<T> {
    /// There was room.
    Queued,
    /// It is queued, and older updates made room for it.
    Conflated {
        /// Updates that a newer one of the same key, still queued, stands for.
        superseded: usize,
        /// Updates that were the newest of their key: the queue was full of keys. Their receivers see the gap at
        /// the next change or beat of the object.
        evicted: usize,
    },
    /// What may not be dropped fills the queue: the item is handed back.
    Refused(T),
}

/// A first-in first-out queue with limits, see the [module](self).
#[derive(Debug)]
pub struct ConflatingQueue<T> {
    limits: QueueLimits,
    /// In order of `number`; a slot whose item was dropped stays until it comes to the front or many have gathered.
    slots: VecDeque<Slot<T>>,
    next_number: u64,
    live: usize,
    bytes: usize,
    /// Present from the moment the queue was full until it is half empty.
    pressure: Option<Box<Pressure>>,
}

#[derive(Debug)]
struct Slot<T> {
    number: u64,
    bytes: usize,
    item: Option<T>,
}

/// What is known of the droppable items, by number.
#[derive(Debug, Default)]
struct Pressure {
    keys: BTreeMap<u64, ConflationKey>,
    newest: HashMap<ConflationKey, u64>,
    superseded: BTreeSet<u64>,
    /// Bytes of the items in `keys`.
    bytes: usize,
    /// Bytes and number of every other item: the largest is the last.
    kept: BTreeSet<(usize, u64)>,
}

impl<T: Queued> ConflatingQueue<T> {
    /// An empty queue.
    pub fn new(limits: QueueLimits) -> ConflatingQueue<T> {
        ConflatingQueue { limits, slots: VecDeque::new(), next_number: 0, live: 0, bytes: 0, pressure: None }
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an item; if the queue is full, older updates are dropped to make room: superseded ones first, then
    /// the oldest.
    pub fn push(&mut self, item: T) -> Pushed<T> {
        let bytes = item.bytes();
        // Below the limit even if all of it counts: no need to know more.
        if self.pressure.is_none() && self.live < self.limits.count && self.bytes < self.limits.bytes {
            self.append(item, bytes);
            return Pushed::Queued;
        }
        self.push_under_pressure(item, bytes)
    }

    fn push_under_pressure(&mut self, item: T, bytes: usize) -> Pushed<T> {
        let slots = &self.slots;
        let pressure = self.pressure.get_or_insert_with(|| Pressure::of(slots));
        let spared = pressure.spared(bytes);
        if !self.limits.leave_room(pressure.kept.len(), self.bytes - pressure.bytes + bytes - spared) {
            self.relax();
            return Pushed::Refused(item);
        }
        pressure.note(self.next_number, item.conflation_key(), bytes);
        let (mut superseded, mut evicted) = (0, 0);
        while !self.limits.leave_room(self.live, self.bytes + bytes - spared) {
            match self.pressure.as_ref().and_then(|pressure| pressure.victim(self.next_number)) {
                Some((number, true)) => superseded += self.drop_item(number),
                Some((number, false)) => evicted += self.drop_item(number),
                None => unreachable!("what may not be dropped leaves room"),
            }
        }
        self.append(item, bytes);
        if superseded + evicted == 0 { Pushed::Queued } else { Pushed::Conflated { superseded, evicted } }
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        while let Some(slot) = self.slots.pop_front() {
            if let Some(item) = slot.item {
                self.forget(slot.number, slot.bytes);
                self.relax();
                return Some(item);
            }
        }
        None
    }

    /// Moves items to `out`, oldest first, until `max_bytes` are reached or none is left; at least one if there is.
    pub fn pop_ready(&mut self, max_bytes: usize, out: &mut impl Extend<T>) {
        let until = self.bytes.saturating_sub(max_bytes);
        while let Some(item) = self.pop() {
            out.extend(Some(item));
            if self.bytes <= until && until > 0 {
                break;
            }
        }
        if self.live == 0 && self.slots.capacity() > IDLE_SLOTS_MAX {
            self.slots = VecDeque::new();
        }
    }

    fn append(&mut self, item: T, bytes: usize) {
        self.slots.push_back(Slot { number: self.next_number, bytes, item: Some(item) });
        self.next_number += 1;
        self.live += 1;
        self.bytes += bytes;
    }

    /// Drops the item `number`; returns how many were dropped, to be counted.
    fn drop_item(&mut self, number: u64) -> usize {
        let Ok(at) = self.slots.binary_search_by_key(&number, |slot| slot.number) else { return 0 };
        let bytes = self.slots[at].bytes;
        self.slots[at].item = None;
        self.forget(number, bytes);
        // Holes never outnumber items: the clean-up is paid for by as many drops.
        if self.slots.len() > 2 * self.live + IDLE_SLOTS_MAX {
            self.slots.retain(|slot| slot.item.is_some());
        }
        1
    }

    fn forget(&mut self, number: u64, bytes: usize) {
        self.live -= 1;
        self.bytes -= bytes;
        if let Some(pressure) = &mut self.pressure {
            pressure.forget(number, bytes);
        }
    }

    /// Half empty: the pressure is over. The distance to full keeps a queue at its limit from surveying itself anew
    /// at every push.
    fn relax(&mut self) {
        if self.pressure.is_some()
            && self.live <= self.limits.count / 2
            && self.bytes <= self.limits.bytes / 2
        {
            self.pressure = None;
        }
    }
}

impl QueueLimits {
    /// Whether one more fits: behind `live` items, with `bytes` that count.
    fn leave_room(&self, live: usize, bytes: usize) -> bool {
        live < self.count && bytes < self.bytes
    }
}

impl Pressure {
    fn of<T: Queued>(slots: &VecDeque<Slot<T>>) -> Box<Pressure> {
        let mut pressure = Box::<Pressure>::default();
        for slot in slots {
            if let Some(item) = &slot.item {
                pressure.note(slot.number, item.conflation_key(), slot.bytes);
            }
        }
        pressure
    }

    /// What does not count: the largest item that may not be dropped, or the incoming one.
    fn spared(&self, incoming: usize) -> usize {
        self.kept.last().map_or(incoming, |&(largest, _)| largest.max(incoming))
    }

    fn note(&mut self, number: u64, key: Option<ConflationKey>, bytes: usize) {
        let Some(key) = key else {
            self.kept.insert((bytes, number));
            return;
        };
        if let Some(older) = self.newest.insert(key.clone(), number) {
            self.superseded.insert(older);
        }
        self.keys.insert(number, key);
        self.bytes += bytes;
    }

    /// What goes next, and whether a newer one stands for it; never `incoming`, which is not queued yet.
    fn victim(&self, incoming: u64) -> Option<(u64, bool)> {
        let superseded = self.superseded.first().map(|&number| (number, true));
        superseded
            .or_else(|| self.keys.keys().next().filter(|&&number| number != incoming).map(|&n| (n, false)))
    }

    fn forget(&mut self, number: u64, bytes: usize) {
        let Some(key) = self.keys.remove(&number) else {
            self.kept.remove(&(bytes, number));
            return;
        };
        self.bytes -= bytes;
        self.superseded.remove(&number);
        if self.newest.get(&key) == Some(&number) {
            self.newest.remove(&key);
        }
    }
}
