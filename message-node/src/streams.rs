//! What one session has to do with the streams of objects, where the node enforces who listens (protocol 10.4): what it
//! subscribed and waits for, who has accepted it, whom it has asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hyperty_model::{Message, MessageId};
use tokio::time::Instant;

use crate::session::KeySet;

/// Most subscriptions of one session that their Reporters have not answered. A runtime that comes back with 25,000
/// objects reads them rather than subscribing anew; what asks for more at once is told to wait.
pub const ASKED_MAX: usize = 8_192;

/// How long an unanswered subscription is remembered: four times T_RESP, whatever provisional answers prolonged it by.
const ASKED_AGE: Duration = Duration::from_secs(60);

/// Of one session. Empty where nobody enforces who listens.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Subscribed addresses that nothing is delivered to.
    pending: KeySet,
    /// By the object's key; only objects with a route or an acceptance.
    objects: HashMap<Arc<str>, Stream, RandomState>,
    /// Subscriptions under way, by object, sender and id.
    asked: HashMap<(Arc<str>, Arc<str>, MessageId), Instant, RandomState>,
}

#[derive(Debug, Default)]
struct Stream {
    /// How many addresses of the object are subscribed, waiting or not.
    routes: usize,
    accepted: bool,
}

impl Streams {
    /// Whether the owner of the object has accepted this session's runtime.
    pub(crate) fn is_accepted(&self, object: &str) -> bool {
        self.objects.get(object).is_some_and(|stream| stream.accepted)
    }

    /// Whether a subscribed address waits.
    pub(crate) fn is_pending(&self, key: &str) -> bool {
        self.pending.contains(key)
    }

    /// How many addresses wait.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The addresses that wait.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pending.iter()
    }

    /// An address of the object was subscribed.
    pub(crate) fn subscribed(&mut self, object: &str) {
        self.objects.entry(object.into()).or_default().routes += 1;
    }

    /// An address is subscribed no longer. An acceptance lasts as long as something of the object is.
    pub(crate) fn unsubscribed(&mut self, object: &str) {
        let Some(stream) = self.objects.get_mut(object) else { return };
        stream.routes = stream.routes.saturating_sub(1);
        if stream.routes == 0 {
            self.objects.remove(object);
        }
    }

    /// An address waits from now on.
    pub(crate) fn wait(&mut self, key: Arc<str>) {
        self.pending.insert(key);
    }

    /// An address waits no longer; `false` if it did not.
    pub(crate) fn wait_no_longer(&mut self, key: &str) -> bool {
        self.pending.remove(key)
    }

    /// The owner accepts. `false` if this session has as many objects as it may: none of its routes is of this one.
    pub(crate) fn accept(&mut self, object: &str, max: usize) -> bool {
        if !self.objects.contains_key(object) && self.objects.len() >= max {
            return false;
        }
        self.objects.entry(object.into()).or_default().accepted = true;
        true
    }

    /// The owner takes that back.
    pub(crate) fn revoke(&mut self, object: &str) {
        let Some(stream) = self.objects.get_mut(object) else { return };
        stream.accepted = false;
        if stream.routes == 0 {
            self.objects.remove(object);
        }
    }

    /// Notes a subscription that goes to the owner; `false` if too many are unanswered.
    pub(crate) fn ask(&mut self, object: &str, message: &Message) -> bool {
        let now = Instant::now();
        if self.asked.len() >= ASKED_MAX {
            self.asked.retain(|_, asked| now.duration_since(*asked) < ASKED_AGE);
        }
        if self.asked.len() >= ASKED_MAX {
            return false;
        }
        self.asked.insert((object.into(), message.from().key().into(), message.id().clone()), now);
        true
    }

    /// Whether this answers a subscription that was noted.
    pub(crate) fn has_asked(&self, object: &str, answer: &Message) -> bool {
        !self.asked.is_empty() && self.asked.contains_key(&asked_key(object, answer))
    }

    /// It was answered for good.
    pub(crate) fn answered(&mut self, object: &str, answer: &Message) {
        self.asked.remove(&asked_key(object, answer));
    }

    /// Whether the owner of the object may know of this session: it was accepted, or has asked.
    pub(crate) fn is_known(&self, object: &str) -> bool {
        self.is_accepted(object) || self.asked.keys().any(|(asked, ..)| &**asked == object)
    }
}

fn asked_key(object: &str, answer: &Message) -> (Arc<str>, Arc<str>, MessageId) {
    (object.into(), answer.to().key().into(), answer.id().clone())
}

#[cfg(test)]
mod tests {
    use hyperty_model::{Body, MessageType, Url};

    use super::*;

    const OBJECT: &str = "comm://example.com/1";

    fn subscribe(id: u64) -> Message {
        let url = |text: &str| Url::parse(text).unwrap();
        let (from, to) =
            (url("hyperty-runtime://example.com/b/sm"), url("comm://example.com/1/subscription"));
        Message::new(id, MessageType::Subscribe, from, to, Body::empty())
    }

    #[tokio::test(start_paused = true)]
    async fn unanswered_subscriptions_are_bounded_and_outdate() {
        let mut streams = Streams::default();
        for id in 0..ASKED_MAX as u64 {
            assert!(streams.ask(OBJECT, &subscribe(id)));
        }
        assert!(!streams.ask(OBJECT, &subscribe(ASKED_MAX as u64)), "one more than may be");
        let answer = subscribe(7).reply(Body::empty());
        assert!(streams.has_asked(OBJECT, &answer));
        streams.answered(OBJECT, &answer);
        assert!(!streams.has_asked(OBJECT, &answer));
        assert!(streams.ask(OBJECT, &subscribe(ASKED_MAX as u64)), "room for one");
        tokio::time::advance(ASKED_AGE).await;
        assert!(streams.ask(OBJECT, &subscribe(0)), "what nobody answered makes room");
        assert_eq!(streams.asked.len(), 1);
    }

    #[test]
    fn acceptances_are_bounded_and_last_as_long_as_the_routes() {
        let mut streams = Streams::default();
        assert!(streams.accept(OBJECT, 1));
        assert!(!streams.accept("comm://example.com/2", 1), "no room for an object without a route");
        streams.subscribed(OBJECT);
        streams.subscribed(OBJECT);
        streams.unsubscribed(OBJECT);
        assert!(streams.is_accepted(OBJECT));
        streams.unsubscribed(OBJECT);
        assert!(!streams.is_accepted(OBJECT));
        assert!(streams.objects.is_empty());
        assert!(streams.accept(OBJECT, 1));
        streams.revoke(OBJECT);
        assert!(streams.objects.is_empty());
    }
}
