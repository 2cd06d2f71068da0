//! Delivery: from a message that was accepted to the queues of those it is for (protocol 5.14).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hyperty_model::message::{HOPS_MAX, ResponseBody, Rewrite};
use hyperty_model::{Message, MessageType, ObjectUrl, StatusCode, Url, UrlKind};

use crate::address::{expects_answer, tells_a_position};
use crate::authority::Refusal;
use crate::identity;
use crate::node::Core;
use crate::outbox::{Outbox, Push};
use crate::outgoing::Outgoing;
use crate::session::Session;

/// The words of M12 for a message without addressee.
const NO_ROUTE: &str = "no-route";

impl Core {
    /// Takes a message from a session: checks who speaks, then hands it to a component or to whom it is for.
    pub(crate) fn accept(&self, session: &Arc<Session>, message: Message) {
        if let Err(refusal) = self.authorise(session, &message) {
            tracing::debug!(session = session.number, %refusal, "refused a message");
            if matches!(refusal, Refusal::Waiting(_)) {
                return self.counters.refused.add(1);
            }
            self.refuse(session, &message, refusal.code(), refusal.reason(), &refusal.to_string());
            return;
        }
        let Some(message) = self.cleaned(session, message) else { return };
        self.counters.repairs.add(usize::from(tells_a_position(&message)));
        if message.to().kind() == UrlKind::Domain {
            return self.serve_component(session, &message);
        }
        if !self.note_asked(session, &message) {
            let text = "too many subscriptions of this session are not answered";
            return self.refuse(session, &message, StatusCode::INTERNAL, "limit", text);
        }
        self.route(Some(session), message.clone());
        // Behind the answer itself: what is delivered because of it comes later (protocol 5.3 step 8e).
        self.note_answer(session, &message);
    }

    /// The message as others may see it: without `body.auth`, with the session's user if it is known, and with this
    /// session on its way if it keeps one. `None` if it has come too far.
    fn cleaned(&self, session: &Session, message: Message) -> Option<Message> {
        let mut via = message.via();
        let message = identity::inside(session, message);
        let identity = identity::of(session, &message);
        if via.is_empty() {
            return message.relayed(&Rewrite { strip_auth: true, identity, ..Rewrite::default() }).ok();
        }
        if via.len() >= HOPS_MAX {
            self.counters.looped.add(1);
            return None;
        }
        // A runtime may name itself with its token behind its URL: the URL alone goes on.
        via.retain(|hop| !hop.is_at_or_below(&session.runtime));
        via.push(session.runtime.as_url().clone());
        message.relayed(&Rewrite { strip_auth: true, identity, via: Some(&via) }).ok()
    }

    /// Delivers a message that `ingress` sent, or the node itself. A message never goes back to where it came from.
    pub(crate) fn route(&self, ingress: Option<&Arc<Session>>, message: Message) {
        let direct = match message.to().kind() {
            UrlKind::Runtime => self.directory.of_runtime(message.to()),
            UrlKind::Hyperty => self.of_hyperty(message.to()),
            _ => None,
        };
        let taken = match direct.filter(|session| Some(session) != ingress) {
            Some(session) => self.deliver_to(&session, ingress, &message),
            None => self.deliver_to_listeners(ingress, &message),
        };
        if !taken {
            self.no_route(ingress, &message);
        }
    }

    /// The session of a hyperty: the one that allocated it or, else, the one that used it first.
    pub(crate) fn of_hyperty(&self, url: &Url) -> Option<Arc<Session>> {
        self.directory.bound(url.key()).or_else(|| {
            let owner = self.allocations.owner(url)?;
            self.directory.bound(owner.key())
        })
    }

    fn deliver_to(&self, session: &Session, ingress: Option<&Arc<Session>>, message: &Message) -> bool {
        if self.has_been(&message.via(), session) {
            return true;
        }
        let asker = ingress.map(|ingress| &ingress.outbox);
        let item = Outgoing::addressed(message.clone(), asker);
        let taken = self.push(&session.outbox, &item, None);
        self.counters.delivered.add(usize::from(taken));
        taken
    }

    fn deliver_to_listeners(&self, ingress: Option<&Arc<Session>>, message: &Message) -> bool {
        let Some(listeners) = self.subscriptions.get(message.to().key()) else { return false };
        let from = ingress.map_or(0, |ingress| ingress.number);
        let others = || listeners.iter().filter(|listener| listener.number != from);
        let item = if expects_answer(message) && others().nth(1).is_none() {
            Outgoing::addressed(message.clone(), ingress.map(|ingress| &ingress.outbox))
        } else {
            Outgoing::published(message.clone())
        };
        let way = message.via();
        let (mut taken, mut delivered) = (false, 0);
        for listener in others() {
            if !way.is_empty() && self.has_been(&way, &listener.session) {
                taken = true;
            } else if self.push(&listener.outbox, &item, Some(&listener.active)) {
                delivered += 1;
            }
        }
        self.counters.delivered.add(delivered);
        taken || delivered > 0
    }

    /// Whether a session stands on the way that a message came (INV-MSG-4).
    fn has_been(&self, way: &[Url], session: &Session) -> bool {
        let been = way.contains(&session.runtime);
        self.counters.looped.add(usize::from(been));
        been
    }

    /// Queues a message; `false` if its receiver cannot be served. Whoever waits for an answer to something that is
    /// lost by this is told.
    pub(crate) fn push(&self, outbox: &Outbox, item: &Outgoing, active: Option<&AtomicBool>) -> bool {
        match outbox.push(item, active) {
            Push::Taken => {}
            Push::Conflated(dropped) => self.counters.conflated.add(dropped),
            Push::Refused => return false,
            Push::Overflow(lost) => {
                self.counters.overflowed.add(1);
                self.answer_lost(lost);
                return true;
            }
        }
        true
    }

    /// Tells the senders of requests that were queued and will not be handed over. A list of work rather than
    /// recursion: an answer may itself fill a queue.
    pub(crate) fn answer_lost(&self, lost: Vec<Outgoing>) {
        let mut lost = VecDeque::from(lost);
        while let Some(item) = lost.pop_front() {
            let Some((message, asker)) = item.unanswered() else { continue };
            let answer = message.reply(self.no_route_body());
            if let Push::Overflow(more) = asker.push(&Outgoing::published(answer), None) {
                self.counters.overflowed.add(1);
                lost.extend(more);
            }
        }
    }

    fn no_route(&self, ingress: Option<&Arc<Session>>, message: &Message) {
        self.counters.unrouted.add(1);
        let Some(ingress) = ingress.filter(|_| expects_answer(message)) else { return };
        let body = match self.deleted_object(message) {
            true => self.explained(ResponseBody::failure(StatusCode::GONE, "deleted").with_reason("deleted")),
            false => self.no_route_body(),
        };
        self.answer(ingress, message, body);
    }

    /// Whether somebody asks for an object that is known to be deleted (M12): then it is no use to wait for it.
    fn deleted_object(&self, message: &Message) -> bool {
        let object = match message.kind() {
            MessageType::Read => ObjectUrl::try_from(message.to().clone()).ok(),
            MessageType::Subscribe => message.to().split_derived().map(|(object, _)| object),
            _ => None,
        };
        object.is_some_and(|object| self.is_deleted(&object))
    }

    fn no_route_body(&self) -> ResponseBody {
        self.explained(ResponseBody::failure(StatusCode::NOT_FOUND, "no route").with_reason(NO_ROUTE))
    }

    /// A failure of the node's own, marked as such (M12): whoever waits accepts it in place of the addressee's.
    pub(crate) fn explained(&self, body: ResponseBody) -> ResponseBody {
        body.with_source(self.addresses.subscriptions.clone())
    }

    /// Answers a session, in place of the addressee.
    pub(crate) fn answer(&self, session: &Session, request: &Message, body: ResponseBody) {
        self.push(&session.outbox, &Outgoing::published(request.reply(body)), None);
    }

    /// Answers a session that its message cannot be served, and why; except for what is never answered.
    pub(crate) fn refuse(
        &self,
        session: &Session,
        request: &Message,
        code: StatusCode,
        reason: &str,
        text: &str,
    ) {
        self.counters.refused.add(1);
        if crate::address::may_be_refused(request) {
            self.answer(
                session,
                request,
                self.explained(ResponseBody::failure(code, text).with_reason(reason)),
            );
        }
    }

    /// Publishes a message of the node's own.
    pub(crate) fn publish(
        &self,
        kind: MessageType,
        from: &Url,
        to: Url,
        body: impl Into<hyperty_model::Body>,
    ) {
        self.route(None, Message::new(self.next_message_id(), kind, from.clone(), to, body));
    }
}
