//! The life of a session: open, re-open, close, lost, over (protocol 5.15, M13, M14).

use std::sync::Arc;

use hyperty_model::message::UnsubscribeBody;
use hyperty_model::{Message, MessageType, ObjectUrl, RuntimeUrl, StatusCode, Url};
use hyperty_storage::Ticket;
use tokio::time::Instant;

use crate::address::{is_children_channel, object_of_changes, object_of_stream};
use crate::admission::{Pass, TokenError};
use crate::directory::{Due, DueKind, Sessions, names_a_runtime};
use crate::link::Link;
use crate::metrics::{Asked, Service};
use crate::node::Core;
use crate::outbox::{CloseReason, Outbox};
use crate::outgoing::Outgoing;
use crate::session::{Routes, Session, Token};

/// Why a session is not opened.
enum OpenError {
    NotAdmitted(TokenError),
    NotARuntime(String),
    Taken,
    Full,
    TooMany,
}

impl From<TokenError> for OpenError {
    fn from(error: TokenError) -> OpenError {
        OpenError::NotAdmitted(error)
    }
}

/// A session that was opened.
struct Begun {
    session: Arc<Session>,
    /// In the place of a former one.
    former: bool,
    /// Its runtime is this user's from now on: known for good once this is on disk.
    claimed: Option<Ticket>,
}

impl Core {
    /// `open`: a new session with a new token. A graced one of the same runtime is replaced (M14).
    pub(crate) fn open(&self, link: &Link, message: &Message) {
        if link.has_session() {
            let text = "this connection has a session already";
            return link.refuse(message, StatusCode::CONFLICT, "conflict", text);
        }
        let asked = Asked::now(Service::Admission);
        let pass = match self.admitted(message) {
            Ok(pass) => pass,
            Err(error) => return self.turn_away(link, message, &error),
        };
        match self
            .directory
            .with_sessions(|sessions| self.begin(sessions, link, message.from(), pass.clone()))
        {
            Ok(Begun { session, former, claimed }) => {
                self.counters.opened.add(1);
                tracing::info!(session = session.number, runtime = %session.runtime, link = link.number(), "opened");
                if former || pass.is_some() {
                    self.wake_driver.notify_one();
                }
                let mut body = self.welcome(pass.as_ref());
                body.extra.insert("runtimeToken".to_owned(), session.token.as_str().into());
                match claimed {
                    Some(ticket) => self.answer_when_durable(&session, message, body, ticket, asked),
                    None => link.answer(message, body),
                }
            }
            Err(OpenError::NotAdmitted(error)) => self.turn_away(link, message, &error),
            Err(OpenError::NotARuntime(text)) => {
                link.refuse(message, StatusCode::BAD_REQUEST, "malformed", &text)
            }
            Err(OpenError::Taken) => {
                let text = "this runtime has a live session";
                link.refuse(message, StatusCode::CONFLICT, "conflict", text);
            }
            Err(OpenError::TooMany) => {
                let text = "this user has as many sessions as it may";
                link.refuse(message, StatusCode::INTERNAL, "limit", text);
            }
            Err(OpenError::Full) => {
                link.refuse(
                    message,
                    StatusCode::INTERNAL,
                    "limit",
                    "the node has as many sessions as it may",
                );
            }
        }
    }

    /// Makes the session and puts it in the place of a former one.
    fn begin(
        &self,
        sessions: &mut Sessions,
        link: &Link,
        from: &Url,
        pass: Option<Arc<Pass>>,
    ) -> Result<Begun, OpenError> {
        let by_token = || session_by_token(sessions, from);
        let (runtime, former) = match sessions
            .get(from)
            .map(|former| (former, false))
            .or_else(|| by_token().map(|former| (former, true)))
        {
            Some((former, proven)) => {
                Core::may_open(pass.as_ref(), &former.runtime, Some(&former))?;
                if former.is_live() && !proven {
                    return Err(OpenError::Taken);
                }
                (former.runtime.clone(), Some(former))
            }
            None => (self.free_runtime(sessions, from, pass.as_ref())?, None),
        };
        if former.is_none() && sessions.len() >= self.config.limits.sessions {
            return Err(OpenError::Full);
        }
        let of_user = |pass: &Arc<Pass>| sessions.of_user(pass.who().user());
        if former.is_none() && pass.as_ref().map_or(0, of_user) >= self.config.limits.sessions_per_user {
            return Err(OpenError::TooMany);
        }
        let claimed = match &pass {
            Some(pass) => self.owners.claim(&runtime, pass.who(), self.clock.now())?,
            None => None,
        };
        let token = Token::new(self.ids.random());
        let session =
            Session::new(self.next_number(), runtime, token, link.outbox(), link.number(), pass.clone());
        let session = Arc::new(session);
        if let Some(former) = &former {
            sessions.remove(&self.directory, former);
            former.set_link(0);
            session.routes.lock().inherited = self.retire(former);
            self.answer_lost(former.outbox.close(CloseReason::Replaced));
            self.counters.ended.add(1);
            sessions.remind(&session, DueKind::Replay, self.config.timers.grace);
        }
        sessions.insert(&self.directory, &session);
        if let Some(pass) = &pass {
            sessions.expire_at(Some((self.look_at(pass), &session)), &session);
        }
        link.serve(Arc::clone(&session));
        Ok(Begun { session, former: former.is_some(), claimed })
    }

    fn free_runtime(
        &self,
        sessions: &Sessions,
        from: &Url,
        pass: Option<&Arc<Pass>>,
    ) -> Result<RuntimeUrl, OpenError> {
        let runtime =
            RuntimeUrl::try_from(from.clone()).map_err(|error| OpenError::NotARuntime(error.to_string()))?;
        Core::may_open(pass, &runtime, None)?;
        if !names_a_runtime(&runtime, &self.config.domain) {
            return Err(OpenError::NotARuntime(format!("{runtime} is not the URL of one runtime")));
        }
        if sessions.overlaps(&self.directory, &runtime) {
            return Err(OpenError::Taken);
        }
        Ok(runtime)
    }

    /// `re-open`: the session of this token goes on over this connection, with its routes and what waits.
    pub(crate) fn reopen(&self, link: &Link, message: &Message) {
        if link.has_session() {
            let text = "this connection has a session already";
            return link.refuse(message, StatusCode::CONFLICT, "conflict", text);
        }
        let pass = match self.admitted(message) {
            Ok(pass) => pass,
            Err(error) => return self.turn_away(link, message, &error),
        };
        let accepted = Outgoing::published(message.reply(self.welcome(pass.as_ref())));
        let mut refused = None;
        let moved = self.directory.with_sessions(|sessions| {
            let session = session_by_token(sessions, message.from())?;
            if let Err(error) = Core::may_open(pass.as_ref(), &session.runtime, Some(&session)) {
                refused = Some(error);
                return None;
            }
            let limits = self.config.limits.queue;
            let lost = session.outbox.relink(link.number(), limits, &link.outbox(), accepted)?;
            session.set_link(link.number());
            if let Some(pass) = &pass {
                session.renew(Arc::clone(pass));
                sessions.expire_at(Some((self.look_at(pass), &session)), &session);
            }
            link.serve(Arc::clone(&session));
            Some((session, lost))
        });
        if let Some(error) = refused {
            return self.turn_away(link, message, &error);
        }
        if pass.is_some() {
            self.wake_driver.notify_one();
        }
        match moved {
            Some((session, lost)) => {
                self.counters.reopened.add(1);
                tracing::info!(session = session.number, link = link.number(), "re-opened");
                self.answer_lost(lost);
            }
            None => {
                let text = "Reconnection fail. Incorrect runtime token!";
                link.refuse(message, StatusCode::INTERNAL, "forbidden", text);
            }
        }
    }

    /// `close`: the session and its routes end at once; nothing more is sent.
    pub(crate) fn close(&self, link: &Link, message: &Message) {
        let Some(session) = link.session() else {
            return link.refuse(message, StatusCode::FORBIDDEN, "forbidden", "no session: send open first");
        };
        let by_token = || {
            token_behind(message.from())
                .is_some_and(|(base, token)| base == session.runtime.key() && session.token.matches(token))
        };
        if message.from() != session.runtime.as_url() && !by_token() {
            return link.refuse(
                message,
                StatusCode::FORBIDDEN,
                "forbidden",
                "not the session of this connection",
            );
        }
        let ours = self.directory.with_sessions(|sessions| sessions.remove(&self.directory, &session));
        if ours {
            self.end(&session, CloseReason::Closed);
        }
    }

    /// The connection of a session is gone without a `close`: routes stay for a while, messages wait (5.15).
    pub(crate) fn lost(&self, session: &Arc<Session>, link: u64) {
        let lost = self.directory.with_sessions(|sessions| {
            session.is_served_by(link).then(|| {
                sessions.lost(session, self.config.timers.grace);
                session.outbox.grace(self.config.limits.graced)
            })
        });
        // It was closed, or goes on over another connection.
        let Some(lost) = lost else { return };
        self.counters.lost.add(1);
        tracing::info!(session = session.number, link, "lost its connection");
        self.answer_lost(lost);
        self.wake_driver.notify_one();
    }

    /// Does what is due, and tells when the next is.
    pub(crate) fn act_on_due(&self, now: Instant) -> Option<Instant> {
        self.end_expired(now);
        loop {
            let (due, over) = match self.directory.with_sessions(|sessions| {
                let due = sessions.pop_due(now).ok_or(sessions.next_due())?;
                let over = due.grace_is_over() && sessions.remove(&self.directory, &due.session);
                Ok((due, over))
            }) {
                Ok(step) => step,
                Err(next) => return next,
            };
            match due.what {
                DueKind::Grace(_) if over => self.end(&due.session, CloseReason::Closed),
                DueKind::Grace(_) => {}
                DueKind::Replay => self.tell_owners(&due.session.runtime, due.session.forsaken()),
            }
        }
    }

    /// The end of a session that was removed from the directory: its routes go, its registrations become
    /// disconnected, and the owners of what it listened to are told (M13).
    fn end(&self, session: &Session, reason: CloseReason) {
        self.ended(session, reason, |outbox| outbox.close(reason));
    }

    /// The same, with a last message to the runtime.
    pub(crate) fn end_behind(&self, session: &Session, last: Outgoing, reason: CloseReason) {
        self.ended(session, reason, |outbox| outbox.close_behind(last, reason));
    }

    fn ended(&self, session: &Session, reason: CloseReason, close: impl FnOnce(&Outbox) -> Vec<Outgoing>) {
        session.set_link(0);
        let listened = self.retire(session);
        self.answer_lost(close(&session.outbox));
        self.counters.ended.add(1);
        tracing::info!(session = session.number, runtime = %session.runtime, ?reason, "ended");
        self.disconnect_registrations(&session.runtime);
        self.tell_owners(&session.runtime, listened);
    }

    /// Takes all routes of a session away. Returns the objects that it listened to and did not hold.
    fn retire(&self, session: &Session) -> Vec<ObjectUrl> {
        let ended = Routes { ended: true, ..Routes::default() };
        let routes = std::mem::replace(&mut *session.routes.lock(), ended);
        self.retire_waiting(session, &routes);
        let Routes { listening, streams: waits, bound, mut inherited, .. } = routes;
        for key in &bound {
            self.directory.unbind(key, session);
        }
        for key in listening.iter().filter(|key| !waits.is_pending(key)) {
            self.subscriptions.remove(key, session);
        }
        // An owner that never heard of this session is not told that it is gone.
        let known = |key: &&Arc<str>| {
            !waits.is_pending(key) || object_of_stream(key).is_some_and(|object| waits.is_known(object))
        };
        let streams = listening.iter().filter(known).filter_map(|key| Url::parse(key).ok());
        let streams = streams.filter(|url| object_of_changes(url).is_some() || is_children_channel(url));
        let objects = streams.filter_map(|url| url.split_derived().map(|(object, _)| object));
        inherited.extend(objects.filter(|object| !listening.contains(object.key())));
        inherited.sort();
        inherited.dedup();
        inherited
    }

    /// Tells the owner of each object that a runtime no longer listens.
    fn tell_owners(&self, runtime: &RuntimeUrl, objects: Vec<ObjectUrl>) {
        for object in objects {
            let body = UnsubscribeBody {
                source: Some(runtime.as_url().clone()),
                reason: Some("session-ended".to_owned()),
                ..UnsubscribeBody::default()
            };
            let from = &self.addresses.subscriptions;
            self.publish(MessageType::Unsubscribe, from, object.subscription(), body);
        }
    }
}

impl Due {
    /// Whether this is the end of a grace that still lasts: not of an earlier one.
    fn grace_is_over(&self) -> bool {
        let losses = self.session.losses.load(std::sync::atomic::Ordering::Relaxed);
        self.what == DueKind::Grace(losses) && !self.session.is_live()
    }
}

/// `<RuntimeURL>/<token>`, split.
fn token_behind(from: &Url) -> Option<(&str, &str)> {
    from.key().rsplit_once('/')
}

/// The session that a `from` of the form `<RuntimeURL>/<token>` proves to know the token of.
fn session_by_token(sessions: &Sessions, from: &Url) -> Option<Arc<Session>> {
    let (base, token) = token_behind(from)?;
    sessions.by_key(base).filter(|session| session.token.matches(token))
}
