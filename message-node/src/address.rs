//! Small questions about addresses that are asked for every message, answered without allocation.

use hyperty_model::{Message, MessageType, Url, UrlKind};

/// The key of O, if `url` is O/changes of an object.
pub(crate) fn object_of_changes(url: &Url) -> Option<&str> {
    url.key().strip_suffix("/changes").filter(|_| url.kind() == UrlKind::Object)
}

/// Whether messages to this address go to whoever listens, and are not answered by the node (protocol 5.14).
pub(crate) fn is_published(url: &Url) -> bool {
    let Some((parent, last)) = url.key().rsplit_once('/') else { return false };
    match last {
        "changes" | "status" | "registration" | "observers" | "children" => true,
        _ => parent.ends_with("/children"),
    }
}

/// Whether something stands behind an object's own URL.
pub(crate) fn is_derived(url: &Url) -> bool {
    is_published(url) || url.key().ends_with("/subscription")
}

/// Whether this is a channel of children, `O/children/<name>` or the older `O/children`.
pub(crate) fn is_children_channel(url: &Url) -> bool {
    let Some((parent, last)) = url.key().rsplit_once('/') else { return false };
    last == "children" || parent.ends_with("/children")
}

/// The key of the object whose stream an address belongs to, given its key: whatever is derived from an object and told
/// to who listens, but for the status in the registry, which the registry tells.
pub(crate) fn object_of_stream(key: &str) -> Option<&str> {
    let (scheme, _) = key.split_once("://")?;
    if matches!(scheme, "hyperty" | "hyperty-runtime" | "runtime") {
        return None; // What else is published is an object's.
    }
    let (parent, last) = key.rsplit_once('/')?;
    // Children may be named by any of the words.
    parent.strip_suffix("/children").or(match last {
        "changes" | "status" | "observers" | "children" => Some(parent),
        _ => None,
    })
}

/// Whether the sender waits for an answer.
pub(crate) fn expects_answer(message: &Message) -> bool {
    message.kind().is_request() && !is_published(message.to())
}

/// Whether this asks for what came since a position (protocol 10.1). Only reads and subscriptions are looked into.
pub(crate) fn tells_a_position(message: &Message) -> bool {
    #[derive(serde::Deserialize)]
    struct Asked {
        since: Option<serde::de::IgnoredAny>,
        criteria: Option<Criteria>,
    }
    #[derive(serde::Deserialize)]
    struct Criteria {
        since: Option<serde::de::IgnoredAny>,
    }
    let may = matches!(message.kind(), MessageType::Read | MessageType::Subscribe)
        && message.to().kind() == UrlKind::Object;
    may && serde_json::from_slice::<Asked>(message.body().raw())
        .is_ok_and(|body| body.since.or(body.criteria.and_then(|criteria| criteria.since)).is_some())
}

/// Whether the node may tell the sender that its message was refused: never for what is itself an answer.
pub(crate) fn may_be_refused(message: &Message) -> bool {
    !matches!(message.kind(), MessageType::Response | MessageType::Event)
}
