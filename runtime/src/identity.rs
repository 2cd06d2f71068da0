//! Whom the hyperties of this runtime speak for: what the runtime knows of them, never what they say (protocol 2.3).

use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::message::{IdentityEdit, ResumeBody, Rewrite};
use hyperty_model::{HypertyUrl, Message, MessageType, StatusCode, UrlKind};
use hyperty_registry::RuntimeRegistry;

/// Puts the user that a hyperty was deployed for into what the hyperty asks for. What comes through a stub keeps what
/// the node wrote, and what components of the runtime send what they took from either.
pub(crate) struct OwnIdentities {
    registry: RuntimeRegistry,
}

impl OwnIdentities {
    pub(crate) fn new(registry: RuntimeRegistry) -> OwnIdentities {
        OwnIdentities { registry }
    }
}

impl Interceptor for OwnIdentities {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let asks = matches!(
            message.kind(),
            MessageType::Create
                | MessageType::Read
                | MessageType::Delete
                | MessageType::Subscribe
                | MessageType::Unsubscribe
                | MessageType::Execute
                | MessageType::Forward
        );
        let sender = message.sender().filter(|_| asks && direction == Direction::Outgoing);
        let Some(hyperty) = sender.and_then(|sender| HypertyUrl::try_from(sender.clone()).ok()) else {
            return Verdict::Pass(message);
        };
        let known = self.registry.user_of(&hyperty);
        // An honest message is not touched, and so not encoded before it has to be.
        if message.identity() == known || is_resume(&message) {
            return Verdict::Pass(message);
        }
        let text = known.map(|known| serde_json::value::to_raw_value(&known)).transpose();
        let rewritten = text.map_err(|error| error.to_string()).and_then(|text| {
            let identity = text.as_deref().map_or(IdentityEdit::Remove, IdentityEdit::Set);
            message
                .relayed(&Rewrite { identity, strip_auth: true, via: None })
                .map_err(|error| error.to_string())
        });
        match rewritten {
            Ok(message) => Verdict::Pass(message),
            Err(why) => Verdict::Reject(StatusCode::BAD_REQUEST, why),
        }
    }
}

/// Whether a message asks a Sync Manager to resume: there an identity is a criterion (protocol 5.10), which is compared
/// with what the runtime knows. One that is put in would ask for more than its sender wants.
fn is_resume(message: &Message) -> bool {
    matches!(message.kind(), MessageType::Create | MessageType::Subscribe)
        && message.to().kind() == UrlKind::Runtime
        && message.decode::<ResumeBody>().is_ok_and(|body| body.resume)
}
