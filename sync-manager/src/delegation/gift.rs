//! What was given away, for as long as the other side may ask for it again (protocol 5.11 step 8): all of it until it is
//! stored who observes here now, then only what it is, where the store has the rest. What this may come to is bounded:
//! beyond [`gifts_max`](crate::SyncManagerConfig::gifts_max) or
//! [`gift_bytes_max`](crate::SyncManagerConfig::gift_bytes_max) those that were acknowledged are forgotten, the first
//! one first, and without one of these nothing more is given.

use std::sync::Arc;

use hyperty_model::delegation::Giver;
use hyperty_model::message::ResponseBody;
use hyperty_model::{ObjectUrl, Position, StatusCode, Url};
use hyperty_registry::RegistrationRecord;
use hyperty_storage::{Delegation, ObjectRecord, RecordStatus, Role, Subscriber};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::commit::grant;
use super::transfer::Transfer;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::reporter::snapshot_of;

/// An object that was given away, for as long as the other side may ask for it again.
pub(crate) struct Gift {
    pub(crate) url: ObjectUrl,
    pub(crate) transfer: Arc<Transfer>,
    /// What the domain is told: the record without its state and without who observes.
    pub(super) header: ObjectRecord,
    /// Whether it stands in the store.
    pub(super) kept: bool,
    contents: Mutex<Option<Arc<Contents>>>,
    /// What it takes, in memory or in the store.
    bytes: usize,
    given_at: Instant,
}

/// All that was given.
pub(super) struct Contents {
    /// As it was written.
    pub(super) record: ObjectRecord,
    /// The answer to whoever claims it.
    pub(super) grant: ResponseBody,
}

impl Gift {
    pub(super) fn new(transfer: &Arc<Transfer>, contents: Contents, kept: bool, bytes: usize) -> Gift {
        let mut header = contents.record.clone();
        header.data = None;
        (header.log, header.children) = Default::default();
        (header.subscriptions, header.grants, header.invitations) = Default::default();
        Gift {
            url: header.metadata.url.clone(),
            transfer: Arc::clone(transfer),
            header,
            kept,
            contents: Mutex::new(Some(Arc::new(contents))),
            bytes,
            given_at: Instant::now(),
        }
    }

    /// Whether it is this Sync Manager's.
    pub(super) fn is_given_to(&self, manager: &Url) -> bool {
        matches!(self.transfer.state(), Giver::Given { taker, .. } if taker == *manager)
    }

    /// Where the object stood when it was given.
    pub(super) fn from(&self) -> Position {
        match &self.header.delegation {
            Some(Delegation::Giving { from, .. }) => *from,
            _ => self.header.position,
        }
    }

    /// What the registry is told of it.
    pub(super) fn registration(&self, epoch: u64) -> RegistrationRecord {
        let metadata = self.header.metadata.clone();
        let record = RegistrationRecord::of_object(
            &self.url,
            metadata.runtime,
            metadata.schema,
            &metadata.name,
            metadata.reporter,
        );
        RegistrationRecord { epoch, ..record }
    }

    /// All of it, while it is in memory.
    pub(super) fn in_memory(&self) -> Option<Arc<Contents>> {
        self.contents.lock().clone()
    }

    /// Nothing more is written of it: where the store has it, memory need not.
    pub(super) fn leave_to_the_store(&self) {
        if self.kept {
            *self.contents.lock() = None;
        }
    }

    /// Whether the new owner is known to act: it has said so.
    fn is_confirmed(&self) -> bool {
        matches!(self.transfer.state(), Giver::Given { confirmed: true, .. })
    }
}

impl Contents {
    /// Of what was stored when it was given.
    pub(super) fn of_record(
        record: ObjectRecord,
        transfer: &Transfer,
        from: Position,
        manager: &SyncManager,
    ) -> Contents {
        let mut snapshot = snapshot_of(&record);
        (snapshot.version, snapshot.epoch) = (from.version, from.epoch);
        let former = Subscriber {
            runtime: Some(manager.shared.parts.runtime.clone()),
            identity: record.reporter_user.clone(),
            ..Subscriber::new(transfer.former.clone())
        };
        let grant = grant(&record, transfer, snapshot, former, manager.address());
        Contents { record, grant }
    }
}

impl SyncManager {
    /// The gift by which an object was given.
    pub(crate) fn gift(&self, url: &ObjectUrl, offer: &str) -> Option<Arc<Gift>> {
        let given = self.shared.given.lock();
        given.get(url).filter(|gift| gift.transfer.offer == offer).cloned()
    }

    /// Why an object cannot be asked for that was given away.
    pub(crate) fn given_away(&self, url: &ObjectUrl) -> Option<Refusal> {
        let gift = self.shared.given.lock().get(url).cloned()?;
        let text = format!("the object is {}'s now", gift.transfer.to);
        Some(Refusal::new(StatusCode::FORBIDDEN, text).because("delegated"))
    }

    /// All that was given, from the store if need be.
    pub(super) fn contents_of(&self, gift: &Gift) -> Result<Arc<Contents>, Refusal> {
        if let Some(contents) = gift.in_memory() {
            return Ok(contents);
        }
        let over = || Refusal::new(StatusCode::NOT_FOUND, "the offer is over");
        let record = self.storage().find(Role::Reporter, &gift.url)?.ok_or_else(over)?;
        match &record.delegation {
            // Unless it is its owner's record by now.
            Some(Delegation::Giving { state, from, .. })
                if record.status == RecordStatus::Delegated
                    && state.current() == Some(&gift.transfer.offer) =>
            {
                let from = *from;
                Ok(Arc::new(Contents::of_record(record, &gift.transfer, from, self)))
            }
            _ => Err(over()),
        }
    }

    /// How many objects are remembered as given away, and the bytes of those that are in memory.
    pub(crate) fn gifts(&self) -> (usize, usize) {
        let given = self.shared.given.lock();
        let in_memory = given.values().filter(|gift| gift.contents.lock().is_some());
        (given.len(), in_memory.map(|gift| gift.bytes).sum())
    }

    /// Makes room for one more. Only those that were acknowledged may be forgotten: another would be lost if its new owner
    /// has not heard of it.
    pub(super) fn make_room_for_gift(&self, url: &ObjectUrl, bytes: usize) -> Result<(), Refusal> {
        let mut forgotten = Vec::new();
        let enough = loop {
            let mut given = self.shared.given.lock();
            let others = given.values().filter(|gift| gift.url != *url);
            let (count, sum) = others.fold((0, 0_usize), |(n, sum), gift| (n + 1, sum + gift.bytes));
            let (count_max, bytes_max) = (self.config().gifts_max, self.config().gift_bytes_max);
            if count < count_max && sum.saturating_add(bytes) <= bytes_max {
                break true;
            }
            let others = given.values().filter(|gift| gift.url != *url);
            let first = others.filter(|gift| self.is_acknowledged(gift)).min_by_key(|gift| gift.given_at);
            let Some(first) = first.map(|gift| gift.url.clone()) else { break false };
            forgotten.extend(given.remove(&first));
        };
        for gift in forgotten {
            self.forget_stored(&gift);
        }
        if enough {
            return Ok(());
        }
        let text = "too many objects were given to others who have not said that they have them";
        Err(Refusal::new(StatusCode::CONDITION, text).because("limit"))
    }

    /// Whether the new owner acts: it has said so, or who observes here has seen it.
    fn is_acknowledged(&self, gift: &Gift) -> bool {
        let has_acted = |object: Arc<crate::observer::Observed>| {
            object.lock().replica.position() > gift.from().max(gift.header.position)
        };
        gift.is_confirmed() || self.observed(&gift.url).is_some_and(has_acted)
    }

    /// Writes how far it has come.
    pub(super) fn write_gift(&self, gift: &Gift) {
        // Unless it has come back since: then the record is its owner's.
        let is_elsewhere = self.reported(&gift.url).is_none() && self.taking(&gift.url).is_none();
        if let Some(contents) = gift.in_memory()
            && gift.kept
            && is_elsewhere
        {
            let mut record = contents.record.clone();
            record.delegation = Some(gift.transfer.kept(gift.from()));
            self.storage().save_metadata(&record);
        }
    }

    /// Notes whether the new owner has said that it acts, and that the gift is to be forgotten when nobody can ask for it
    /// any more.
    pub(super) fn keep_gift(&self, gift: &Arc<Gift>) {
        if gift.is_confirmed() {
            self.write_gift(gift);
        }
        self.shared.timers.set(&gift.url, crate::timers::Due::Gift, Instant::now() + self.config().gift_age);
    }

    /// A gift is old enough that nobody asks for it any more, if the new owner acts. Else it is the only one who has it.
    pub(crate) fn forget_gift(&self, url: &ObjectUrl) {
        let Some(gift) = self.shared.given.lock().get(url).cloned() else { return };
        if !self.is_acknowledged(&gift) {
            return self.keep_gift(&gift);
        }
        self.shared.given.lock().remove(url);
        self.forget_stored(&gift);
    }

    fn forget_stored(&self, gift: &Gift) {
        if gift.kept && self.reported(&gift.url).is_none() && self.taking(&gift.url).is_none() {
            self.storage().remove(Role::Reporter, &gift.url);
        }
    }
}
