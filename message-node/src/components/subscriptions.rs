//! The Subscription Manager: which session listens to which address (protocol 5.14, M16, M17).

use std::sync::Arc;

use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::{DerivedTail, Message, MessageType, ObjectUrl, RuntimeUrl, StatusCode, Url, UrlKind};
use hyperty_storage::Ticket;

use crate::address::is_published;
use crate::authority::Holder;
use crate::config::ROUTES_PER_SESSION_MAX;
use crate::directory::stub_root;
use crate::metrics::Asked;
use crate::node::Core;
use crate::session::Session;

/// In the answer to `subscribe`: this node lets nobody listen to an object whom its owner has not accepted (10.4).
const ENFORCES: &str = "enforceSubscriber";

/// Why a subscription is refused. Nothing of its list has an effect then.
#[derive(Debug, thiserror::Error)]
enum SubscribeRefusal {
    #[error("{0}")]
    Malformed(String),
    #[error("{0} belongs to another runtime")]
    Forbidden(Url),
    #[error("{0} is held by another session")]
    Held(Url),
    #[error("{0} has no session to be transferred to")]
    NoReceiver(Url),
    #[error("{0} is not held by this session")]
    NotHeld(Url),
    #[error("at most {0} routes in one session")]
    Limit(usize),
}

impl SubscribeRefusal {
    fn code_and_reason(&self) -> (StatusCode, &'static str) {
        match self {
            SubscribeRefusal::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            SubscribeRefusal::Forbidden(_) | SubscribeRefusal::NotHeld(_) => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            SubscribeRefusal::Held(_) => (StatusCode::CONFLICT, "held"),
            SubscribeRefusal::NoReceiver(_) => (StatusCode::NOT_FOUND, "no-route"),
            SubscribeRefusal::Limit(_) => (StatusCode::INTERNAL, "limit"),
        }
    }
}

/// What subscribing an address means.
enum Claim {
    /// Anybody may listen.
    Listen,
    /// Only one session may: `O` and `O/subscription`.
    Hold(ObjectUrl),
    /// An address of the session's own, which is bound rather than listened to.
    Bind,
    /// The session's own runtime: routed anyway.
    Own,
}

impl Core {
    pub(super) fn serve_subscriptions(&self, session: &Arc<Session>, message: &Message, asked: Asked) {
        let outcome = match message.kind() {
            MessageType::Subscribe => self.subscribe(session, message),
            MessageType::Unsubscribe => self.unsubscribe(session, message),
            other => {
                Err(SubscribeRefusal::Malformed(format!("{other} is nothing that this component takes")))
            }
        };
        match outcome {
            Ok(ticket) => {
                let body = self.done(message.kind());
                return self.answer_when_durable(session, message, body, ticket, asked);
            }
            Err(refusal) => {
                let (code, reason) = refusal.code_and_reason();
                self.refuse(session, message, code, reason, &refusal.to_string());
            }
        }
        self.latencies.observe(asked);
    }

    /// Most routes of a session: as many as its token says, if it says so.
    pub(crate) fn routes_max(&self, session: &Session) -> usize {
        let claimed = session.pass().and_then(|pass| pass.routes());
        claimed.map_or(self.config.limits.routes_per_session, |claimed| claimed.min(ROUTES_PER_SESSION_MAX))
    }

    /// Owners are told that they are asked who may listen: those of nodes that do not ask need not say.
    fn done(&self, kind: MessageType) -> ResponseBody {
        let mut body = ResponseBody::ok();
        if kind == MessageType::Subscribe && self.config.enforces_subscriber() {
            body.extra.insert(ENFORCES.to_owned(), true.into());
        }
        body
    }

    fn subscribe(&self, session: &Arc<Session>, message: &Message) -> Result<Ticket, SubscribeRefusal> {
        let (body, urls) = routes_of(message)?;
        if let Some(receiver) = &body.transfer {
            return self.transfer(session, receiver, &urls);
        }
        if body.grant == Some(true) {
            let judged = self.judge_listener(session, &body, &urls, Core::accept_listener);
            return judged.map(|()| Ticket::default());
        }
        let mut claims = Vec::with_capacity(urls.len());
        for url in urls {
            let claim = self.claim_of(session, &url)?;
            claims.push((url, claim));
        }
        // What only one may have changes hands one request at a time; who merely listens need not wait for that.
        let exclusive = claims.iter().any(|(_, claim)| matches!(claim, Claim::Hold(_) | Claim::Bind));
        let _claims = exclusive.then(|| self.claims.lock());
        for (url, claim) in &claims {
            match claim {
                Claim::Hold(object) => self.may_hold(session, object)?,
                Claim::Bind => self.may_bind(session, url)?,
                Claim::Listen | Claim::Own => {}
            }
        }
        self.check_room(session, &claims)?;
        let given = self.take_up(session, &claims)?;
        if let Some(public) = body.public {
            let stream: Vec<Url> = claims.iter().map(|(url, _)| url.clone()).collect();
            for (url, claim) in &claims {
                if let Claim::Hold(object) = claim
                    && url == object.as_url()
                {
                    self.set_public(session, object, &stream, public);
                }
            }
        }
        Ok(given)
    }

    /// Gives the session what it asks for. An object that another runtime had allocated is allocated to this one from
    /// now on, for good once the ticket is durable.
    fn take_up(&self, session: &Arc<Session>, claims: &[(Url, Claim)]) -> Result<Ticket, SubscribeRefusal> {
        let mut given = Ticket::default();
        for (url, claim) in claims {
            match claim {
                Claim::Listen => self.listen_since(session, url, 0),
                Claim::Hold(object) => {
                    self.displace(session, url);
                    let epoch = self.registered_epoch(session, object).unwrap_or_default();
                    self.listen_since(session, url, epoch);
                    // Who holds an object listens to its stream, in whatever order it asked for both.
                    self.activate(session, object.key());
                    given = given.max(self.allocations.give(&[object.as_url().clone()], &session.runtime));
                }
                Claim::Bind => {
                    self.bind(session, url, binding_key(url))
                        .map_err(|_| SubscribeRefusal::Forbidden(url.clone()))?;
                }
                Claim::Own => {}
            }
        }
        Ok(given)
    }

    fn unsubscribe(&self, session: &Arc<Session>, message: &Message) -> Result<Ticket, SubscribeRefusal> {
        let (body, urls) = routes_of(message)?;
        if body.revoke == Some(true) {
            let judged = self.judge_listener(session, &body, &urls, Core::revoke_listener);
            return judged.map(|()| Ticket::default());
        }
        for url in urls {
            self.forget(session, &url);
        }
        Ok(Ticket::default())
    }

    /// What `url` means in a subscription of this session.
    fn claim_of(&self, session: &Session, url: &Url) -> Result<Claim, SubscribeRefusal> {
        match url.kind() {
            UrlKind::Object => match url.split_derived() {
                None => Err(SubscribeRefusal::Malformed(format!("{url} is no address of a data object"))),
                Some((object, None | Some(DerivedTail::Subscription))) => Ok(Claim::Hold(object)),
                Some(_) => Ok(Claim::Listen),
            },
            UrlKind::Runtime if url.is_at_or_below(&session.runtime) => Ok(Claim::Own),
            UrlKind::Runtime | UrlKind::Hyperty if is_published(url) => Ok(Claim::Listen),
            UrlKind::Hyperty => Ok(Claim::Bind),
            UrlKind::Runtime if stub_root(url).is_some() => Ok(Claim::Bind),
            UrlKind::Runtime | UrlKind::Domain => Err(SubscribeRefusal::Forbidden(url.clone())),
            _ => Err(SubscribeRefusal::Malformed(format!("{url} is not routed"))),
        }
    }

    /// Route `O` stays with who holds it, live or graced, and with who allocated it; unless the registry names the
    /// runtime that asks, at a higher epoch than the holder's (M17).
    fn may_hold(&self, session: &Arc<Session>, object: &ObjectUrl) -> Result<(), SubscribeRefusal> {
        let held_since = match self.holder(object) {
            Holder::Session(holder) if holder.session != *session => holder.epoch,
            Holder::Runtime(owner) if owner != session.runtime => 0,
            _ => return Ok(()),
        };
        if self.registered_epoch(session, object).is_some_and(|epoch| epoch > held_since) {
            return Ok(());
        }
        Err(SubscribeRefusal::Held(object.as_url().clone()))
    }

    /// At which epoch the registry names this session's runtime as the one of an object.
    fn registered_epoch(&self, session: &Session, object: &ObjectUrl) -> Option<u64> {
        let (runtime, epoch) = self.registry.owner(object)?;
        (runtime == session.runtime).then_some(epoch)
    }

    fn may_bind(&self, session: &Arc<Session>, url: &Url) -> Result<(), SubscribeRefusal> {
        let bound_elsewhere = self.directory.bound(binding_key(url)).is_some_and(|bound| bound != *session);
        let allowed = url.kind() != UrlKind::Hyperty || session.may_be(url);
        if !allowed
            || bound_elsewhere
            || self.allocations.owner(url).is_some_and(|owner| owner != session.runtime)
        {
            return Err(SubscribeRefusal::Forbidden(url.clone()));
        }
        Ok(())
    }

    fn check_room(&self, session: &Session, claims: &[(Url, Claim)]) -> Result<(), SubscribeRefusal> {
        let max = self.routes_max(session);
        let routes = session.routes.lock();
        let held =
            |url: &Url| routes.listening.contains(url.key()) || routes.bound.contains(binding_key(url));
        let new = claims.iter().filter(|(url, claim)| !matches!(claim, Claim::Own) && !held(url)).count();
        if new > 0 && routes.len() + new > max { Err(SubscribeRefusal::Limit(max)) } else { Ok(()) }
    }

    /// The owner of objects accepts the runtime that `source` names as a listener, or takes that back (10.4). A runtime
    /// that has no session is nothing to do for.
    fn judge_listener(
        &self,
        session: &Arc<Session>,
        body: &RoutesBody,
        urls: &[Url],
        judge: fn(&Core, &Arc<Session>, &str),
    ) -> Result<(), SubscribeRefusal> {
        let source = body.source.as_ref();
        let source = source.ok_or_else(|| SubscribeRefusal::Malformed("missing source".to_owned()))?;
        let mut objects: Vec<ObjectUrl> = Vec::new();
        for url in urls {
            let object = url.split_derived().map(|(object, _)| object);
            let object = object.ok_or_else(|| {
                SubscribeRefusal::Malformed(format!("{url} is no address of a data object"))
            })?;
            if !self.owns(session, &object) {
                return Err(SubscribeRefusal::NotHeld(url.clone()));
            }
            objects.push(object);
        }
        objects.sort();
        objects.dedup();
        if let Some(listener) = self.session_of(source).filter(|listener| listener != session) {
            objects.iter().for_each(|object| judge(self, &listener, object.key()));
        }
        Ok(())
    }

    /// Takes an address that only one session may have from the one that has it.
    fn displace(&self, session: &Arc<Session>, url: &Url) {
        let Some(first) = self.subscriptions.first(url.key()) else { return };
        let holder = &first.session;
        if holder == session {
            return;
        }
        tracing::info!(%url, from = holder.number, to = session.number, "route taken over");
        self.forget(holder, url);
        // It may observe the object when the new owner has accepted it.
        if let Some((object, None)) = url.split_derived() {
            self.revoke_listener(holder, object.key());
        }
    }

    fn forget(&self, session: &Arc<Session>, url: &Url) {
        let mut routes = session.routes.lock();
        self.stop_listening(session, &mut routes, url.key());
        if routes.bound.remove(binding_key(url)) {
            self.directory.unbind(binding_key(url), session);
        }
    }

    /// The holder gives routes away: from the next message on they are the receiver's (M17).
    fn transfer(
        &self,
        session: &Arc<Session>,
        receiver: &Url,
        urls: &[Url],
    ) -> Result<Ticket, SubscribeRefusal> {
        let runtime = RuntimeUrl::try_from(receiver.clone())
            .map_err(|error| SubscribeRefusal::Malformed(error.to_string()))?;
        let receiver = self
            .directory
            .with_sessions(|sessions| sessions.get(&runtime))
            .ok_or_else(|| SubscribeRefusal::NoReceiver(runtime.as_url().clone()))?;
        let _claims = self.claims.lock();
        for url in urls {
            if !session.routes.lock().listening.contains(url.key()) {
                return Err(SubscribeRefusal::NotHeld(url.clone()));
            }
        }
        self.check_room_for(&receiver, urls.len())?;
        for url in urls {
            let Ok(Claim::Hold(object)) = self.claim_of(session, url) else {
                self.listen_since(&receiver, url, 0);
                continue;
            };
            self.forget(session, url);
            self.listen_since(&receiver, url, 0);
            if url == object.as_url() {
                self.activate(&receiver, object.key());
                // Who gave the object away goes on as one that observes it, until the new owner says otherwise.
                self.accept_listener(session, object.key());
            }
        }
        // Kept as well, so that it is the receiver's after a restart of the node, and the receiver's to release.
        Ok(self.allocations.give(urls, &runtime))
    }

    fn check_room_for(&self, session: &Session, count: usize) -> Result<(), SubscribeRefusal> {
        let max = self.routes_max(session);
        if session.routes.lock().len() + count > max { Err(SubscribeRefusal::Limit(max)) } else { Ok(()) }
    }
}

/// What an address is bound as: stubs by the root of their URL.
fn binding_key(url: &Url) -> &str {
    stub_root(url).filter(|_| url.kind() == UrlKind::Runtime).unwrap_or(url.key())
}

/// The list of a request, in whatever form it came.
fn routes_of(message: &Message) -> Result<(Arc<RoutesBody>, Vec<Url>), SubscribeRefusal> {
    let body =
        message.decode::<RoutesBody>().map_err(|error| SubscribeRefusal::Malformed(error.to_string()))?;
    let urls = body.all();
    if urls.is_empty() {
        return Err(SubscribeRefusal::Malformed("Bad Request: Missing resources".to_owned()));
    }
    Ok((body, urls))
}
