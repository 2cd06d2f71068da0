//! In whose name a hyperty may post: the door of the runtime's bus for its own hyperties (protocol 4.1).
//!
//! What a runtime's components say to each other and to its hyperties is believed because nobody else can say it: a
//! stub marks what came from elsewhere, and here nobody passes who calls itself a component or a neighbour.

use hyperty_model::{HypertyUrl, Message, MessageType, Url, UrlKind};

use crate::listeners::Routes;

/// Why a hyperty may not post a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotItsName {
    /// `from` is another hyperty. Post in one's own name; `source` says on whose behalf where that is allowed.
    #[error("this hyperty may not send from {0}, which is another")]
    Neighbour(Url),
    /// `from` is an object that the hyperty does not report, or an address of an object that its Sync Manager has.
    #[error("this hyperty may not send from {0}, which it does not report")]
    Object(Url),
    /// `from` is a component of a runtime or of a domain, or a user. None of these is a hyperty.
    #[error("this hyperty may not send from {0}, which is no hyperty")]
    Component(Url),
}

/// Whether `hyperty` may post this message: in its own name, and in that of an object whose messages are handed to it,
/// as they are to who reports it. Two kinds are let through in the name of any object, since the Sync Manager behind
/// the address looks at who posted them: changes, of which who reported the object until now is told why they are none
/// any more, and the older form of operations on children, which their writer sends in the object's name (5.9.3).
pub(crate) fn check(routes: &Routes, hyperty: &HypertyUrl, message: &Message) -> Result<(), NotItsName> {
    let from = message.from();
    match from.kind() {
        UrlKind::Hyperty if from == hyperty.as_url() => Ok(()),
        UrlKind::Hyperty => Err(NotItsName::Neighbour(from.clone())),
        UrlKind::Object if is_judged_behind(message) || reports(routes, hyperty, from) => Ok(()),
        UrlKind::Object => Err(NotItsName::Object(from.clone())),
        _ => Err(NotItsName::Component(from.clone())),
    }
}

/// Whether a message goes to the stream of the object whose name it bears.
fn is_judged_behind(message: &Message) -> bool {
    let (from, to) = (message.from(), message.to());
    match (message.kind(), to.key().strip_prefix(from.key())) {
        (MessageType::Update, Some("/changes")) => true,
        (MessageType::Create | MessageType::Update | MessageType::Delete, Some(tail)) => {
            tail == "/children" || tail.starts_with("/children/")
        }
        _ => false,
    }
}

/// Whether what comes for the object itself is handed to the hyperty (A5). Observers have its derived addresses only.
fn reports(routes: &Routes, hyperty: &HypertyUrl, from: &Url) -> bool {
    matches!(from.split_derived(), Some((_, None))) && routes.is_forwarded(from, hyperty)
}
