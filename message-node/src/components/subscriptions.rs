//! The Subscription Manager: which session listens to which address (protocol 5.14, M16, M17).

use std::sync::Arc;

use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::{DerivedTail, Message, MessageType, ObjectUrl, RuntimeUrl, StatusCode, Url, UrlKind};

use crate::address::is_published;
use crate::authority::Holder;
use crate::directory::stub_root;
use crate::node::Core;
use crate::session::Session;

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
    pub(super) fn serve_subscriptions(&self, session: &Arc<Session>, message: &Message) {
        let outcome = match message.kind() {
            MessageType::Subscribe => self.subscribe(session, message),
            MessageType::Unsubscribe => self.unsubscribe(session, message),
            other => {
                Err(SubscribeRefusal::Malformed(format!("{other} is nothing that this component takes")))
            }
        };
        match outcome {
            Ok(()) => self.answer(session, message, ResponseBody::ok()),
            Err(refusal) => {
                let (code, reason) = refusal.code_and_reason();
                self.refuse(session, message, code, reason, &refusal.to_string());
            }
        }
    }

    fn subscribe(&self, session: &Arc<Session>, message: &Message) -> Result<(), SubscribeRefusal> {
        let (body, urls) = routes_of(message)?;
        if let Some(receiver) = &body.transfer {
            return self.transfer(session, receiver, &urls);
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
        for (url, claim) in claims {
            match claim {
                Claim::Listen => self.listen(session, &url),
                Claim::Hold(object) => {
                    self.displace(session, &url);
                    self.listen_since(
                        session,
                        &url,
                        self.registered_epoch(session, &object).unwrap_or_default(),
                    );
                }
                Claim::Bind => {
                    self.bind(session, &url, binding_key(&url))
                        .map_err(|_| SubscribeRefusal::Forbidden(url.clone()))?;
                }
                Claim::Own => {}
            }
        }
        Ok(())
    }

    fn unsubscribe(&self, session: &Arc<Session>, message: &Message) -> Result<(), SubscribeRefusal> {
        let (_, urls) = routes_of(message)?;
        for url in urls {
            self.forget(session, &url);
        }
        Ok(())
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
        let max = self.config.limits.routes_per_session;
        let routes = session.routes.lock();
        let held =
            |url: &Url| routes.listening.contains(url.key()) || routes.bound.contains(binding_key(url));
        let new = claims.iter().filter(|(url, claim)| !matches!(claim, Claim::Own) && !held(url)).count();
        if new > 0 && routes.len() + new > max { Err(SubscribeRefusal::Limit(max)) } else { Ok(()) }
    }

    fn listen(&self, session: &Arc<Session>, url: &Url) {
        self.listen_since(session, url, 0);
    }

    /// Adds a listener, once.
    fn listen_since(&self, session: &Arc<Session>, url: &Url, epoch: u64) {
        let key: Arc<str> = url.key().into();
        let mut routes = session.routes.lock();
        if !routes.ended && routes.listening.insert(Arc::clone(&key)) {
            self.subscriptions.add(key, session, epoch);
        }
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
    }

    fn forget(&self, session: &Arc<Session>, url: &Url) {
        let mut routes = session.routes.lock();
        if routes.listening.remove(url.key()) {
            self.subscriptions.remove(url.key(), session);
        }
        if routes.bound.remove(binding_key(url)) {
            self.directory.unbind(binding_key(url), session);
        }
    }

    /// The holder gives routes away: from the next message on they are the receiver's (M17).
    fn transfer(&self, session: &Arc<Session>, receiver: &Url, urls: &[Url]) -> Result<(), SubscribeRefusal> {
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
            if let Ok(Claim::Hold(_)) = self.claim_of(session, url) {
                self.forget(session, url);
            }
            self.listen(&receiver, url);
        }
        Ok(())
    }

    fn check_room_for(&self, session: &Session, count: usize) -> Result<(), SubscribeRefusal> {
        let max = self.config.limits.routes_per_session;
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
