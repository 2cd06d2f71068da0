//! What Reporters and Observers tell the application.

use std::sync::Arc;

use hyperty_model::change::{AttrPath, Change, ChangeOp};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, Position, StatusCode, Timestamp};
use serde_json::Value;

use crate::queue::Event;
use crate::reporter::{InviteAnswer, ReadRequest, SubscriptionRequest};

/// One change of an observed object.
///
/// It shares its content with the message it came by: keeping it costs a reference count.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent {
    /// Where in the data; the empty path when the whole data was replaced.
    pub path: AttrPath,
    /// The version after the change.
    pub version: u64,
    /// When the Reporter made it.
    pub last_modified: Option<Timestamp>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    Update(Arc<UpdateBody>),
    Whole(Arc<Value>),
}

impl ChangeEvent {
    /// The event of an update that was applied at `version`; `None` if the update is no change of the data.
    pub(crate) fn of(update: Arc<UpdateBody>, version: u64) -> Option<ChangeEvent> {
        let UpdateKind::Change(change) = &update.kind else { return None };
        let path = change.path.clone();
        Some(ChangeEvent {
            path,
            version,
            last_modified: update.last_modified,
            content: Content::Update(update),
        })
    }

    /// The event of a whole state that replaced the copy.
    pub(crate) fn whole(data: Arc<Value>, version: u64) -> ChangeEvent {
        ChangeEvent { path: AttrPath::root(), version, last_modified: None, content: Content::Whole(data) }
    }

    /// The new value: of the attribute or element that was set, or of the whole data after a
    /// [resync](ObserverEvent::Resync). `None` when something was removed, or elements were inserted.
    pub fn value(&self) -> Option<&Value> {
        match (&self.content, self.change().map(|change| &change.op)) {
            (Content::Whole(data), _) => Some(data),
            (_, Some(ChangeOp::Set(value) | ChangeOp::ReplaceElement(value))) => Some(value),
            _ => None,
        }
    }

    /// What was changed, to be applied to a copy of one's own; `None` when the whole data was replaced.
    pub fn change(&self) -> Option<&Change> {
        match &self.update()?.kind {
            UpdateKind::Change(change) => Some(change),
            _ => None,
        }
    }

    /// The change in the form in which it travels; `None` when the whole data was replaced.
    pub fn update(&self) -> Option<&UpdateBody> {
        match &self.content {
            Content::Update(update) => Some(update),
            Content::Whole(_) => None,
        }
    }
}

/// What an [`Observer`](crate::Observer) tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ObserverEvent {
    /// The data changed by one version.
    Change(ChangeEvent),
    /// The metadata changed by one version.
    Metadata {
        /// Which member.
        attribute: String,
        /// Its new value.
        value: Value,
        /// The epoch of the version: a change of `reporter` begins one, when the object changes hands.
        epoch: u64,
        /// The version after the change.
        version: u64,
    },
    /// The whole state in place of changes that are not told one by one: they were missed and could not be made
    /// up for, or they were not read in time. Everything kept from earlier events gives way to it; look at the
    /// children anew as well. The next change is `version + 1`.
    Resync {
        /// The epoch of the version.
        epoch: u64,
        /// The version of the state.
        version: u64,
        /// The data.
        data: Arc<Value>,
    },
    /// A child was created, changed or deleted by somebody else.
    Child(ChildEvent),
    /// The Reporter cannot be reached; the copy stays as it is.
    Disconnected,
    /// The Reporter is reached again, and what was missed is made up for: told one by one, or by a
    /// [`ObserverEvent::Resync`] before this.
    Resumed {
        /// How many versions passed since the copy stood still. A new epoch begins where its first state stands.
        missed: u64,
    },
    /// The Reporter deleted the object. The last event.
    Deleted,
    /// The observation ended. The last event.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why an observation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// By [`Observer::unsubscribe`](crate::Observer::unsubscribe).
    Unsubscribed,
    /// The Reporter removed this observer.
    Removed,
    /// The Reporter's side does not serve this observer any more.
    Refused {
        /// The code it answered with.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// This hyperty reports the object itself from now on.
    Reporting,
    /// The Syncher stopped. A subscription with `store` or `resumable` goes on when it is resumed.
    Stopped,
}

/// What a [`Reporter`](crate::Reporter) tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReporterEvent {
    /// Somebody wants to observe the object, and nothing has decided it yet: accept or reject.
    Subscription(SubscriptionRequest),
    /// Somebody wants to read the object, and nothing has decided it yet: accept or reject.
    Read(ReadRequest),
    /// Somebody observes the object from now on.
    Joined {
        /// Who.
        hyperty: HypertyUrl,
        /// The user behind it.
        identity: Option<Identity>,
    },
    /// Somebody observes the object no longer.
    Left {
        /// Who.
        hyperty: HypertyUrl,
    },
    /// An invited hyperty answers, and no [`InviteAnswers`](crate::InviteAnswers) waits for that: the invitation was
    /// made at the creation or before a restart, or they were dropped.
    InviteAnswer(InviteAnswer),
    /// A child was created, changed or deleted by somebody else.
    Child(ChildEvent),
    /// Another hyperty of the user has taken the object over while this runtime was away, and this one reports it no
    /// longer. The last event. It may be observed now like any other.
    Deposed {
        /// The epoch in which the object goes on.
        epoch: u64,
        /// Who reports it now; `None` if it was deleted meanwhile.
        reporter: Option<HypertyUrl>,
        /// Changes of the data that were made here, acknowledged, and that the object does not have, oldest first;
        /// `None` if it is not known which these are.
        unpublished: Option<Vec<ChangeEvent>>,
    },
    /// The object was given to another Reporter: the last event. This hyperty observes it from now on, by the
    /// [`Observer`](crate::Observer) that [`Reporter::delegate`](crate::Reporter::delegate) gave, or, where that was given
    /// up before, by the one among [`Syncher::observers`](crate::Syncher::observers).
    Delegated {
        /// To whom.
        to: HypertyUrl,
    },
    /// The object was being given away when the runtime stopped, and stays this hyperty's.
    DelegationFailed,
    /// Joins, leaves and operations on children are missing here, because they were not read in time. Look at the
    /// children anew.
    Lagged,
}

/// What happened to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildOp {
    /// It is new.
    Create,
    /// Its data changed.
    Update,
    /// It is gone.
    Delete,
}

impl ChildOp {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ChildOp::Create => "create",
            ChildOp::Update => "update",
            ChildOp::Delete => "delete",
        }
    }
}

/// An operation of somebody else on a child.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildEvent {
    /// What happened.
    pub op: ChildOp,
    /// Among the children of which name.
    pub name: ChildrenName,
    /// Which child.
    pub id: String,
    /// The data of the child after it; the last data when it was deleted.
    pub data: Value,
    /// The child's version after it.
    pub version: u64,
    /// Who reports the child.
    pub reporter: HypertyUrl,
}

/// An event as it waits to be read: what can be made when it is read is made then.
#[derive(Debug, Clone)]
pub(crate) enum Queued {
    /// A change of data or metadata that was applied at a version.
    Update(Arc<UpdateBody>, u64),
    /// A whole state took the place of the copy.
    Resync(Arc<Value>, Position),
    Child(Box<ChildEvent>),
    /// Where the copy stood then.
    Disconnected(Position),
    Resumed(u64),
}

impl Event for Queued {
    fn is_kept(&self) -> bool {
        false // a resync covers everything, and what it leaves open of the connection is told behind it
    }
}

impl Queued {
    pub(crate) fn into_event(self) -> Option<ObserverEvent> {
        match self {
            Queued::Update(update, version) => match &update.kind {
                UpdateKind::Metadata { attribute, value } => Some(ObserverEvent::Metadata {
                    attribute: attribute.clone(),
                    value: value.clone(),
                    epoch: update.epoch.unwrap_or_default(),
                    version,
                }),
                _ => ChangeEvent::of(update, version).map(ObserverEvent::Change),
            },
            Queued::Resync(data, Position { epoch, version }) => {
                Some(ObserverEvent::Resync { epoch, version, data })
            }
            Queued::Child(event) => Some(ObserverEvent::Child(*event)),
            Queued::Disconnected(_) => Some(ObserverEvent::Disconnected),
            Queued::Resumed(missed) => Some(ObserverEvent::Resumed { missed }),
        }
    }
}

impl ReporterEvent {
    /// Whether there is still something to decide, if it asks for a decision.
    pub(crate) fn is_current(&self) -> bool {
        match self {
            ReporterEvent::Subscription(request) => request.is_open(),
            ReporterEvent::Read(request) => request.is_open(),
            _ => true,
        }
    }
}

impl Event for ReporterEvent {
    /// What must be answered is kept until the application takes it or its time is over; and why it is the last.
    fn is_kept(&self) -> bool {
        match self {
            ReporterEvent::Subscription(_) | ReporterEvent::Read(_) => self.is_current(),
            ReporterEvent::Deposed { .. } | ReporterEvent::Delegated { .. } => true,
            _ => false,
        }
    }
}
