//! On whose behalf a session may say that it speaks: `body.source` and `body.subscriber` are believed by whoever gets the
//! message, so they must be the session's own (protocol 5.14).

use hyperty_model::{DerivedTail, Message, MessageType, Url, UrlKind};
use serde::Deserialize;

use crate::address::object_of_changes;
use crate::authority::Refusal;
use crate::directory::stub_root;
use crate::node::Core;
use crate::session::Session;

impl Core {
    /// Whether what a message says of its origin is true. What is for the node's own services is judged there.
    pub(crate) fn authorise_claims(&self, session: &Session, message: &Message) -> Result<(), Refusal> {
        // Who may publish for an object may name whoever wrote the change: that was looked up already.
        let published = message.kind() == MessageType::Update && object_of_changes(message.to()).is_some();
        let believed = published || is_farewell(message);
        if !self.config.enforce_publisher || believed || message.to().kind() == UrlKind::Domain {
            return Ok(());
        }
        if let Some(source) = message.claimed_source() {
            self.authorise_claim(session, source)?;
        }
        if message.kind() == MessageType::Subscribe
            && let Some(subscriber) = subscriber_of(message)
        {
            self.authorise_claim(session, subscriber)?;
        }
        Ok(())
    }

    fn authorise_claim(&self, session: &Session, claimed: Url) -> Result<(), Refusal> {
        let own = match claimed.kind() {
            UrlKind::Runtime => self.is_own_runtime(session, &claimed),
            UrlKind::Hyperty => self.is_own_hyperty(session, &claimed),
            UrlKind::Object => self.may_act_for(session, &claimed),
            // The node's own errors are told by this.
            UrlKind::Domain => false,
            _ => true,
        };
        if own { Ok(()) } else { Err(Refusal::Sender(claimed)) }
    }

    fn is_own_runtime(&self, session: &Session, claimed: &Url) -> bool {
        let bound = || {
            stub_root(claimed).is_some_and(|root| self.directory.bound(root).is_none_or(|s| *s == *session))
        };
        claimed.is_at_or_below(&session.runtime) || bound()
    }

    /// A hyperty that is nobody's yet may be this session's.
    fn is_own_hyperty(&self, session: &Session, claimed: &Url) -> bool {
        match self.directory.bound(claimed.key()) {
            Some(bound) => *bound == *session,
            None => {
                session.may_be(claimed)
                    && self.allocations.owner(claimed).is_none_or(|owner| owner == session.runtime)
            }
        }
    }
}

/// Whether the side of an object tells the Sync Manager of an observer that it removed that one (5.7): whom `source` names
/// there is whom it is about. That the sender is the session's was looked at already.
fn is_farewell(message: &Message) -> bool {
    let from = message.from().split_derived();
    message.kind() == MessageType::Unsubscribe
        && matches!(from, Some((_, Some(DerivedTail::Subscription))))
        && message.to().kind() == UrlKind::Runtime
}

fn subscriber_of(message: &Message) -> Option<Url> {
    #[derive(Deserialize)]
    struct Body {
        subscriber: Option<Url>,
    }
    serde_json::from_slice::<Body>(message.body().raw()).ok()?.subscriber
}
