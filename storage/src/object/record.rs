//! What is kept of an object (protocol 3.8).

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::delegation::{Giver, Taker};
use hyperty_model::message::UpdateBody;
use hyperty_model::object::{Children, Metadata};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, Position, RuntimeUrl, Timestamp, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Grant, Invited};

/// On which side of an object a runtime stands. The two are kept apart: a runtime may report and observe one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It reports the object.
    Reporter,
    /// It observes the object.
    Observer,
}

/// Where an object was in its life when its record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordStatus {
    /// In use.
    Live,
    /// Its stream was cut.
    Disconnected,
    /// Its creation was not finished: it is taken back (protocol M27).
    Creating,
    /// Its deletion was not finished: it goes on (protocol 5.8).
    Deleting,
    /// What a takeover in this runtime is to go on from, kept before the registry is asked for it: whose the object is
    /// only the registry knows (protocol 5.10.1).
    Taking,
    /// Being delegated.
    Frozen,
    /// Delegated to another Reporter.
    Delegated,
    /// Claimed by a hyperty of this runtime, and not granted yet: it is claimed again (protocol 5.11).
    Requested,
    /// Given to a hyperty of this runtime, which cannot host it: it is given back (protocol 5.11.5).
    Returning,
    /// On the Observer's side: nobody of this runtime observes any longer, and the Reporter's side has not confirmed
    /// that it knows of all of them (protocol 5.6).
    Left,
}

/// What is kept of an object that changes hands (protocol 5.11).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delegation {
    /// At the side that gives it away.
    Giving {
        /// How far that has come.
        state: Giver<String, Url>,
        /// Whose it was.
        former: HypertyUrl,
        /// Where it stood then.
        from: Position,
        /// That who observes it here now is stored, as an observation.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        departed: bool,
    },
    /// At the side that takes it.
    Taking {
        /// How far that has come.
        state: Taker<String, Url>,
        /// Where it stood at the former owner's, once that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Position>,
    },
}

/// A hyperty that observes an object, was removed from those that do, or has left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscriber {
    /// The hyperty.
    pub hyperty: HypertyUrl,
    /// The runtime that subscribed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeUrl>,
    /// The user behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Its session ended, and it may come back (protocol M13).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// Whether it may write children, where the schema lets observers: the scope of the grant by which it came.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub children: bool,
    /// Since when it observes; unknown for what an older release wrote, and on the Observer's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the Reporter removed it (protocol 5.7): it observes no longer, and is kept so that it does not come back
    /// by a rule that lets others in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
    /// Whether its runtime still has to hear that it was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
    /// On the Observer's side: when it left (protocol 5.6). It observes no longer, and is kept until the Reporter's side
    /// has confirmed that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Timestamp>,
    /// Whether its user's other devices shall know of this observation (protocol 5.19); on the Observer's side.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

fn yes() -> bool {
    true
}

impl Subscriber {
    /// A hyperty of which nothing else is known.
    pub fn new(hyperty: HypertyUrl) -> Subscriber {
        Subscriber {
            hyperty,
            runtime: None,
            identity: None,
            away: false,
            children: true,
            since: None,
            removed: None,
            untold: false,
            left: None,
            backup: false,
        }
    }
}

/// Everything that is kept of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectRecord {
    /// Reporter's or Observer's side.
    pub role: Role,
    /// What is known beside the data.
    pub metadata: Metadata,
    /// Where the history stands.
    pub position: Position,
    /// The data at that position; `None` where only metadata is kept.
    pub data: Option<Value>,
    /// The newest changes up to that position, without a hole, oldest first: what an observer that missed them is
    /// told. Bounded by [`LogLimits`](hyperty_model::log::LogLimits), and about as many bytes as the data has or
    /// [`LOG_BYTES_KEPT`](super::LOG_BYTES_KEPT), if that is more. With nothing but version, epoch, time and change;
    /// none where the data is not kept.
    pub log: Vec<Arc<UpdateBody>>,
    /// The store may have forgotten changes after this record that others have seen: it acknowledges before it is
    /// on disk and was not closed in good order, or came from a backup. A Reporter goes on in a new epoch, which is
    /// saved before anybody is told (protocol M8). Said of each record until it is [saved](super::DataObjectStorage::save)
    /// whole.
    pub broken: bool,
    /// The children, with what is remembered of deleted ones.
    pub children: Children,
    /// The children names of the schema.
    pub children_names: Vec<ChildrenName>,
    /// Who observes, or did: everybody on the Reporter's side, the hyperties of this runtime on the Observer's.
    /// Read back in the order of their URLs.
    pub subscriptions: Vec<Subscriber>,
    /// Who may observe without being asked for, each once. Read back in the order of their URLs.
    pub grants: Vec<Grant>,
    /// Who was invited and is not done with it, each once. Read back in the order of their URLs.
    pub invitations: Vec<Invited>,
    /// The user behind the Reporter.
    pub reporter_user: Option<Identity>,
    /// Where the object is in its life.
    pub status: RecordStatus,
    /// Whether the data is kept.
    pub store: bool,
    /// Whether the object is registered at its domain.
    pub domain_registration: bool,
    /// Whether the object is routed by its domain's message node.
    pub domain_routing: bool,
    /// Whether it is kept at a backup, too, for its user's other devices (protocol 5.19); on the Reporter's side.
    pub backup: bool,
    /// That it changes hands, if it does.
    pub delegation: Option<Delegation>,
    /// Child operations of hyperties of this runtime that are not answered yet, as whole messages, by their place in the
    /// order of those that wait.
    pub pending: BTreeMap<u64, Value>,
}
