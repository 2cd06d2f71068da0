//! The requests of applications, and how long each may take.

use std::time::Duration;

/// What a wait for an answer may take beside its timer.
const SLACK: Duration = Duration::from_secs(1);

/// How long an offer of the test stands.
pub(crate) const OFFER: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Deploy,
    Create,
    CreateUnstored,
    Change,
    Delete,
    AddOwnChild,
    Invite,
    /// The last word of somebody who was invited.
    InviteAnswer,
    Revoke,
    RemoveObserver,
    Delegate,
    Resume,
    ResumeBy,
    Subscribe,
    Read,
    ReadLarge,
    SubscribeLarge,
    Unsubscribe,
    AddChild,
    ChangeChild,
    DeleteChild,
    AcceptInvitation,
    AcceptDelegation,
    Request,
    Discover,
}

impl Ask {
    /// Whether bob asks and alice answers; else it is the other way round.
    pub(crate) fn is_of_observer(self) -> bool {
        use Ask as A;
        matches!(
            self,
            A::Subscribe
                | A::Read
                | A::ReadLarge
                | A::SubscribeLarge
                | A::Unsubscribe
                | A::AddChild
                | A::ChangeChild
                | A::DeleteChild
                | A::AcceptInvitation
                | A::AcceptDelegation
                | A::Request
                | A::Discover
        )
    }

    /// Whether it is about an object larger than a message.
    pub(crate) fn is_large(self) -> bool {
        matches!(self, Ask::ReadLarge | Ask::SubscribeLarge)
    }

    /// Whether it has no timer, so that it is answered once the own disk goes on: nobody knows before whether it is
    /// kept.
    pub(crate) fn waits_for_the_disk(self) -> bool {
        matches!(self, Ask::Deploy | Ask::Change)
    }

    /// Whether the hyperty that there is sends it in its own name.
    pub(crate) fn is_counted(self) -> bool {
        !matches!(self, Ask::Deploy | Ask::Change)
    }

    /// How long whoever asks may have to wait (protocol 0.2).
    pub(crate) fn deadline(self) -> Duration {
        let seconds = match self {
            // An address, then what is stored for it.
            Ask::Deploy => 15,
            // A provisional answer starts the wait anew.
            Ask::Subscribe
            | Ask::SubscribeLarge
            | Ask::AcceptInvitation
            | Ask::Create
            | Ask::CreateUnstored => 30,
            Ask::Read | Ask::ReadLarge | Ask::Unsubscribe | Ask::Change => 15,
            Ask::Invite | Ask::Revoke | Ask::RemoveObserver | Ask::Request | Ask::Discover => 15,
            Ask::Resume | Ask::ResumeBy => 15,
            // The offer ends, and whoever accepted just then subscribes still.
            Ask::InviteAnswer => OFFER.as_secs() + 30,
            // An offer, whose stages each start the wait anew.
            Ask::Delegate | Ask::AcceptDelegation => 75,
            Ask::Delete => 30,
            Ask::AddOwnChild | Ask::AddChild | Ask::ChangeChild | Ask::DeleteChild => 3,
        };
        Duration::from_secs(seconds) + SLACK
    }
}
