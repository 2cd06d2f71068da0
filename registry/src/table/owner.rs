//! Who may own an entry (protocol 5.13.1, INV-REG-5). The node believes the registry, so whoever got in here would have
//! the object: an epoch above is not enough, it must also come from who may go on with it.

use hyperty_model::{Identity, RuntimeUrl, StatusCode};

use super::handle::{conflict, gone};
use super::state::Entry;
use crate::RegistrationStatus;
use crate::record::identity;
use crate::refusal::Refusal;

/// Who wants to own an entry, and from which epoch on.
pub(super) struct Claim<'a> {
    /// The runtime whose session the message came in by.
    pub(super) runtime: &'a RuntimeUrl,
    /// The epoch it comes with.
    pub(super) epoch: u64,
    /// The user of the session, if sessions are somebody's: then nothing else counts.
    pub(super) known: Option<&'a Identity>,
    /// The user that the message names.
    pub(super) user: Option<&'a str>,
    /// The GUID that the message names.
    pub(super) guid: Option<&'a str>,
}

impl Claim<'_> {
    /// Whether the claim may have the entry: never below the epoch it has, and what is live under another runtime only
    /// above it; and from another runtime only if it is of the same user. An entry without a user is nobody else's.
    ///
    /// The third way, that the owner itself names the runtime that goes on, is the owner's message and no claim.
    pub(super) fn check(&self, entry: &Entry) -> Result<(), Refusal> {
        let held = &entry.record;
        if held.status == RegistrationStatus::Deleted {
            return Err(gone());
        }
        if self.epoch < held.epoch {
            return Err(conflict(format!("epoch {} is over, it is {} now", self.epoch, held.epoch)));
        }
        if held.runtime == *self.runtime {
            return Ok(());
        }
        if entry.is_live() && self.epoch == held.epoch {
            return Err(conflict("live in another runtime"));
        }
        let owner = held.identity();
        let named = identity(self.user, self.guid);
        let claims = self.known.or(named.as_ref());
        match owner.zip(claims) {
            Some((owner, claims)) if owner.same_user(claims) => Ok(()),
            _ => Err(Refusal::new(StatusCode::FORBIDDEN, "identity", "registered for another user")),
        }
    }
}
