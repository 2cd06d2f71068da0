//! Whom a message speaks for: what the node knows of its session, never what the message says (protocol 2.3).

use hyperty_model::message::IdentityEdit;
use hyperty_model::{Message, MessageType, UrlKind};
use serde_json::Value;

use crate::session::Session;

/// What becomes of `body.identity`. Requests to others name the session's user; what else names somebody names that
/// user. Where sessions are nobody's, all stays as it came.
pub(crate) fn of<'a>(session: &'a Session, message: &Message) -> IdentityEdit<'a> {
    let Some(who) = session.who() else { return IdentityEdit::Keep };
    let names_the_asker = match message.kind() {
        MessageType::Create
        | MessageType::Read
        | MessageType::Delete
        | MessageType::Subscribe
        | MessageType::Unsubscribe
        | MessageType::Forward
        | MessageType::Execute => true,
        // The stream is long, and whose it is was said when it began.
        _ => false,
    };
    // The node itself knows who asks it.
    if names_the_asker && message.to().kind() != UrlKind::Domain {
        IdentityEdit::Set(who.text())
    } else {
        IdentityEdit::Replace(who.text())
    }
}

/// The message with the session's user in the one that it embeds, if it is a `forward` of that form (protocol 2.4).
pub(crate) fn inside(session: &Session, message: Message) -> Message {
    let Some(who) = session.who().filter(|_| message.kind() == MessageType::Forward) else { return message };
    let Ok(mut body) = serde_json::from_slice::<Value>(message.body().raw()) else { return message };
    let mut embedded = body.get_mut("message");
    let mut found = false;
    // A message may embed one that embeds another; frames are not nested deeper than a reader can follow.
    while let Some(Value::Object(message)) = embedded {
        found = true;
        let inner = message.entry("body").or_insert_with(|| Value::Object(serde_json::Map::new()));
        let Value::Object(inner) = inner else { break };
        let identity = serde_json::to_value(who.identity()).unwrap_or(Value::Null);
        inner.insert("identity".to_owned(), identity);
        embedded = inner.get_mut("message");
    }
    if !found {
        return message;
    }
    Message::new(message.id().clone(), message.kind(), message.from().clone(), message.to().clone(), body)
}
