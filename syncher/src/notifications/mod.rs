//! What concerns a hyperty itself and none of its objects yet, and must be answered: invitations, and objects that are
//! offered.
//!
//! A kind of notification is a value that holds the question open ([`Decision`](crate::decisions::Decision)): answered
//! by the application, or with a default when it is dropped or its time is over. It waits in a [`Latch`] until the
//! application reads the stream of its kind, which may be later than it came.

mod invitation;
mod latch;

pub use invitation::{AcceptInvitation, Invitation, Invitations};
pub(crate) use latch::{Notice, next as next_notice};

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::MiniBus;

use self::latch::Latch;
use crate::SyncherConfig;
use crate::decisions::Decisions;
use crate::delegation::Delegation;

/// All notifications of a hyperty.
pub(crate) struct Notifications {
    pub(crate) invitations: Latch<Invitation>,
    /// Open invitations: people take days to decide, unlike on subscriptions, which somebody waits for.
    pub(crate) invited: Arc<Decisions>,
    pub(crate) delegations: Latch<Delegation>,
    /// Objects that are offered: somebody waits for the answer, but not in the middle of something.
    pub(crate) delegated: Arc<Decisions>,
}

impl Notifications {
    pub(crate) fn new(minibus: &MiniBus, config: &SyncherConfig) -> Notifications {
        let (patience, max): (Duration, usize) =
            (config.timeouts.invitation, config.limits.notifications_max);
        Notifications {
            invitations: Latch::new(max),
            invited: Decisions::new(minibus.clone(), patience, max),
            delegations: Latch::new(max),
            delegated: Decisions::new(minibus.clone(), config.timeouts.delegation, max),
        }
    }

    /// The Syncher stops: whoever invited is told to come again, since nobody has seen it.
    pub(crate) fn stop(&self) {
        for invitation in self.invitations.close() {
            invitation.not_seen();
        }
        for delegation in self.delegations.close() {
            delegation.not_seen();
        }
    }
}
