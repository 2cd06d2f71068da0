//! What a Sync Manager has done: counted where it happens, read by operators and tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a Sync Manager has done since it was made, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncStats {
    /// Objects that hyperties of this runtime report.
    pub reported: usize,
    /// Objects that hyperties of this runtime observe and that are reported elsewhere.
    pub observed: usize,
    /// Objects that are remembered as given to others (protocol 5.11).
    pub gifts: usize,
    /// The bytes of those among them that are in memory.
    pub gift_bytes: usize,
    /// Changes released to the observers of reported objects.
    pub released: u64,
    /// Changes released to the observers here of objects that are reported elsewhere.
    pub delivered: u64,
    /// Copies of this runtime that were brought up to date by the changes they had missed (protocol 10.1).
    pub repairs_by_changes: u64,
    /// Copies of this runtime that were replaced by a whole state.
    pub repairs_by_snapshot: u64,
    /// Repairs that were asked for and not answered usefully; each was tried again.
    pub repairs_failed: u64,
    /// Copies of this runtime that were not what the Reporter has, although no change was missing (protocol 10.2): a
    /// digest differed, or a change did not fit.
    pub divergences: u64,
    /// Reads of reported objects that were answered with the changes since a position.
    pub answered_by_changes: u64,
    /// Reads of reported objects that were answered with the whole state.
    pub answered_by_snapshot: u64,
    /// Reads among these that shared an answer made for another (protocol M7).
    pub answers_shared: u64,
    /// Answers that were larger than a message, and given in parts (protocol 10.5).
    pub answers_in_parts: u64,
    /// Answers in parts that were put together here.
    pub joined: u64,
    /// Changes that were larger than a message: announced to observers elsewhere, which fetch them.
    pub announced_only: u64,
    /// Reads that stood ahead of the object they read (protocol 10.1).
    pub readers_ahead: u64,
    /// Objects whose history was broken, and that go on in a new epoch (protocol M8).
    pub epochs_raised: u64,
    /// Objects that hyperties of this runtime gave to others (protocol 5.11).
    pub given: u64,
    /// Objects that hyperties of this runtime took over.
    pub taken: u64,
    /// Records saved at the backup (protocol 5.19).
    pub backed_up: u64,
    /// Records that it did not take, or that did not reach it; each is saved again.
    pub backups_failed: u64,
    /// Position beats sent.
    pub beats: u64,
    /// Observers that were dropped because their session ended, or because they were away too long or were too many
    /// (protocol M13).
    pub observers_dropped: u64,
}

/// The counters behind [`SyncStats`].
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) released: Count,
    pub(crate) delivered: Count,
    pub(crate) repairs_by_changes: Count,
    pub(crate) repairs_by_snapshot: Count,
    pub(crate) repairs_failed: Count,
    pub(crate) divergences: Count,
    pub(crate) answered_by_changes: Count,
    pub(crate) answered_by_snapshot: Count,
    pub(crate) answers_shared: Count,
    pub(crate) answers_in_parts: Count,
    pub(crate) joined: Count,
    pub(crate) announced_only: Count,
    pub(crate) readers_ahead: Count,
    pub(crate) epochs_raised: Count,
    pub(crate) given: Count,
    pub(crate) taken: Count,
    pub(crate) backed_up: Count,
    pub(crate) backups_failed: Count,
    pub(crate) beats: Count,
    pub(crate) observers_dropped: Count,
}

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    pub(crate) fn read(
        &self,
        (reported, observed): (usize, usize),
        (gifts, gift_bytes): (usize, usize),
    ) -> SyncStats {
        SyncStats {
            reported,
            observed,
            gifts,
            gift_bytes,
            released: self.released.get(),
            delivered: self.delivered.get(),
            repairs_by_changes: self.repairs_by_changes.get(),
            repairs_by_snapshot: self.repairs_by_snapshot.get(),
            repairs_failed: self.repairs_failed.get(),
            divergences: self.divergences.get(),
            answered_by_changes: self.answered_by_changes.get(),
            answered_by_snapshot: self.answered_by_snapshot.get(),
            answers_shared: self.answers_shared.get(),
            answers_in_parts: self.answers_in_parts.get(),
            joined: self.joined.get(),
            announced_only: self.announced_only.get(),
            readers_ahead: self.readers_ahead.get(),
            epochs_raised: self.epochs_raised.get(),
            given: self.given.get(),
            taken: self.taken.get(),
            backed_up: self.backed_up.get(),
            backups_failed: self.backups_failed.get(),
            beats: self.beats.get(),
            observers_dropped: self.observers_dropped.get(),
        }
    }
}
